"""Who takes the events out of a buffer in another thread: all that wait with one crossing, then one after another.

in the loop: the buffer -> `take_all` -> the deque
in the application's thread: the deque -> `next_here` -> the application
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from deepgram_stream_iter._events.kinds import AnyStreamEvent
from deepgram_stream_iter._inbound.buffer import EndOfEvents, EventBuffer
from deepgram_stream_iter._session.consumer import Consumer, Position
from deepgram_stream_iter._session.entered import Entered
from deepgram_stream_iter._session.subscription import Subscription
from deepgram_stream_iter._sync.loop_thread import LoopReleased
from deepgram_stream_iter._transcript import Utterance

if TYPE_CHECKING:
    from deepgram_stream_iter._sync.running import Running

E = TypeVar("E")
T = TypeVar("T")

_TOP_UP_SECONDS = 0.05
"""How often a slow consumer makes room in a full buffer: it must not look like none within `overflow_timeout_seconds`."""


class CrossingConsumer(Consumer[E]):
    """Hands out the events of one buffer to one thread at a time."""

    def __init__(self, running: Running, entered: Entered, buffer: EventBuffer, position: Position) -> None:
        super().__init__(entered, buffer, position)
        self._running = running
        # Where the loop puts events: one that were the result of a call would be lost with a call that is interrupted.
        self._pending: deque[E] = deque()
        # Under one key the thread that takes events. No lock, because an interrupt may leave a lock held.
        self._taking: dict[str, int] = {}
        self._topped_up_at = 0.0

    @property
    def pending(self) -> int:
        """The events that were taken out of the buffer, and not handed out yet."""
        return len(self._pending)

    def next_here(self) -> E:
        """Return the next event; raises as `next()` does."""
        return self._alone(self._next_event)

    def next_utterance_here(self) -> Utterance:
        """Return the next utterance; raises as `next_utterance()` does."""
        return self._alone(self._next_utterance)

    def _alone(self, take: Callable[[], T]) -> T:
        """Take events in one thread at a time; one that was interrupted here, wherever, may come back."""
        thread = threading.get_ident()
        try:
            if self._taking.setdefault("thread", thread) != thread:
                raise RuntimeError("another thread is iterating this already: subscribe() for one consumer more")
            return take()
        finally:
            if self._taking.get("thread") == thread:
                self._taking.clear()

    def _next_event(self) -> E:
        try:
            return self._next_pending()
        except Exception as error:
            self._entered.note(error)
            raise

    def _next_utterance(self) -> Utterance:
        while True:
            try:
                self._next_pending()
                utterance = self._position.completed
            except Exception as error:
                utterance = self._end(error)
                if utterance is None:
                    self._entered.note(error)
                    raise
            if utterance is not None:
                return utterance

    def _next_pending(self) -> E:
        if not self._pending:
            self._bring()
        elif self._buffer.size >= self._buffer.max_size:
            self._top_up()
        event = self._pending[0]
        self._position.advance(cast("AnyStreamEvent", event))
        return self._pending.popleft()  # last, so that an interrupt before does not lose it

    def _bring(self) -> None:
        """Wait for an event, and have all brought that wait."""
        with contextlib.suppress(LoopReleased):
            self._running.lease.call(self._bring_in_loop)
            return
        # The session was left, and here is the only thread that still takes events.
        if not self._buffer.is_closed:
            raise self._running.ended()
        try:
            self._pending.extend(cast("list[E]", self._buffer.take_rest()))
        except EndOfEvents:
            raise StopAsyncIteration from None

    def _top_up(self) -> None:
        """Take as many events out of a full buffer as were handed out, without waiting for that."""
        time_now = time.monotonic()
        if time_now - self._topped_up_at < _TOP_UP_SECONDS:
            return
        self._topped_up_at = time_now
        with contextlib.suppress(LoopReleased):
            self._running.lease.call_soon(self._top_up_in_loop)

    async def _bring_in_loop(self) -> None:
        if self._pending:  # topped up meanwhile
            self._top_up_in_loop()
        else:
            await self.take_all(self._pending)

    def _top_up_in_loop(self) -> None:
        room = self._buffer.max_size - len(self._pending)
        self._pending.extend(cast("list[E]", self._buffer.take_waiting(max(0, room))))


class CrossingSubscription(Subscription[Any]):
    """A subscription whose events are handed out in another thread."""

    def consumer(self, running: Running) -> CrossingConsumer[Any]:
        """Return its consumer there."""
        return CrossingConsumer(running, self._entered, self._subscriber.buffer, self._position)
