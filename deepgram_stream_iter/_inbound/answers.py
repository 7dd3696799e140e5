"""The answers to control messages: events like any other, noticed here on their way to the buffer."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from deepgram_stream_iter._events.kinds import AnyStreamEvent, ConfiguredEvent, ConfigureFailedEvent
from deepgram_stream_iter._log import Log
from deepgram_stream_iter._loop.signal import Signal, Waiters


class Answer:
    """The event that answers a control message, once it is there."""

    def __init__(self, fits: Callable[[AnyStreamEvent], bool]) -> None:
        self.fits = fits
        self.event: AnyStreamEvent | None = None
        self._changed = Waiters()

    def wake(self) -> None:
        """Let whoever waits for the answer look again."""
        self._changed.wake()

    async def wait_for_change(self) -> None:
        """Wait for the answer, the loss of the connection, or the end of the stream."""
        await self._changed.wait()


class Answers:
    """Follows the events; hands each answer to whoever waits for it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._expected: list[Answer] = []
        self._restored: Signal | None = None
        self.is_over = False
        """The stream has ended: there will be no more answers."""

    @contextmanager
    def expecting(self, fits: Callable[[AnyStreamEvent], bool]) -> Generator[Answer]:
        """Notice the first event that fits."""
        answer = Answer(fits)
        self._expected.append(answer)
        try:
            yield answer
        finally:
            self._expected.remove(answer)

    def offer(self, event: AnyStreamEvent) -> None:
        """Notice an event that may be an answer."""
        for answer in self._expected:
            if answer.event is None and answer.fits(event):
                answer.event = event
                answer.wake()

    def expect_restored(self) -> Signal:
        """Expect the answer to a Configure of our own; what is returned is set when it has come."""
        self._restored = Signal()
        return self._restored

    def is_to_our_own(self, event: AnyStreamEvent) -> bool:
        """Return whether an event answers a Configure of our own, which the application never sent."""
        if self._restored is None or not isinstance(event, (ConfiguredEvent, ConfigureFailedEvent)):
            return False
        self._restored.set()
        self._restored = None
        if isinstance(event, ConfigureFailedEvent):
            self._log.warning("after a reconnection Deepgram refused settings that it had taken over before")
        return True

    def connection_lost(self) -> None:
        """Wake all who wait: what was not answered has to be sent again."""
        for answer in self._expected:
            answer.wake()

    def close(self) -> None:
        """Wake all who wait: the stream has ended."""
        self.is_over = True
        self.connection_lost()
