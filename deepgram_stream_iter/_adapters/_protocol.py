"""What an adapter offers, whichever dialect of the SDK it speaks, and what it expects of its session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from deepgram_stream_iter._events import AnyStreamEvent
from deepgram_stream_iter._options import Endpoint


class Sink(Protocol):
    """Where an adapter puts what comes from the SDK; neither method raises or blocks."""

    def arrived(self, event: AnyStreamEvent) -> Awaitable[None] | None:
        """Take an event; what is returned holds the SDK's listener back when it is awaited."""
        ...

    def listening_ended(self, cause: Exception | None) -> None:
        """Take the end of listening, once; `cause` is what the SDK reported, None after an ordinary close."""
        ...


class LiveConnection(Protocol):
    """A connection of the SDK, of any dialect."""

    def on(self, event_name: Any, callback: Callable[..., Any], /) -> object:  # noqa: ANN401  (the SDK's own type)
        """Register a handler."""
        ...


class Adapter(Protocol):
    """One connection of the SDK."""

    @property
    def connection(self) -> LiveConnection | None:
        """The SDK's connection; None before `open()`, where that makes it."""
        ...

    @property
    def endpoint(self) -> Endpoint:
        """Which protocol the connection speaks, from `open()` on."""
        ...

    @property
    def query(self) -> Mapping[str, str | Sequence[str]]:
        """The parameters of the connection as they travelled, from `open()` on; empty when nobody can tell."""
        ...

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream, from `open()` on; empty where nobody can tell."""
        ...

    @property
    def close_frame(self) -> tuple[int | None, str]:
        """The close code and reason of the socket; None while it is open."""
        ...

    async def open(self) -> None:
        """Make the connection if it is not there yet. Raises what the SDK raises; cancelling leaves no socket."""
        ...

    def attach(self, sink: Sink, *, listen: bool) -> None:
        """Register the callbacks; `listen` says that `listen()` will tell the end, and not the SDK's callback."""
        ...

    def detach(self) -> None:
        """Put nothing into the sink from now on; the callbacks stay registered, for the SDK knows no way back."""
        ...

    async def listen(self) -> None:
        """Run the SDK's listener to its end and tell the sink; never raises but when cancelled."""
        ...

    async def send_media(self, data: bytes) -> None:
        """Send a binary frame. Raises what the SDK raises."""
        ...

    async def send_control(self, kind: str, fields: Mapping[str, object]) -> None:
        """Send the control message of this `type` with these fields. Raises what the SDK raises."""
        ...

    async def close(self) -> None:
        """Close the socket by the closing handshake, and leave the SDK's context. Unbounded; may be cancelled."""
        ...

    def abort(self) -> None:
        """Drop the socket without a handshake; nothing happens when it is closed."""
        ...
