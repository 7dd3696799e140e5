"""What waits for the consumer from when a full buffer takes out interims until the buffer is empty."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import TypeAlias

from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from deepgram_stream_iter._events.kinds import (
    AnyStreamEvent,
    TranscriptEvent,
    TurnStateEvent,
    TurnUpdateEvent,
)

_Send: TypeAlias = MemoryObjectSendStream[AnyStreamEvent]
_Receive: TypeAlias = MemoryObjectReceiveStream[AnyStreamEvent]


class CoalescingQueue:
    """Events in order, of which the interims wait beside the stream: taking one out costs the same in any queue."""

    def __init__(self, send: _Send, receive: _Receive, arrivals: deque[float]) -> None:
        self._send, self._receive = send, receive
        self._arrivals = arrivals  # of the events in the stream
        self._sent = self._received = 0  # events that went into the stream, and out of it
        # By number: how many events were sent before the interim, its segment, itself, and when it arrived. In a plain
        # dict, finding the first item takes the longer the more items before it are gone.
        self._interims: OrderedDict[int, tuple[int, Hashable, AnyStreamEvent, float]] = OrderedDict()
        self._last_number = 0
        self._superseded: set[int] = set()  # the numbers of the interims that are
        self._current: dict[Hashable, int] = {}  # by segment, the numbers of the others
        for _ in range(len(arrivals)):
            self.put(receive.receive_nowait(), arrivals.popleft())

    def put(self, event: AnyStreamEvent, arrived: float) -> None:
        """Add an event, and when it arrived."""
        segment = _segment(event)
        superseded = self._current.pop(segment, None)
        if superseded is not None:
            self._superseded.add(superseded)
        if _is_interim(event):
            self._last_number += 1
            self._interims[self._last_number] = self._sent, segment, event, arrived
            self._current[segment] = self._last_number
        else:
            self._send.send_nowait(event)
            self._arrivals.append(arrived)
            self._sent += 1

    def take(self) -> tuple[AnyStreamEvent, float]:
        """Return the oldest event, and when it arrived, and remove it."""
        if self._interims:
            sent_before, _, _, _ = next(iter(self._interims.values()))
            if sent_before <= self._received:
                return self._take_interim()
        self._received += 1
        return self._receive.receive_nowait(), self._arrivals.popleft()

    def coalesce(self, excess: int) -> int:
        """Remove all superseded interims and, up to the excess, the oldest of the others; return how many."""
        before = len(self._interims)
        for number in self._superseded:
            del self._interims[number]
        self._superseded.clear()
        while self._interims and before - len(self._interims) < excess:
            self._take_interim()
        return before - len(self._interims)

    def _take_interim(self) -> tuple[AnyStreamEvent, float]:
        number, (_, segment, interim, arrived) = self._interims.popitem(last=False)
        if number in self._superseded:
            self._superseded.remove(number)
        else:
            del self._current[segment]
        return interim, arrived


def _is_interim(event: AnyStreamEvent) -> bool:
    return isinstance(event, TurnUpdateEvent) or (isinstance(event, TranscriptEvent) and not event.is_final)


def _segment(event: AnyStreamEvent) -> Hashable:
    """Return what names the segment or turn of an event; None for events that supersede nothing."""
    if isinstance(event, TranscriptEvent):
        return event.channel_index, event.start
    if isinstance(event, TurnStateEvent):
        return event.turn_index, TurnStateEvent
    return None
