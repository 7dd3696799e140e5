"""The bounded buffer between the SDK's callbacks and the consumer, and what it does when it is full.

The events wait in an anyio memory object stream. The stream has no bound of its own, because an event that arrives at a
full buffer still goes in: it must not be lost when the SDK's listener is cancelled while it waits for room. And the
consumer never waits in the stream's own `receive()`, because that drops an item when it is cancelled in the very tick in
which the item is handed to it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable

import anyio

from deepgram_stream_iter._errors import BufferOverflow
from deepgram_stream_iter._events import AnyStreamEvent, TranscriptEvent, TurnStateEvent, TurnUpdateEvent
from deepgram_stream_iter._options import Overflow


class EndOfEvents(Exception):
    """The stream has ended as agreed, and every event was handed out; no other exception passes for it."""


class EventBuffer:
    """At most `max_size` events, in order; its end is a state (closed, with or without an error)."""

    def __init__(self, max_size: int, overflow: Overflow, overflow_timeout_seconds: float) -> None:
        self._max_size, self._overflow, self._timeout_seconds = max_size, overflow, overflow_timeout_seconds
        self._send, self._receive = anyio.create_memory_object_stream[AnyStreamEvent](math.inf)
        self._used = 0  # events in the stream: counted here, because asking the stream costs more than a put
        self._rest: deque[AnyStreamEvent] | None = None  # what was left in the stream when it was closed
        self._error: Exception | None = None
        self._arrival: anyio.Event | None = None  # somebody waits for an event, or the end
        self._room: anyio.Event | None = None  # somebody waits for room
        self._is_bounded = self._pauses_sdk = True
        self.interims_coalesced = self.dropped = self.size_max = 0

    @property
    def size(self) -> int:
        """The events that wait; one that waits for room itself is not among them."""
        if self._rest is not None:
            return len(self._rest)
        return min(self._used, self._max_size) if self._pauses_sdk else self._used

    @property
    def is_full(self) -> bool:
        """Whether whoever brings events has to wait for room before bringing more."""
        return self._is_over and (self._overflow == "error" or self._pauses_sdk)

    @property
    def _is_over(self) -> bool:
        return self._is_bounded and self._rest is None and self._used > self._max_size

    def put(self, event: AnyStreamEvent) -> None:
        """Keep an event for the consumer, also in a full buffer. After `close()` it is dropped."""
        if self._rest is not None:
            return
        self._send.send_nowait(event)
        self._used += 1
        if self._arrival is not None:
            self._arrival.set()
        if self._is_over:
            if self._overflow == "drop_oldest":
                self._take()
                self.dropped += 1
            elif self._overflow == "coalesce":
                self._coalesce()
        self.size_max = max(self.size_max, self.size)

    async def wait_for_room(self) -> None:
        """Wait until the buffer is not full.

        :raises BufferOverflow: when nobody takes an event within `overflow_timeout_seconds`, and at once where the policy
            is `error`.
        """
        if self.is_full and self._overflow == "error":
            raise _overflow(f"the buffer of {self._max_size} events was full and overflow is 'error'")
        with anyio.move_on_after(self._timeout_seconds):
            while self.is_full:
                if self._room is None or self._room.is_set():  # else somebody else waits for it too
                    self._room = anyio.Event()
                await self._room.wait()
        if self.is_full:
            raise _overflow(
                f"the buffer of {self._max_size} events was full, and nobody took one for"
                f" {self._timeout_seconds} s (overflow_timeout_seconds)"
            )

    async def get(self) -> AnyStreamEvent:
        """Return the next event as soon as there is one; cancelling loses none.

        :raises EndOfEvents: when there will be none; where the buffer was closed with an error, that error.
        """
        while self._rest is None and not self._used:
            self._arrival = anyio.Event()
            await self._arrival.wait()
        if self._rest is None:
            event = self._take()
            if self._room is not None:
                self._room.set()
            return event
        if self._rest:
            return self._rest.popleft()
        raise self._error or EndOfEvents

    def stop_pausing(self) -> None:
        """Keep everything from now on, past the bound where need be; the policies that drop or raise go on."""
        self._pauses_sdk = False
        if self._room is not None:
            self._room.set()

    def unbound(self) -> None:
        """Keep everything from now on, whatever the policy."""
        self._is_bounded = False
        self.stop_pausing()

    def close(self, error: Exception | None = None) -> None:
        """Keep no more events; those inside are still handed out, then comes the end."""
        self._rest = deque(self._take() for _ in range(self._used))
        self._error = error
        self._send.close()
        self._receive.close()
        for waiting in (self._arrival, self._room):
            if waiting is not None:
                waiting.set()

    def _take(self) -> AnyStreamEvent:
        self._used -= 1
        return self._receive.receive_nowait()

    def _coalesce(self) -> None:
        """Take out superseded interims and, where that is not enough, the oldest of the others."""
        before = [self._take() for _ in range(self._used)]
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
                self._used += 1
        self.interims_coalesced += len(before) - self._used


def _is_interim(event: AnyStreamEvent) -> bool:
    return isinstance(event, TurnUpdateEvent) or (isinstance(event, TranscriptEvent) and not event.is_final)


def _segment(event: AnyStreamEvent) -> Hashable:
    """Return what names the segment or turn of an event; None for events that supersede nothing."""
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
