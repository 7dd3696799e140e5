"""The turns of Flux, when a connection is lost in one: each begins once and ends once, with all its words. Pure."""

from __future__ import annotations

from dataclasses import fields, replace

from deepgram_stream_iter._events.kinds import (
    EagerEndOfTurnEvent,
    EndOfTurnEvent,
    StartOfTurnEvent,
    TurnEvent,
    TurnResumedEvent,
    TurnStateEvent,
    TurnUpdateEvent,
)
from deepgram_stream_iter._events.unread import changed
from deepgram_stream_iter._events.words import Word
from deepgram_stream_iter._recovery.words import is_before, text_of
from deepgram_stream_iter._transcript import unconfirmed_end

_ONSET_SECONDS = 3.0
"""While nobody speaks Flux ends no turn; audio this much older than what it has heard holds no beginning of one."""


class Turns:
    """Follows the turns of a session; a turn that is cut goes on with the next connection."""

    def __init__(self) -> None:
        self.finalized_seconds = 0.0
        """Until where no turn is open, and none will be."""
        self._index = 0  # of the turn that is open, or comes next
        self._index_offset = 0  # to the number that the server gives it
        self._open: TurnEvent | None = None  # the last event of the turn that is open
        self._cut: TurnEvent | None = None  # the last event of a turn in which a connection was lost
        self._cut_words: tuple[Word, ...] = ()  # all that was heard of that turn
        self._kept_words: tuple[Word, ...] = ()  # ... before the place where the replay begins

    def resume(self, begin_seconds: float) -> None:
        """Record that a new connection is sent the audio from here on."""
        self._index_offset = self._index
        if self._open is not None:
            self._cut_words = _joined(self._open.words, self._cut_words)
            self._cut, self._open = self._open, None
        self._kept_words = tuple(word for word in self._cut_words if is_before(word, begin_seconds))

    def take(self, event: TurnEvent) -> TurnEvent | None:
        """Return the event as one of the session's turns; None where it says nothing new."""
        if event.turn_index is not None and self._index_offset:
            event = changed(event, turn_index=event.turn_index + self._index_offset)
        if self._cut is not None:
            if event.turn_index == self._cut.turn_index:
                is_end = isinstance(event, EndOfTurnEvent)
                if not event.transcript and not is_end:
                    # The turn goes on, because the replay has not come to its first word yet; or the server hears nobody
                    # this time, because the replay has gone past it.
                    return self._end_of_cut(self._cut, event)
                event = self._continued(self._cut, event)
                if not is_end:
                    self._open = event
                    return event
            self._forget_cut()
        if isinstance(event, EndOfTurnEvent):
            self._open = None
            if event.turn_index is not None:
                self._index = event.turn_index + 1
            self._finalize(event.end)
        elif self._open is not None or event.transcript or isinstance(event, StartOfTurnEvent):
            self._open = event
        elif event.end is not None:
            self._finalize(event.end - _ONSET_SECONDS)
        return event

    def _end_of_cut(self, cut: TurnEvent, silence: TurnEvent) -> EndOfTurnEvent | None:
        """Return the end of the turn that was cut, once the new connection has heard nobody for long enough after it."""
        if self._open is not None or not isinstance(silence, TurnUpdateEvent):
            return None
        words = self._cut_words  # of all hearings, because the last may have been lost before it came to some
        text = text_of(words) if len(words) > len(cut.words) else cut.transcript
        ends = [end for end in (cut.end, *(word.end for word in words)) if end is not None]
        if not ends or silence.end is None or silence.end < max(ends) + _ONSET_SECONDS:
            return None
        cut = replace(cut, words=words, transcript=text, end=max(ends))
        self._forget_cut()
        if cut.turn_index is not None:
            self._index = cut.turn_index + 1
            self._index_offset += 1  # because the server's turn of that number has not begun
        self._finalize(cut.end)
        return unconfirmed_end(cut)

    def _continued(self, cut: TurnEvent, event: TurnEvent) -> TurnEvent:
        """Return an event of the replay as one of the turn that was cut, with its start and the words that were kept."""
        words = self._kept_words + event.words
        start = min((turn.start for turn in (cut, event) if turn.start is not None), default=None)
        text = f"{text_of(self._kept_words)} {event.transcript}".strip()
        event = replace(event, start=start, words=words, transcript=text)
        is_first = self._open is None
        if isinstance(event, StartOfTurnEvent) or (is_first and isinstance(event, TurnUpdateEvent)):
            # An eager end that was handed out is taken back, because the application may have begun to answer.
            kind = TurnResumedEvent if isinstance(cut, EagerEndOfTurnEvent) and is_first else TurnUpdateEvent
            shared = {
                field.name: getattr(event, field.name) for field in fields(TurnStateEvent) if field.init
            }
            return kind(**shared)
        return event

    def _forget_cut(self) -> None:
        self._cut, self._cut_words, self._kept_words = None, (), ()

    def _finalize(self, until_seconds: float | None) -> None:
        self.finalized_seconds = max(self.finalized_seconds, until_seconds or 0.0)


def _joined(words: tuple[Word, ...], earlier: tuple[Word, ...]) -> tuple[Word, ...]:
    """Return the words of the last hearing, and after them those that only an earlier one came to."""
    end = words[-1].end if words else 0.0
    return words + tuple(word for word in earlier if end is not None and not is_before(word, end))
