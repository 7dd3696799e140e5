"""Words, and what they stand in: parts of events. Pure data."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

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
