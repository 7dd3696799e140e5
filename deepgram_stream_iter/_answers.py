"""How long the server has owed an answer. Pure: it is told the time."""

from __future__ import annotations

import math

PAUSE_SECONDS = 1.0
"""Without audio for so long, it is the application that pauses; there may be nothing to say to what came before."""


class AnswerClock:
    """Runs while audio goes out and nothing comes back; any message from the server sets it back."""

    def __init__(self) -> None:
        self._since: float | None = None  # the server owes an answer
        self._sent_at = (
            -math.inf
        )  # the audio before, or CloseStream; inf while it is on its way into the socket
        self.is_held_back = False
        """The application does not listen, so what the server says is not heard."""

    def sending(self, now: float) -> None:
        """Take note that audio, or CloseStream, is about to go out."""
        if self._since is None or self._is_paused(now):
            self._since = now
        self._sent_at = math.inf

    def sent(self, now: float) -> None:
        """Take note that it has. Without this, no pause is made of what follows."""
        self._sent_at = now

    def answered(self) -> None:
        """Take note that the server has said something."""
        self._since = None

    def owed_seconds(self, now: float) -> float:
        """Give for how long an answer has been owed; 0.0 when none is."""
        return 0.0 if self._since is None or self.is_held_back or self._is_paused(now) else now - self._since

    def _is_paused(self, now: float) -> bool:
        return now > self._sent_at + PAUSE_SECONDS
