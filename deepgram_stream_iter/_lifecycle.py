"""The life of one connection: open, listen, keep alive, finish, close, and how it ended.

One supervisor task owns everything that runs beside the application: the SDK's listener, the keepalive, the sources
that are fed. It starts when the session is entered and is awaited when it is left; its own closing is bounded, so
whoever waits for it is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine

import anyio
import anyio.abc

from ._adapters._protocol import Adapter
from ._adapters.failures import came_from_a_handler, connect_error
from ._errors import (
    CallbackError,
    ConnectError,
    ConnectionLost,
    DeepgramStreamError,
    ServerError,
    SessionClosed,
)
from ._events import AnyStreamEvent, ErrorEvent
from ._ledger import Ledger
from ._options import Settings
from ._outcome import NORMAL, CloseInfo, connection_lost, is_clean, is_failure

_CLOSE_TIMEOUT_SECONDS = 2.0
"""For closing the socket and for what handlers of the application do meanwhile."""
_HANDSHAKE_TIMEOUT_SECONDS = 1.0
"""For the closing handshake; then the socket is dropped."""

_GRACE_SECONDS = 0.2
"""For tasks that were cancelled to end."""

_logger = logging.getLogger("deepgram_stream_iter")


class Lifecycle:
    """Runs one connection and says how it ended; puts what arrives where it is told to."""

    def __init__(
        self,
        adapter: Adapter,
        settings: Settings,
        *,
        on_event: Callable[[AnyStreamEvent], Awaitable[None] | None],
        on_finish: Callable[[], None],
        on_end: Callable[[Exception | None, AnyStreamEvent | None], None],
    ) -> None:
        self.adapter, self.ledger = adapter, Ledger()
        self._settings = settings
        self._on_event, self._on_finish, self._on_end = on_event, on_finish, on_end
        self.close_info: CloseInfo | None = None
        self.error: Exception | None = None
        self.keepalives_sent = 0
        self.finish_requested = False
        self._failure_to_open: Exception | None = None
        self._late_error: Exception | None = None  # of a source, while the stream was being ended already
        self._is_closing = False
        self._last_sent_at = 0.0
        self._supervisor: asyncio.Task[None] | None = None
        self._tasks: anyio.abc.TaskGroup | None = None
        self._senders: set[anyio.CancelScope] = set()
        self._orderly = anyio.CancelScope()  # cancelled to close at once
        self._ready = anyio.Event()  # audio may be sent
        self._stop = anyio.Event()  # the supervisor shall finish or close
        self._listened = anyio.Event()  # the SDK's listener has ended
        self._ended = anyio.Event()  # `close_info` is there
        self._closed = anyio.Event()  # nothing is open any more

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream; empty until it is known."""
        return self.adapter.request_id or self.ledger.request_id

    @property
    def _is_stopping(self) -> bool:
        return self._stop.is_set() or self._orderly.cancel_called

    # Opening

    async def open(self) -> None:
        """Connect and start the supervisor; see `StreamSession.__aenter__`. On failure nothing is left."""
        failure: Exception | None = None
        with anyio.move_on_after(self._settings.connect_timeout_seconds) as waiting:
            try:
                await self.adapter.open(self)
                self._last_sent_at = anyio.current_time()
                self._supervisor = asyncio.create_task(self._supervise(), name="deepgram_stream_iter")
                await self._ready.wait()
                failure = self._failure_to_open
            except Exception as error:  # noqa: BLE001  (it is raised below, unless it may show a key)
                failure = error if isinstance(error, DeepgramStreamError) else connect_error(error) or error
            except BaseException:
                if not waiting.cancel_called:  # else it is the time-out, and told below
                    await self._give_up(None)
                raise
        if waiting.cancelled_caught:
            failure = self._timed_out()
        if failure is not None:
            await self._give_up(failure)
            raise failure

    async def _give_up(self, failure: Exception | None) -> None:
        self.conclude(failure)
        await self.close_at_once()
        self._closed.set()

    def _timed_out(self) -> ConnectError:
        reason = f"no answer within {self._settings.connect_timeout_seconds} s (connect_timeout_seconds)"
        return ConnectError(f"Could not connect to Deepgram: {reason}", reason=reason)

    # What the adapter tells

    def arrived(self, event: AnyStreamEvent) -> Awaitable[None] | None:
        """Take an event from the SDK's callback."""
        if self.close_info is not None:
            return None
        self.ledger.note(event)
        if isinstance(event, ErrorEvent) and self.adapter.endpoint == "v2":
            text = f"Deepgram ended the stream: {event.code}: {event.description}"
            error = ServerError(text, code=event.code, description=event.description)
            self.conclude(error, by_server=True)
            return None
        self._ready.set()
        return self._on_event(event)

    def listening_ended(self, cause: Exception | None) -> None:
        """Take the end of the SDK's listener, and find out which end it was."""
        if self._is_closing:
            return  # that is our own doing
        code, reason = self.adapter.close_frame
        if cause is not None and came_from_a_handler(cause):
            text = (
                f"a handler of the application raised {type(cause).__name__}, and the SDK stopped listening"
            )
            if code in (None, NORMAL):  # else the stream had ended before, and not over this
                error = CallbackError(text)
                error.__cause__ = cause
                self.conclude(error)
                return
            _logger.error("%s", text, exc_info=cause)
            cause = None
        # A custom transport has no close code: after CloseStream, its end is the end.
        is_told_by_end_alone = code is None and self.finish_requested and self._settings.listen
        is_agreed = is_clean(code, self.adapter.endpoint, asked=self.finish_requested) or is_told_by_end_alone
        if is_agreed and not is_failure(cause):
            self.conclude(None, by_server=True, drained=True)
        else:
            self.conclude(connection_lost(code, reason, cause, self.request_id), by_server=True)

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

    async def send_media(self, frame: bytes) -> None:
        """Send a frame of audio; see `_send`."""
        await self._send(frame)

    async def send_control(self, kind: str, **fields: object) -> None:
        """Send a control message; see `_send`."""
        await self._send(json.dumps({"type": kind, **fields}))
        self.keepalives_sent += kind == "KeepAlive"

    async def _send(self, data: bytes | str) -> None:
        """Send through the SDK.

        :raises ConnectionLost: when the socket is closed, or takes nothing within `send_timeout_seconds`.
        :raises SessionClosed: when the server has closed it cleanly.
        """
        failure: Exception | None = None
        with anyio.move_on_after(self._settings.send_timeout_seconds) as waiting:
            # The SDK would wait 20 s with a socket on which the closing handshake has begun.
            if self.adapter.close_frame[0] is None:
                try:
                    await self.adapter.send(data)
                except Exception as error:  # noqa: BLE001  (it is the cause of what is raised below)
                    failure = error
                else:
                    self._last_sent_at = anyio.current_time()
                    return
        if waiting.cancelled_caught:
            reason = (
                f"the socket took nothing for {self._settings.send_timeout_seconds} s (send_timeout_seconds)"
            )
            self.conclude(ConnectionLost(reason, reason=reason, request_id=self.request_id))
        # A closed socket is not the end yet: the listener may still have messages before it comes to the close frame.
        if isinstance(self.error, DeepgramStreamError):
            raise self.error
        code, reason = self.adapter.close_frame
        if is_clean(code, self.adapter.endpoint, asked=self.finish_requested):
            raise SessionClosed("Deepgram has closed the stream")
        raise connection_lost(code, reason, failure, self.request_id)

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

    async def _keep_alive(self) -> None:
        # By deadline: audio only moves `_last_sent_at`, and pays for no timer.
        interval_seconds = self._settings.keepalive_seconds or math.inf
        while True:
            await anyio.sleep_until(self._last_sent_at + interval_seconds)
            if anyio.current_time() >= self._last_sent_at + interval_seconds:
                try:
                    await self.send_control("KeepAlive")
                except DeepgramStreamError:
                    return  # the listener tells

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
        left: set[asyncio.Task[None]] = set()
        with anyio.CancelScope(shield=True):
            if self._supervisor is None:
                if self.adapter.connection is not None:
                    await self._close_socket()
                self.adapter.detach()
                return
            try:
                await self._closed.wait()
                _, left = await asyncio.wait({self._supervisor}, timeout=_GRACE_SECONDS)
            except asyncio.CancelledError:  # a second, native cancellation: no more patience
                self.adapter.abort()
                self._supervisor.cancel()
                raise
        if left:
            _logger.warning("a source given to feed() cannot be cancelled: it goes on until it returns")

    def conclude(self, error: Exception | None, *, by_server: bool = False, drained: bool = False) -> None:
        """Put on record how the stream ended; the first call counts. The supervisor then closes what is open."""
        if self.close_info is not None:
            return
        code, reason = self.adapter.close_frame
        self.error = error = error or self._late_error
        self.close_info = CloseInfo(
            code=code,
            reason=reason,
            initiator="server" if by_server and not self.finish_requested else "client",
            drained=drained,
            metadata=self.ledger.metadata,
        )
        if not self._ready.is_set():
            self._failure_to_open = error
            if error is None or isinstance(error, ConnectionLost):
                reason = str(error or f"the server closed it with {code}")
                self._failure_to_open = ConnectError(
                    f"Could not connect to Deepgram: the connection ended before it was ready: {reason}",
                    reason=reason,
                    request_id=self.request_id,
                )
        turn = self.ledger.end_of_open_turn() if drained or (self.finish_requested and not error) else None
        if turn is not None:
            self.ledger.note(turn)
        self._on_end(error, turn)
        for event in (self._ready, self._stop, self._ended):
            event.set()

    async def _supervise(self) -> None:
        async with anyio.create_task_group() as self._tasks:
            try:
                self._tasks.start_soon(self._listen)
                if self._settings.keepalive_seconds and self._is_ours_to_keep_alive:
                    self._tasks.start_soon(self._run_sender, self._keep_alive)
                if self.adapter.endpoint != "v2" or not self._settings.listen:
                    self._ready.set()  # Flux is ready when it says so; an observer may have come after that
                with self._orderly:
                    await self._stop.wait()
                    self._stop_senders()
                    if self.finish_requested and self.close_info is None and self.adapter.endpoint != "other":
                        await self._end_stream()
                self._stop_senders()
                if self._settings.listen:
                    await self._close_socket()
            finally:
                self.adapter.detach()
                if self._settings.listen:
                    self.adapter.abort()
                self._is_closing = True
                self.conclude(None)
                self._closed.set()
                self._tasks.cancel_scope.cancel()

    @property
    def _is_ours_to_keep_alive(self) -> bool:
        return self._settings.listen and self.adapter.endpoint == "v1" and not self.adapter.sends_keepalives

    async def _listen(self) -> None:
        try:
            await (self.adapter.listen() if self._settings.listen else self.adapter.observe())
        finally:
            self._listened.set()

    def _stop_senders(self) -> None:
        # They are not waited for: a source that reads in a thread cannot be cancelled, and must not hold up the end.
        for scope in self._senders:
            scope.cancel()

    async def _end_stream(self) -> None:
        with anyio.move_on_after(self._settings.finish_timeout_seconds):
            try:
                if self.adapter.endpoint == "v1":
                    await self.send_control("Finalize")
                await self.send_control("CloseStream")
            except DeepgramStreamError:
                pass  # the listener tells, once it has read what there was
            await self._ended.wait()
        if self.close_info is not None:
            return
        code, _ = self.adapter.close_frame
        if code is not None and not is_clean(code, self.adapter.endpoint, asked=True):
            self.listening_ended(None)  # the SDK knows that the peer is dead, and waits for it all the same
            return
        _logger.warning(
            "Deepgram did not end the stream within %s s (finish_timeout_seconds); request id %s",
            self._settings.finish_timeout_seconds,
            self.request_id or "unknown",
        )

    async def _close_socket(self) -> None:
        """Close, and drop the socket when that comes to no end. The listener, and its handlers, go on meanwhile."""
        self._is_closing = True
        drop = asyncio.get_running_loop().call_later(_HANDSHAKE_TIMEOUT_SECONDS, self.adapter.abort)
        try:
            with anyio.move_on_after(_CLOSE_TIMEOUT_SECONDS, shield=True):
                await self.adapter.close()
                if self._supervisor is not None:
                    await self._listened.wait()
        except Exception as error:  # noqa: BLE001  (nothing more can be done about this connection)
            _logger.debug("closing the connection raised %s", type(error).__name__)
        finally:
            drop.cancel()
