"""How long the server has owed an answer. Pure: it is told the time."""

from __future__ import annotations

import math

PAUSE_SECONDS = 1.0
"""When the audio has ended for so long, it is the application that pauses; there may be nothing to say to what came before."""
_OPAQUE_PIECE_SECONDS = 2.0
"""What a piece of audio whose bytes are not time is taken to last at most: browsers record in slices."""


class AnswerClock:
    """Runs while audio goes out and nothing comes back; any message from the server sets it back."""

    def __init__(self) -> None:
        self._since: float | None = None  # the server owes an answer
        self._audio_ends_at = -math.inf  # played from when it was sent
        self._is_sending = False  # audio is on its way into the socket, or CloseStream was sent
        self.is_held_back = False
        """The application does not listen, so what the server says is not heard."""

    def sending(self, now: float) -> None:
        """Take note that audio, or CloseStream, is about to go out; after the latter there is no pause."""
        if self._since is None or self._is_paused(now):
            self._since = now
        self._is_sending = True

    def sent(self, now: float, audio_seconds: float | None) -> None:
        """Take note that audio has gone out, and how long it lasts; None where nobody knows."""
        self._is_sending = False
        if audio_seconds is None:
            self._audio_ends_at = now + _OPAQUE_PIECE_SECONDS
        else:
            self._audio_ends_at = max(self._audio_ends_at, now) + audio_seconds

    def answered(self) -> None:
        """Take note that the server has said something."""
        self._since = None

    def owed_seconds(self, now: float) -> float:
        """Give for how long an answer has been owed; 0.0 when none is."""
        return 0.0 if self._since is None or self.is_held_back or self._is_paused(now) else now - self._since

    def _is_paused(self, now: float) -> bool:
        return not self._is_sending and now > self._audio_ends_at + PAUSE_SECONDS
