"""The dialect of SDK 5 to 7, async client: `on(EventType, handler)` and `start_listening()`.

events   start_listening() -> our MESSAGE handler -> decode -> the session's sink
audio    the session -> send_media() / send_*() -> the SDK
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeGuard

from deepgram.core.events import EventType
from deepgram.listen.v1.types import ListenV1Configure

from deepgram_stream_iter._adapters import websocket
from deepgram_stream_iter._adapters._protocol import LiveConnection, Sink
from deepgram_stream_iter._adapters.decode import decode
from deepgram_stream_iter._options import Endpoint

_SENDERS = {
    "Finalize": "send_finalize",
    "CloseStream": "send_close_stream",
    "KeepAlive": "send_keep_alive",
    "ForceEndTurn": "send_force_end_turn",
    "Configure": "send_configure",
}


class EmitterConnection(LiveConnection, Protocol):
    """What a connection of SDK 5 to 7 offers of what is used here."""

    async def start_listening(self) -> None:
        """Emit events until the connection ends."""
        ...

    async def send_media(self, message: bytes) -> None:
        """Send audio."""
        ...


class EmitterAdapter:
    """A connection of SDK 5 to 7: given live, or as the context that makes it."""

    def __init__(
        self,
        *,
        connection: EmitterConnection | None = None,
        context: AbstractAsyncContextManager[EmitterConnection] | None = None,
    ) -> None:
        self._connection, self._context = connection, context
        self._sink: Sink | None = None
        self._reported: Exception | None = None  # by the ERROR callback, which comes before the end

    @property
    def connection(self) -> EmitterConnection | None:
        """The SDK's connection; None before `open()` has made it."""
        return self._connection

    @property
    def endpoint(self) -> Endpoint:
        """Flux has neither Finalize nor KeepAlive, and so no method to send them."""
        return "v1" if hasattr(self._connection, "send_finalize") else "v2"

    @property
    def query(self) -> Mapping[str, str | Sequence[str]]:
        """The parameters of the request, a list of values each; a single value stands for itself."""
        _, query = websocket.request_target(self._connection)
        return {name: values[0] if len(values) == 1 else values for name, values in query.items()}

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream."""
        return websocket.request_id(self._connection)

    @property
    def close_frame(self) -> tuple[int | None, str]:
        """The close code and reason."""
        return websocket.close_frame(self._connection)

    async def open(self) -> None:
        """Enter the SDK's context, where there is one."""
        if self._context is not None:
            self._connection = await self._context.__aenter__()

    def attach(self, sink: Sink, *, listen: bool) -> None:
        """Register plain handlers: the SDK would cut off a CLOSE handler that awaits when it is cancelled."""
        self._sink = sink
        connection = self._live()
        connection.on(EventType.MESSAGE, self._on_message)
        connection.on(EventType.ERROR, self._on_error)
        if not listen:
            connection.on(EventType.CLOSE, self._on_close)

    def detach(self) -> None:
        """Make the handlers do nothing."""
        self._sink = None

    async def listen(self) -> None:
        """Run `start_listening()`; what escapes it (a handler's exception, on SDK 5) is the cause of the end."""
        escaped: Exception | None = None
        try:
            await self._live().start_listening()
        except Exception as error:  # noqa: BLE001  (whatever it is, the session tells it)
            escaped = error
        if self._sink is not None:
            self._sink.listening_ended(escaped or self._reported)

    async def send_media(self, data: bytes) -> None:
        """Send audio."""
        await self._live().send_media(data)

    async def send_control(self, kind: str, fields: Mapping[str, object]) -> None:
        """Send a control message through the method that the SDK has for it."""
        send = getattr(self._live(), _SENDERS[kind], None)
        if send is None:
            raise NotImplementedError(
                f"the installed deepgram-sdk cannot send {kind} on /{self.endpoint}/listen"
            )
        if kind != "Configure":
            await send()
        elif self.endpoint == "v1":  # this one takes a model only
            await send(ListenV1Configure.model_validate({"type": kind, **fields}))
        else:
            await send({"type": kind, **fields})

    async def close(self) -> None:
        """Leave the context; a connection that the application entered is closed, and left by the application."""
        if self._context is not None:
            await self._context.__aexit__(None, None, None)
        else:
            await websocket.close(self._connection)

    def abort(self) -> None:
        """Drop the socket."""
        websocket.abort(self._connection)

    def _live(self) -> EmitterConnection:
        if self._connection is None:
            raise RuntimeError("the connection has not been opened")
        return self._connection

    def _on_message(self, message: object) -> Awaitable[None] | None:
        return None if self._sink is None else self._sink.arrived(decode(message))

    def _on_error(self, error: object) -> None:
        if isinstance(error, Exception):
            self._reported = error

    def _on_close(self, _: object) -> None:
        if self._sink is not None:
            self._sink.listening_ended(self._reported)


def is_emitter(target: object) -> TypeGuard[EmitterConnection]:
    """Tell whether a target is a live connection of this dialect."""
    return callable(getattr(target, "on", None)) and inspect.iscoroutinefunction(
        getattr(target, "start_listening", None)
    )


def is_connecting(target: object) -> TypeGuard[AbstractAsyncContextManager[EmitterConnection]]:
    """Tell whether a target is what `connect()` returned, not entered yet."""
    return hasattr(target, "__aenter__") and hasattr(target, "__aexit__") and not hasattr(target, "listen")
