"""Audio between the application and connections that come and go.

A frame goes straight to a connection that has been sent all there was before. Without one, and while one catches up,
it waits in the memory.
"""

from __future__ import annotations

import anyio

from ._audio import FRAME_MS, Pacer, RawFormat
from ._clock import now
from ._connection import Connection
from ._errors import DeepgramStreamError
from ._recovery.memory import OpaqueMemory, RawMemory


class Outbox:
    """Sends audio in order, and again where it has to; for one sender at a time."""

    def __init__(
        self, memory: RawMemory | OpaqueMemory, audio_format: RawFormat | None, *, catch_up_rate: float
    ) -> None:
        self._memory, self._format, self._catch_up_rate = memory, audio_format, catch_up_rate
        self._straight_to: Connection | None = None
        self._is_catching_up = False
        self._admission: Pacer | None = None
        self._room = anyio.Event()

    async def wait_for_room(self, size: int) -> None:
        """Take audio at the speed of the clock while it cannot be sent, half of what there is room for ahead.

        A live source is not slowed down by this; a file does not push out of the memory what it has just put there, unless
        the outage lasts longer than that. Audio whose bytes are not time is taken to need as much as the memory allows it.
        """
        if self._straight_to is None and self._admission is not None:
            await anyio.sleep_until(self._admission.due(self._memory.seconds(size)))
        while self._is_catching_up and not self._memory.has_room(size):
            self._room = anyio.Event()
            await self._room.wait()

    async def send(self, frame: bytes) -> None:
        """Send a frame, or keep it. That it cannot be sent is no error: the next connection gets it."""
        self._memory.add(frame)
        if self._straight_to is not None:
            await self._try(self._straight_to, self._memory.take(len(frame)))

    def begin(self) -> None:
        """Wait with new frames for those that wait already: there is a connection, which gets them by `catch_up`."""
        self._is_catching_up = True

    async def catch_up(self, connection: Connection) -> bool:
        """Send a new connection what waits, no faster than the rate allows; then frames go straight to it.

        Returns False when the connection cannot be sent it all.
        """
        frame_ms = FRAME_MS[connection.adapter.endpoint]
        size = self._format.size(frame_ms / 1000) if self._format else 0
        due = now()
        while True:
            await anyio.sleep_until(due)
            if connection.ended.is_set():
                return False
            frame = self._memory.take(size)
            if not frame:
                self._straight_to, self._is_catching_up = connection, False
                self._room.set()
                return True
            # From when it is really sent: what was late is not made up for by a burst.
            due = now()
            if self._format is not None:
                due += self._format.seconds(len(frame)) / self._catch_up_rate
            if not await self._try(connection, frame):
                return False
            self._room.set()

    def hold(self) -> None:
        """Keep what comes from now on: the connection is lost, or the session has ended."""
        self._straight_to, self._is_catching_up = None, False
        self._admission = Pacer(1.0, now() - self._memory.free_seconds / 2)
        self._room.set()

    async def _try(self, connection: Connection, frame: bytes) -> bool:
        """Send a frame to a connection; one that cannot be sent it tells its end, and gets nothing more."""
        try:
            await connection.send(frame)
        except DeepgramStreamError:
            self.hold()
            return False
        return True
