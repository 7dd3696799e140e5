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
from ._recovery.memory import Memory


class Outbox:
    """Sends audio in order, and again where it has to; for one sender at a time."""

    def __init__(self, memory: Memory, audio_format: RawFormat | None, *, catch_up_rate: float) -> None:
        self._memory, self._format, self._catch_up_rate = memory, audio_format, catch_up_rate
        self._connection: Connection | None = None  # that audio is to go to
        self._has_caught_up = False  # it has been sent all there was before
        self._admission: Pacer | None = None
        self._room = anyio.Event()

    async def wait_for_room(self, size: int) -> None:
        """Take audio at the speed of the clock while it cannot be sent, half of what there is room for ahead.

        A live source is not slowed down by this; a file does not push out of the memory what it has just put there, unless
        the outage lasts longer than that. Of audio whose bytes are not time the clock's speed is what the memory counts a
        second for.
        """
        if not self._is_live and self._admission is not None:
            await anyio.sleep_until(self._admission.due(self._memory.seconds(size)))
        while (
            self._connection is not None
            and not self._has_caught_up
            and not self._memory.has_room_beside_unsent(size)
        ):
            self._room = anyio.Event()
            await self._room.wait()

    async def send(self, frame: bytes) -> None:
        """Send a frame, or keep it. That it cannot be sent is no error: the next connection gets it."""
        self._memory.add(frame)
        if self._connection is not None and self._has_caught_up:
            await self._try(self._connection, self._memory.take(len(frame)))

    def begin(self, connection: Connection) -> None:
        """Wait with new frames for those that wait already: there is a connection, which gets them by `catch_up`."""
        self._connection, self._has_caught_up = connection, False

    async def catch_up(self, connection: Connection) -> bool:
        """Send the connection what waits, no faster than the rate allows; then frames go straight to it.

        Returns False when it cannot be sent it all.
        """
        frame_ms = FRAME_MS[connection.adapter.endpoint]
        size = self._format.size(frame_ms / 1000) if self._format else 0
        due = now()
        while True:
            await anyio.sleep_until(due)
            if connection is not self._connection:
                return False
            frame = self._memory.take(size)
            if not frame:
                self._has_caught_up = True
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
        self._connection = None
        free_seconds = max(0.0, self._memory.limit_seconds - self._memory.kept_seconds)
        self._admission = Pacer(1.0, now() - free_seconds / 2)
        self._room.set()

    async def _try(self, connection: Connection, frame: bytes) -> bool:
        """Send a frame to a connection; one that cannot be sent it tells its end, and gets nothing more."""
        try:
            await connection.send(frame)
        except DeepgramStreamError:
            if connection is self._connection:
                self.hold()
            return False
        return True

    @property
    def _is_live(self) -> bool:
        return self._connection is not None and self._has_caught_up
