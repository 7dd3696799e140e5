"""What every event of a connection passes: one clock, the ledger, the answers, the buffer. In this order."""

from __future__ import annotations

from deepgram_stream_iter._events.kinds import AnyStreamEvent, AudioGapEvent
from deepgram_stream_iter._inbound.answers import Answers
from deepgram_stream_iter._inbound.buffer import EventBuffer
from deepgram_stream_iter._inbound.ledger import Ledger
from deepgram_stream_iter._recovery.recovery import Recovery


class Inbox:
    """Where connections, one after another, put their events."""

    def __init__(self, buffer: EventBuffer) -> None:
        self.buffer, self.ledger, self.answers = buffer, Ledger(), Answers()
        self.recovery: Recovery | None = None
        """From the first connection on, where the session reconnects."""

    def put(self, event: AnyStreamEvent) -> None:
        """Process an event of a connection. Never raises and never waits."""
        if self.answers.is_to_our_own(event):
            return
        if self.recovery is None:
            self._emit(event)
        else:
            for each in self.recovery.take(event):
                self._emit(each)

    def close(self, error: Exception | None, *, lost: AudioGapEvent | None) -> None:
        """End the stream, after the audio that its end costs or, without an error, the end of a turn that it cuts off."""
        self.answers.close()
        self.buffer.unbound()
        if lost is not None:
            self.buffer.put(lost)
        turn = self.ledger.end_of_open_turn() if error is None else None
        if turn is not None:
            self.ledger.record(turn)
            self.buffer.put(turn)
        self.buffer.close(error)

    def _emit(self, event: AnyStreamEvent) -> None:
        self.ledger.record(event)
        self.answers.offer(event)
        self.buffer.put(event)
