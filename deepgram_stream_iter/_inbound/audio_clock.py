"""The session's clock: how much audio there was, sent or left out, and where the times of events are on it. Pure."""

from __future__ import annotations

from typing import TypeVar

from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._events.kinds import (
    AudioGapEvent,
    MetadataEvent,
    SpeechStartedEvent,
    StreamEvent,
    TranscriptEvent,
    TurnStateEvent,
    UtteranceEndEvent,
)
from deepgram_stream_iter._events.skips import Skips
from deepgram_stream_iter._events.unread import skipped
from deepgram_stream_iter._events.words import Seconds

P = TypeVar("P", bound=StreamEvent)


class AudioClock:
    """Counts the audio that goes out; moves the times that come back by what Deepgram was not sent."""

    def __init__(self) -> None:
        self.format: RawFormat | None = None
        """Of the audio, from the first connection on; None where its bytes are not time."""
        self.bytes_sent = 0
        self.skips = Skips()
        """What was left out so far."""
        self.seconds_lost: Seconds = 0.0
        """How much of that was to be sent."""

    @property
    def seconds_sent(self) -> Seconds | None:
        """The audio sent so far; None where its bytes are not time."""
        return self.format.seconds(self.bytes_sent) if self.format else None

    @property
    def seconds(self) -> Seconds | None:
        """Where the audio is now: what was sent, and what was left out; None where its bytes are not time."""
        sent = self.seconds_sent
        return None if sent is None else sent + self.skips.totals[-1]

    def skip(self, seconds: Seconds) -> None:
        """Count audio that is left out here; it takes audio whose bytes are time."""
        self.skips = self.skips.with_one_more(self.seconds_sent or 0.0, seconds)

    def lose(self, seconds: Seconds) -> AudioGapEvent:
        """Count audio that was to be sent here, and was not; return the event that tells of it. As `skip` does."""
        start = self.seconds or 0.0
        self.skip(seconds)
        self.seconds_lost += seconds
        return AudioGapEvent(start=round(start, 6), end=round(start + seconds, 6))

    def place(self, event: P) -> P:
        """Return the event with its times where the application's audio has them."""
        skips = self.skips
        if isinstance(event, TranscriptEvent):
            start, end = skips.window(event.start, event.end)
            duration = event.duration if start is None or end is None else round(end - start, 6)
            return skipped(event, skips, start=start, duration=duration)
        if isinstance(event, (TurnStateEvent, AudioGapEvent)):
            start, end = skips.window(event.start, event.end)
            return skipped(event, skips, start=start, end=end)
        if isinstance(event, SpeechStartedEvent) and event.timestamp is not None:
            return skipped(event, skips, timestamp=skips.begin(event.timestamp))
        if (
            isinstance(event, UtteranceEndEvent)
            and event.last_word_end is not None
            and event.last_word_end >= 0
        ):
            return skipped(event, skips, last_word_end=skips.end(event.last_word_end))
        if isinstance(event, MetadataEvent) and event.duration is not None:
            return skipped(event, skips, duration=round(event.duration + skips.totals[-1], 6))
        return event
