"""websockets' server connection, with what lies below its messages: the request id, freezing, the end of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

if TYPE_CHECKING:
    import asyncio

    from ._faults import Faults


class Wires:
    """All TCP connections of a server, those whose handshake is still under way among them."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.open: set[Wire] = set()

    def abort(self) -> None:
        """Drop all connections."""
        for wire in self.open:
            wire.transport.abort()


class Wire(ServerConnection):
    """One TCP connection. `bound_to` makes the class that websockets is to use for a server's."""

    wires: Wires

    @staticmethod
    def bound_to(wires: Wires) -> type[Wire]:
        """Return the class of wires that report to `wires`."""
        return type("BoundWire", (Wire,), {"wires": wires})

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - websockets' own arguments
        super().__init__(*args, **kwargs)
        self.request_id = str(uuid4())
        self.faults = self.wires.faults
        """What goes wrong on this connection: the server's faults, until they are replaced."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Report the new connection."""
        super().connection_made(transport)
        self.wires.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end."""
        super().connection_lost(exc)
        self.wires.open.discard(self)

    def data_received(self, data: bytes) -> None:
        """Let the bytes in, unless the connection is frozen."""
        # Below this line websockets answers pings and close frames by itself, so freezing has to come above.
        if self.faults.frozen and self.protocol.state is not State.CONNECTING:
            self.transport.pause_reading()
            return
        super().data_received(data)
