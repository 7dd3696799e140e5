"""The life of a session: connect, reconnect, finish, close, and how it ended.

One supervisor task owns everything that runs beside the application: the connections, one after another, and the sources
that are fed. It starts when the session is entered and is awaited when it is left; its own closing is bounded, so
whoever waits for it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Literal, TypeAlias

import anyio
import anyio.abc

from ._adapters._protocol import Adapter
from ._audio import RawFormat
from ._clock import now
from ._connection import Connection
from ._dialer import Connector, Dialer
from ._errors import ConnectionLost, DeepgramStreamError, SessionClosed
from ._events import (
    AnyStreamEvent,
    ConfiguredEvent,
    ConfigureFailedEvent,
    ReconnectedEvent,
    ReconnectingEvent,
)
from ._ledger import Ledger
from ._options import Settings
from ._outbox import Outbox
from ._outcome import CloseInfo, is_clean
from ._recovery.recovery import Recovery

_GRACE_SECONDS = 0.2
"""For tasks that were cancelled to end."""

_logger = logging.getLogger("deepgram_stream_iter")

_Phase: TypeAlias = Literal["connecting", "catching up", "live", "over"]


class Lifecycle:
    """Runs a session and says how it ended; puts what arrives where it is told to."""

    def __init__(
        self,
        connector: Connector,
        settings: Settings,
        *,
        on_event: Callable[[AnyStreamEvent], Coroutine[None, None, None] | None],
        on_finish: Callable[[], None],
        on_end: Callable[[Exception | None, AnyStreamEvent | None], None],
    ) -> None:
        self._settings, self._dialer = settings, Dialer(connector, settings, self)
        self._on_event, self._on_finish, self._on_end = on_event, on_finish, on_end
        self.ledger = Ledger()
        self.close_info: CloseInfo | None = None
        self.error: Exception | None = None
        self.finish_requested = False
        self.configuration: dict[str, object] = {}
        """What a Configure has changed since the session began."""
        self.reconnects = 0
        self._reconfigured: anyio.Event | None = (
            None  # while the server owes the answer to a Configure of our own
        )
        self.recovery: Recovery | None = None  # from the first connection on, where there is to be one
        self._outbox: Outbox | None = None
        self._connection: Connection | None = None  # the last one that was ready
        self._keepalives_before = 0
        self._late_error: Exception | None = None  # of a source, while the stream was being ended already
        self._supervisor: asyncio.Task[None] | None = None
        self._tasks: anyio.abc.TaskGroup | None = None
        self._senders: set[anyio.CancelScope] = set()
        self._orderly = anyio.CancelScope()  # cancelled to close at once
        self._finishing = anyio.CancelScope()  # cancelled when the session has ended
        self._connecting = anyio.CancelScope()  # cancelled when there shall be no more connections
        self._phase: _Phase = "connecting"
        self._phase_changed = anyio.Event()
        self._stop = anyio.Event()  # the supervisor shall finish or close
        self._closed = anyio.Event()  # nothing is open any more

    @property
    def adapter(self) -> Adapter:
        """The adapter of the connection that is open, or was the last to be.

        :raises RuntimeError: before there is one.
        """
        if self._connection is None:
            raise RuntimeError("the session has not been entered, so there is no connection yet")
        return self._connection.adapter

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream; empty until it is known."""
        return (self._connection.request_id if self._connection else "") or self.ledger.request_id

    @property
    def keepalives_sent(self) -> int:
        """The KeepAlives that were sent, over all connections."""
        return self._keepalives_before + (self._connection.keepalives_sent if self._connection else 0)

    @property
    def _is_stopping(self) -> bool:
        return self._stop.is_set() or self._orderly.cancel_called

    # Opening

    async def open(self) -> None:
        """Start the supervisor and wait until it has connected; see `StreamSession.__aenter__`. Leaves nothing on failure."""
        self._supervisor = asyncio.create_task(self._supervise(), name="deepgram_stream_iter")
        try:
            while self._connection is None and self._phase != "over":
                await self._phase_changed.wait()
            await self._reach("live", "over", "connecting")  # one that is lost at once was a connection, too
        except BaseException:
            await self.close_at_once()
            raise
        if self._connection is None:
            await self.close_at_once()
            assert self.error is not None  # noqa: S101  (else there would be a connection)
            raise self.error

    # What a connection tells

    def connection_ready(self, connection: Connection) -> None:
        """Begin with a connection, before its first event."""
        before, self._connection = self._connection, connection
        self._reconfigured = None
        self._enter("catching up")
        back_off = self._dialer.back_off
        if back_off is None:
            return
        if self.recovery is None:
            query, rate = connection.adapter.query, back_off.reconnect.catch_up_rate
            self.recovery = Recovery(back_off, query)
            self._outbox = Outbox(self.recovery.memory, RawFormat.of(query), catch_up_rate=rate)
        replayed_seconds, gap = self.recovery.resume()
        if self._outbox is not None:
            # At once: nothing that was counted in may be pushed out before it is sent.
            self._outbox.begin(connection)
        if gap is not None:
            self._tell(gap)
        if before is not None:
            self._keepalives_before += before.keepalives_sent
            self.reconnects += 1
            self._tell(ReconnectedEvent(attempt=back_off.failures, replayed_seconds=replayed_seconds))

    def arrived(self, event: AnyStreamEvent) -> Coroutine[None, None, None] | None:
        """Take an event of a connection."""
        if self.close_info is not None:
            return None
        if self.recovery is None:
            self.ledger.note(event)
            return self._on_event(event)
        if self._reconfigured is not None and isinstance(event, (ConfiguredEvent, ConfigureFailedEvent)):
            self._reconfigured.set()
            self._reconfigured = None
            if isinstance(event, ConfigureFailedEvent):
                _logger.warning(
                    "after a reconnection Deepgram refused settings that it had taken over before"
                )
            return None  # nobody asked for it
        wait: Coroutine[None, None, None] | None = None
        for taken in self.recovery.take(event):
            if wait is not None:
                wait.close()  # the last one holds back as well
            self.ledger.note(taken)
            wait = self._on_event(taken)
        return wait

    def connection_ended(self, connection: Connection) -> None:
        """Take the end of a connection: that of the session, unless another follows."""
        if connection is not self._connection:
            return  # it was never ready, and `_connect` tells
        back_off, error = self._dialer.back_off, connection.error
        is_over = self.close_info is not None or not self._dialer.is_to_follow(error)
        if back_off is not None and error is not None and not is_over:
            back_off.failed(error)
            self._enter("connecting")
        else:
            self.conclude(
                connection.error, by_server=connection.is_ended_by_server, drained=connection.is_drained
            )

    def _enter(self, phase: _Phase) -> None:
        if self._outbox is not None and phase in ("connecting", "over"):
            self._outbox.hold()
        self._phase = phase
        self._phase_changed.set()
        self._phase_changed = anyio.Event()

    async def _reach(self, *phases: _Phase) -> None:
        """Wait for one of these phases; returns at once in one."""
        while self._phase not in phases:
            await self._phase_changed.wait()

    def _tell(self, event: AnyStreamEvent) -> None:
        """Hand out an event of our own, from where nobody can be held back."""
        wait = self._on_event(event)
        if wait is not None:
            wait.close()

    # Sending

    def check_open(self) -> None:
        """Refuse to send on a stream that has ended or is about to.

        :raises SessionClosed: after `finish()`, or when the stream has ended cleanly or over its source.
        :raises DeepgramStreamError: the error with which the stream ended.
        """
        if isinstance(self.error, DeepgramStreamError):
            raise self.error
        if self.finish_requested:
            raise SessionClosed("finish() was called: this session takes no more audio")
        if self.close_info is not None:
            raise SessionClosed("the stream has ended") from self.error

    async def send_audio(self, frame: bytes) -> None:
        """Send a frame of audio; where the session reconnects, that it cannot be sent now is no error.

        :raises SessionClosed: :raises DeepgramStreamError: as `check_open` and `Connection.send` do.
        """
        if self._outbox is None:
            self.check_open()
            await self._open_connection.send(frame)
            return
        await self._outbox.wait_for_room(len(frame))
        self.check_open()
        await self._outbox.send(frame)

    async def send_control(self, kind: str, **fields: object) -> Connection:
        """Send a control message, after all audio that came before; give the connection that took it.

        Raises what `Connection.send` does.
        """
        deadline = now() + self._settings.send_timeout_seconds
        while True:
            with anyio.CancelScope(deadline=deadline):
                await self._reach("live", "over")
            if self._phase not in ("live", "over"):
                reason = f"{kind} was not sent: the session was reconnecting for {self._settings.send_timeout_seconds} s"
                raise ConnectionLost(
                    f"{reason} (send_timeout_seconds), and goes on with that; try again later",
                    reason=reason,
                    request_id=self.request_id,
                )
            connection = self._open_connection
            try:
                await connection.send_control(kind, **fields)
            except ConnectionLost:
                if self._outbox is None or self._phase == "over":
                    raise
                with anyio.CancelScope(deadline=deadline) as waiting:
                    await connection.ended.wait()  # the listener may still read what there was
                if waiting.cancelled_caught:
                    raise
            else:
                return connection

    @property
    def _open_connection(self) -> Connection:
        assert self._connection is not None  # noqa: S101  (the session is entered)
        return self._connection

    def start_sender(self, sender: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run something that sends, until it is through or nothing is to be sent any more."""
        self.check_open()
        if self._tasks is None:
            raise RuntimeError("the session has not been entered")
        self._tasks.start_soon(self._run_sender, sender)

    def source_failed(self, error: Exception) -> None:
        """End the stream over a source; one that fails while it is being stopped does not cost the tail."""
        if self._is_stopping:
            self._late_error = self._late_error or error
        else:
            self.conclude(error)

    def source_cancelled(self) -> bool:
        """Tell whether a source ended by a cancellation that is not ours; the stream is then ended over it."""
        if not self._is_stopping:
            self.conclude(RuntimeError("the source that was given to feed() was cancelled by somebody else"))
            return True
        return False

    async def _run_sender(self, sender: Callable[[], Coroutine[None, None, None]]) -> None:
        with anyio.CancelScope() as scope:
            self._senders.add(scope)
            try:
                await sender()
            finally:
                self._senders.discard(scope)

    # Ending

    def request_finish(self) -> None:
        """Have the stream ended in order: no more audio, and everything that is still to come."""
        self.finish_requested = True
        self._on_finish()
        self._stop.set()

    async def wait_closed(self) -> CloseInfo:
        """Wait until the connection is closed, and say how the stream ended."""
        await self._closed.wait()
        assert self.close_info is not None  # noqa: S101  (`_closed` comes after `conclude`)
        return self.close_info

    async def close_at_once(self) -> None:
        """Close without waiting for what is still to come; shielded, and done within 2 s."""
        self._orderly.cancel()
        if self._supervisor is None:
            return
        left: set[asyncio.Task[None]] = set()
        with anyio.CancelScope(shield=True):
            try:
                await self._closed.wait()
                _, left = await asyncio.wait({self._supervisor}, timeout=_GRACE_SECONDS)
            except asyncio.CancelledError:  # a second, native cancellation: no more patience
                for connection in self._dialer.connections:
                    connection.drop()
                self._supervisor.cancel()
                raise
        if left:
            _logger.warning(
                "a function or source of the application cannot be cancelled: it goes on until it returns"
            )

    def conclude(self, error: Exception | None, *, by_server: bool = False, drained: bool = False) -> None:
        """Put on record how the stream ended; the first call counts. The supervisor then closes what is open."""
        if self.close_info is not None:
            return
        code, reason = self._connection.adapter.close_frame if self._connection else (None, "")
        self.error = error = error or self._late_error
        self.close_info = CloseInfo(
            code=code,
            reason=reason,
            initiator="server" if by_server and not self.finish_requested else "client",
            drained=drained,
            metadata=self.ledger.metadata,
        )
        is_cut_off = not drained and (error is not None or self.finish_requested)
        gap = self.recovery.end() if self.recovery is not None and is_cut_off else None
        if gap is not None:
            self._tell(gap)
        turn = self.ledger.end_of_open_turn() if drained or (self.finish_requested and not error) else None
        if turn is not None:
            self.ledger.note(turn)
        self._on_end(error, turn)
        self._enter("over")
        self._stop.set()
        self._finishing.cancel()

    async def _supervise(self) -> None:
        async with anyio.create_task_group() as self._tasks:
            try:
                with self._orderly:
                    self._tasks.start_soon(self._keep_connected, self._tasks)
                    await self._stop.wait()
                    self._stop_senders()
                    if self.finish_requested and self.close_info is None and self.adapter.endpoint != "other":
                        await self._end_stream()
                self._stop_senders()
                self._connecting.cancel()
                await self._dialer.close()
            except Exception as error:  # noqa: BLE001  (as in `_keep_connected`)
                self.conclude(error)
            finally:
                self.conclude(None)
                self._closed.set()
                self._tasks.cancel_scope.cancel()

    def _stop_senders(self) -> None:
        # They are not waited for: a source that reads in a thread cannot be cancelled, and must not hold up the end.
        for scope in self._senders:
            scope.cancel()

    async def _end_stream(self) -> None:
        """Have the server end the stream: on this connection or, when that is lost over it, on the next."""
        timeout_seconds = at_most_seconds = self._settings.finish_timeout_seconds
        if self.recovery is not None and self._settings.reconnect is not None:
            # ... and once more for another connection, and for what that one has to be sent before
            replay_seconds = self.recovery.memory.replay_seconds / self._settings.reconnect.catch_up_rate
            at_most_seconds += timeout_seconds + replay_seconds
        with anyio.move_on_after(at_most_seconds) as self._finishing:  # the end of the session cancels it
            while True:
                with anyio.move_on_after(timeout_seconds) as waiting:
                    await self._reach("catching up", "live")
                if waiting.cancelled_caught:
                    break
                await self._reach("live", "connecting")
                if self._phase == "live":
                    with anyio.move_on_after(timeout_seconds) as waiting:
                        await self._open_connection.finish()
                    if waiting.cancelled_caught:
                        break
        if self.close_info is None:
            self._note_that_it_did_not_end()

    def _note_that_it_did_not_end(self) -> None:
        """Find out why the server has not ended the stream in time."""
        connection = self._open_connection
        code, _ = connection.adapter.close_frame
        if code is not None and not is_clean(code, connection.adapter.endpoint, asked=True):
            # The SDK knows that the peer is dead, and waits for it all the same.
            connection.listening_ended(None)
        if connection.ended.is_set() and self._dialer.back_off is not None:
            self.conclude(
                self._dialer.gave_up("and finish() could not wait any longer: finish_timeout_seconds")
            )
        if self.close_info is None:
            _logger.warning(
                "Deepgram did not end the stream within %s s (finish_timeout_seconds); request id %s",
                self._settings.finish_timeout_seconds,
                self.request_id or "unknown",
            )

    # Connecting

    async def _keep_connected(self, tasks: anyio.abc.TaskGroup) -> None:
        """Connect, and again whenever that is worth it, until the session has ended."""
        try:
            with self._connecting:
                failure = await self._dialer.connect(tasks)
                while self.close_info is None:
                    if failure is None:
                        failure = await self._serve(self._open_connection)
                    elif not self._dialer.is_to_follow(failure):
                        self.conclude(failure)
                    else:
                        await self._wait_for_next_attempt()
                        if self.close_info is None:
                            failure = await self._dialer.connect(tasks)
        except Exception as error:  # noqa: BLE001  (ours, and not foreseen: no reason to say that all went well)
            self.conclude(error)

    async def _serve(self, connection: Connection) -> Exception | None:
        """Have a connection catch up, and wait until it has ended; give its error."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._catch_up, connection)
            await connection.ended.wait()
            tasks.cancel_scope.cancel()
        connection.close()
        return connection.error

    async def _catch_up(self, connection: Connection) -> None:
        if self._outbox is not None:
            reconfigured = self._reconfigured = anyio.Event() if self.configuration else None
            if reconfigured is not None:
                try:
                    await connection.send_control("Configure", **self.configuration)
                except DeepgramStreamError:
                    return  # the connection tells its end
            if not await self._outbox.catch_up(connection):
                return
            if reconfigured is not None:
                with anyio.move_on_after(self._settings.send_timeout_seconds):
                    await reconfigured.wait()  # Deepgram wants one Configure at a time
        if not connection.ended.is_set():
            self._enter("live")

    async def _wait_for_next_attempt(self) -> None:
        """Wait for as long as the back-off says; the session has ended where it grants no attempt."""
        attempt = await self._dialer.next_attempt()
        if isinstance(attempt, Exception):
            self.conclude(attempt)
            return
        if self._connection is not None:
            wait = self._on_event(
                ReconnectingEvent(attempt=attempt.number, cause=attempt.cause, delay=attempt.delay)
            )
            if wait is not None:
                await wait
        await anyio.sleep(attempt.delay)
