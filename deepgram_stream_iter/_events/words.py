"""Words, what they stand in, and how they are read out of a message: when somebody asks for them. Pure.

Most events are interims, of which nobody reads the words; and the words are nine tenths of what it takes to read a message.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias, cast

from deepgram_stream_iter._events.reading import TOO_LARGE, fields_of, integer, items, number, text

Seconds: TypeAlias = float
"""A position in the audio, or a length of it."""


class Word(NamedTuple):
    """One recognised word; times are seconds of audio."""

    word: str = ""
    punctuated_word: str = ""
    start: Seconds | None = None
    end: Seconds | None = None
    confidence: float | None = None
    speaker: int | None = None
    language: str = ""


class Alternative(NamedTuple):
    """One reading of a segment, in the shape of Deepgram's message."""

    transcript: str
    confidence: float | None
    words: tuple[Word, ...]
    languages: tuple[str, ...]


class Channel(NamedTuple):
    """What was heard on a channel, in the shape of Deepgram's message; there is always one alternative."""

    alternatives: tuple[Alternative, ...]


def at(seconds: Seconds | None, offset_seconds: Seconds) -> Seconds | None:
    """Return a time on a clock that is so far ahead, rounded to a microsecond, because sums of floats are not exact."""
    if seconds is None or seconds < 0:  # Deepgram says -1 where there was no word
        return seconds
    return int((seconds + offset_seconds) * 1e6 + 0.5) / 1e6  # takes a third of the time of `round`


_declared = cast("Callable[[object], Any]", itemgetter(*Word._fields))
# Of a tuple that is there already it takes half the time of `Word(...)`.
_new_word = cast("Callable[[type[Word], Any], Word]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]


def read_words(given: object, offset_seconds: Seconds = 0.0) -> tuple[Word, ...]:
    """Return the words of a message, with their times on a clock that is so far ahead."""
    words: list[Word] = []
    for each in items(given):
        if each is None:
            continue
        values: Any
        try:  # a model that declares all of them takes half the time of one that does not
            values = _declared(each.__dict__)
        except (AttributeError, KeyError):
            values = map(fields_of(each).get, Word._fields)
        word, punctuated, start, end, confidence, speaker, language = values
        # One test for all values as they are documented: with it 20 words take 9 us, and without it 18.
        if not (
            type(word) is str is type(punctuated)
            and type(start) is float is type(end) is type(confidence)
            and 0.0 <= start <= end < TOO_LARGE
            and 0.0 <= confidence <= 1.0
            and (speaker is None or type(speaker) is int)
            and (language is None or type(language) is str)
        ):
            word, punctuated, language = text(word), text(punctuated), text(language)
            start, end, confidence, speaker = number(start), number(end), number(confidence), integer(speaker)
        if offset_seconds:
            start, end = at(start, offset_seconds), at(end, offset_seconds)
        words.append(_new_word(Word, (word, punctuated, start, end, confidence, speaker, language or "")))
    return tuple(words)
