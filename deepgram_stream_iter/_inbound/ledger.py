"""What has arrived, whoever has consumed it: the whole text, the last message, the turn that is open. Pure."""

from __future__ import annotations

from deepgram_stream_iter._events.kinds import (
    AnyStreamEvent,
    ConnectedEvent,
    EndOfTurnEvent,
    MetadataEvent,
    StartOfTurnEvent,
    TranscriptEvent,
    TurnStateEvent,
)
from deepgram_stream_iter._transcript import unconfirmed_end


class Ledger:
    """Keeps account of the events, in the order of their arrival."""

    def __init__(self) -> None:
        self.events = 0
        self.request_id = ""
        self.metadata: MetadataEvent | None = None
        self.audio_seconds_finalized = 0.0
        self._final_texts: list[str] = []
        self._open_turn: TurnStateEvent | None = None

    @property
    def transcript(self) -> str:
        """All final text, in one line."""
        return " ".join(self._final_texts)

    def record(self, event: AnyStreamEvent) -> None:
        """Record the next event."""
        self.events += 1
        if isinstance(event, TranscriptEvent):
            if event.is_final:
                self._record_final(event.transcript, event.end)
        elif isinstance(event, EndOfTurnEvent):
            self._open_turn = None
            self._record_final(event.transcript, event.end)
        elif isinstance(event, TurnStateEvent):
            # Flux sends updates without text while nobody speaks; those open no turn
            if self._open_turn or event.transcript or isinstance(event, StartOfTurnEvent):
                self._open_turn = event
        elif isinstance(event, (ConnectedEvent, MetadataEvent)):
            self.request_id = event.request_id or self.request_id
            if isinstance(event, MetadataEvent):
                self.metadata = event

    def end_of_open_turn(self) -> EndOfTurnEvent | None:
        """Return the end of the turn that the end of the stream cuts off; None when no turn is open."""
        return unconfirmed_end(self._open_turn) if self._open_turn else None

    def _record_final(self, text: str, end: float | None) -> None:
        if text:
            self._final_texts.append(text)
        self.audio_seconds_finalized = max(self.audio_seconds_finalized, end or 0.0)
