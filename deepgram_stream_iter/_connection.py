"""One connection: open, listen, keep alive, watch, send, close; and how it ended.

Its task, `run()`, is its whole life. A session that reconnects has one of these after another.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Coroutine
from typing import Protocol

import anyio
import anyio.abc

from ._adapters._protocol import Adapter
from ._adapters.failures import came_from_a_handler, connect_error
from ._answers import AnswerClock
from ._audio import RawFormat
from ._clock import now
from ._errors import (
    CallbackError,
    ConnectionLost,
    DeepgramStreamError,
    ServerError,
    SessionClosed,
    StalledError,
)
from ._events import AnyStreamEvent, ErrorEvent, MetadataEvent, TranscriptEvent
from ._options import Settings
from ._outcome import NORMAL, connection_lost, is_clean, is_failure

_CLOSE_TIMEOUT_SECONDS = 2.0
"""For closing the socket and for what handlers of the application do meanwhile."""
_HANDSHAKE_TIMEOUT_SECONDS = 1.0
"""For the closing handshake; then the socket is dropped."""

_logger = logging.getLogger("deepgram_stream_iter")


class Owner(Protocol):
    """What a connection tells, and whom; nothing of it raises or blocks."""

    def connection_ready(self, connection: Connection) -> None:
        """Take note that audio may be sent; comes before the first event."""
        ...

    def arrived(self, event: AnyStreamEvent) -> Coroutine[None, None, None] | None:
        """Take an event; what is returned holds the SDK's listener back when it is awaited."""
        ...

    def connection_ended(self, connection: Connection) -> None:
        """Take note of the end, once; how it came is on the connection."""
        ...


class Connection:
    """Runs a connection of the SDK from its opening to its end."""

    def __init__(self, adapter: Adapter, settings: Settings, owner: Owner) -> None:
        self.adapter, self._settings, self._owner = adapter, settings, owner
        self.error: Exception | None = None
        self.is_drained = self.is_ended_by_server = False
        self._is_finishing = False  # the server is asked to end the stream
        self.keepalives_sent = 0
        self.was_ready = False
        # Nova has said all there is: it has answered Finalize, or sent its Metadata.
        self._is_summed_up = False
        self.settled = anyio.Event()  # audio may be sent, or it has ended
        self.ended = anyio.Event()  # there will be no more events
        self.closed = anyio.Event()  # nothing is open any more
        self._released = anyio.Event()  # nobody wants it any more
        self._listened = anyio.Event()  # the SDK's listener has ended
        self._opening = anyio.CancelScope()
        self._closing = anyio.CancelScope()
        self._is_open = self._is_closing = False
        self._early: list[AnyStreamEvent] = []  # what came before it was open: SDK 3 and 4 listen at once
        self._last_sent_at = 0.0
        is_watched = settings.stall_timeout_seconds is not None and settings.listen
        self._answers = AnswerClock() if is_watched else None
        self._format: RawFormat | None = None  # of the audio, once it is open

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream; empty where the handshake did not tell."""
        return self.adapter.request_id

    async def run(self) -> None:
        """Open, listen until `close()`, and close. Cancelling drops the socket."""
        async with anyio.create_task_group() as tasks:
            try:
                await self._open()
                if self._is_open:
                    self._begin(tasks)
                    await self._released.wait()
                if self._settings.listen and self.adapter.connection is not None:
                    await self._close_socket()
            finally:
                self.adapter.detach()
                if self._settings.listen:
                    self.adapter.abort()
                self._is_closing = True
                self.closed.set()
                tasks.cancel_scope.cancel()

    def close(self) -> None:
        """Have the connection closed, or not opened; `closed` tells when it is, within 2 s."""
        self._opening.cancel()
        self._released.set()

    def drop(self) -> None:
        """Have it gone without any goodbye."""
        self.close()
        self.adapter.abort()
        self._closing.cancel()

    # What the adapter tells

    def arrived(self, event: AnyStreamEvent) -> Coroutine[None, None, None] | None:
        """Take an event from the SDK's callback."""
        wait = self._take(event)
        return wait if wait is None or self._answers is None else self._held_back(wait, self._answers)

    def _take(self, event: AnyStreamEvent) -> Coroutine[None, None, None] | None:
        if self.ended.is_set():
            return None
        if not self._is_open:
            self._early.append(event)
            return None
        if self._answers is not None:
            self._answers.answered()
        if self._is_finishing:
            self._note_answer(event)
        if isinstance(event, ErrorEvent) and self.adapter.endpoint == "v2":
            text = f"Deepgram ended the stream: {event.code}: {event.description}"
            self.end(ServerError(text, code=event.code, description=event.description), by_server=True)
            return None
        if not self.was_ready:
            self._set_ready()
        return self._owner.arrived(event)

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
                self.end(error)
                return
            _logger.error("%s", text, exc_info=cause)
            cause = None
        asked = self._is_finishing
        # A custom transport has no close code: after CloseStream, its end is the end.
        is_told_by_end_alone = code is None and asked and self._settings.listen
        is_agreed = is_clean(code, self.adapter.endpoint, asked=asked) or is_told_by_end_alone
        if self._settings.reconnect is not None:
            # Else the server restarts, or has had enough of us. That may happen while it is being asked, too: of Nova
            # the last words are missing then; of Flux nobody can tell.
            is_agreed = is_agreed and asked and (self.adapter.endpoint != "v1" or self._is_summed_up)
        if is_agreed and not is_failure(cause):
            self.end(None, by_server=True, drained=True)
        else:
            self.end(connection_lost(code, reason, cause, self.request_id), by_server=True)

    def end(self, error: Exception | None, *, by_server: bool = False, drained: bool = False) -> None:
        """Put on record how the connection ended; the first call counts."""
        if self.ended.is_set():
            return
        self.error, self.is_ended_by_server, self.is_drained = error, by_server, drained
        self.ended.set()
        self._owner.connection_ended(self)
        self.settled.set()

    # Sending

    async def send(self, data: bytes | str) -> None:
        """Send through the SDK.

        :raises ConnectionLost: when the socket is closed, or takes nothing within `send_timeout_seconds`.
        :raises SessionClosed: when the server has closed it cleanly.
        """
        failure: Exception | None = None
        answers = self._answers if isinstance(data, bytes) else None
        with anyio.move_on_after(self._settings.send_timeout_seconds) as waiting:
            # The SDK would wait 20 s with a socket on which the closing handshake has begun.
            if self.adapter.close_frame[0] is None:
                if answers is not None:
                    answers.sending(now())
                try:
                    await self.adapter.send(data)
                except Exception as error:  # noqa: BLE001  (it is the cause of what is raised below)
                    failure = error
                else:
                    self._last_sent_at = now()
                    return
                finally:
                    if answers is not None:
                        answers.sent(now(), self._format.seconds(len(data)) if self._format else None)
        if waiting.cancelled_caught:
            reason = (
                f"the socket took nothing for {self._settings.send_timeout_seconds} s (send_timeout_seconds)"
            )
            self.end(ConnectionLost(reason, reason=reason, request_id=self.request_id))
            self.adapter.abort()  # a peer that takes nothing answers no closing handshake either
        # A closed socket is not the end yet: the listener may still have messages before it comes to the close frame.
        if isinstance(self.error, DeepgramStreamError):
            raise self.error
        code, reason = self.adapter.close_frame
        is_the_end = self._settings.reconnect is None or self._is_finishing
        if is_the_end and is_clean(code, self.adapter.endpoint, asked=self._is_finishing):
            raise SessionClosed("Deepgram has closed the stream")
        lost = connection_lost(code, reason, failure, self.request_id)
        if code is None and self._settings.reconnect is not None:
            self.end(lost)  # the socket is open and the SDK cannot use it: the listener may never tell
        raise lost

    async def send_control(self, kind: str, **fields: object) -> None:
        """Send a control message; raises what `send` does."""
        await self.send(json.dumps({"type": kind, **fields}))
        if kind == "CloseStream" and self._answers is not None:
            self._answers.sending(now())
        self.keepalives_sent += kind == "KeepAlive"

    async def finish(self) -> None:
        """Have the server end the stream, and wait until it has."""
        self._is_finishing = True
        try:
            if self.adapter.endpoint == "v1":
                await self.send_control("Finalize")
            await self.send_control("CloseStream")
        except DeepgramStreamError:  # the listener tells, once it has read what there was
            self._is_finishing = False  # an end that it comes to then is not what was asked for
        await self.ended.wait()

    # Inside

    async def _open(self) -> None:
        try:
            with self._opening:
                await self.adapter.open(self)
                self._is_open = not self.ended.is_set()  # nobody waits for it any more when it comes too late
        except Exception as error:  # noqa: BLE001  (it is told; and not raised here, for it may show a key)
            self.end(error if isinstance(error, DeepgramStreamError) else connect_error(error) or error)

    def _begin(self, tasks: anyio.abc.TaskGroup) -> None:
        self._format = RawFormat.of(self.adapter.query)
        self._last_sent_at = now()
        if self.adapter.endpoint != "v2" or not self._settings.listen:
            self._set_ready()  # Flux is ready when it says so; an observer may have come after that
        for event in self._early:
            wait = self._take(event)
            if wait is not None:
                wait.close()  # the SDK is held back by the next one
        tasks.start_soon(self._listen)
        if self._settings.keepalive_seconds and self._is_ours_to_keep_alive:
            tasks.start_soon(self._keep_alive)
        if self._answers is not None and self._settings.stall_timeout_seconds is not None:
            tasks.start_soon(self._watch, self._answers, self._settings.stall_timeout_seconds)

    def _set_ready(self) -> None:
        self.was_ready = True
        self._owner.connection_ready(self)
        self.settled.set()

    @property
    def _is_ours_to_keep_alive(self) -> bool:
        return self._settings.listen and self.adapter.endpoint == "v1" and not self.adapter.sends_keepalives

    async def _listen(self) -> None:
        try:
            await (self.adapter.listen() if self._settings.listen else self.adapter.observe())
        finally:
            self._listened.set()

    async def _keep_alive(self) -> None:
        # By deadline: audio only moves `_last_sent_at`, and pays for no timer.
        interval_seconds = self._settings.keepalive_seconds or math.inf
        while True:
            await anyio.sleep_until(self._last_sent_at + interval_seconds)
            if now() >= self._last_sent_at + interval_seconds:
                try:
                    await self.send_control("KeepAlive")
                except DeepgramStreamError:
                    return  # the listener tells

    async def _watch(self, answers: AnswerClock, timeout_seconds: float) -> None:
        """End the connection when the server says nothing to the audio that goes out."""
        while (left_seconds := timeout_seconds - answers.owed_seconds(now())) > 0:  # noqa: ASYNC110  (no timer for each frame)
            await anyio.sleep(left_seconds)
        reason = f"audio went out, and Deepgram said nothing for {timeout_seconds} s (stall_timeout_seconds)"
        self.end(StalledError(reason, reason=reason, request_id=self.request_id))

    def _note_answer(self, event: AnyStreamEvent) -> None:
        """Take note of what came after CloseStream; what was on its way does not answer that."""
        is_last = isinstance(event, MetadataEvent)
        self._is_summed_up |= is_last or (isinstance(event, TranscriptEvent) and event.from_finalize)
        if not is_last and self._answers is not None:
            self._answers.sending(now())

    async def _held_back(self, wait: Awaitable[None], answers: AnswerClock) -> None:
        """Wait with the SDK; what the server says meanwhile is not heard, and that is not its fault."""
        answers.is_held_back = True
        try:
            await wait
        finally:
            answers.is_held_back = False
            answers.answered()

    async def _close_socket(self) -> None:
        """Close, and drop the socket when that comes to no end. The listener, and its handlers, go on meanwhile."""
        self._is_closing = True
        patience = 0 if self._settings.reconnect and self.error is not None else _HANDSHAKE_TIMEOUT_SECONDS
        drop = asyncio.get_running_loop().call_later(patience, self.adapter.abort)
        try:
            with anyio.move_on_after(_CLOSE_TIMEOUT_SECONDS, shield=True) as self._closing:
                await self.adapter.close()
                if self._is_open:
                    await self._listened.wait()
        except Exception as error:  # noqa: BLE001  (nothing more can be done about this connection)
            _logger.debug("closing the connection raised %s", type(error).__name__)
        finally:
            drop.cancel()
