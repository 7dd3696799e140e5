"""What has arrived, whoever has consumed it: the whole text, the last message, the turn that is open. Pure."""

from __future__ import annotations

from collections import Counter

from deepgram_stream_iter._events.kinds import (
    AnyStreamEvent,
    AudioGapEvent,
    ConnectedEvent,
    EndOfTurnEvent,
    MetadataEvent,
    StartOfTurnEvent,
    TranscriptEvent,
    TurnStateEvent,
)
from deepgram_stream_iter._inbound.audio_clock import AudioClock
from deepgram_stream_iter._transcript import unconfirmed_end


class Ledger:
    """Keeps account of the events, in the order of their arrival."""

    def __init__(self, clock: AudioClock) -> None:
        self._clock = clock
        self.events_by_kind: Counter[str] = Counter()
        self.request_id = ""
        self.metadata: MetadataEvent | None = None
        self.audio_seconds_finalized = 0.0
        self._lost_after_sending = 0.0  # seconds of audio
        self._transcribed_seconds = 0.0  # where the last result ends, final or not
        self.latency_seconds_max: float | None = None
        self._final_texts: list[str] = []
        self._open_turn: TurnStateEvent | None = None

    @property
    def transcript(self) -> str:
        """All final text, in one line."""
        return " ".join(self._final_texts)

    def record(self, event: AnyStreamEvent) -> None:
        """Record the next event."""
        self.events_by_kind[event.type] += 1
        if isinstance(event, TranscriptEvent):
            end = event.end
            self._record_result(end)
            if event.is_final:
                self._record_final(event.transcript, end)
        elif isinstance(event, EndOfTurnEvent):
            self._open_turn = None
            self._record_result(event.end)
            self._record_final(event.transcript, event.end)
        elif isinstance(event, TurnStateEvent):
            self._record_result(event.end)
            # Flux sends updates without text while nobody speaks; those open no turn
            if self._open_turn or event.transcript or isinstance(event, StartOfTurnEvent):
                self._open_turn = event
        elif isinstance(event, (ConnectedEvent, MetadataEvent)):
            self.request_id = event.request_id or self.request_id
            if isinstance(event, MetadataEvent):
                self.metadata = event
        elif isinstance(event, AudioGapEvent) and event.end is not None:
            # Nothing where the audio was lost before it was sent, which the clock has counted.
            self._lost_after_sending += self._clock.skips.sent(event.end) - self._clock.skips.sent(
                event.start
            )

    @property
    def events(self) -> int:
        """The events that have arrived."""
        return self.events_by_kind.total()

    @property
    def latency_seconds(self) -> float | None:
        """How far the transcript is behind the audio, as Deepgram measures it: the audio cursor less the transcript cursor."""
        sent = self._clock.seconds_sent
        return None if sent is None else max(0.0, sent - self._clock.skips.sent(self._transcribed_seconds))

    @property
    def audio_seconds_lost(self) -> float:
        """The audio of all gaps whose length is known, each second once, without what the application left out."""
        return self._clock.seconds_lost + self._lost_after_sending

    def end_of_open_turn(self) -> EndOfTurnEvent | None:
        """Return the end of the turn that the end of the stream cuts off; None when no turn is open."""
        return unconfirmed_end(self._open_turn) if self._open_turn else None

    def _record_result(self, end: float | None) -> None:
        if end is None:
            return
        self._transcribed_seconds = end
        latency_seconds = self.latency_seconds
        if latency_seconds is None:
            return
        if self.latency_seconds_max is None or latency_seconds > self.latency_seconds_max:
            self.latency_seconds_max = latency_seconds

    def _record_final(self, text: str, end: float | None) -> None:
        if text:
            self._final_texts.append(text)
        self.audio_seconds_finalized = max(self.audio_seconds_finalized, end or 0.0)
