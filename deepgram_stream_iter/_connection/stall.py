"""How long the server has owed an answer. Pure: it is told the time."""

from __future__ import annotations

import math

PAUSE_SECONDS = 1.0
"""When the audio has ended for so long, the application pauses: there may be nothing to say about what came before."""
_OPAQUE_PIECE_SECONDS = 2.0
"""What a piece of audio whose bytes are not time is assumed to last at most, because browsers record in slices."""


class StallTimer:
    """Runs while audio goes out and nothing comes back; any message from the server resets it."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._owed_since: float | None = None
        self._audio_ends_at = -math.inf  # if it is played from when it was sent
        self._is_sending = False  # audio is on its way into the socket, or CloseStream was sent

    def sending(self, now: float) -> None:
        """Record that audio, or CloseStream, is about to go out; after the latter there is no pause."""
        if self._owed_since is None or self._application_pauses(now):
            self._owed_since = now
        self._is_sending = True

    def sent(self, now: float, audio_seconds: float | None) -> None:
        """Record that audio has gone out, and how long it lasts; None where nobody knows."""
        self._is_sending = False
        if audio_seconds is None:
            self._audio_ends_at = now + _OPAQUE_PIECE_SECONDS
        else:
            self._audio_ends_at = max(self._audio_ends_at, now) + audio_seconds

    def answered(self) -> None:
        """Record that the server has said something."""
        self._owed_since = None

    def due(self, now: float, *, is_paused: bool) -> float:
        """Return when it will have taken too long, if nothing changes; it does not run while the SDK is paused."""
        return now + self._timeout_seconds - (0.0 if is_paused else self.owed_seconds(now))

    def owed_seconds(self, now: float) -> float:
        """Return for how long an answer has been owed; 0.0 when none is."""
        if self._owed_since is None or self._application_pauses(now):
            return 0.0
        return now - self._owed_since

    def _application_pauses(self, now: float) -> bool:
        return not self._is_sending and now > self._audio_ends_at + PAUSE_SECONDS
