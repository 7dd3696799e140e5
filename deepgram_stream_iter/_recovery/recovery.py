"""All that a session needs to get over the loss of a connection, in one place. Pure.

events   Connection -> Inbox -> `take` (one clock, nothing twice) -> the buffer
audio    the outbox -> `memory` -> the connection; `resume` goes back to what is not transcribed for good
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._events.kinds import (
    AnyStreamEvent,
    AudioGapEvent,
    EndOfTurnEvent,
    TranscriptEvent,
)
from deepgram_stream_iter._recovery.back_off import BackOff
from deepgram_stream_iter._recovery.deduplicator import Deduplicator
from deepgram_stream_iter._recovery.memory import Memory, OpaqueMemory, RawMemory
from deepgram_stream_iter._recovery.timeline import Timeline
from deepgram_stream_iter._recovery.utterance import CutUtterances


class Recovery:
    """Follows a session: `resume` begins each connection, `take` follows its events."""

    def __init__(self, back_off: BackOff, query: Mapping[str, str | Sequence[str]]) -> None:
        reconnect, audio_format = back_off.reconnect, RawFormat.of(query)
        self.memory: Memory = (
            RawMemory(audio_format, reconnect.replay_seconds)
            if audio_format
            else OpaqueMemory(reconnect.replay_seconds)
        )
        self._back_off = back_off
        self._timeline, self._deduplicator = Timeline(), Deduplicator()
        self._utterances = CutUtterances(query)
        self._finalized_seconds = 0.0  # before the next event
        self.audio_seconds_replayed = 0.0

    def take(self, event: AnyStreamEvent) -> list[AnyStreamEvent]:
        """Return what the session hands out for an event of the connection; nothing where it says nothing new."""
        event = self._timeline.place(event)
        if isinstance(event, TranscriptEvent) and not event.is_final:
            # It finalizes nothing and ends no utterance.
            new = self._deduplicator.take(event)
            return [] if new is None else [new]
        self._utterances.heard(event)
        new = self._deduplicator.take(event)
        if new is None:
            return []
        before, self._finalized_seconds = self._finalized_seconds, self._deduplicator.finalized_seconds
        if _is_final(new) and (new.transcript or self._finalized_seconds > before):
            self._back_off.progress()
        self.memory.finalized(self._finalized_seconds)
        end = self._utterances.end_before(new)
        return [new] if end is None else [end, new]

    def resume(self) -> tuple[float, AudioGapEvent | None]:
        """Begin a connection; return the seconds of audio that it is sent again, and the gap that cannot be."""
        finalized = self._deduplicator.finalized_seconds
        begin, gap, replayed = self.memory.rewind(finalized, self._timeline.heard_seconds)
        self._timeline.begin(begin)
        self._deduplicator.resume(begin)
        self._utterances.resume()
        self._finalized_seconds = self._deduplicator.finalized_seconds
        self.audio_seconds_replayed += replayed
        return replayed, _gap_event(gap)

    def end(self) -> AudioGapEvent | None:
        """Return the audio that is lost when the session ends without its tail."""
        return _gap_event(self.memory.rest(self._deduplicator.finalized_seconds))


def _gap_event(gap: tuple[float, float | None] | None) -> AudioGapEvent | None:
    return None if gap is None else AudioGapEvent(start=gap[0], end=gap[1])


def _is_final(event: AnyStreamEvent) -> TypeGuard[TranscriptEvent | EndOfTurnEvent]:
    return isinstance(event, EndOfTurnEvent) or (isinstance(event, TranscriptEvent) and event.is_final)
