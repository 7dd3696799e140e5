"""When a frame may go into the memory, so that a source ahead of the clock pushes nothing out that can be kept. Pure."""

from __future__ import annotations

import math

from deepgram_stream_iter._recovery.memory import Memory

_HICCUP_SHARE = 0.05
"""Of what is kept: so much may a live source be late, and make up for it in a burst, without having to wait."""


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
        late_at_most = self.memory.limit_seconds * _HICCUP_SHARE
        spoken_at = max(self._spoken_at, now - late_at_most) + self.memory.seconds(len(frame))
        self._spoken_at = min(spoken_at, now + self.memory.kept_seconds)

    def due(self, size: int, *, is_catching_up: bool) -> float:
        """Return when a frame of this size may be added if no final comes: -inf at once, inf not before there is room."""
        if self.memory.has_room(size):
            return -math.inf
        if is_catching_up and not self.memory.has_room_beside_unsent(size):
            return math.inf  # the connection was promised what would go, and gets it soon
        return self._spoken_at
