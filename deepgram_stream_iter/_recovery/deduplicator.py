"""What was handed out before a connection was lost, so that the next one brings no word twice and no turn anew. Pure.

A replay begins where the slowest channel's last final segment ends, or the last turn. So another channel is heard twice
as far as it was ahead, a turn that was open is heard twice as a whole, and a server may hear things differently the second
time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TypeGuard

from deepgram_stream_iter._events.kinds import (
    AnyStreamEvent,
    SpeechStartedEvent,
    TranscriptEvent,
    TurnStateEvent,
    UtteranceEndEvent,
)
from deepgram_stream_iter._events.unread import changed, last_word
from deepgram_stream_iter._events.words import Word
from deepgram_stream_iter._recovery.turns import Turns
from deepgram_stream_iter._recovery.words import is_before, place_of, text_of

_ROUNDING_SECONDS = 2e-6
"""What follows a place may seem to begin before it, because times were rounded on their way (`Timeline`)."""


@dataclass
class _Channel:
    """How far a channel was handed out, in seconds of the session's audio."""

    final_end: float = 0.0
    """Where the last final ends."""
    last_word: float = -math.inf
    """The middle of the last final word."""
    speech_start: float = -math.inf
    utterance_end: float = -math.inf
    is_open: bool = False
    """Neither an endpoint nor an UtteranceEnd has followed the last final word."""


class Deduplicator:
    """Follows the events of a session, which are on its one clock; knows from where a replay has to begin."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._channels = defaultdict[int, _Channel](_Channel)
        self._before = defaultdict[int, _Channel](_Channel)  # ... when the connection that is open now began
        self._channel_count = 1
        self._begin_seconds = 0.0  # of the audio that this connection was sent

    @property
    def finalized_seconds(self) -> float:
        """Until where every channel is transcribed for good."""
        ends = [self._channels[index].final_end for index in range(self._channel_count)]
        return max(self._begin_seconds, self._turns.finalized_seconds, min(ends))

    def resume(self, begin_seconds: float) -> None:
        """Record that a new connection is sent the audio from here on."""
        self._before.update((index, replace(channel)) for index, channel in self._channels.items())
        self._begin_seconds = begin_seconds
        self._turns.resume(begin_seconds)

    def take(self, event: AnyStreamEvent) -> AnyStreamEvent | None:
        """Return what is new in the event; None where nothing is."""
        if isinstance(event, TurnStateEvent):
            return self._turns.take(event)
        if isinstance(event, TranscriptEvent):
            return self._transcript(event)
        if isinstance(event, SpeechStartedEvent):
            return self._speech_started(event)
        if isinstance(event, UtteranceEndEvent):
            return self._utterance_end(event)
        return event

    def _transcript(self, event: TranscriptEvent) -> TranscriptEvent | None:
        self._channel_count = event.channel_count or self._channel_count
        channel, before = self._states(event.channel_index)
        new = _after(event, before.final_end)
        if new is not event and not new.transcript:
            # An endpoint that is heard again must not end the utterance that is open now, unless it is this one's end: it
            # follows the last word, and was not reported before.
            is_endpoint = event.speech_final and channel.is_open and _end(event) > before.last_word
            is_silence = event.is_final and _end(event) > before.final_end
            # A Finalize of this connection waits for its answer, whatever that says.
            if not (is_endpoint or is_silence or event.from_finalize):
                return None
            new = changed(new, speech_final=is_endpoint)
        if new.is_final:
            channel.final_end = max(channel.final_end, _end(new))
            if new.transcript:
                channel.last_word, channel.is_open = _last_word(new), True
            if new.speech_final:
                channel.is_open = False
        return new

    def _speech_started(self, event: SpeechStartedEvent) -> SpeechStartedEvent | None:
        channel, before = self._states(event.channel_index)
        start = event.timestamp
        if _is_place(start):
            if start <= before.speech_start or start < before.final_end:
                return None
            channel.speech_start = start
        return event

    def _utterance_end(self, event: UtteranceEndEvent) -> UtteranceEndEvent | None:
        channel, before = self._states(event.channel_index)
        end = event.last_word_end
        if _is_place(end):
            is_last_word_ended = before.utterance_end > channel.last_word
            if is_last_word_ended or end <= before.last_word:
                return None
            channel.utterance_end = end
        channel.is_open = False
        return event

    def _states(self, index: int | None) -> tuple[_Channel, _Channel]:
        """Return how far a channel is now, and was when this connection began; None is the only channel there is."""
        return self._channels[index or 0], self._before[index or 0]


def _is_place(seconds: float | None) -> TypeGuard[float]:
    """Return whether a mark has a place: Deepgram says -1 where there was no word."""
    return seconds is not None and seconds >= 0


def _end(event: TranscriptEvent) -> float:
    return 0.0 if event.end is None else event.end


def _last_word(event: TranscriptEvent) -> float:
    """Return the middle of the last word, or where its segment begins if nobody knows."""
    place = place_of(last_word(event))
    return place.middle if place else event.start or 0.0


def _after(event: TranscriptEvent, seconds: float) -> TranscriptEvent:
    """Return what a transcript says of the audio after a place; the very same event where that is all."""
    if event.start is None or event.end is None or event.start > seconds - _ROUNDING_SECONDS:
        return event
    words: tuple[Word, ...] = ()
    text = ""
    if event.end > seconds:
        words = tuple(word for word in event.words if not is_before(word, seconds))
        text = event.transcript if len(words) == len(event.words) else text_of(words)
    end = max(event.end, seconds)
    return changed(event, words=words, transcript=text, start=seconds, duration=end - seconds)
