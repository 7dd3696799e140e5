"""What a recognizer says to the local server: plain data, no protocol and no I/O.

A recognizer knows of audio and words. What becomes of them on the wire (`Results` for /v1/listen, `TurnInfo`
for /v2/listen) is the server's business, so one recognizer serves both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

Message: TypeAlias = Mapping[str, object] | str | bytes
"""One frame to the client: a mapping goes out as JSON, a `str` as it is (broken JSON too), `bytes` as binary."""


class SpokenWord(NamedTuple):
    """One recognised word; times are seconds of the connection's audio."""

    word: str
    start: float
    end: float
    confidence: float = 0.99
    punctuated_word: str = ""
    """Empty: the server repeats `word`."""
    speaker: int | None = None


@dataclass(frozen=True, kw_only=True)
class SpeechStart:
    """Speech begins at `timestamp`, in seconds of audio."""

    timestamp: float


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """What the segment from `start` to `end` (seconds of audio) is taken to say so far.

    A later hypothesis with the same `start` replaces it; one with `is_final` closes the segment, and
    `speech_final` (which implies `is_final`) says that the speaker has paused there.
    """

    words: tuple[SpokenWord, ...]
    start: float
    end: float
    is_final: bool = False
    speech_final: bool = False


Recognized: TypeAlias = Hypothesis | SpeechStart | Mapping[str, object] | str | bytes
"""What a recognizer may return: findings, or ready messages that the server sends as they are."""


@runtime_checkable
class Recognizer(Protocol):
    """An object fed with audio. Give the server a class of it to have one for each connection."""

    def accept(self, audio: bytes, /) -> Iterable[Recognized]:
        """Take the next piece of audio; return what it brought."""
        ...

    def flush(self) -> Iterable[Recognized]:
        """Close the segment that is open (Finalize, ForceEndTurn or the end of the stream)."""
        ...


RecognizerLike: TypeAlias = Recognizer | type[Recognizer] | Callable[[bytes], Iterable[Recognized]]
"""A recognizer object (shared by all connections), a class (one for each), or a function of the audio."""
