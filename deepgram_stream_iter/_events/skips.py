"""Audio that Deepgram was never sent, and that counts all the same: what its times have to be moved by. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from deepgram_stream_iter._events.words import Seconds

_ROUNDING_SECONDS = 0.001
"""Deepgram rounds its times: what begins so little before a place has begun there."""


class Skips(NamedTuple):
    """Where audio was left out. Times before `moved` are of the audio that was sent, after it of all audio."""

    places: tuple[Seconds, ...] = ()
    """In the audio that was sent, growing."""
    totals: tuple[Seconds, ...] = (0.0,)
    """How much was left out before the first place, up to the second, and so on."""

    def with_one_more(self, place: Seconds, seconds: Seconds) -> Skips:
        """Return these with audio that is left out at a place, which is no earlier than all before."""
        total = self.totals[-1] + seconds
        if self.places and self.places[-1] == place:
            return Skips(self.places, (*self.totals[:-1], total))
        return Skips((*self.places, place), (*self.totals, total))

    def begin(self, seconds: Seconds) -> Seconds:
        """Move a time at which something begins: what begins at a place begins after what is left out there."""
        return _rounded(seconds + self.totals[bisect_right(self.places, seconds + _ROUNDING_SECONDS)])

    def end(self, seconds: Seconds) -> Seconds:
        """Move a time at which something ends: what ends at a place ends before what is left out there."""
        return _rounded(seconds + self.totals[bisect_left(self.places, seconds - _ROUNDING_SECONDS)])

    def window(self, start: Seconds | None, end: Seconds | None) -> tuple[Seconds | None, Seconds | None]:
        """Move a window of audio, or what is known of it; it never ends before it begins, however short it is."""
        start = None if start is None else self.begin(start)
        end = None if end is None else self.end(end)
        return start, end if start is None or end is None else max(start, end)

    def sent(self, seconds: Seconds) -> Seconds:
        """Return what `begin` and `end` were given for a time; for one in audio that was left out, the place of that."""
        skips = range(len(self.places))
        before = bisect_left(skips, seconds, key=lambda index: self.places[index] + self.totals[index])
        latest = self.places[before - 1] if before else 0.0
        return max(seconds - self.totals[before], latest)


def _rounded(seconds: Seconds) -> Seconds:
    return round(seconds, 6)  # because sums of floats are not exact
