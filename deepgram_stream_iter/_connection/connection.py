"""One connection of the SDK: open, listen, keep alive, send, close; and how it ended.

`run()` is its whole life, read from top to bottom. A session that reconnects has one connection after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Coroutine

import anyio

from deepgram_stream_iter._adapters._protocol import LAST_MESSAGES_SECONDS, Adapter
from deepgram_stream_iter._adapters.failures import connect_error
from deepgram_stream_iter._audio import RawFormat
from deepgram_stream_iter._clock import now
from deepgram_stream_iter._connection.closing import Closing
from deepgram_stream_iter._connection.delivery import Delivery
from deepgram_stream_iter._connection.ending import End, connection_lost, never_ready
from deepgram_stream_iter._connection.stall import StallTimer
from deepgram_stream_iter._errors import (
    BufferOverflow,
    ConnectionLost,
    DeepgramStreamError,
    SessionClosed,
)
from deepgram_stream_iter._events import AnyStreamEvent
from deepgram_stream_iter._inbound.inbox import Inbox
from deepgram_stream_iter._options import Settings
from deepgram_stream_iter._signal import Signal
from deepgram_stream_iter._tasks import Tasks

_CLOSE_TIMEOUT_SECONDS = 2.0
"""For closing the socket, and for what handlers of the application do meanwhile."""
_HANDSHAKE_TIMEOUT_SECONDS = 1.0
"""For the closing handshake; then the socket is dropped."""


class Connection:
    """Runs a connection of the SDK from its opening to its end."""

    def __init__(self, adapter: Adapter, settings: Settings) -> None:
        self.adapter, self._settings = adapter, settings
        self.format: RawFormat | None = None
        """Of the audio, from its opening on; None where its bytes are not time."""
        self.end: End | None = None
        """How it ended; there are no more events then."""
        self.use = anyio.CancelScope()
        """For what is done with the connection: its end cancels this."""
        self._ended = Signal()
        self._noticed = Signal()  # it has ended, or a send has found the socket closed
        self._settled = Signal()  # audio may be sent, or it has ended
        self._listened = Signal()  # the SDK's listener has ended
        self._is_ready = False  # audio may be sent
        self._delivery, self._closing = Delivery(), Closing(settings)
        is_watched = settings.stall_timeout_seconds is not None and settings.listen
        self._stall = StallTimer() if is_watched else None
        self.keepalives_sent = 0
        self._keepalive_seconds: float | None = None  # from its opening on, where the session sends them
        self._keeping_alive: anyio.CancelScope | None = None  # one is being sent, or could not be
        self._last_sent_at = self._last_keepalive_at = 0.0

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream; empty where the handshake did not tell."""
        return self.adapter.request_id

    async def run(self, beside: Tasks) -> None:
        """Open, listen until the end, and close. Cancelling drops the socket; `end` tells what went wrong.

        What calls functions of the application, which may not be cancellable, runs in `beside`: the SDK's listener does.
        """
        listening = anyio.CancelScope()
        try:
            await self._open()
            self._start()
            listening = beside.start(self._listen)
            await self._wait_for_end(beside)
            if self._settings.listen:
                await self._close()
        except Exception as error:  # noqa: BLE001  (a fault of ours ends the session; one of closing comes after the end)
            self.finish_with(End(error))
        finally:
            self.finish_with(End())
            listening.cancel()
            if self._keeping_alive is not None:
                self._keeping_alive.cancel()
            self.adapter.detach()
            if self._settings.listen:
                self.adapter.abort()

    async def wait_ready(self) -> None:
        """Wait until audio may be sent.

        :raises Exception: when it has ended before.
        """
        await self._settled.wait()
        if not self._is_ready:
            cause = self.end.error if self.end is not None else None
            raise never_ready(self.adapter.close_frame[0], cause, self.request_id)

    def deliver_to(self, inbox: Inbox) -> None:
        """Put all events into an inbox from now on, and those that came early."""
        self._delivery.attach(inbox)

    # The adapter's sink

    def arrived(self, event: AnyStreamEvent) -> Coroutine[None, None, None] | None:
        """Process an event of the SDK's callback; awaiting what is returned pauses the SDK's listener."""
        if self.end is not None:
            return None
        fatal = self._closing.record(event, self.adapter.endpoint)
        if fatal is not None:
            self.finish_with(fatal)
            return None
        if self._stall is not None:
            self._stall.answered()
            if self._closing.asked and self._closing.answer != "metadata":
                self._stall.sending(now())  # CloseStream is still to be answered
        if not self._is_ready:
            self._set_ready()  # Flux says by its first message that audio may be sent
        self._delivery.put(event)
        return self._pause() if self._delivery.is_full else None

    def listening_ended(self, cause: Exception | None) -> None:
        """Record the end of the SDK's listener, and derive which end it was."""
        if self.end is None:  # else the session has closed the connection itself
            frame, endpoint = self.adapter.close_frame, self.adapter.endpoint
            self.finish_with(self._closing.end(frame, cause, endpoint, self.request_id))

    # From the life of the session

    def finish_with(self, end: End) -> None:
        """Record how it ended, and have it closed; the first call counts."""
        if self.end is None:
            self.end = end
            self._ended.set()
            self._noticed.set()
            self._settled.set()
            self._delivery.close()
            self.use.cancel()

    async def finish(self) -> None:
        """Ask the server to end the stream; `end` tells when it has."""
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
        timeout_seconds = self._settings.send_timeout_seconds
        with anyio.move_on_after(timeout_seconds) as waiting:
            # The SDK would wait 20 s with a socket on which the closing handshake has begun.
            if self.adapter.close_frame[0] is None:
                if stall is not None:
                    stall.sending(now())
                try:
                    await self.adapter.send(data)
                except Exception as error:  # noqa: BLE001  (it is the cause of what is raised below)
                    failure = error
                else:
                    self._last_sent_at = now()
                    return
                finally:
                    if stall is not None:
                        stall.sent(now(), self.format.seconds(len(data)) if self.format else None)
        if waiting.cancelled_caught:
            reason = f"the socket took nothing for {timeout_seconds} s (send_timeout_seconds)"
            stuck = ConnectionLost(reason, reason=reason, request_id=self.request_id)
            self.finish_with(self._closing.lost(stuck))
            self.adapter.abort()  # a peer that takes nothing answers no closing handshake either
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

    async def send_control(self, kind: str, **fields: object) -> None:
        """Send a control message.

        :raises ConnectionLost: as `send` does.
        :raises SessionClosed: as `send` does.
        """
        await self.send(json.dumps({"type": kind, **fields}))
        if kind == "CloseStream" and self._stall is not None:
            self._stall.sending(now())
        self.keepalives_sent += kind == "KeepAlive"

    async def _open(self) -> None:
        failure: Exception | None = None
        try:
            await self.adapter.open(self)
        except Exception as error:  # noqa: BLE001  (what is raised instead shows no key)
            failure = error if isinstance(error, DeepgramStreamError) else connect_error(error) or error
        if failure is not None:
            raise failure

    def _start(self) -> None:
        self.format = RawFormat.of(self.adapter.query)
        self._last_sent_at = now()
        if self.adapter.endpoint != "v2" or not self._settings.listen:
            self._set_ready()  # an observer of Flux may have come after its Connected
        if self.adapter.endpoint == "v1" and self._settings.listen and not self.adapter.sends_keepalives:
            self._keepalive_seconds = self._settings.keepalive_seconds

    def _set_ready(self) -> None:
        self._is_ready = True
        self._settled.set()

    async def _listen(self) -> None:
        end = End()  # when somebody else cancels this
        try:
            await (self.adapter.listen() if self._settings.listen else self.adapter.observe())
        except Exception as error:  # noqa: BLE001  (a fault of ours ends the session, not its task)
            end = End(error)
        finally:
            self.finish_with(end)
            self._listened.set()

    async def _wait_for_end(self, beside: Tasks) -> None:
        is_kept = self._settings.reconnect is not None and self.format is not None
        noticed = self._noticed if is_kept else self._ended
        while not noticed.is_set:
            # By deadline: audio only moves these, and pays for no timer.
            await noticed.wait(until=min(self._keepalive_due, self._stall_due))
            if now() >= self._stall_due:
                self.finish_with(self._closing.stalled(self.request_id))
            elif now() >= self._keepalive_due:
                self._last_keepalive_at = now()
                if self._keeping_alive is None:  # else the one before is still on its way
                    self._keeping_alive = beside.start(self._keep_alive)
        while self.end is None:
            # The SDK waits up to 20 s for a dead peer. The audio of what its listener still has is sent again.
            await self._ended.wait(until=now() + LAST_MESSAGES_SECONDS)
            if not self._delivery.is_paused:
                self.listening_ended(None)

    @property
    def _keepalive_due(self) -> float:
        if self._keepalive_seconds is None:
            return math.inf
        return max(self._last_sent_at, self._last_keepalive_at) + self._keepalive_seconds

    @property
    def _stall_due(self) -> float:
        if self._stall is None or self._settings.stall_timeout_seconds is None:
            return math.inf
        # While the SDK is paused nobody hears what the server says, which is not its fault.
        owed_seconds = 0.0 if self._delivery.is_paused else self._stall.owed_seconds(now())
        return now() + self._settings.stall_timeout_seconds - owed_seconds

    async def _keep_alive(self) -> None:
        # One that cannot be sent is the last: the listener reports the end.
        with contextlib.suppress(DeepgramStreamError):
            await self.send_control("KeepAlive")
            self._keeping_alive = None

    async def _pause(self) -> None:
        try:
            await self._delivery.wait_for_room()
        except BufferOverflow as error:
            self.finish_with(End(error))
        finally:
            if self._stall is not None:
                self._stall.answered()

    async def _close(self) -> None:
        """Close, and drop the socket when that takes too long. The listener, and its handlers, go on meanwhile."""
        is_lost = self.end is not None and self.end.error is not None
        patience_seconds = 0 if self._settings.reconnect and is_lost else _HANDSHAKE_TIMEOUT_SECONDS
        drop = asyncio.get_running_loop().call_later(patience_seconds, self.adapter.abort)
        try:
            with anyio.move_on_after(_CLOSE_TIMEOUT_SECONDS):
                await self.adapter.close()
                await self._listened.wait()
        finally:
            drop.cancel()
