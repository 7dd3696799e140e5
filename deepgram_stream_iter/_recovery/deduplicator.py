"""What was handed out before a connection was lost, so that the next one brings no word twice and no turn anew. Pure.

A replay begins where the last final segment or turn ends, so what overlaps is what other channels were ahead by, a turn
that was open, and what a server hears differently the second time.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields, replace

from deepgram_stream_iter._events import (
    AnyStreamEvent,
    EagerEndOfTurnEvent,
    EndOfTurnEvent,
    SpeechStartedEvent,
    StartOfTurnEvent,
    TranscriptEvent,
    TurnEvent,
    TurnResumedEvent,
    TurnStateEvent,
    TurnUpdateEvent,
    UtteranceEndEvent,
    Word,
)
from deepgram_stream_iter._transcript import unconfirmed_end

_ONSET_SECONDS = 3.0
"""While nobody speaks Flux ends no turn; audio this much older than what it has heard holds no beginning of one."""


class Deduplicator:
    """Follows the events of a session, which are on its one clock; knows from where a replay has to begin."""

    def __init__(self) -> None:
        self._told: dict[Hashable, float] = {}  # by kind and channel: until where it was handed out
        self._told_before: dict[Hashable, float] = {}  # ... before the connection that is open now
        self._channel_count = 1
        self._begin_seconds = 0.0  # of what the connection that is open now was sent
        self._turn_index = 0  # of the turn that is open, or comes next
        self._turn_index_offset = 0
        self._turn: TurnEvent | None = None  # the last event of the turn that is open
        self._cut_turn: TurnEvent | None = None  # the last event of a turn in which a connection was lost
        self._cut_words: tuple[Word, ...] = ()  # all that was heard of that turn
        self._kept_words: tuple[Word, ...] = ()  # ... before the place where the replay begins

    @property
    def finalized_seconds(self) -> float:
        """Until where every channel is transcribed for good."""
        channels = range(self._channel_count) if self._channel_count > 1 else (None,)
        ends = (self._told.get((TranscriptEvent, channel), 0.0) for channel in channels)
        return max(self._begin_seconds, min(ends))

    def resume(self, begin_seconds: float) -> None:
        """Take note that a new connection is sent the audio from here on."""
        self._told_before = dict(self._told)
        self._begin_seconds = begin_seconds
        self._turn_index_offset = self._turn_index
        if self._turn is not None:
            self._cut_words = _joined(self._turn.words, self._cut_words)
            self._cut_turn, self._turn = self._turn, None
        self._kept_words = tuple(word for word in self._cut_words if _is_before(word, begin_seconds))

    def take(self, event: AnyStreamEvent) -> AnyStreamEvent | None:
        """Give what is new in the event; None where nothing is."""
        if isinstance(event, TranscriptEvent):
            return self._final(event) if event.is_final else event
        if isinstance(event, SpeechStartedEvent):
            is_new = self._tell((SpeechStartedEvent, event.channel_index), event.timestamp)
            return event if is_new else None
        if isinstance(event, UtteranceEndEvent):
            is_new = self._tell((UtteranceEndEvent, event.channel_index), event.last_word_end)
            return event if is_new else None
        if isinstance(event, TurnStateEvent):
            return self._of_turn(event)
        return event

    # Nova

    def _final(self, event: TranscriptEvent) -> TranscriptEvent:
        self._channel_count = max(self._channel_count, event.channel_count or 1)
        channel = event.channel_index if self._channel_count > 1 else None
        kind = (TranscriptEvent, channel)
        self._tell(kind, event.end)
        return _without_words_before(event, self._told_before.get(kind, 0.0))

    def _tell(self, kind: Hashable, until_seconds: float | None) -> bool:
        if until_seconds is None or until_seconds < 0:  # Deepgram says -1 where there was no word
            return True
        self._told[kind] = max(self._told.get(kind, 0.0), until_seconds)
        return kind not in self._told_before or until_seconds > self._told_before[kind]

    # Flux

    def _of_turn(self, event: TurnEvent) -> TurnEvent | None:
        if event.turn_index is not None and self._turn_index_offset:
            event = replace(event, turn_index=event.turn_index + self._turn_index_offset)
        if self._cut_turn is not None:
            if event.turn_index == self._cut_turn.turn_index:
                is_end = isinstance(event, EndOfTurnEvent)
                if not event.transcript and not is_end:
                    # Either the replay has not come to the first word yet, and the turn goes on all the same, or it has
                    # gone past it and the server hears nobody this time.
                    return self._end_of_cut_turn(self._cut_turn, event)
                event = self._gone_on(self._cut_turn, event)
                if not is_end:
                    self._turn = event
                    return event
            self._cut_turn, self._cut_words, self._kept_words = None, (), ()
        if isinstance(event, EndOfTurnEvent):
            self._turn = None
            if event.turn_index is not None:
                self._turn_index = event.turn_index + 1
            self._tell((TranscriptEvent, None), event.end)
        elif self._turn is not None or event.transcript or isinstance(event, StartOfTurnEvent):
            self._turn = event
        elif event.end is not None:
            self._tell((TranscriptEvent, None), max(0.0, event.end - _ONSET_SECONDS))
        return event

    def _end_of_cut_turn(self, cut: TurnEvent, silence: TurnEvent) -> EndOfTurnEvent | None:
        if self._turn is not None or not isinstance(silence, TurnUpdateEvent):
            return None
        words = self._cut_words  # of all hearings: the last may have been cut before it came to some
        text = cut.transcript
        if len(words) > len(cut.words):
            text = " ".join(word.punctuated_word or word.word for word in words)
        ends = [end for end in (cut.end, *(word.end for word in words)) if end is not None]
        if not ends or silence.end is None or silence.end < max(ends) + _ONSET_SECONDS:
            return None
        cut = replace(cut, words=words, transcript=text, end=max(ends))
        self._cut_turn, self._cut_words, self._kept_words = None, (), ()
        if cut.turn_index is not None:
            self._turn_index = cut.turn_index + 1
            self._turn_index_offset += 1  # the server's turn of that number has not begun
        self._tell((TranscriptEvent, None), cut.end)
        return unconfirmed_end(cut)

    def _gone_on(self, cut: TurnEvent, event: TurnEvent) -> TurnEvent:
        """Make of an event of the replay one of the turn that was cut: its start, and the words that were kept."""
        words = self._kept_words + event.words
        start = min((turn.start for turn in (cut, event) if turn.start is not None), default=None)
        text = " ".join([*(word.punctuated_word or word.word for word in self._kept_words), event.transcript])
        event = replace(event, start=start, words=words, transcript=text.rstrip())
        is_first = self._turn is None
        if isinstance(event, StartOfTurnEvent) or (is_first and isinstance(event, TurnUpdateEvent)):
            # An eager end that was handed out is taken back: the application may have begun to answer.
            kind = TurnResumedEvent if isinstance(cut, EagerEndOfTurnEvent) and is_first else TurnUpdateEvent
            shared = {
                field.name: getattr(event, field.name) for field in fields(TurnStateEvent) if field.init
            }
            return kind(**shared)
        return event


def _is_before(word: Word, seconds: float) -> bool:
    """Tell whether more of a word lies before a place than after; one without times does not."""
    return word.start is not None and word.end is not None and (word.start + word.end) / 2 < seconds


def _joined(words: tuple[Word, ...], longer: tuple[Word, ...]) -> tuple[Word, ...]:
    """Add the words that only an earlier hearing came to: the replay was cut before."""
    end = words[-1].end if words else 0.0
    return words + tuple(word for word in longer if end is not None and not _is_before(word, end))


def _without_words_before(event: TranscriptEvent, seconds: float) -> TranscriptEvent:
    if event.start is None or event.end is None or event.start >= seconds:
        return event
    words = tuple(word for word in event.words if not _is_before(word, seconds))
    text = event.transcript
    if len(words) < len(event.words):
        text = " ".join(word.punctuated_word or word.word for word in words)
    elif event.end <= seconds:
        text = ""  # without words that have times: all of it was handed out
        words = ()
    end = max(event.end, seconds)
    return replace(event, words=words, transcript=text, start=seconds, duration=end - seconds)
