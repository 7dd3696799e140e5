"""The dialect of SDK 3 and 4: `on(LiveTranscriptionEvents, handler)`, `start()` and `finish()`.

    events   the SDK's own listener -> our handler for each event -> decode -> the session's sink
    audio    the session -> send() -> the SDK

`start()` listens by itself. `finish()` would close 0.5 s after CloseStream, whatever is still to come, so it is called
only when the socket has ended.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import anyio

from deepgram_stream_iter._adapters import private
from deepgram_stream_iter._adapters._protocol import Adapter, Sink
from deepgram_stream_iter._adapters.boundary import AcrossThreads, OnLoop
from deepgram_stream_iter._adapters.decode import decode
from deepgram_stream_iter._errors import ConnectError
from deepgram_stream_iter._events.unread import changed

_PAYLOADS = ("result", "metadata", "speech_started", "utterance_end", "unhandled", "error", "close")
"""The names by which the SDK passes a handler its message; sync clients pass errors by position."""
_POLL_SECONDS = 0.02
"""How often to check whether the SDK has cleaned up, because it emits no event for that."""


class LegacyAdapter(Adapter):
    """A connection of SDK 3 or 4, started already or not."""

    def __init__(
        self, connection: Any, options: Mapping[str, object] | None, headers: Mapping[str, str] | None
    ) -> None:
        super().__init__(
            connection, OnLoop() if inspect.iscoroutinefunction(connection.start) else AcrossThreads()
        )
        self._options, self._headers = options, headers
        self._starts = False  # the connection was not started by somebody else
        self._is_read = False  # the SDK's listener has emitted Close itself, behind all messages

    @staticmethod
    def speaks(target: object) -> bool:
        """Return whether a target is a connection of this dialect."""
        return all(callable(getattr(target, name, None)) for name in ("on", "start", "send", "finish"))

    async def open(self, sink: Sink) -> None:
        """Register; messages may come as soon as the connection is started.

        :raises TypeError: when options or headers are missing, or are given for a connection that was started already.
        """
        self._boundary.bind()
        is_started = await self._boundary.call(self.connection.is_connected)
        if is_started and (self._options is not None or self._headers is not None):
            raise TypeError(
                "this connection was started already and has its options and its authorization: leave them out"
            )
        if not is_started and self._options is None:
            raise TypeError("this connection was not started yet, so the session does: give it the options")
        if is_started:
            self._adopt()
        else:
            self._starts = True
        self._sink = sink
        self._register()

    async def start(self) -> None:
        """Start the connection, unless it was started already.

        :raises ConnectError: when the SDK's `start()` returned False, which says no more.
        """
        if not self._starts:
            return
        headers = dict(self._headers) if self._headers else None
        start = partial(self.connection.start, dict(self._options or {}), None, headers)
        try:
            is_started = await self._boundary.connect(start, undo=self._finish_late)
        finally:
            # On failure too, because a handler for Open that waits or raises does so while the socket is open.
            self._websocket = private.websocket_of(self.connection)
        if is_started is False:
            reason = "the SDK's start() returned False; SDK 3 and 4 log the cause and do not raise it"
            raise ConnectError(f"Could not connect to Deepgram: {reason}", reason=reason, is_transient=True)

    async def listen(self) -> None:
        """Wait for the end of the SDK's listener, which runs by itself.

        `Close` on an open socket is not the end: an application's `finish()`, or a failure in the SDK, emits it first and
        closes the socket half a second later. Until then the listener goes on, and may emit `Close` once more.
        """
        await self._wait_for_end()
        is_dead = False
        while self._is_close_emitted and not (self._is_read or is_dead):
            is_dead = private.is_listener_dead(self.connection)
            await anyio.sleep(_POLL_SECONDS)  # also for the last message that its thread has put on the loop
        self._listening_ended(self._reported)

    async def observe(self) -> None:
        """Wait for the same."""
        await self.listen()

    async def send(self, data: bytes | str) -> None:
        """Send.

        :raises ConnectionError: when the SDK returned False; it returns True for a socket that was closed cleanly.
        """
        if not await self._boundary.call(self.connection.send, data):
            raise ConnectionError("the SDK's send() found the socket closed")

    async def close(self) -> None:
        """Close the socket, and have the SDK clean up once its listener has noticed."""
        if self._sink is None:  # `open()` has refused it, so it is somebody else's
            return
        if self._websocket is not None:
            await self._boundary.call(self._websocket.close)
        while await self._boundary.call(self.connection.is_connected):  # noqa: ASYNC110  (the SDK emits nothing)
            await anyio.sleep(_POLL_SECONDS)
        await self._boundary.call(self.connection.finish)

    def abort(self) -> None:
        """Drop the socket without a handshake; after `detach()`, cancel what the SDK still runs for it."""
        super().abort()
        if self._sink is None and self._websocket is not None:
            private.cancel_tasks(self.connection)

    def _finish_late(self, _is_started: object) -> None:
        # Dropped first, because a mute server would hold up the closing handshake.
        private.abort(private.websocket_of(self.connection))
        self.connection.finish()

    def _register(self) -> None:
        events: Any = importlib.import_module("deepgram").LiveTranscriptionEvents  # other SDKs do not have it
        for event in (events.Transcript, events.Metadata, events.SpeechStarted, events.UtteranceEnd):
            self.connection.on(event, self._handler(self._on_message))
        self.connection.on(events.Unhandled, self._handler(self._on_unhandled))
        self.connection.on(events.Error, self._handler(self._on_error))
        self.connection.on(events.Close, self._handler(self._on_close))

    def _handler(self, handle: Callable[[object], Awaitable[None] | None]) -> Callable[..., object]:
        """Return what the SDK wants: a coroutine function for an async client, a plain one for a sync one."""

        def plain(_client: object, *arguments: object, **named: object) -> Awaitable[None] | None:
            payload = next(
                (named[name] for name in _PAYLOADS if name in named), arguments[0] if arguments else None
            )
            return handle(payload)

        async def coroutine(client: object, *arguments: object, **named: object) -> None:
            wait = plain(client, *arguments, **named)  # nothing is awaited before the event is buffered
            if wait is not None:
                await wait

        return plain if self._boundary.is_threaded else coroutine

    def _on_message(self, message: object) -> Awaitable[None] | None:
        return self._boundary.deliver(self._arrived, decode(message))

    def _on_unhandled(self, message: object) -> Awaitable[None] | None:
        try:
            event = decode(json.loads(getattr(message, "raw", "")))
        except ValueError:
            event = decode(None)
        return self._boundary.deliver(self._arrived, changed(event, raw=message))

    def _on_error(self, message: object) -> Awaitable[None] | None:
        if getattr(message, "type", "") == "Error":  # Deepgram's; the SDK's own are of other types
            return self._on_message(message)
        # A sync client calls us in its `except` block; an async one passes no more than the text.
        text = ": ".join(str(getattr(message, name, "")) for name in ("description", "message"))
        raised = sys.exc_info()[1]
        self._reported = raised if isinstance(raised, Exception) else RuntimeError(text)
        return None

    def _on_close(self, _: object) -> Awaitable[None] | None:
        return self._boundary.deliver(self._closed, self.close_frame[0] is not None)

    def _closed(self, is_read: bool) -> None:  # noqa: FBT001  (it crosses by position)
        self._is_read = self._is_read or is_read
        self._close_emitted()
