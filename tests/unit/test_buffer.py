from __future__ import annotations

import asyncio
import gc
import math
import traceback
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeAlias

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._errors import BufferOverflow
from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent, TranscriptEvent, TurnUpdateEvent
from deepgram_stream_iter._inbound.buffer import EndOfEvents, EventBuffer
from deepgram_stream_iter._log import Log
from deepgram_stream_iter._settings import Overflow

GET = None
Steps: TypeAlias = "Sequence[AnyStreamEvent | None]"
CHANNELS, STARTS = st.integers(0, 1), st.sampled_from([None, 0.0, 1.0])
INTERIMS = st.builds(StreamEvent.Transcript, channel_index=CHANNELS, start=STARTS)
FINALS = st.builds(StreamEvent.Transcript, channel_index=CHANNELS, start=STARTS, is_final=st.just(value=True))
TURNS = st.one_of(
    [
        st.builds(kind, turn_index=CHANNELS)
        for kind in (StreamEvent.StartOfTurn, StreamEvent.TurnUpdate, StreamEvent.EndOfTurn)
    ]
)
OTHERS = st.builds(StreamEvent.UtteranceEnd, channel_index=CHANNELS)
STEPS = st.lists(st.none() | INTERIMS | INTERIMS | FINALS | TURNS | OTHERS, max_size=40)
SIZES = st.integers(1, 4)
ONE, TWO, THREE = (StreamEvent.Transcript(transcript=text, is_final=True) for text in ("one", "two", "three"))


@contextmanager
def a_buffer(
    max_size: int = 1, overflow: Overflow = "wait", timeout_seconds: float = 30.0
) -> Generator[EventBuffer]:
    """Make a buffer, and close it in the end, because its stream would warn."""
    buffer = EventBuffer(max_size, overflow, timeout_seconds, Log("test"))
    try:
        yield buffer
    finally:
        buffer.close()


def take(buffer: EventBuffer) -> AnyStreamEvent:
    """Get an event that is there, or the end: without the event loop, so `get()` must not wait."""
    try:
        buffer.get().send(None)
    except StopIteration as done:
        event: AnyStreamEvent = done.value
        return event
    raise AssertionError("get() waited")


def assert_waits(getting: Coroutine[object, None, AnyStreamEvent]) -> None:
    """Let a get() find nothing, and leave it."""
    getting.send(None)
    getting.close()


def drain(buffer: EventBuffer) -> list[AnyStreamEvent]:
    """Take all events up to the end."""
    taken: list[AnyStreamEvent] = []
    with suppress(EndOfEvents):
        while True:
            taken.append(take(buffer))
    return taken


def is_interim(event: AnyStreamEvent) -> bool:
    """Tell what may be lost."""
    return isinstance(event, TurnUpdateEvent) or (isinstance(event, TranscriptEvent) and not event.is_final)


def supersedes(later: AnyStreamEvent, earlier: AnyStreamEvent) -> bool:
    """Tell whether two events speak of the same segment or turn."""
    if isinstance(earlier, TranscriptEvent):
        same = isinstance(later, TranscriptEvent) and later.channel_index == earlier.channel_index
        return same and getattr(later, "start", None) == earlier.start
    return getattr(later, "turn_index", "none") == getattr(earlier, "turn_index", None)


def coalesced(events: list[AnyStreamEvent], max_size: int) -> list[AnyStreamEvent]:
    """Do to a full buffer, slowly, what `coalesce` promises."""
    if len(events) <= max_size:
        return events
    kept = [
        event
        for position, event in enumerate(events)
        if not (is_interim(event) and any(supersedes(later, event) for later in events[position + 1 :]))
    ]
    while len(kept) > max_size and (interims := list(filter(is_interim, kept))):
        position = next(position for position, event in enumerate(kept) if event is interims[0])
        del kept[position]
    return kept


MODELS: dict[Overflow, Callable[[list[AnyStreamEvent], int], list[AnyStreamEvent]]] = {
    "coalesce": coalesced,
    "drop_oldest": lambda events, max_size: events[-max_size:],
    "wait": lambda events, _: events,
    "error": lambda events, _: events,
}


@pytest.mark.parametrize("overflow", MODELS)
@given(steps=STEPS, max_size=SIZES)
def test_any_sequence_of_puts_and_gets(overflow: Overflow, steps: Steps, max_size: int) -> None:
    """The buffer agrees with a list: order, bound, counts, who is held back and when, and what is lost of it."""

    async def run() -> None:
        inside: list[AnyStreamEvent] = []
        lost: list[AnyStreamEvent] = []
        with a_buffer(max_size, overflow) as buffer:
            for step in steps:
                if step is not GET:
                    buffer.put(step)
                    before, inside = [*inside, step], MODELS[overflow]([*inside, step], max_size)
                    lost += (event for event in before if not any(event is kept for kept in inside))
                    assert buffer.is_full == (len(inside) > max_size)
                    if buffer.is_full and overflow == "error":
                        with pytest.raises(BufferOverflow):
                            await buffer.wait_for_room()
                    if buffer.is_full:  # the next step is that of the consumer, who makes room
                        assert take(buffer) is inside.pop(0)
                        await buffer.wait_for_room()
                elif inside:
                    assert take(buffer) is inside.pop(0)
                else:
                    assert_waits(buffer.get())
                assert buffer.size == len(inside) <= max_size
            assert buffer.counts.interims_coalesced == (len(lost) if overflow == "coalesce" else 0)
            assert buffer.counts.dropped == (len(lost) if overflow == "drop_oldest" else 0)
            assert overflow == "drop_oldest" or all(map(is_interim, lost))
            assert buffer.counts.size_max <= max_size
            buffer.close()
            left = drain(buffer)
        assert list(map(id, left)) == list(map(id, inside))

    asyncio.run(run())


def interim(start: float, channel: int = 0) -> AnyStreamEvent:
    """Make an interim of a segment."""
    return StreamEvent.Transcript(start=start, channel_index=channel)


A, B = StreamEvent.TurnUpdate(turn_index=0), StreamEvent.EndOfTurn(turn_index=0)


@pytest.mark.parametrize(
    ("events", "kept"),
    [
        pytest.param(
            [interim(0), interim(1), interim(1)], [0, 2], id="an interim of the same segment supersedes"
        ),
        pytest.param(
            [interim(0), interim(1), interim(1, channel=1)], [1, 2], id="of another channel not: the oldest"
        ),
        pytest.param([interim(0), interim(1), interim(2)], [1, 2], id="of another segment not: the oldest"),
        pytest.param([interim(0), A, B], [0, 2], id="any event of a turn supersedes its updates"),
        pytest.param([interim(0), A, StreamEvent.TurnUpdate(turn_index=1)], [1, 2], id="of another turn not"),
        pytest.param([ONE, B, interim(0)], [0, 1], id="the oldest interim may be the new one"),
    ],
)
async def test_which_interims_go(events: list[AnyStreamEvent], kept: list[int]) -> None:
    """A buffer of two gives up a superseded interim first, else the oldest one, and counts it."""
    with a_buffer(2, "coalesce") as buffer:
        for event in events:
            buffer.put(event)
        assert not buffer.is_full
        buffer.close()
        assert list(map(id, drain(buffer))) == [id(events[position]) for position in kept]
        assert (buffer.counts.interims_coalesced, buffer.counts.dropped, buffer.counts.size_max) == (1, 0, 2)


async def test_a_superseded_interim_is_handed_out_while_there_is_room() -> None:
    """A buffer that was full gives up superseded interims only when it is full again, and only those still inside."""
    with a_buffer(3, "coalesce") as buffer:
        for start in range(4):
            buffer.put(interim(start))  # which costs the first
        assert take(buffer) == interim(1)
        buffer.put(interim(2))
        assert take(buffer) == interim(2)
        for start in (4, 5):
            buffer.put(interim(start))  # which costs the one of 3
        assert buffer.counts.interims_coalesced == 2
        buffer.close()
        assert drain(buffer) == [interim(2), interim(4), interim(5)]


async def test_an_error_comes_last() -> None:
    """A buffer closed with an error hands out what is inside, then raises that very error, again and again."""
    error = ConnectionError("lost")
    with a_buffer(2) as buffer:
        buffer.put(ONE)
        buffer.put(TWO)
        buffer.close(error)
        buffer.put(THREE)  # comes too late
        assert buffer.size == 2
        assert [take(buffer), take(buffer)] == [ONE, TWO]
        assert buffer.size == 0
        for _ in range(2):
            with pytest.raises(ConnectionError) as caught:
                await buffer.get()
            assert caught.value is error


async def test_a_buffer_that_is_not_closed_warns() -> None:
    """A session that is dropped without being left leaves its buffer open; that warns, as anyio's streams do."""
    buffer = EventBuffer(1, "wait", 30.0, Log("test"))
    buffer.put(ONE)
    with pytest.warns(ResourceWarning):  # noqa: PT031  (it comes from either)
        del buffer
        gc.collect()


async def test_the_end_reaches_who_waits() -> None:
    """A consumer that waits learns of the end."""
    with a_buffer() as buffer:
        getting = asyncio.create_task(buffer.get())
        await checkpoint()
        buffer.close()
        with pytest.raises(EndOfEvents):
            await getting


async def test_an_event_reaches_who_waits() -> None:
    """A consumer that waits gets the event that comes, and those after it in order."""
    with a_buffer(2) as buffer:
        getting = asyncio.create_task(buffer.get())
        await checkpoint()
        buffer.put(ONE)
        buffer.put(TWO)
        assert [await getting, await buffer.get()] == [ONE, TWO]


async def test_cancelling_a_get_loses_nothing() -> None:
    """A get() cancelled in the very tick in which an event arrives leaves the event for the next one."""
    with a_buffer() as buffer:
        getting = asyncio.create_task(buffer.get())
        await checkpoint()
        buffer.put(ONE)
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting
        assert await buffer.get() is ONE


@pytest.mark.parametrize("ticks", range(5))
async def test_cancelling_a_get_in_any_tick(ticks: int) -> None:
    """Whenever a get() is cancelled around the arrival of an event, it has returned the event or the next one does."""
    with a_buffer() as buffer:
        getting = asyncio.create_task(buffer.get())
        asyncio.get_running_loop().call_soon(buffer.put, ONE)
        for _ in range(ticks):
            await checkpoint()
        getting.cancel()
        (got,) = await asyncio.gather(getting, return_exceptions=True)
        assert got is ONE or (await buffer.get()) is ONE
        assert buffer.size == 0


async def test_an_event_for_a_get_that_was_just_cancelled() -> None:
    """An event, and the end, that come before a cancelled get() has noticed are there for the next one."""
    with a_buffer() as buffer:
        getting = asyncio.create_task(buffer.get())
        await checkpoint()
        getting.cancel()
        buffer.put(ONE)
        buffer.close()
        await asyncio.gather(getting, return_exceptions=True)
        assert drain(buffer) == [ONE]


async def test_a_callback_wakes_who_waits() -> None:
    """What no task does, but a callback of the event loop, reaches a waiting consumer too: an event, then the end."""
    with a_buffer() as buffer:
        loop = asyncio.get_running_loop()
        loop.call_later(0, buffer.put, ONE)
        assert await buffer.get() is ONE
        loop.call_later(0, buffer.close)
        with pytest.raises(EndOfEvents):
            await buffer.get()


async def test_cancelling_anyios_receive_loses_an_item() -> None:
    """Why get() does not wait in receive(): cancelled in the tick of the delivery, that loses the item."""
    send, receive = anyio.create_memory_object_stream[str](math.inf)
    with send, receive:
        receiving = asyncio.create_task(receive.receive())
        while not receive.statistics().tasks_waiting_receive:
            await checkpoint()
        send.send_nowait("lost")
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        with pytest.raises(anyio.WouldBlock):
            receive.receive_nowait()


@pytest.mark.parametrize("overflow", ["wait", "coalesce"])
@pytest.mark.parametrize("release", [take, EventBuffer.stop_pausing, EventBuffer.unbound, EventBuffer.close])
async def test_who_waits_for_room_goes_on(
    overflow: Overflow, release: Callable[[EventBuffer], object]
) -> None:
    """A get, the end of the pausing, of the bound and of the stream let the SDK go on."""
    buffer = EventBuffer(1, overflow, 30.0, Log("test"))
    buffer.put(ONE)
    buffer.put(TWO)
    waiting = asyncio.create_task(buffer.wait_for_room())
    await checkpoint()
    assert not waiting.done()
    assert buffer.size == buffer.counts.size_max == 1
    release(buffer)
    await waiting
    if release is not EventBuffer.close:
        buffer.close()
    assert drain(buffer)[-1] is TWO


async def test_an_unbound_buffer_grows() -> None:
    """Without its bound the buffer keeps everything, whatever its policy, and its size tells."""
    with a_buffer(1, "drop_oldest") as buffer:
        buffer.unbound()
        for event in (ONE, TWO, THREE):
            buffer.put(event)
        assert not buffer.is_full
        assert buffer.size == buffer.counts.size_max == 3


@pytest.mark.parametrize("overflow", ["drop_oldest", "error"])
async def test_policies_that_drop_or_raise_go_on(overflow: Overflow) -> None:
    """That nobody is paused any more ends neither of them."""
    with a_buffer(1, overflow) as buffer:
        buffer.stop_pausing()
        buffer.put(ONE)
        buffer.put(TWO)
        assert (buffer.counts.dropped, buffer.is_full) == (
            (1, False) if overflow == "drop_oldest" else (0, True)
        )


async def test_waiting_takes_no_longer_than_allowed() -> None:
    """When nobody takes an event in time that is an overflow, which says what to do; no event is lost for it."""
    with a_buffer(timeout_seconds=0.01) as buffer:
        buffer.put(ONE)
        buffer.put(TWO)
        with pytest.raises(BufferOverflow) as caught:
            await buffer.wait_for_room()
        for hint in ("buffer of 1 ", "0.01 s", "overflow_timeout_seconds", "feed()", "max_buffer_size"):
            assert hint in str(caught.value)
        buffer.close(caught.value)
        assert [take(buffer), take(buffer)] == [ONE, TWO]
        with pytest.raises(BufferOverflow):
            await buffer.get()


async def test_an_overflow_that_is_an_error() -> None:
    """With `error` nobody waits: the overflow is raised at once, and the event is there all the same."""
    with a_buffer(1, "error") as buffer:
        buffer.put(ONE)
        buffer.put(TWO)
        with pytest.raises(BufferOverflow, match="overflow is 'error'"):
            buffer.wait_for_room().send(None)
        assert [take(buffer), take(buffer)] == [ONE, TWO]


async def test_several_who_wait_all_go_on() -> None:
    """Of several that wait for room, each goes on when there is some, and none takes that for an overflow."""
    with a_buffer() as buffer:
        for event in (ONE, TWO, THREE):
            buffer.put(event)
        waiting = [asyncio.create_task(buffer.wait_for_room()) for _ in range(2)]
        await checkpoint()
        assert [take(buffer), take(buffer)] == [ONE, TWO]
        await checkpoint()
        await checkpoint()
        went_on = [task.done() for task in waiting]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert went_on == [True, True]


async def test_one_who_waits_is_cancelled_alone() -> None:
    """Of several that wait for room, one is cancelled: the other goes on when there is some, and nothing of them stays."""
    with a_buffer() as buffer:
        buffer.put(ONE)
        buffer.put(TWO)
        cancelled, waiting = (asyncio.create_task(buffer.wait_for_room()) for _ in range(2))
        await checkpoint()
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        await checkpoint()
        assert (cancelled.cancelled(), waiting.done()) == (True, False)
        take(buffer)
        await waiting
        assert not buffer._producers


async def test_room_in_the_tick_of_the_time_out() -> None:
    """Room that is made in the tick in which the time is up is room: there is no overflow."""
    with a_buffer(timeout_seconds=0.01) as buffer:
        buffer.put(ONE)
        buffer.put(TWO)
        waiting = asyncio.create_task(buffer.wait_for_room())
        await checkpoint()
        loop = asyncio.get_running_loop()
        due = loop.time() + 0.02
        loop.call_at(due, take, buffer)
        while loop.time() <= due:
            pass  # the loop is busy until both are due, and runs both in one tick
        await waiting


async def test_the_error_of_the_end_again_and_again() -> None:
    """Its traceback does not grow, and goes on showing where the error comes from."""

    def fail() -> None:
        raise LookupError("of a source")

    shown: list[list[str]] = []
    with a_buffer(1) as buffer:
        try:
            fail()
        except LookupError as error:
            buffer.close(error)
        for _ in range(3):
            with pytest.raises(LookupError) as caught:
                await buffer.get()
            shown.append([frame.name for frame in traceback.extract_tb(caught.value.__traceback__)])
            with pytest.raises(LookupError):
                buffer.take_rest()
    assert shown[0] == shown[1] == shown[2]
    assert shown[0][-1] == "fail"
