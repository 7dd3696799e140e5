"""What every event of a connection passes: one clock, the ledger, the answers, the buffers. In this order."""

from __future__ import annotations

from deepgram_stream_iter._events.kinds import AnyStreamEvent, AudioGapEvent
from deepgram_stream_iter._inbound.answers import Answers
from deepgram_stream_iter._inbound.audio_clock import AudioClock
from deepgram_stream_iter._inbound.buffer import EventBuffer
from deepgram_stream_iter._inbound.ledger import Ledger
from deepgram_stream_iter._inbound.subscriber import Subscriber
from deepgram_stream_iter._log import Log
from deepgram_stream_iter._recovery.recovery import Recovery


class Inbox:
    """Where connections, one after another, put their events."""

    def __init__(self, buffer: EventBuffer, log: Log) -> None:
        self.buffer, self.clock, self.answers, self._log = buffer, AudioClock(), Answers(log), log
        self.ledger = Ledger(self.clock)
        self.recovery: Recovery | None = None
        """From the first connection on, where the session reconnects."""
        self._subscribers: tuple[Subscriber, ...] = ()
        self._error: Exception | None = None  # with which the stream ended

    @property
    def size(self) -> int:
        """The events that wait in the fullest buffer."""
        return max(each.size for each in (self.buffer, *(one.buffer for one in self._subscribers)))

    @property
    def is_consumer_due(self) -> bool:
        """Whether a consumer should run before more is brought."""
        if self.buffer.is_consumer_due:
            return True
        return bool(self._subscribers) and any(each.buffer.is_consumer_due for each in self._subscribers)

    def put(self, event: AnyStreamEvent) -> None:
        """Process an event of a connection. Never raises and never waits."""
        if self.answers.is_to_our_own(event):
            return
        if self.recovery is None:
            self._emit(event)
        else:
            for each in self.recovery.take(event):
                self._emit(each)

    def deliver(self, event: AnyStreamEvent) -> None:
        """Record an event, and hand it to all consumers; its times are on the session's clock."""
        self.ledger.record(event)
        self.buffer.put(event)
        for subscriber in self._subscribers:
            subscriber.offer(event)

    def lose(self, gap: AudioGapEvent) -> None:
        """Tell everybody that audio is lost."""
        to = "on" if gap.end is None else f"to {gap.end:.2f} s"
        self._log.warning("audio is lost and not transcribed: from %.2f s %s", gap.start, to)
        self.deliver(gap)

    def lose_unsent(self, size: int) -> None:
        """Tell everybody that so many bytes were to be sent here, and are not; the clock goes on without them."""
        if self.clock.format is None:
            self.lose(AudioGapEvent(start=self.ledger.audio_seconds_finalized, end=None))
        else:
            self.lose(self.clock.lose(self.clock.format.seconds(size)))

    def subscribe(self, subscriber: Subscriber) -> None:
        """Deliver all events from now on to this consumer, too."""
        subscriber.buffer.counts = self.buffer.counts
        self._subscribers = (*self._subscribers, subscriber)
        if self.answers.is_over:
            subscriber.buffer.close(self._error)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Deliver nothing more to this consumer."""
        self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)
        subscriber.buffer.close()

    def close(
        self,
        error: Exception | None,
        *,
        lost: AudioGapEvent | None,
        unsent_bytes: int = 0,
        is_drained: bool = False,
    ) -> None:
        """End the stream, after the audio that its end costs or, without a loss, the end of a turn that it cuts off."""
        self.answers.close()
        self.buffer.unbound()
        for subscriber in self._subscribers:
            subscriber.unbound()
        if lost is not None:
            self.lose(lost)
        if unsent_bytes:
            self.lose_unsent(unsent_bytes)
        turn = self.ledger.end_of_open_turn() if is_drained or error is None else None
        if turn is not None:
            self.deliver(turn)
        self._error = error
        for buffer in (self.buffer, *(each.buffer for each in self._subscribers)):
            buffer.close(error)

    def _emit(self, event: AnyStreamEvent) -> None:
        if self.clock.skips.places:
            event = self.clock.place(event)
        self.answers.offer(event)
        self.deliver(event)
