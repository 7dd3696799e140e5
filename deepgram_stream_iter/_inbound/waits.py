"""How long events waited for their consumer. Pure, and cheap enough to be always on."""

from __future__ import annotations

import statistics
from array import array

_KEPT = 128


class Waits:
    """Keeps the longest wait, and the last 128."""

    def __init__(self) -> None:
        self.max_seconds = 0.0
        self._last = array("d", bytes(8 * _KEPT))  # a ring
        self._count = 0

    @property
    def p50_seconds(self) -> float:
        """The median of the last waits; 0 where nothing was handed out yet."""
        return statistics.median(self._last[: self._count]) if self._count else 0.0

    def record(self, seconds: float) -> None:
        """Record that an event is handed out."""
        self._last[self._count % _KEPT] = seconds
        self._count += 1
        if seconds > self.max_seconds:  # noqa: PLR1730  (max() would take as long as all the rest)
            self.max_seconds = seconds
