"""One clock for all connections of a session. Pure.

The clock of each connection starts at 0, with the first audio that it is sent. That audio has a place in the session's audio,
and this place is added to every time that comes back.
"""

from __future__ import annotations

from dataclasses import replace

from deepgram_stream_iter._events import (
    AnyStreamEvent,
    MetadataEvent,
    SpeechStartedEvent,
    TranscriptEvent,
    TurnStateEvent,
    UtteranceEndEvent,
)
from deepgram_stream_iter._words import Word

_DIGITS = 6
"""Times are rounded to a microsecond, because sums of floats are not exact; a sample is far longer."""


class Timeline:
    """Moves the events of one connection after another to the session's clock."""

    def __init__(self) -> None:
        self._offset_seconds = 0.0
        self.heard_seconds = 0.0
        """How far the server has heard the audio, by what it has said."""

    def begin(self, offset_seconds: float) -> None:
        """Record the place of the first audio that a new connection is sent."""
        self._offset_seconds = offset_seconds

    def place(self, event: AnyStreamEvent) -> AnyStreamEvent:
        """Return the event with its times on the session's clock; `raw` stays as it was."""
        if self._offset_seconds:
            event = self._moved(event)
        if isinstance(event, (TranscriptEvent, TurnStateEvent)) and event.end is not None:
            self.heard_seconds = max(self.heard_seconds, event.end)
        return event

    def _moved(self, event: AnyStreamEvent) -> AnyStreamEvent:
        if isinstance(event, TranscriptEvent):
            return replace(event, start=self._at(event.start), words=self._words(event.words))
        if isinstance(event, TurnStateEvent):
            return replace(
                event, start=self._at(event.start), end=self._at(event.end), words=self._words(event.words)
            )
        if isinstance(event, SpeechStartedEvent):
            return replace(event, timestamp=self._at(event.timestamp))
        if isinstance(event, UtteranceEndEvent):
            return replace(event, last_word_end=self._at(event.last_word_end))
        if isinstance(event, MetadataEvent):
            return replace(event, duration=self._at(event.duration))
        return event

    def _words(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        return tuple(word._replace(start=self._at(word.start), end=self._at(word.end)) for word in words)

    def _at(self, seconds: float | None) -> float | None:
        if seconds is None or seconds < 0:  # Deepgram says -1 where there was no word
            return seconds
        return round(self._offset_seconds + seconds, _DIGITS)
