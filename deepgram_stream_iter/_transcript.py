"""Utterances and turns out of events. Pure: it is driven by the events that are handed out, in their order.

The rule for Nova is Deepgram's: join the final texts of a channel until `speech_final`; an `UtteranceEnd` ends what
`speech_final` has not ended, and one that follows a `speech_final` says nothing new. A Flux turn is an utterance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deepgram_stream_iter._events.kinds import (
    AnyStreamEvent,
    EndOfTurnEvent,
    SpeechStartedEvent,
    TranscriptEvent,
    TurnStateEvent,
    UtteranceEndEvent,
)
from deepgram_stream_iter._events.plain import checked, from_plain, to_plain
from deepgram_stream_iter._events.unread import without_message
from deepgram_stream_iter._events.words import Seconds, Word


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """What was said between two pauses, or in one turn; times are seconds of audio."""

    text: str
    words: tuple[Word, ...]
    start: Seconds | None
    end: Seconds | None
    channel_index: int | None = None
    """Nova's channel; None for Flux."""
    turn_index: int | None = None
    """Flux's turn; None for Nova."""
    confirmed: bool
    """False when the stream ended before Deepgram said that the utterance had."""

    @property
    def speaker(self) -> int | None:
        """The one speaker of all words that have one (`diarize`); None when no word has one, or several people speak."""
        speakers = {word.speaker for word in self.words} - {None}
        return speakers.pop() if len(speakers) == 1 else None

    def by_speaker(self) -> tuple[Utterance, ...]:
        """Return the utterance cut where the speaker changes; without any speaker it is the utterance itself, alone.

        A word without a speaker goes with the word before it, and at the beginning with the first that has one. The text
        is of the punctuated words, joined by spaces, and the times are those of the first and the last word.
        """
        runs: list[list[Word]] = []
        speaker: int | None = None
        for word in self.words:
            if not runs or (speaker is not None and word.speaker not in (None, speaker)):
                runs.append([])
            runs[-1].append(word)
            speaker = speaker if word.speaker is None else word.speaker
        return (self,) if speaker is None else tuple([self._of(run) for run in runs])

    def _of(self, words: list[Word]) -> Utterance:
        text = " ".join(word.punctuated_word or word.word for word in words)
        return replace(self, text=text, words=tuple(words), start=words[0].start, end=words[-1].end)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by their names, as JSON types; a word is a dict too, and times are rounded to the microsecond."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, object]) -> Utterance:
        """Return the utterance that `to_dict()` wrote, its times rounded.

        What is missing or of a wrong type is empty, and None for a number; `confirmed` is then False.

        :raises TypeError: for what is not a mapping.
        """
        empty: dict[str, Any] = {"text": "", "words": (), "start": None, "end": None, "confirmed": False}
        return cls(**empty | from_plain(cls, checked(mapping, "Utterance")))


@dataclass
class _Pending:
    """The final segments of one channel's utterance, as plain values: an event keeps the SDK's message alive."""

    channel_index: int | None
    texts: list[str] = field(default_factory=list[str])
    words: list[Word] = field(default_factory=list[Word])
    start: Seconds | None = None
    end: Seconds | None = None
    is_complete: bool = False

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def add(self, segment: TranscriptEvent, *, with_words: bool) -> None:
        if self.is_complete or not self.texts:
            self.texts, self.words, self.start, self.is_complete = [], [], segment.start, False
        self.texts.append(segment.transcript)
        self.end = segment.end
        if with_words:
            self.words += segment.words

    def complete(self, *, confirmed: bool = True) -> Utterance | None:
        if self.is_complete or not self.texts:
            return None
        self.is_complete = True
        return Utterance(
            text=self.text,
            words=tuple(self.words),
            start=self.start,
            end=self.end,
            channel_index=self.channel_index,
            confirmed=confirmed,
        )


class UtteranceAssembler:
    """Follows the events handed out; knows the utterance that the consumer is at."""

    def __init__(self) -> None:
        self.keeps_words = False
        """Whether the words of finals are read and kept for their utterance: somebody asks for utterances."""
        self._channels: dict[int | None, _Pending] = {}
        self._current: _Pending | TurnStateEvent | None = None

    @property
    def text(self) -> str:
        """The text of the utterance or turn of the event handed out last."""
        if self._current is None:
            return ""
        return self._current.text if isinstance(self._current, _Pending) else self._current.transcript

    def add(self, event: AnyStreamEvent) -> Utterance | None:
        """Record the next event; return the utterance that it completes."""
        if isinstance(event, TranscriptEvent):
            pending = self._at(event.channel_index)
            if event.is_final and event.transcript:
                pending.add(event, with_words=self.keeps_words)
            return pending.complete() if event.speech_final else None
        if isinstance(event, UtteranceEndEvent):
            return self._at(event.channel_index).complete()
        if isinstance(event, SpeechStartedEvent):
            self._at(event.channel_index)
        elif isinstance(event, TurnStateEvent):
            self._current = event
            if isinstance(event, EndOfTurnEvent):
                self._current = without_message(event)
                return _of_turn(event, with_words=self.keeps_words) if event.transcript else None
        return None

    def end(self) -> list[Utterance]:
        """Record the end of the stream; return what it cuts off. A second call returns nothing."""
        left = [pending.complete(confirmed=False) for pending in self._channels.values()]
        turn = self._current
        if isinstance(turn, TurnStateEvent) and not isinstance(turn, EndOfTurnEvent) and turn.transcript:
            self._current = unconfirmed_end(turn)
            left.append(_of_turn(self._current, with_words=self.keeps_words))
        return [utterance for utterance in left if utterance is not None]

    def _at(self, channel_index: int | None) -> _Pending:
        current = self._current if isinstance(self._current, _Pending) else None
        # None is not said, so the same.
        if current is None or channel_index not in (None, current.channel_index):
            current = self._channels.get(channel_index)
            if current is None:
                current = self._channels[channel_index] = _Pending(channel_index)
            self._current = current
        return current


def unconfirmed_end(turn: TurnStateEvent) -> EndOfTurnEvent:
    """Return the end of a turn, made from its last event, for a stream that ended inside it."""
    return EndOfTurnEvent(
        transcript=turn.transcript,
        words=turn.words,
        turn_index=turn.turn_index,
        start=turn.start,
        end=turn.end,
        end_of_turn_confidence=turn.end_of_turn_confidence,
        languages=turn.languages,
        confirmed=False,
        raw=turn.raw,
    )


def _of_turn(turn: EndOfTurnEvent, *, with_words: bool) -> Utterance:
    return Utterance(
        text=turn.transcript,
        words=turn.words if with_words else (),
        start=turn.start,
        end=turn.end,
        turn_index=turn.turn_index,
        confirmed=turn.confirmed,
    )
