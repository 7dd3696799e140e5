"""The dialect of SDK 5 to 7: `on(EventType, handler)` and `start_listening()`.

events   start_listening() -> our MESSAGE handler -> decode -> the session's sink
audio    the session -> send_media() -> the SDK
"""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Awaitable
from typing import Any

from deepgram_stream_iter._adapters import private
from deepgram_stream_iter._adapters._protocol import Adapter, Sink
from deepgram_stream_iter._adapters.boundary import AcrossThreads, Boundary, OnLoop
from deepgram_stream_iter._adapters.decode import decode
from deepgram_stream_iter._errors import ConnectError


class EmitterAdapter(Adapter):
    """A connection of SDK 5 to 7: given live, or as the context that makes it."""

    def __init__(self, connection: Any, context: Any, boundary: Boundary) -> None:
        super().__init__(connection, boundary)
        self._context = context
        self.expected: frozenset[str] = frozenset()
        """The names of the parameters that the SDK was asked to send."""

    @classmethod
    def of(cls, target: Any) -> EmitterAdapter | None:
        """Return an adapter for a live connection, or for what `connect()` returned; None for anything else."""
        listening = getattr(target, "start_listening", None)
        if callable(listening) and callable(getattr(target, "on", None)):
            return cls(target, None, OnLoop() if inspect.iscoroutinefunction(listening) else AcrossThreads())
        if not hasattr(target, "gen"):  # what @contextmanager makes has its generator
            return None
        return cls(None, target, OnLoop() if hasattr(target, "__aenter__") else AcrossThreads())

    @property
    def can_configure(self) -> bool:
        """Whether the SDK can send one: else it does not know the answer, over which SDK 5 would stop listening."""
        return hasattr(self.connection, "send_configure")

    async def open(self, sink: Sink) -> None:
        """Enter the SDK's context, where there is one, and register.

        The handlers are plain functions: the SDK would cut off a CLOSE handler that awaits when it is cancelled.
        """
        from deepgram.core.events import EventType  # noqa: PLC0415  (SDK 3 and 4 do not have it)

        self._boundary.bind()
        if self._context is None:
            self._adopt()
        else:
            self.connection = await self._boundary.connect(self._enter, undo=self._leave_late)
            self._websocket = private.websocket_of(self.connection)
            self._check_what_was_sent()
        if not callable(getattr(self.connection, "start_listening", None)):
            raise TypeError(f"there is nothing to listen to in a {type(self.connection).__name__}")
        self._sink = sink
        self.connection.on(EventType.MESSAGE, self._on_message)
        self.connection.on(EventType.ERROR, self._on_error)
        self.connection.on(EventType.CLOSE, self._on_close)

    async def start(self) -> None:
        """Do nothing: `listen()` has them come."""

    def _check_what_was_sent(self) -> None:
        """Refuse a connection without options that were asked for: SDK 5 drops those that it does not know."""
        path, query = self._target
        if path and (dropped := sorted(self.expected - query.keys())):
            version = importlib.metadata.version("deepgram-sdk")
            reason = (
                f"deepgram-sdk {version} does not send {', '.join(dropped)}: use a newer one, or leave it out"
            )
            raise ConnectError(f"Could not connect to Deepgram: {reason}", reason=reason)
        self.expected = frozenset()

    async def listen(self) -> None:
        """Run `start_listening()`; what escapes it (a handler's exception, on SDK 5) is the cause of the end."""
        escaped: Exception | None = None
        try:
            await self._boundary.run(self.connection.start_listening)
        except Exception as error:  # noqa: BLE001  (whatever it is, the session raises it)
            escaped = error
        self._listening_ended(escaped or self._reported)

    async def observe(self) -> None:
        """Wait for the CLOSE callback."""
        await self._wait_for_end()
        self._listening_ended(self._reported)

    async def send(self, data: bytes | str) -> None:
        """Send through `send_media()`, which sends text as text on every version; the control methods differ by version."""
        await self._boundary.call(self.connection.send_media, data)

    async def close(self) -> None:
        """Leave the context; a connection that the application entered is closed, and left by the application."""
        if self._context is not None:
            await self._boundary.call(self._leave)
        elif hasattr(self._websocket, "close"):
            await self._boundary.call(self._websocket.close)

    def _enter(self) -> Any:
        return self._context.__enter__() if self._boundary.is_threaded else self._context.__aenter__()

    def _leave(self) -> Any:
        leave = self._context.__exit__ if self._boundary.is_threaded else self._context.__aexit__
        return leave(None, None, None)

    def _leave_late(self, connection: object) -> None:
        # Dropped first, because a mute server would hold up the closing handshake.
        private.abort(private.websocket_of(connection))
        self._leave()

    def _on_message(self, message: object) -> Awaitable[None] | None:
        return self._boundary.deliver(self._arrived, decode(message))

    def _on_error(self, error: Exception) -> None:
        self._reported = error

    def _on_close(self, _: object) -> None:
        self._boundary.deliver(self._close_emitted)
