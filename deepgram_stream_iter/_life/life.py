"""The life of a session, from its first connection to its end: `_live`, read from top to bottom.

It points both flows at each connection in turn, the connection's events at the inbox and the outbox at the connection, and
says when there is to be another. How the session ended is what `_live` returns.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import NamedTuple

import anyio

from deepgram_stream_iter._adapters._protocol import Connector
from deepgram_stream_iter._connection.connection import Connection
from deepgram_stream_iter._connection.ending import CloseInfo, End
from deepgram_stream_iter._events.kinds import ReconnectedEvent, ReconnectingEvent
from deepgram_stream_iter._inbound.buffer import EventBuffer
from deepgram_stream_iter._inbound.inbox import Inbox
from deepgram_stream_iter._life.dialer import Dialer
from deepgram_stream_iter._life.patience import Patience
from deepgram_stream_iter._life.sources import Sources
from deepgram_stream_iter._life.tally import Tally
from deepgram_stream_iter._log import Log, because_of
from deepgram_stream_iter._loop.clock import now
from deepgram_stream_iter._loop.signal import Signal
from deepgram_stream_iter._loop.tasks import Tasks
from deepgram_stream_iter._outbound.outbox import Outbox
from deepgram_stream_iter._outbound.requests import Requests
from deepgram_stream_iter._recovery.recovery import Recovery
from deepgram_stream_iter._settings import Settings

_GRACE_SECONDS = 0.2
"""For tasks that were cancelled to end."""

_NOTHING_KEPT = (
    "max_buffer_size=0 keeps no event for an iteration: leave it out, take session.subscribe(), or wait for the end with"
    " session.wait_closed()"
)


class Over(NamedTuple):
    """How a session ended."""

    info: CloseInfo
    error: Exception | None


class Life:
    """Runs a session in a task of its own, and knows how it ended."""

    def __init__(self, connector: Connector, settings: Settings) -> None:
        self._settings, self.log = settings, Log(settings.name)
        self._dialer = Dialer(connector, settings, self.log)
        buffer = EventBuffer(
            settings.max_buffer_size, settings.overflow, settings.overflow_timeout_seconds, self.log
        )
        if not settings.max_buffer_size:
            buffer.close(RuntimeError(_NOTHING_KEPT))
        self.inbox, self.outbox = Inbox(buffer, self.log), Outbox(settings)
        self.requests = Requests(self.outbox, self.inbox.answers)
        self.connection: Connection | None = None
        """The one that is open, or was the last to be."""
        self.tally = Tally(self.inbox.ledger)
        self.over: Over | None = None
        """How the session ended; None while it has not."""
        self._patience = Patience(settings.finish_timeout_seconds)
        self._is_finishing = False
        self._opened = Signal()  # a first connection was live or is lost again, or there will be none
        self._task: asyncio.Task[None]  # from `open()` on; when it ends, nothing is open any more
        self._closing = Tasks()  # connections that have ended: 2 s at most
        self._beside = Tasks()  # the SDK's listener, and functions of the application: nobody waits for them
        self.sources = Sources(self.request_finish, self._patience.cut_short)

    @property
    def state(self) -> str:
        """What the session is doing, for a person."""
        if self.over is not None:
            return f"failed: {type(self.over.error).__name__}" if self.over.error else "closed"
        if self._is_finishing:
            return "finishing"
        if self.connection is None:
            return "connecting"
        return "live" if self.outbox.is_live else "reconnecting"

    # From the session

    async def open(self) -> Connection:
        """Begin, and return the first connection; see `StreamSession.__aenter__`. Leaves nothing open on failure."""
        self._task = asyncio.create_task(self._run(), name="deepgram_stream_iter")
        self._task.add_done_callback(self._release)
        try:
            await self._opened.wait()
        except BaseException:
            await self.close_at_once()
            raise
        if self.connection is None:
            await self.close_at_once()
            assert self.over is not None  # noqa: S101  (else there would be a connection)
            raise self.over.error or RuntimeError("the session was closed while it was being entered")
        return self.connection

    def request_finish(self) -> None:
        """Have the stream ended in order: no more audio, and everything that is still to come."""
        if self._is_stopping:
            return
        self.outbox.refuse("finish() was called, or the session was left: it takes no more audio")
        self.inbox.buffer.stop_pausing()
        self._is_finishing = True
        self.sources.stop()
        further_seconds, reconnect = 0.0, self._settings.reconnect
        if self.inbox.recovery is not None and reconnect is not None:
            # Once more for another connection, and for what that one has to be sent before.
            replay_seconds = self.inbox.recovery.memory.replay_seconds / reconnect.catch_up_rate
            further_seconds = self._settings.finish_timeout_seconds + replay_seconds
        self._patience.begin(further_seconds, is_replay=self._is_replaying)
        if self.connection is not None and self.outbox.is_live:
            self.connection.use(self.connection.finish)

    async def wait_closed(self) -> Over:
        """Wait until nothing is open any more, and return how the stream ended."""
        await asyncio.wait({self._task})
        assert self.over is not None  # noqa: S101  (see `_release`)
        return self.over

    async def close_at_once(self) -> None:
        """Close without waiting for what is still to come; shielded, and done within 2 s."""
        self._patience.cut_short()
        self.sources.stop()
        left: set[asyncio.Task[None]] = set()
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.wait({self._task})
                cancelled = self._beside.running | self.sources.running
                if cancelled:
                    _, left = await asyncio.wait(cancelled, timeout=_GRACE_SECONDS)
            except asyncio.CancelledError:  # a second, native cancellation: no more patience
                self._task.cancel()
                raise
        if left:
            self.log.warning(
                "a function or source of the application cannot be cancelled: it goes on until it returns"
            )

    # The life

    async def _run(self) -> None:
        end = End()
        self.log.debug("%s", self._settings)
        try:
            with self._patience.scope as patience:
                end = await self._live()
            if patience.cancelled_caught and not self._patience.is_cut_short:
                end = self._timed_out()
        except Exception as error:  # noqa: BLE001  (whatever it is, the session ends with it)
            end = End(error)
        except asyncio.CancelledError:  # by somebody who cancels all tasks
            self._closing.cancel()
            raise
        finally:
            self._conclude(end)
            await self._closing.wait()

    def _release(self, task: asyncio.Task[None]) -> None:
        """Let go of all who wait, where the task was cancelled before its first step, or failed."""
        error = None if task.cancelled() else task.exception()
        self._conclude(End(error if isinstance(error, Exception) else None))

    async def _live(self) -> End:
        """Connect, serve, and again while that is worth it; return the end that is the session's."""
        while True:
            started_at = now()
            try:
                connection = await self._dialer.connect(self._beside, self._closing)
            except Exception as error:  # noqa: BLE001  (it may be the application's, and comes out as itself)
                end = End(error)
            else:
                self.tally.connected(connection, now() - started_at)
                end = await self._serve(connection)
                self._patience.renew()
            attempt = await self._dialer.next_attempt(end.error, self._beside)
            if attempt is None:
                return end
            self.log.attempt = attempt.number
            self.log.info(
                "%s in %.2f s (attempt %s)%s",
                "connecting again" if self.connection is None else "reconnecting",
                attempt.delay,
                attempt.number,
                because_of(attempt.cause),
            )
            if self.connection is not None:
                reconnecting = ReconnectingEvent(
                    attempt=attempt.number, cause=attempt.cause, delay=attempt.delay
                )
                self.inbox.deliver(reconnecting)
                await self.inbox.buffer.wait_for_room()
            await anyio.sleep(attempt.delay)

    async def _serve(self, connection: Connection) -> End:
        """Point both flows at a connection, bring it up to date, and return how it ended."""
        before, self.connection = self.connection, connection
        try:
            self._begin(connection, before)
            connection.use(partial(self._bring_up, connection))
            end = await connection.wait_for_end()
        finally:
            self._closing.start(connection.close)
        self.outbox.pause()
        self.inbox.answers.connection_lost()
        self._opened.set()  # a connection that is lost at once still counts as the first one
        return end

    async def _bring_up(self, connection: Connection) -> None:
        """Send a connection all that comes before new audio: settings, what waits; and the end, where it was asked for."""
        restored = await self.requests.restore(connection)
        await self.outbox.catch_up(connection)
        if restored is not None:
            # Deepgram wants one Configure at a time.
            await restored.wait(until=now() + self._settings.send_timeout_seconds)
        self.outbox.go_live()
        self._opened.set()
        self._patience.renew()
        if self._is_finishing:
            await connection.finish()

    def _begin(self, connection: Connection, before: Connection | None) -> None:
        """Point both flows at a connection, before its first event."""
        back_off = self._dialer.back_off
        if back_off is not None:
            if self.inbox.recovery is None:
                self.inbox.recovery = Recovery(back_off, connection.adapter.query)
                self.outbox.keep_in(self.inbox.recovery.memory)
            replayed_seconds, gap = self.inbox.recovery.resume()
            if gap is not None:
                self.inbox.lose(self.inbox.clock.place(gap))
            if before is not None:
                self.inbox.deliver(
                    ReconnectedEvent(attempt=back_off.failures, replayed_seconds=replayed_seconds)
                )
        self.log.request_id = connection.request_id
        asked = {name: value for name, value in connection.adapter.query.items() if name != "callback"}
        self.log.debug("Deepgram is asked for %s", asked)  # the address of a callback may have a password
        self.log.info(
            "%s in %.2f s%s",
            "connected" if before is None else "reconnected",
            self.tally.connect_seconds,
            f" [request id {connection.request_id}]" if connection.request_id else "",
        )
        self.log.attempt = 0
        self.outbox.begin(connection)
        self._patience.renew(is_replay=True)
        connection.deliver_to(self.inbox)

    @property
    def _is_stopping(self) -> bool:
        return self._is_finishing or self._patience.is_cut_short or self.over is not None

    # The end

    @property
    def _is_replaying(self) -> bool:
        is_open = self.connection is not None and self.connection.end is None
        return is_open and not self.outbox.is_live

    def _timed_out(self) -> End:
        """Return the end of a stream that the server has not ended in time."""
        assert self.connection is not None  # noqa: S101  (the session is entered)
        if self._dialer.back_off is not None and self._dialer.back_off.failures and not self.outbox.is_live:
            return End(self._dialer.gave_up("and finish() could not wait any longer: finish_timeout_seconds"))
        return self.connection.end or self.connection.timed_out()

    def _conclude(self, end: End) -> None:
        """Record how the session ended, for all who wait for it; the first call counts."""
        if self.over is not None:
            return
        is_asked_for, error = self._is_finishing, end.error or self.sources.error
        code, reason = self.connection.adapter.close_frame if self.connection else (None, "")
        info = CloseInfo(
            code=code,
            reason=reason,
            initiator="server" if end.by_server and not is_asked_for else "client",
            drained=end.drained,
            metadata=self.inbox.ledger.metadata,
        )
        self.over = Over(info, error)
        is_cut_off = not end.drained and (error is not None or is_asked_for)
        lost = self.inbox.recovery.end() if self.inbox.recovery is not None and is_cut_off else None
        lost = None if lost is None else self.inbox.clock.place(lost)
        self.outbox.refuse("the stream has ended", error)
        self.inbox.close(error, lost=lost, unsent_bytes=self.outbox.unsent.close(), is_drained=end.drained)
        if self.connection is not None:
            self.connection.finish_with(end)
        self.sources.stop()
        self._opened.set()
        how = "closed" if self.connection is not None else "not connected"
        if error is None and self.connection is not None:  # else the error says it
            how += f" by the {info.initiator}" + ("" if code is None else f" with code {code}")
        self.log.info("%s%s", how, because_of(error))
