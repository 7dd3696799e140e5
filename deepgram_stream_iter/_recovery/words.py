"""Words by their place in the audio, and as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from deepgram_stream_iter._events.words import Word


class Place(NamedTuple):
    """Where a word is, in seconds of the session's audio."""

    middle: float
    """What tells words apart, because each hearing has a word begin and end a little differently."""
    end: float


def place_of(word: Word | None) -> Place | None:
    """Return where a word is; None for one without times, or where there is none."""
    if word is None or word.start is None or word.end is None:
        return None
    return Place((word.start + word.end) / 2, word.end)


def is_before(word: Word, seconds: float) -> bool:
    """Return whether more of a word lies before a time than after; one without times does not."""
    place = place_of(word)
    return place is not None and place.middle < seconds


def text_of(words: Iterable[Word]) -> str:
    """Return words as Deepgram writes them."""
    return " ".join(word.punctuated_word or word.word for word in words)
