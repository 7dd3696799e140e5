"""The bounded buffer between the SDK's callbacks and the consumer, and what it does when it is full.

The events wait in an anyio memory object stream. The stream has no bound of its own, because an event that arrives at a
full buffer still goes in: it must not be lost when the SDK's listener is cancelled while it waits for room. The
consumer never waits in the stream's own `receive()`, because that drops an item when it is cancelled in the very tick in
which the item is handed to it. Where interims have to be taken out, they wait beside the stream.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections import deque
from time import monotonic
from types import TracebackType

import anyio

from deepgram_stream_iter._errors import BufferOverflow
from deepgram_stream_iter._events.kinds import AnyStreamEvent
from deepgram_stream_iter._inbound.coalescing import CoalescingQueue
from deepgram_stream_iter._inbound.counts import Counts
from deepgram_stream_iter._log import Log
from deepgram_stream_iter._loop.signal import Waiters
from deepgram_stream_iter._settings import Overflow

_AT_ONCE = 6
"""So many events are handed over at once: in a flood the SDK would bring 32, each with a hundred objects of its message, and
the garbage collector, which runs after 700 new ones, takes 14 us an event then (of the SDK's 155 for it)."""


class EndOfEvents(Exception):
    """The stream has ended as agreed, and every event was handed out; no other exception passes for it."""


class EventBuffer:
    """At most `max_size` events, in order; its end is a state (closed, with or without an error)."""

    def __init__(
        self,
        max_size: int,
        overflow: Overflow,
        overflow_timeout_seconds: float,
        log: Log,
        *,
        whose: str = "the session's",
    ) -> None:
        self.max_size, self._overflow, self._timeout_seconds = max_size, overflow, overflow_timeout_seconds
        self._bound: float = max_size
        self._at_once = min(_AT_ONCE, max_size + 1)
        self._send, self._receive = anyio.create_memory_object_stream[AnyStreamEvent](math.inf)
        # From a coalescing until the buffer is empty; it has the stream then.
        self._queue: CoalescingQueue | None = None
        self._rest: deque[AnyStreamEvent] | None = None  # what was left in the stream when it was closed
        self._arrivals: deque[float] = deque()  # when those in the stream arrived, or those in the rest
        self.counts = Counts()
        """What this buffer counts, and others of the session that share it."""
        self._used = 0  # events inside: counted here, because asking the stream costs more than a put
        self.error: Exception | None = None
        """With which it was closed."""
        self._origin: TracebackType | None = None
        self._pauses_sdk = True
        self._consumers = Waiters()  # for an event, or the end
        self._producers = Waiters()  # for room
        self._has_dropped = False
        self._log, self._whose = log, whose

    @property
    def size(self) -> int:
        """The events that wait; one that waits for room itself is not among them."""
        return min(self._used, self.max_size) if self._pauses_sdk else self._used

    @property
    def is_closed(self) -> bool:
        """Whether no more events are kept."""
        return self._rest is not None

    @property
    def is_full(self) -> bool:
        """Whether whoever brings events has to wait for room before bringing more."""
        return self._used > self._bound and (self._overflow == "error" or self._pauses_sdk)

    @property
    def is_consumer_due(self) -> bool:
        """Whether the consumer should run before more is brought: the buffer is full, or there is enough for one that waits."""
        return self._used >= self._at_once and (bool(self._consumers) or self.is_full)

    def put(self, event: AnyStreamEvent) -> None:
        """Keep an event for the consumer, also in a full buffer. After `close()` it is dropped."""
        if self._rest is not None:
            return
        if self._queue is None:
            self._send.send_nowait(event)
            self._arrivals.append(monotonic())
        else:
            self._queue.put(event, monotonic())
        self._used = used = self._used + 1
        if self._consumers:
            self._consumers.wake()
        if used > self._bound:
            self._shrink()
        elif used > self.counts.size_max:
            self.counts.size_max = used

    async def wait_for_room(self) -> None:
        """Wait until the buffer is not full, a turn of the event loop at least.

        :raises BufferOverflow: when nobody takes an event within `overflow_timeout_seconds`, and at once where the policy
            is `error`.
        """
        if self.is_full and self._overflow == "error":
            raise _overflow(f"the buffer of {self.max_size} events was full and overflow is 'error'")
        if not self.is_full:
            await asyncio.sleep(0)
            return
        with anyio.move_on_after(self._timeout_seconds):
            while self.is_full:
                await self._producers.wait()
        if self.is_full:
            raise _overflow(
                f"the buffer of {self.max_size} events was full, and nobody took one for"
                f" {self._timeout_seconds} s (overflow_timeout_seconds)"
            )

    async def get(self) -> AnyStreamEvent:
        """Return the next event as soon as there is one; cancelling loses none.

        :raises EndOfEvents: when there will be none; where the buffer was closed with an error, that error.
        """
        while not self._used:
            if self._rest is not None:
                raise self._ended()
            self._queue = None
            await self._consumers.wait()
        if self._producers:
            self._producers.wake()
        return self._take()

    def take_waiting(self, at_most: int = sys.maxsize) -> list[AnyStreamEvent]:
        """Return all events that wait, or the first of them, without waiting for one."""
        if self._producers:
            self._producers.wake()
        return [self._take() for _ in range(min(self._used, at_most))]

    def take_rest(self) -> list[AnyStreamEvent]:
        """Return all events that are left in a buffer that was closed, in any thread.

        :raises EndOfEvents: when there are none; where the buffer was closed with an error, that error.
        """
        if not self._used:
            raise self._ended()
        return self.take_waiting()

    def stop_pausing(self) -> None:
        """Keep everything from now on, past the bound where need be; the policies that drop or raise go on."""
        self._pauses_sdk = False
        self._producers.wake()

    def unbound(self) -> None:
        """Keep everything from now on, whatever the policy."""
        self._bound = math.inf
        self.stop_pausing()

    def close(self, error: Exception | None = None) -> None:
        """Keep no more events; those inside are still handed out, then comes the end. The first call counts."""
        if self._rest is not None:
            return
        rest = [self._pop() for _ in range(self._used)]
        self._rest, self._arrivals = deque(event for event, _ in rest), deque(arrived for _, arrived in rest)
        self._used, self.error = len(rest), error
        self._origin = error.__traceback__ if error is not None else None
        self._send.close()
        self._receive.close()
        self.unbound()
        self._consumers.wake()

    def _ended(self) -> Exception:
        if self.error is None:
            return EndOfEvents()
        # Raised again and again, it would keep the frames of each time.
        return self.error.with_traceback(self._origin)

    def _take(self) -> AnyStreamEvent:
        self._used -= 1
        event, arrived = self._pop()
        self.counts.waits.record(monotonic() - arrived)
        return event

    def _pop(self) -> tuple[AnyStreamEvent, float]:
        """Return the oldest event and when it arrived."""
        if self._rest is not None:
            return self._rest.popleft(), self._arrivals.popleft()
        if self._queue is None:
            return self._receive.receive_nowait(), self._arrivals.popleft()
        return self._queue.take()

    def _shrink(self) -> None:
        """Do what the policy says to a buffer that is over its bound."""
        if self._overflow == "drop_oldest":
            self._pop()
            self._used -= 1
            if not self._has_dropped:
                self._has_dropped = True
                self._log.warning(
                    "%s buffer of %s events is full: the oldest are dropped", self._whose, self.max_size
                )
            self.counts.dropped += 1
        elif self._overflow == "coalesce":
            if self._queue is None:  # the only pass over all events: at least `max_size` puts lie between two
                self._queue = CoalescingQueue(self._send, self._receive, self._arrivals)
            coalesced = self._queue.coalesce(self._used - self.max_size)
            self._used -= coalesced
            self.counts.interims_coalesced += coalesced
        self.counts.size_max = max(self.counts.size_max, self.size)


def _overflow(what: str) -> BufferOverflow:
    return BufferOverflow(
        f"{what}. Consume while sending: hand the audio to feed() and iterate, or give stream() a larger"
        " max_buffer_size; 0 where only handlers and subscriptions take the events."
    )
