"""One connection of the SDK: open, listen, keep alive, send, close; and how it ended.

`run()` is its whole life, read from top to bottom. A session that reconnects has one connection after another.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from functools import partial

import anyio
import anyio.abc

from deepgram_stream_iter._adapters._protocol import LAST_MESSAGES_SECONDS, Adapter
from deepgram_stream_iter._adapters.failures import connect_error
from deepgram_stream_iter._audio import RawFormat
from deepgram_stream_iter._clock import now
from deepgram_stream_iter._connection.bounded import ends_within
from deepgram_stream_iter._connection.closing import Closing
from deepgram_stream_iter._connection.delivery import Delivery
from deepgram_stream_iter._connection.ending import End, connection_lost, never_ready
from deepgram_stream_iter._connection.stall import StallTimer
from deepgram_stream_iter._connection.timers import keep_alive, wait_for_stall
from deepgram_stream_iter._errors import (
    BufferOverflow,
    ConnectionLost,
    DeepgramStreamError,
    SessionClosed,
    StalledError,
)
from deepgram_stream_iter._events import AnyStreamEvent, ErrorEvent
from deepgram_stream_iter._inbound.inbox import Inbox
from deepgram_stream_iter._options import Settings

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
        self._ended = anyio.Event()
        self._noticed = anyio.Event()  # it has ended, or a send has found the socket closed
        self._settled = anyio.Event()  # audio may be sent, or it has ended
        self._listening = anyio.CancelScope()
        self._listened = anyio.Event()  # the SDK's listener has ended
        self._is_ready = False  # audio may be sent
        self._delivery, self._closing = Delivery(), Closing(settings)
        is_watched = settings.stall_timeout_seconds is not None and settings.listen
        self._stall = StallTimer() if is_watched else None
        self.keepalives_sent = 0
        self._last_sent_at = 0.0

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream; empty where the handshake did not tell."""
        return self.adapter.request_id

    async def run(self, beside: anyio.abc.TaskGroup, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Open, report when audio may be sent, listen until the end, and close. Cancelling drops the socket.

        The SDK's listener runs in `beside`, because it calls handlers of the application, which may not be cancellable.

        :raises DeepgramStreamError: when it ends before audio may be sent.
        """
        was_ready = False
        try:
            await self._open()
            async with anyio.create_task_group() as tasks:
                self._start(tasks, beside)
                await self._settled.wait()
                was_ready = self._is_ready
                if was_ready:
                    task_status.started()
                    await self._wait_for_end()
                if self._settings.listen:
                    await self._close()
                tasks.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001  (a fault of ours ends the session; one of closing comes after the end)
            self.finish_with(End(error))
        finally:
            self.finish_with(End())
            self._listening.cancel()
            self.adapter.detach()
            if self._settings.listen:
                self.adapter.abort()
        if not was_ready:
            raise self.never_ready()

    def never_ready(self) -> Exception:
        """Return the error of a connection that has ended before audio could be sent."""
        cause = self.end.error if self.end is not None else None
        return never_ready(self.adapter.close_frame[0], cause, self.request_id)

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
        if self._stall is not None:
            self._stall.answered()
            if self._closing.asked and self._closing.answer != "metadata":
                self._stall.sending(now())  # CloseStream is still to be answered
        if not self._is_ready:
            self._set_ready()  # Flux says by its first message that audio may be sent
        self._delivery.put(event)
        return self._pause() if self._delivery.is_consumer_due else None

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

    async def _open(self) -> None:
        failure: Exception | None = None
        try:
            await self.adapter.open(self)
        except Exception as error:  # noqa: BLE001  (what is raised instead shows no key)
            failure = error if isinstance(error, DeepgramStreamError) else connect_error(error) or error
        if failure is not None:
            raise failure

    def _start(self, tasks: anyio.abc.TaskGroup, beside: anyio.abc.TaskGroup) -> None:
        self.format = RawFormat.of(self.adapter.query)
        self._last_sent_at = now()
        if self.adapter.endpoint != "v2" or not self._settings.listen:
            self._set_ready()  # an observer of Flux may have come after its Connected
        beside.start_soon(self._listen)
        is_ours_to_keep_alive = self.adapter.endpoint == "v1" and not self.adapter.sends_keepalives
        if self._settings.keepalive_seconds and self._settings.listen and is_ours_to_keep_alive:
            send = partial(self.send_control, "KeepAlive")
            tasks.start_soon(keep_alive, self._settings.keepalive_seconds, lambda: self._last_sent_at, send)
        if self._stall is not None and self._settings.stall_timeout_seconds is not None:
            tasks.start_soon(self._watch, self._stall, self._settings.stall_timeout_seconds)

    def _set_ready(self) -> None:
        self._is_ready = True
        self._settled.set()

    async def _listen(self) -> None:
        with self._listening:
            try:
                await (self.adapter.listen() if self._settings.listen else self.adapter.observe())
            except Exception as error:  # noqa: BLE001  (a fault of ours ends the session, not its task)
                self.finish_with(End(error))
            finally:
                self._listened.set()

    async def _wait_for_end(self) -> None:
        is_kept = self._settings.reconnect is not None and self.format is not None
        await (self._noticed if is_kept else self._ended).wait()
        while self.end is None:
            # The SDK waits up to 20 s for a dead peer. The audio of what its listener still has is sent again.
            with anyio.move_on_after(LAST_MESSAGES_SECONDS):
                await self._ended.wait()
            if not self._delivery.is_paused:
                self.listening_ended(None)

    async def _watch(self, stall: StallTimer, timeout_seconds: float) -> None:
        # While the SDK is paused nobody hears what the server says, which is not its fault.
        await wait_for_stall(
            timeout_seconds, lambda: 0.0 if self._delivery.is_paused else stall.owed_seconds(now())
        )
        reason = f"audio went out, and Deepgram said nothing for {timeout_seconds} s (stall_timeout_seconds)"
        stalled = StalledError(reason, reason=reason, request_id=self.request_id)
        self.finish_with(self._closing.lost(stalled))

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
