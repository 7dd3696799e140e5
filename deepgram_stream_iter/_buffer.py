"""The bounded buffer between the SDK's callbacks and the consumer, and what it does when it is full.

The events lie in an anyio memory object stream without a bound of its own: the bound is kept here, because an event
that arrives at a full buffer still goes in (it must not be lost when the SDK's listener is cancelled while it is held
back). The consumer never waits in the stream's own `receive()`, either: cancelled in the very moment in which an item is
handed to it, that drops the item.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Coroutine, Hashable

import anyio

from ._errors import BufferOverflow
from ._events import AnyStreamEvent, TranscriptEvent, TurnStateEvent, TurnUpdateEvent
from ._options import Overflow


class EndOfEvents(Exception):
    """There will be no more events; no other exception passes for it."""


class EventBuffer:
    """At most `max_size` events, in order; its end is a state (closed, with or without an error)."""

    def __init__(
        self,
        max_size: int,
        overflow: Overflow,
        overflow_timeout_seconds: float,
        on_overflow: Callable[[BufferOverflow], None],
    ) -> None:
        self._max_size, self._overflow, self._timeout_seconds = max_size, overflow, overflow_timeout_seconds
        self._on_overflow = on_overflow
        self._send, self._receive = anyio.create_memory_object_stream[AnyStreamEvent](math.inf)
        self._arrival = anyio.Event()  # set for a consumer that waits: an event has come, or the end
        self._room = anyio.Event()  # set for a held-back SDK: an event has gone, or the bound
        self._is_bounded = self._holds_back = True
        self._is_open = True
        self._left: deque[AnyStreamEvent] | None = None  # what there still was when the stream was put away
        self._error: BaseException | None = None
        self.interims_coalesced = 0
        self.dropped = 0
        self.size_max = 0

    @property
    def size(self) -> int:
        """The events in the buffer; one that is held back at its door is not among them."""
        return min(self._used, self._max_size) if self._holds_back else self._used

    @property
    def _used(self) -> int:
        return self._receive.statistics().current_buffer_used if self._left is None else len(self._left)

    @property
    def _is_over(self) -> bool:
        return self._is_bounded and self._is_open and self._used > self._max_size

    def put(self, event: AnyStreamEvent) -> Coroutine[None, None, None] | None:
        """Take an event; return None, or what holds the caller back until there is room. Never raises.

        The event is in safety before this returns: cancelling the wait loses nothing.
        """
        if not self._is_open:
            return None
        self._send.send_nowait(event)
        self._arrival.set()
        wait = self._make_room() if self._is_over else None
        self.size_max = max(self.size_max, self.size)
        return wait

    async def get(self) -> AnyStreamEvent:
        """Hand out the next event as soon as there is one; cancelling loses none.

        :raises EndOfEvents: when there will be none; where the buffer was closed with an error, that error.
        """
        while True:
            try:
                event = self._left.popleft() if self._left else self._receive.receive_nowait()
            except anyio.WouldBlock:
                self._arrival = anyio.Event()
                await self._arrival.wait()
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                break
            else:
                self._room.set()
                return event
        raise self._error or EndOfEvents

    def stop_holding_back(self) -> None:
        """Take everything from now on, past the bound where need be; the policies that drop or raise go on."""
        self._holds_back = False
        self._room.set()

    def unbound(self) -> None:
        """Take everything from now on."""
        self._is_bounded = False
        self.stop_holding_back()

    def close(self, error: BaseException | None = None) -> None:
        """Take no more events; those inside are still handed out, then comes the end. The first call counts."""
        if self._is_open:
            self._is_open, self._error = False, error
            self._send.close()
            self._arrival.set()
            self._room.set()

    def put_away(self) -> None:
        """Close the stream for good; what is inside is still handed out."""
        self.close()
        if self._left is None:
            self._left = deque(self._receive.receive_nowait() for _ in range(self._used))
            self._receive.close()
            self._arrival.set()

    def _make_room(self) -> Coroutine[None, None, None] | None:
        if self._overflow == "drop_oldest":
            self._receive.receive_nowait()
            self.dropped += 1
            return None
        if self._overflow == "error":
            self._on_overflow(
                _overflow(f"the buffer of {self._max_size} events was full and overflow is 'error'")
            )
            return None
        if self._overflow == "coalesce":
            self._coalesce()
        return self._hold_back() if self._is_over and self._holds_back else None

    async def _hold_back(self) -> None:
        with anyio.move_on_after(self._timeout_seconds) as waiting:
            while self._is_over and self._holds_back:
                if self._room.is_set():  # else somebody else waits for it too
                    self._room = anyio.Event()
                await self._room.wait()
        if waiting.cancelled_caught and self._is_over and self._holds_back:
            self._on_overflow(
                _overflow(
                    f"the buffer of {self._max_size} events was full, and nobody took one for"
                    f" {self._timeout_seconds} s (overflow_timeout_seconds)"
                )
            )

    def _coalesce(self) -> None:
        """Take out superseded interims and, where that is not enough, the oldest of the others."""
        before = [self._receive.receive_nowait() for _ in range(self._used)]
        kept: list[AnyStreamEvent] = []
        superseded: set[Hashable] = set()
        for event in reversed(before):
            segment = _segment(event)
            if segment is not None:
                if _is_interim(event) and segment in superseded:
                    continue
                superseded.add(segment)
            kept.append(event)
        kept.reverse()
        excess = len(kept) - self._max_size
        for event in kept:
            if excess > 0 and _is_interim(event):
                excess -= 1
            else:
                self._send.send_nowait(event)
        self.interims_coalesced += len(before) - self._used


def _is_interim(event: AnyStreamEvent) -> bool:
    return isinstance(event, TurnUpdateEvent) or (isinstance(event, TranscriptEvent) and not event.is_final)


def _segment(event: AnyStreamEvent) -> Hashable:
    """Name the segment or turn that an event speaks of; None for events that supersede nothing."""
    if isinstance(event, TranscriptEvent):
        return event.channel_index, event.start
    if isinstance(event, TurnStateEvent):
        return event.turn_index, TurnStateEvent
    return None


def _overflow(what: str) -> BufferOverflow:
    return BufferOverflow(
        f"{what}. Consume while sending: hand the audio to feed() and iterate, or give stream() a larger"
        " max_buffer_size."
    )
