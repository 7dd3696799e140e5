"""Nova's utterances that were open when a connection was lost. Pure.

A connection that has not heard the words of an utterance never says that it has ended. The pause that it hears shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepgram_stream_iter._events.kinds import AnyStreamEvent, TranscriptEvent, UtteranceEndEvent
from deepgram_stream_iter._events.unread import last_word
from deepgram_stream_iter._events.words import Word
from deepgram_stream_iter._recovery.words import Place, place_of

_DEFAULT_ENDPOINTING = "10"
"""Deepgram's, in milliseconds, as its documentation of `endpointing` says."""
_BREATH_SECONDS = 0.3
"""Words of one breath are up to so far apart, which says nothing of the sound between them that `endpointing` goes by."""


class CutUtterances:
    """Follows the events channel by channel; ends an utterance that nobody else will."""

    def __init__(self, query: Mapping[str, str | Sequence[str]]) -> None:
        self._pause_seconds = _pause_seconds(query)
        self._open: dict[
            int | None, Place
        ] = {}  # by channel: the last final word of the utterance that is open
        self._cut: dict[int | None, Place] = {}  # ... which this connection has not heard

    def resume(self) -> None:
        """Record that a new connection begins."""
        self._cut = dict(self._open)

    def heard(self, event: AnyStreamEvent) -> None:
        """Record an event as the connection sent it: one that hears an utterance's last word again ends it as well."""
        if not isinstance(event, TranscriptEvent) or not event.is_final:
            return
        last = self._cut.get(event.channel_index)
        if last is not None and any(_is_same(word, last) for word in event.words):
            del self._cut[event.channel_index]

    def end_before(self, event: AnyStreamEvent) -> UtteranceEndEvent | None:
        """Record an event that is handed out; return the UtteranceEnd to hand out before it, if it shows that one is missing."""
        if isinstance(event, UtteranceEndEvent):
            self._forget(event.channel_index)
        # Only a final shows a pause, because an interim may still change: to words that begin earlier, or to other words.
        # An utterance that ends a little later does less harm than one that is split.
        if not isinstance(event, TranscriptEvent) or not event.is_final:
            return None
        channel = event.channel_index
        last = self._cut.get(channel)
        missing = None
        if last is not None and self._shows_pause(event, last.end):
            missing = UtteranceEndEvent(last_word_end=last.end, channel_index=channel)
        if event.transcript or event.speech_final or missing:
            self._forget(channel)
        if event.transcript and not event.speech_final and event.end is not None:
            self._open[channel] = _last_word(event, event.end)
        return missing

    def _shows_pause(self, final: TranscriptEvent, last_word_end: float) -> bool:
        """Return whether nobody spoke for as long as ends an utterance."""
        if self._pause_seconds is None:
            return False
        if final.transcript:
            begin = final.words[0].start if final.words else None
            return begin is not None and begin >= last_word_end + max(self._pause_seconds, _BREATH_SECONDS)
        # An endpoint ends the utterance by itself, and the empty answer to a Finalize brings no silence.
        if final.speech_final or not final.duration or final.end is None:
            return False
        return final.end >= last_word_end + self._pause_seconds

    def _forget(self, channel: int | None) -> None:
        self._open.pop(channel, None)
        self._cut.pop(channel, None)


def _last_word(final: TranscriptEvent, segment_end: float) -> Place:
    """Return where the last word of a segment is: at its end where nobody knows."""
    return place_of(last_word(final)) or Place(segment_end, segment_end)


def _is_same(word: Word, last: Place) -> bool:
    """Return whether a word is the last one heard again."""
    place = place_of(word)
    return place is not None and place.middle < last.end and place.end > last.middle


def _pause_seconds(query: Mapping[str, str | Sequence[str]]) -> float | None:
    """Return how long a pause ends an utterance by the parameters of the connection; None where none does."""
    for name, default in (("utterance_end_ms", ""), ("endpointing", _DEFAULT_ENDPOINTING)):
        value = str(query.get(name, default))
        if value == "true":
            value = _DEFAULT_ENDPOINTING
        if value.isdecimal():
            return int(value) / 1000
    return None
