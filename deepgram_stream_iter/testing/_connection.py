"""One accepted connection, as tests and scripts see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from ._faults import frames_of
from ._handshake import split
from ._intake import ConnectionEnded

if TYPE_CHECKING:
    from collections.abc import Mapping

    import websockets.asyncio.server
    from websockets.http11 import Request

    from ._faults import Faults
    from ._intake import Frame, Intake
    from ._recognition import Message
    from ._wire import Wire

CLOSE_TIMEOUT_SECONDS = 10.0
"""How long a client may take to answer a close frame before it is dropped; it may have much to read before."""

_NO_STATUS = 1005
_ABNORMAL = 1006


class ServerConnection:
    """One accepted connection: what the client sent, and the means to answer it."""

    def __init__(self, websocket: Wire, request: Request, intake: Intake) -> None:
        self.websocket: websockets.asyncio.server.ServerConnection = websocket
        """The connection of `websockets` underneath."""
        self.path, self.query = split(request.path)
        self.headers: Mapping[str, str] = request.headers
        self.request_id = websocket.request_id
        self.messages_sent = 0
        """How many messages were handed to `send()`."""
        self._intake = intake
        self._wire = websocket

    @property
    def faults(self) -> Faults:
        """What goes wrong on this connection: the server's faults, until it is given others for itself alone.

        They may be replaced at any time, by a script too. The handshake is over by then, and so is the
        `Connected` of /v2/listen: both went by the server's.
        """
        return self._wire.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._wire.faults = faults

    @property
    def authorization(self) -> str:
        """The `Authorization` header."""
        return self.headers.get("Authorization", "")

    @property
    def frames(self) -> list[Frame]:
        """All frames received so far."""
        return self._intake.frames

    @property
    def audio(self) -> bytes:
        """All binary frames received so far, joined."""
        return b"".join(self.audio_frames)

    @property
    def audio_frames(self) -> list[bytes]:
        """All binary frames received so far."""
        return [frame.data for frame in self.frames if isinstance(frame.data, bytes)]

    @property
    def controls(self) -> list[dict[str, object]]:
        """All text frames received so far that are JSON objects, parsed."""
        return list(self._intake.controls)

    @property
    def audio_seconds(self) -> float:
        """The audio received so far, in seconds; 0.0 where encoding and sample rate are not known."""
        return self._intake.clock.seconds

    @property
    def close_code(self) -> int | None:
        """The code that the connection ended with; None while it is open."""
        return self.websocket.close_code

    @property
    def close_reason(self) -> str | None:
        """The reason that the connection ended with; None while it is open."""
        return self.websocket.close_reason

    async def received(self, kind: str, count: int = 1) -> None:
        """Wait until `count` text frames of this type have come.

        :raises ConnectionError: the connection ended before.
        """

        def holds() -> bool:
            return sum(control.get("type") == kind for control in self._intake.controls) >= count

        await self._intake.board.until(holds, f"{count} x {kind} came")

    async def audio_reached(self, seconds: float) -> None:
        """Wait until that much audio has come.

        :raises ConnectionError: the connection ended before.
        """
        await self._intake.board.until(
            lambda: self.audio_seconds >= seconds, f"{seconds} s of audio came ({self.audio_seconds} s did)"
        )

    async def wait_closed(self) -> None:
        """Wait until the connection has ended."""
        await self.websocket.wait_closed()

    async def send(self, message: Message) -> None:
        """Send a message, spoiled as `faults` says.

        :raises ConnectionError: the connection has ended.
        """
        self.messages_sent += 1
        if self.faults.mute:
            return
        try:
            for frame in frames_of(message, self.faults):
                await self.websocket.send(frame)
        except ConnectionClosed as closed:
            raise ConnectionEnded(f"ended before a message could be sent: {closed}") from closed

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection and wait for the end; 1005: without a status, 1006: `abort()`."""
        if code == _ABNORMAL:
            self.abort()
        elif code == _NO_STATUS:
            await self._close_without_status()
        else:
            await self.websocket.close(code, reason)

    def abort(self) -> None:
        """Drop the connection without a close frame: the client sees 1006."""
        self.websocket.transport.abort()

    async def _close_without_status(self) -> None:
        # `websocket.close()` always sends a code; the protocol underneath can send none.
        if self.websocket.protocol.state is State.OPEN:
            self.websocket.protocol.send_close()
            self.websocket.transport.writelines(self.websocket.protocol.data_to_send())
        with anyio.move_on_after(CLOSE_TIMEOUT_SECONDS):
            await self.websocket.wait_closed()
        self.abort()
