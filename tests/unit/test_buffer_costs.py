"""What a buffer costs, counted and not timed: calls a message, and the blocks of memory that it keeps."""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Callable
from typing import get_args

import pytest
from test_buffer import a_buffer, assert_waits, take

from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent
from deepgram_stream_iter._inbound.buffer import EventBuffer
from deepgram_stream_iter._settings import Overflow

POLICIES = get_args(Overflow)


def segment(number: int, *, is_final: bool = False) -> AnyStreamEvent:
    """Make an interim, or the final, of a numbered segment."""
    return StreamEvent.Transcript(start=float(number), is_final=is_final)


def calls(work: Callable[[], object]) -> int:
    """Count the calls, of Python and of C, that some work consists of."""
    count = 0

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    gc.disable()  # its callbacks would be counted
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def put(buffer: EventBuffer, event: AnyStreamEvent) -> None:
    """Put an event, and take one where whoever brings events has to wait."""
    buffer.put(event)
    if buffer.is_full:
        take(buffer)


def costs(overflow: Overflow, max_size: int, asleep: int) -> list[int]:
    """Count the calls of each step of some that follow when a buffer is full and the consumer has slept for so long."""
    with a_buffer(max_size, overflow) as buffer:
        for number in range(max_size + 1 + asleep):
            put(buffer, segment(number, is_final=number == 0))
        last = max_size + asleep
        steps: list[AnyStreamEvent | None] = [
            segment(last),  # supersedes the newest
            segment(last - max_size // 2),  # one in the middle
            segment(last - max_size // 2, is_final=True),
            segment(last + 1),
            StreamEvent.TurnUpdate(turn_index=0),
            StreamEvent.TurnUpdate(turn_index=0),
            StreamEvent.EndOfTurn(turn_index=0),
            None,  # a get, so that the next one finds room
            segment(last + 1),
            segment(last + 1),
            None,
            segment(last + 1),
            segment(last + 2),
        ]
        return [
            calls(lambda step=step: take(buffer) if step is None else put(buffer, step))  # type: ignore[misc]
            for step in steps
        ]


@pytest.mark.parametrize("overflow", POLICIES)
def test_a_message_costs_the_same_in_any_full_buffer(overflow: Overflow) -> None:
    """The calls of each put and get at a full buffer depend neither on its size nor on how long nobody took an event."""
    reference = costs(overflow, 100, asleep=0)
    assert costs(overflow, 5_000, asleep=0) == reference
    assert costs(overflow, 100, asleep=5_000) == reference


def test_a_buffer_is_searched_once_when_it_has_become_full() -> None:
    """Filling a buffer, the one pass over it when it is full and as many messages after it cost the same a message."""

    def calls_a_message(max_size: int) -> float:
        events = [segment(number) for number in range(2 * max_size)]
        with a_buffer(max_size, "coalesce") as buffer:
            return calls(lambda: deque(map(buffer.put, events))) / max_size

    assert calls_a_message(5_000) == pytest.approx(calls_a_message(500), rel=0.05)


async def test_a_buffer_that_was_full_costs_no_more_than_a_new_one() -> None:
    """When the consumer has taken every event and waits for more, a put and a get cost what they did at first."""
    with a_buffer(2, "coalesce") as buffer:

        def pass_one() -> None:
            buffer.put(segment(0))
            take(buffer)

        at_first = calls(pass_one)
        for number in range(3):
            buffer.put(segment(number))
        assert calls(pass_one) > at_first
        while buffer.size:
            take(buffer)
        assert_waits(buffer.get())
        assert calls(pass_one) == at_first


@pytest.mark.parametrize("overflow", POLICIES)
def test_memory_stays_flat(overflow: Overflow) -> None:
    """However many events pass a full buffer, it keeps only those that wait: nothing of the others, not even a number."""
    with a_buffer(100, overflow) as buffer:
        for number in range(1_000):
            put(buffer, segment(number // 2, is_final=number % 16 == 0))
        gc.collect()
        before = sys.getallocatedblocks()
        for messages_a_get in (
            1_000_000,
            3,
            1,
        ):  # the consumer sleeps, is too slow, or is as fast as the server
            for number in range(70_000):
                if number % messages_a_get == 0 and buffer.size:
                    take(buffer)
                put(buffer, segment(number // 2, is_final=number % 16 == 0))
        gc.collect()
        assert sys.getallocatedblocks() - before < 1_000
