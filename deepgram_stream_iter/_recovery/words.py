"""Words by their place in the audio, and as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from deepgram_stream_iter._words import Word


def middle(word: Word) -> float | None:
    """Return the middle of a word, in seconds; None for one without times."""
    return None if word.start is None or word.end is None else (word.start + word.end) / 2


def is_before(word: Word, seconds: float) -> bool:
    """Return whether more of a word lies before a place than after; one without times does not."""
    place = middle(word)
    return place is not None and place < seconds


def text_of(words: Iterable[Word]) -> str:
    """Return words as Deepgram writes them."""
    return " ".join(word.punctuated_word or word.word for word in words)
