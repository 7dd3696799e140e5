"""One connection of the SDK: open, listen, keep alive, send, close; and how it ended.

A session that reconnects has one connection after another: `open`, `wait_for_end` and `close` are the life of each.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from functools import partial

from deepgram_stream_iter._adapters._protocol import LAST_MESSAGES_SECONDS, Adapter
from deepgram_stream_iter._adapters.failures import without_secrets
from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._connection.closing import Closing
from deepgram_stream_iter._connection.delivery import Delivery
from deepgram_stream_iter._connection.ending import End, connection_lost, listener_cancelled, never_ready
from deepgram_stream_iter._connection.hang_up import hang_up
from deepgram_stream_iter._connection.stall import StallTimer
from deepgram_stream_iter._errors import BufferOverflow, ConnectionLost, DeepgramStreamError, SessionClosed
from deepgram_stream_iter._events.kinds import AnyStreamEvent, ErrorEvent
from deepgram_stream_iter._inbound.inbox import Inbox
from deepgram_stream_iter._log import Log
from deepgram_stream_iter._loop.bounded import ends_within
from deepgram_stream_iter._loop.clock import now
from deepgram_stream_iter._loop.signal import Signal
from deepgram_stream_iter._loop.tasks import Scope, Tasks, call_either
from deepgram_stream_iter._settings import Settings


class Connection:
    """A connection of the SDK, from its opening to its end."""

    def __init__(self, adapter: Adapter, settings: Settings, log: Log) -> None:
        self.adapter, self._settings = adapter, settings
        self.format: RawFormat | None = None
        """Of the audio, from its opening on; None where its bytes are not time."""
        self.end: End | None = None
        """How it ended; there are no more events then."""
        self._uses = Tasks()  # what sends through it
        self._listening: Scope | None = None
        self._ended = Signal()
        self._noticed = Signal()  # it has ended, or a send has found the socket closed
        self._settled = Signal()  # audio may be sent, or it has ended
        self._listened = Signal()  # the SDK's listener has ended
        self._is_ready = False  # audio may be sent
        self._delivery, self._closing = Delivery(), Closing(settings, log)
        timeout_seconds = settings.stall_timeout_seconds if settings.listen else None
        self._stall = StallTimer(timeout_seconds) if timeout_seconds is not None else None
        self.keepalives_sent = 0
        self._keepalive_seconds = math.inf  # from its opening on
        self._is_keeping_alive = False  # a KeepAlive is on its way, or could not be sent
        self._last_sent_at = 0.0

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream; empty where the handshake did not tell."""
        return self.adapter.request_id

    # From the life of the session

    async def open(self, beside: Tasks, closing: Tasks) -> None:
        """Open, and listen; return when audio may be sent. Cancelling drops the socket.

        The SDK's listener runs in `beside`, because it calls handlers of the application, which may not be cancellable.

        :raises Exception: when it ends before audio may be sent; it is closed in `closing` then.
        """
        try:
            await without_secrets(self.adapter.open(self))
            if self._settings.on_connection is not None:
                # In a task of its own, because it is the application's.
                await beside.call(partial(call_either, self._settings.on_connection, self.adapter.connection))
            await without_secrets(self.adapter.start())
            self._start()
            self._listening = beside.start(self._listen)
            await self._settled.wait()
        except BaseException:
            self.finish_with(End())
            self._drop()
            raise
        if not self._is_ready:
            closing.start(self.close)
            cause = self.end.error if self.end is not None else None
            raise never_ready(self.adapter.close_frame[0], cause, self.request_id)

    async def wait_for_end(self) -> End:
        """Return how it ended, once it has; keep it alive until then, and watch whether the server answers."""
        is_kept = self._settings.reconnect is not None and self.format is not None
        noticed = self._noticed if is_kept else self._ended
        while not noticed.is_set:
            # By deadline: audio only moves these, and pays for no timer.
            await noticed.wait(until=min(self._last_sent_at + self._keepalive_seconds, self._stall_due))
            if now() >= self._stall_due:
                self.finish_with(self._closing.stalled(self.request_id))
            elif now() >= self._last_sent_at + self._keepalive_seconds:
                self._last_sent_at = now()
                if not self._is_keeping_alive:
                    self.use(self._keep_alive)
        while self.end is None:
            # The SDK waits up to 20 s for a dead peer. The audio of what its listener still has is sent again.
            await self._ended.wait(until=now() + LAST_MESSAGES_SECONDS)
            if not self._delivery.is_paused:
                self.listening_ended(None)
        return self.end

    async def close(self) -> None:
        """Close, within 2 s. Handlers of the application may go on."""
        is_lost = self.end is not None and self.end.error is not None
        is_hurried = is_lost and self._settings.reconnect is not None
        try:
            if self._settings.listen:
                await hang_up(self.adapter, self._listened, is_hurried=is_hurried)
        finally:
            self._drop()

    def use(self, function: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run in a task what sends through the connection, whose end cancels it."""
        self._uses.start(partial(self._use, function))

    def deliver_to(self, inbox: Inbox) -> None:
        """Put all events into an inbox from now on, and those that came early."""
        self._delivery.attach(inbox)

    # The adapter's sink

    def arrived(self, event: AnyStreamEvent) -> Coroutine[None, None, None] | None:
        """Process an event of the SDK's callback; awaiting what is returned pauses the SDK's listener."""
        if self.end is not None:
            return None
        if isinstance(event, ErrorEvent) and self.adapter.endpoint == "v2":
            self.finish_with(self._closing.reported(event))
            return None
        self._closing.record(event)
        self._record_answer()
        if not self._is_ready:
            self._set_ready()  # Flux says by its first message that audio may be sent
        self._delivery.put(event)
        return self._pause() if self._delivery.is_consumer_due else None

    def listening_ended(self, cause: Exception | None) -> None:
        """Record the end of the SDK's listener, and derive which end it was."""
        if self.end is None:  # else the session has closed the connection itself
            frame, endpoint = self.adapter.close_frame, self.adapter.endpoint
            self.finish_with(self._closing.end(frame, cause, endpoint, self.request_id))

    def finish_with(self, end: End) -> None:
        """Record how it ended; the first call counts."""
        if self.end is None:
            self.end = end
            self._ended.set()
            self._noticed.set()
            self._settled.set()
            self._delivery.close()
            self._uses.cancel()

    async def finish(self) -> None:
        """Ask the server to end the stream; `end` tells when it has."""
        if self.adapter.endpoint == "other":
            self.finish_with(End())  # such a socket knows no CloseStream
            return
        self._closing.asked = True
        try:
            if self.adapter.endpoint == "v1":
                await self.send_control("Finalize")
            await self.send_control("CloseStream")
        except DeepgramStreamError:
            # The listener reports the end, once it has read what there was; that end is not what was asked for.
            self._closing.asked = False

    def timed_out(self) -> End:
        """Return the end of a connection that the server has not ended in time."""
        return self._closing.timed_out(self.adapter.close_frame, self.adapter.endpoint, self.request_id)

    # Sending

    async def send(self, data: bytes | str) -> None:
        """Send through the SDK.

        :raises ConnectionLost: when the socket is closed, or takes nothing within `send_timeout_seconds`.
        :raises SessionClosed: when the server has closed it as agreed.
        """
        failure: Exception | None = None
        stall = self._stall if isinstance(data, bytes) else None
        # The SDK would wait 20 s with a socket on which the closing handshake has begun.
        if self.adapter.close_frame[0] is None:
            if stall is not None:
                stall.sending(now())
            try:
                if await ends_within(self._settings.send_timeout_seconds, self.adapter.send(data)):
                    self._last_sent_at = now()
                    return
                self._took_nothing()
            except Exception as error:  # noqa: BLE001  (it is the cause of what is raised below)
                failure = error
            finally:
                if stall is not None:
                    stall.sent(now(), self.format.seconds(len(data)) if self.format else None)
        # A closed socket is not the end yet: the listener may still have messages before it comes to the close frame.
        self._noticed.set()
        if self.end is not None and isinstance(self.end.error, DeepgramStreamError):
            raise self.end.error
        code, reason = self.adapter.close_frame
        if self._closing.is_agreed(code, self.adapter.endpoint):
            raise SessionClosed("Deepgram has closed the stream")
        lost = connection_lost(code, reason, failure, self.request_id)
        if code is None and self._settings.reconnect is not None:
            # The socket is open and the SDK cannot use it, so its listener may never report the end.
            self.finish_with(self._closing.lost(lost))
        raise lost

    def _took_nothing(self) -> None:
        reason = f"the socket took nothing for {self._settings.send_timeout_seconds} s (send_timeout_seconds)"
        stuck = ConnectionLost(reason, reason=reason, request_id=self.request_id)
        self.finish_with(self._closing.lost(stuck))
        self.adapter.abort()  # a peer that takes nothing answers no closing handshake either

    async def send_control(self, kind: str, **fields: object) -> None:
        """Send a control message.

        :raises ConnectionLost: as `send` does.
        :raises SessionClosed: as `send` does.
        """
        await self.send(json.dumps({"type": kind, **fields}))
        if kind == "CloseStream" and self._stall is not None:
            self._stall.sending(now())
        self.keepalives_sent += kind == "KeepAlive"

    def _start(self) -> None:
        self.format = RawFormat.of(self.adapter.query)
        self._last_sent_at = now()
        if self.adapter.endpoint != "v2" or not self._settings.listen:
            self._set_ready()  # an observer of Flux may have come after its Connected
        if self.adapter.endpoint == "v1" and self._settings.listen and not self.adapter.sends_keepalives:
            self._keepalive_seconds = self._settings.keepalive_seconds or math.inf

    def _set_ready(self) -> None:
        self._is_ready = True
        self._settled.set()

    async def _listen(self) -> None:
        try:
            await (self.adapter.listen() if self._settings.listen else self.adapter.observe())
        except Exception as error:  # noqa: BLE001  (a fault of ours ends the session, not its task)
            self.finish_with(End(error))
        except asyncio.CancelledError as error:
            self.finish_with(listener_cancelled(error))  # counts unless the session itself has cancelled it
            raise
        finally:
            self._listened.set()

    def _drop(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        self.adapter.detach()
        if self._settings.listen:
            self.adapter.abort()

    async def _use(self, function: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            if self.end is None:
                await function()
        except DeepgramStreamError:
            pass  # the listener reports the end, once it has read what there was
        except Exception as error:  # noqa: BLE001  (a fault of ours ends the session, not its task)
            self.finish_with(End(error))

    @property
    def _stall_due(self) -> float:
        if self._stall is None:
            return math.inf
        # While the SDK is paused nobody hears what the server says, which is not its fault.
        return self._stall.due(now(), is_paused=self._delivery.is_paused)

    async def _keep_alive(self) -> None:
        self._is_keeping_alive = True
        await self.send_control("KeepAlive")
        self._is_keeping_alive = False

    async def _pause(self) -> None:
        try:
            await self._delivery.wait_for_room()
        except BufferOverflow as error:
            self.finish_with(End(error))
        finally:
            self._record_answer()

    def _record_answer(self) -> None:
        if self._stall is not None:
            self._stall.answered()
            if self._closing.asked and self._closing.answer != "metadata":
                self._stall.sending(now())  # CloseStream is still to be answered
