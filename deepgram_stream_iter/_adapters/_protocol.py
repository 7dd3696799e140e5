"""What an adapter offers, whichever dialect of the SDK it speaks, and what it expects of its session."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import anyio

from deepgram_stream_iter._adapters import private
from deepgram_stream_iter._adapters.boundary import Boundary
from deepgram_stream_iter._errors import ConnectError
from deepgram_stream_iter._events.kinds import AnyStreamEvent
from deepgram_stream_iter._options import Endpoint

_POLL_SECONDS = 0.25
"""How often to check a sync websocket, which does not report its end."""
LAST_MESSAGES_SECONDS = 1.0
"""For the SDK to emit what it has read before the socket was closed."""


class Sink(Protocol):
    """Receives what comes from the SDK; neither method raises or blocks."""

    def arrived(self, event: AnyStreamEvent) -> Awaitable[None] | None:
        """Receive an event; the SDK's listener pauses while what is returned is awaited."""
        ...

    def listening_ended(self, cause: Exception | None) -> None:
        """Receive the end of listening, once; `cause` is what the SDK reported, None after an ordinary close."""
        ...


class LiveConnection(Protocol):
    """A connection of the SDK, of any dialect."""

    def on(self, event: Any, handler: Callable[..., Any], /) -> object:
        """Register a handler."""
        ...


class Adapter(ABC):
    """One connection of the SDK: what the dialects share. Everything but `listen()` raises what the SDK raises."""

    def __init__(self, connection: Any, boundary: Boundary) -> None:
        self.connection = connection
        """The SDK's connection; None before `open()`, where that makes it."""
        self._boundary = boundary
        # Kept here because SDK 3 and 4 forget it before its close code can be read.
        self._websocket: Any = None
        self._sink: Sink | None = None
        self._reported: Exception | None = None  # by the SDK's error callback, which is called before the end
        self._is_close_emitted = False  # the SDK's close callback was called
        self._watching: anyio.CancelScope | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Which protocol the connection speaks, from `open()` on."""
        path = self._target[0] or type(self.connection).__module__.replace(".", "/")
        if "listen" not in path:
            return "other"
        return "v2" if "v2" in path else "v1"

    @property
    def query(self) -> Mapping[str, str | Sequence[str]]:
        """The parameters of the connection as they travelled; a single value stands for itself; empty if not known."""
        return {name: values[0] if len(values) == 1 else values for name, values in self._target[1].items()}

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream; empty where it is not known."""
        return private.request_id(self._websocket)

    @property
    def close_frame(self) -> tuple[int | None, str]:
        """The close code and reason of the socket; None while it is open."""
        return private.close_frame(self._websocket)

    @property
    def sends_keepalives(self) -> bool:
        """Whether the SDK keeps the connection alive by itself."""
        return private.sends_keepalives(self.connection)

    @property
    def can_configure(self) -> bool:
        """Whether the SDK can read the answer to a Configure."""
        return True

    @property
    def _target(self) -> tuple[str, dict[str, list[str]]]:
        return private.request_target(self._websocket)

    @abstractmethod
    async def open(self, sink: Sink) -> None:
        """Make the connection if it is not there yet, and register the callbacks; cancelling leaves no socket."""

    @abstractmethod
    async def start(self) -> None:
        """Have the events come, where that takes more than `listen()`; cancelling leaves no socket."""

    @abstractmethod
    async def listen(self) -> None:
        """Run the SDK's listener, where it does not run by itself, and report its end to the sink; raises nothing."""

    @abstractmethod
    async def observe(self) -> None:
        """Report the end of a listener that somebody else runs to the sink."""

    @abstractmethod
    async def send(self, data: bytes | str) -> None:
        """Send a binary frame (audio) or a text frame (a control message)."""

    @abstractmethod
    async def close(self) -> None:
        """Close the socket by the closing handshake, and have the SDK clean up. Unbounded; may be cancelled."""

    def detach(self) -> None:
        """Send nothing to the sink from now on; the callbacks stay registered, because the SDK cannot remove one."""
        self._sink = None
        self._boundary.close()

    def abort(self) -> None:
        """Drop the socket without a handshake; does nothing when it is closed."""
        private.abort(self._websocket)

    def _adopt(self) -> None:
        """Use a connection that was there before the session.

        :raises ConnectError: when it has been closed.
        """
        self._websocket = private.websocket_of(self.connection)
        if self.close_frame[0] is not None:
            raise ConnectError("the connection has been closed already: make a new one")

    async def _wait_for_end(self) -> None:
        """Wait for the SDK's Close; it may not come, because another handler raised, so watch the socket too."""
        if self._is_close_emitted:
            return
        with anyio.CancelScope() as self._watching:  # until Close
            await self._socket_closed()
            await anyio.sleep(LAST_MESSAGES_SECONDS)

    def _close_emitted(self) -> None:
        self._is_close_emitted = True
        if self._watching is not None:
            self._watching.cancel()

    async def _socket_closed(self) -> None:
        wait_closed = getattr(self._websocket, "wait_closed", None)  # async websockets have one
        if inspect.iscoroutinefunction(wait_closed):
            await wait_closed()
        elif self._websocket is None:
            await anyio.sleep_forever()
        else:
            # Nobody reports the end of a sync websocket.
            while self.close_frame[0] is None and not private.is_listener_dead(self.connection):  # noqa: ASYNC110
                await anyio.sleep(_POLL_SECONDS)

    def _arrived(self, event: AnyStreamEvent) -> Awaitable[None] | None:
        return None if self._sink is None else self._sink.arrived(event)

    def _listening_ended(self, cause: Exception | None) -> None:
        if self._sink is not None:
            self._sink.listening_ended(cause)


Connector: TypeAlias = Callable[[], Awaitable[Adapter]]
"""Makes the adapter of a new connection, and asks the application for the authorization where it has a function for that."""
