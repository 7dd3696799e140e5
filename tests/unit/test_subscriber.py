"""A consumer beside the session's own, without a session."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._errors import BufferOverflow
from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent
from deepgram_stream_iter._inbound.subscriber import Subscriber
from deepgram_stream_iter._log import Log
from deepgram_stream_iter._settings import Overflow

GET = None
STARTS = st.integers(0, 2).map(float)
INTERIMS = st.builds(StreamEvent.Transcript, start=STARTS)
FINALS = st.builds(StreamEvent.Transcript, start=STARTS, is_final=st.just(value=True))
OTHERS = st.builds(StreamEvent.UtteranceEnd, last_word_end=STARTS)
STEPS = st.lists(st.none() | INTERIMS | FINALS | OTHERS, max_size=40)
ONE, TWO, THREE = (StreamEvent.Transcript(transcript=text, is_final=True) for text in ("one", "two", "three"))


@contextmanager
def a_subscriber(
    *kinds: type[StreamEvent],
    max_size: int = 1,
    overflow: Overflow = "coalesce",
    timeout_seconds: float = 30.0,
) -> Generator[Subscriber]:
    """Make a subscriber, and close its buffer in the end, because its stream would warn."""
    subscriber = Subscriber(kinds, max_size, overflow, timeout_seconds, Log("test"))
    try:
        yield subscriber
    finally:
        subscriber.buffer.close()


class Clock:
    """Stands still until it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        monkeypatch.setattr("deepgram_stream_iter._inbound.subscriber.now", lambda: self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that subscribers go by."""
    return Clock(monkeypatch)


@pytest.mark.parametrize("overflow", ["coalesce", "wait"])
@given(steps=STEPS, size=st.integers(1, 4))
def test_no_final_is_lost(overflow: Overflow, steps: Sequence[AnyStreamEvent | None], size: int) -> None:
    """Whatever comes and is taken, all but superseded interims are handed out, in order; nobody is ever paused."""

    async def run() -> None:
        with a_subscriber(max_size=size, overflow=overflow) as subscriber:
            taken: list[AnyStreamEvent] = []
            for step in steps:
                if step is not GET:
                    subscriber.offer(step)
                elif subscriber.buffer.size:
                    taken.append(await subscriber.buffer.get())
                assert not subscriber.buffer.is_full
                assert not subscriber.buffer.is_closed
            taken += subscriber.buffer.take_waiting()
            offered = [step for step in steps if step is not GET]
            if overflow == "wait":
                assert all(one is other for one, other in zip(taken, offered, strict=True))
            kept = [event for event in offered if not is_interim(event)]
            assert [event for event in taken if not is_interim(event)] == kept
            assert subscriber.buffer.counts.dropped == 0

    asyncio.run(run())


@given(steps=STEPS, size=st.integers(1, 4))
def test_only_the_newest_are_kept(steps: Sequence[AnyStreamEvent | None], size: int) -> None:
    """`drop_oldest` keeps to its bound, and never ends."""

    async def run() -> None:
        with a_subscriber(max_size=size, overflow="drop_oldest", timeout_seconds=1e-9) as subscriber:
            model: list[AnyStreamEvent] = []
            for step in steps:
                if step is not GET:
                    subscriber.offer(step)
                    model = [*model, step][-size:]
                elif model:
                    assert await subscriber.buffer.get() is model.pop(0)
                assert subscriber.buffer.size == len(model) <= size

    asyncio.run(run())


def is_interim(event: AnyStreamEvent) -> bool:
    """Return whether a buffer may take an event out."""
    return isinstance(event, StreamEvent.Transcript) and not event.is_final


async def test_other_kinds_take_no_room() -> None:
    """Events of kinds that were not asked for are not kept, and overflow nothing."""
    with a_subscriber(StreamEvent.UtteranceEnd, StreamEvent.Metadata, overflow="error") as subscriber:
        for _ in range(5):
            subscriber.offer(ONE)
        subscriber.offer(StreamEvent.Metadata())
        assert subscriber.buffer.size == 1
        assert await subscriber.buffer.get() == StreamEvent.Metadata()


async def test_an_error_at_once() -> None:
    """`error` ends with the first event past the bound, which is the last one that is handed out."""
    with a_subscriber(overflow="error", max_size=1) as subscriber:
        for event in (ONE, TWO, THREE):
            subscriber.offer(event)
        assert [await subscriber.buffer.get() for _ in range(2)] == [ONE, TWO]
        for _ in range(2):
            with pytest.raises(BufferOverflow, match="'error'"):
                await subscriber.buffer.get()


@pytest.mark.parametrize("overflow", ["coalesce", "wait"])
async def test_the_time_past_the_bound(clock: Clock, overflow: Overflow) -> None:
    """The time counts from the first event past the bound, and ends it with the first event after that."""
    with a_subscriber(overflow=overflow, timeout_seconds=10) as subscriber:
        for seconds in (0.0, 5.0, 14.9):  # past the bound since the second one
            clock.seconds = seconds
            subscriber.offer(ONE)
        assert not subscriber.buffer.is_closed
        clock.seconds = 15.0
        subscriber.offer(ONE)
        assert subscriber.buffer.is_closed
        assert [await subscriber.buffer.get() for _ in range(4)] == [ONE] * 4
        with pytest.raises(BufferOverflow, match="overflow_timeout_seconds"):
            await subscriber.buffer.get()


async def test_the_time_begins_anew(clock: Clock) -> None:
    """A buffer that was down to its bound between two events is not past it for longer."""
    with a_subscriber(max_size=1, overflow="wait", timeout_seconds=10) as subscriber:
        subscriber.offer(ONE)
        for seconds in range(0, 100, 6):
            clock.seconds = float(seconds)
            subscriber.offer(ONE)
            await subscriber.buffer.get()
        assert not subscriber.buffer.is_closed


async def test_coalescing_ends_the_time(clock: Clock) -> None:
    """A buffer that coalescing brings down to its bound is not past it any more."""
    with a_subscriber(max_size=1, timeout_seconds=10) as subscriber:
        interim = StreamEvent.Transcript(transcript="interim", start=5.0)
        for seconds in range(0, 100, 6):
            clock.seconds = float(seconds)
            subscriber.offer(interim)
        assert not subscriber.buffer.is_closed
        assert subscriber.buffer.size == 1


@pytest.mark.parametrize("overflow", get_args(Overflow))
async def test_unbound(clock: Clock, overflow: Overflow) -> None:
    """Once unbound it keeps everything, for as long as it takes."""
    with a_subscriber(overflow=overflow, timeout_seconds=1) as subscriber:
        subscriber.offer(ONE)
        subscriber.unbound()
        for event in (TWO, THREE):
            clock.seconds += 10
            subscriber.offer(event)
        assert [await subscriber.buffer.get() for _ in range(3)] == [ONE, TWO, THREE]
        assert not subscriber.buffer.is_closed


async def test_after_its_end() -> None:
    """What is offered to a buffer that was closed is dropped."""
    with a_subscriber() as subscriber:
        subscriber.buffer.close()
        subscriber.offer(ONE)
        assert subscriber.buffer.size == 0


@pytest.mark.parametrize("kind", [int, "transcript", None, ONE, object])
def test_what_is_no_kind(kind: Any) -> None:
    """What is no kind of event is a TypeError."""
    with pytest.raises(TypeError, match="kinds of events"), a_subscriber(kind):
        pass
