"""When a frame may go into the memory, so that a source ahead of the clock pushes nothing out that can be kept. Pure."""

from __future__ import annotations

import math

from deepgram_stream_iter._recovery.memory import Memory

_PAUSE_SECONDS = 1.0
"""A live source that is late by less makes up for it in a burst; after more it has paused, and begins anew."""


class Admission:
    """Lets frames into the memory; follows how far they are ahead of a speaker, which a live source never is.

    A frame that would push audio out of a full memory is due when all before it has been spoken: so audio goes only after
    it has waited for its final for as long as the memory lasts, and nobody waits for finals for ever.
    """

    def __init__(self, memory: Memory, now: float) -> None:
        self.memory = memory
        self._spoken_at = now  # when the audio in the memory has been spoken, were it all live

    def add(self, frame: bytes, now: float) -> None:
        """Keep a frame. What has its final is taken as spoken."""
        self.memory.add(frame)
        before = self._spoken_at if now - self._spoken_at < _PAUSE_SECONDS else now
        self._spoken_at = min(before + self.memory.seconds(len(frame)), now + self.memory.kept_seconds)

    def due(self, size: int, *, is_catching_up: bool) -> float:
        """Return when a frame of this size may be added if no final comes: -inf at once, inf not before there is room."""
        if self.memory.has_room(size):
            return -math.inf
        if is_catching_up and not self.memory.has_room_beside_unsent(size):
            return math.inf  # the connection was promised what would go, and gets it soon
        return self._spoken_at
