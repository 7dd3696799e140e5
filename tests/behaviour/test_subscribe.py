"""subscribe(): consumers beside the session's own iteration, each with its kinds, its pace and its end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from conftest import (
    FRAME,
    Connect,
    any_client,
    arrived,
    flux,
    looks_inside,
    needs_cancellation,
    nova,
    orders_tasks,
    refuses_other_loops,
)

from deepgram_stream_iter import (
    AnyStreamEvent,
    BufferOverflow,
    ConnectionLost,
    Reconnect,
    StreamEvent,
    StreamSession,
    Utterance,
    stream,
)
from deepgram_stream_iter.testing import DeepgramServer, ServerConnection, messages

SOON = Reconnect(initial_delay_seconds=0.01)


def final(text: str, start: float = 0.0, *, speech_final: bool = False) -> Mapping[str, object]:
    """Make a final of one second."""
    return messages.results(text, start=start, is_final=True, speech_final=speech_final)


async def say(server: DeepgramServer, *said: Mapping[str, object]) -> None:
    """Send messages on the only connection."""
    connection = await server.connection()
    for message in said:
        await connection.send(message)


async def has_subscribers(session: StreamSession, count: int) -> None:
    """Check that events are delivered to so many; the loop of a sync session is told a little later."""
    life: Any = getattr(session, "_engine", session)._life
    with anyio.move_on_after(1 if hasattr(session, "_engine") else 0):
        while len(life.inbox._subscribers) != count:  # noqa: ASYNC110  (nobody tells)
            await anyio.sleep(0.001)
    assert len(life.inbox._subscribers) == count


def said(events: list[AnyStreamEvent]) -> list[str]:
    """Return the texts of transcripts."""
    return [event.transcript for event in events if isinstance(event, StreamEvent.Transcript)]


# Who gets what


async def test_all_get_the_very_same_events(connect: Connect) -> None:
    """The session and each subscription hand out the same objects, in the same order, and end when the stream does."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), max_buffer_size=1000) as session:
            first, second = session.subscribe(), session.subscribe()
            await say(server, final("one"), messages.utterance_end(1.0), final("two", 1.0))
            await session.finish()
            own = [event async for event in session]
            others = [event async for event in first], [event async for event in second]
    assert [event.type for event in own] == ["transcript", "utterance_end", "transcript", "metadata"]
    for events in others:
        assert len(events) == len(own)
        assert all(event is same for event, same in zip(events, own, strict=True))


async def test_only_the_kinds_that_were_named(connect: Connect) -> None:
    """A subscription to kinds gets those alone, in their order; a base class stands for its kinds."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            ends = session.subscribe(StreamEvent.UtteranceEnd)
            both = session.subscribe(StreamEvent.UtteranceEnd, StreamEvent.Metadata)
            everything = session.subscribe(StreamEvent)
            await say(server, final("one"), messages.utterance_end(1.0), final("two", 1.0))
            await session.finish()
        assert [event.type async for event in ends] == ["utterance_end"]
        assert [event.type async for event in both] == ["utterance_end", "metadata"]
        assert len([event async for event in everything]) == 4


async def test_from_then_on(connect: Connect) -> None:
    """What was delivered before subscribe() is not handed out; what comes after it is, though nobody iterated before."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            await say(server, final("before"))
            await arrived(session, 1)
            subscription = session.subscribe()
            await say(server, final("after", 1.0))
            await session.finish()
        assert said([event async for event in subscription]) == ["after"]
        assert said([event async for event in session]) == ["before", "after"]


async def test_each_has_its_own_position(connect: Connect) -> None:
    """accumulated_transcript follows what each consumer was handed out."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            quick, slow = session.subscribe(), session.subscribe()
            await say(server, final("one"), final("two", 1.0))
            await anext(quick)
            await anext(quick)
            await anext(slow)
            assert quick.accumulated_transcript == "one two"
            assert slow.accumulated_transcript == "one"
            assert session.accumulated_transcript == ""


async def test_a_subscription_alone(connect: Connect) -> None:
    """With max_buffer_size=0 the subscribers are all there is: nothing else is kept, and nothing overflows."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), max_buffer_size=0) as session:
            async with session.subscribe(StreamEvent.Transcript, max_buffer_size=4) as subscription:
                for number in range(50):
                    await say(server, final(f"w{number}", float(number)))
                    event = await anext(subscription)
                    assert event.transcript == f"w{number}"
                assert session.stats.buffered == 0
                assert session.stats.buffered_max == 1
            await session.finish()
        assert session.stats.events == 51


async def test_one_event_of_a_kind(connect: Connect) -> None:
    """A subscription that is not kept lives as long as its wait: `await anext(session.subscribe(kind))`."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            waiting = asyncio.ensure_future(anext(session.subscribe(StreamEvent.UtteranceEnd)))
            await anyio.lowlevel.checkpoint()
            gc.collect()
            await say(server, final("one"), messages.utterance_end(1.0))
            event = await waiting
            assert event == StreamEvent.UtteranceEnd(last_word_end=1.0, channel_index=0)
            del waiting
            await anyio.lowlevel.checkpoint()
            await has_subscribers(session, 0)


async def test_across_a_reconnection(connect: Connect) -> None:
    """A subscription stays across connections, and is told of them."""

    async def script(connection: ServerConnection) -> None:
        number = len(server.connections)
        await connection.audio_reached(0.02)
        await connection.send(messages.results(f"w{number}", start=0.0, duration=0.02, is_final=True))
        if number == 1:
            await connection.close(1012)

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=SOON) as session:
            subscription = session.subscribe()
            await session.send(FRAME)
            events = [await anext(subscription) for _ in range(3)]
            await session.send(FRAME)
            events.append(await anext(subscription))
    assert [event.type for event in events] == ["transcript", "reconnecting", "reconnected", "transcript"]
    assert isinstance(events[-1], StreamEvent.Transcript)
    assert events[-1].start == 0.02


# A slow one delays nobody


@pytest.mark.parametrize("overflow", ["coalesce", "wait", "drop_oldest", "error"])
async def test_a_slow_subscriber_delays_nobody(connect: Connect, overflow: Any) -> None:
    """Whatever a subscriber that takes nothing does with its events, the session and the others get all of theirs."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), overflow_timeout_seconds=0.2) as session:
            slow = session.subscribe(max_buffer_size=2, overflow=overflow)
            quick = session.subscribe(max_buffer_size=2)
            for number in range(30):
                await say(server, final(f"w{number}", float(number)))
                assert said([await anext(session)]) == said([await anext(quick)]) == [f"w{number}"]
            await session.finish()
            assert [event.type async for event in session] == ["metadata"]
        kept: list[AnyStreamEvent] = []
        if overflow == "error":
            with pytest.raises(BufferOverflow, match="the stream goes on"):
                kept.extend([event async for event in slow])
            with pytest.raises(BufferOverflow):  # again, as the session does
                await anext(slow)
        else:
            kept.extend([event async for event in slow])
    assert session.stats.interims_coalesced == 0
    assert session.stats.dropped == (29 if overflow == "drop_oldest" else 0)  # of 30 and the Metadata
    if overflow == "drop_oldest":
        assert [event.type for event in kept] == ["transcript", "metadata"]
    elif overflow != "error":
        assert said(kept) == [f"w{number}" for number in range(30)]
        assert len(kept) == 31


async def test_a_subscription_coalesces_for_itself(connect: Connect) -> None:
    """Interims that a later event supersedes leave the buffer of the slow consumer, and no other."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), max_buffer_size=100) as session:
            slow = session.subscribe(max_buffer_size=2)
            for number in range(20):
                await say(server, messages.results(f"interim {number}", start=0.0))
            await say(server, final("final"))
            await session.finish()
        assert said([event async for event in slow]) == ["final"]
        assert len([event async for event in session]) == 22
        assert session.stats.interims_coalesced == 20


async def test_past_its_bound_for_too_long(connect: Connect) -> None:
    """A subscriber that stays past its bound for overflow_timeout_seconds ends alone, behind the events that it has."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            slow = session.subscribe(max_buffer_size=1, overflow="wait", overflow_timeout_seconds=0.05)
            await say(server, final("one"), final("two", 1.0))
            await arrived(session, 2)
            await anyio.sleep(0.1)  # the time is what is tested
            await say(server, final("three", 2.0), final("four", 3.0))
            await arrived(session, 4)
            got = [await anext(slow) for _ in range(3)]
            assert said(got) == ["one", "two", "three"]
            with pytest.raises(BufferOverflow, match=r"overflow_timeout_seconds.*subscribe\(\)"):
                await anext(slow)
            assert session.close_info is None
            await session.finish()
            assert said([event async for event in session]) == ["one", "two", "three", "four"]


async def test_a_subscriber_that_keeps_up_at_its_bound(connect: Connect) -> None:
    """A buffer that is over its bound with each event, and is taken from before the next one, is not full for long."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), max_buffer_size=0) as session:
            subscription = session.subscribe(max_buffer_size=1, overflow_timeout_seconds=0.05)
            await say(server, final("w0"))
            for number in range(1, 10):
                await say(server, final(f"w{number}", float(number)))
                await arrived(session, number + 1)
                assert said([await anext(subscription)]) == [f"w{number - 1}"]
                await anyio.sleep(0.02)  # the time is what is tested


async def test_the_end_pushes_nothing_out_of_a_subscription(connect: Connect) -> None:
    """The end of a turn that the stream cuts off comes on top of what waits, in a full buffer of any policy too."""
    for overflow in ("drop_oldest", "error"):
        async with DeepgramServer() as server:
            async with connect(server, flux()) as session:
                subscription = session.subscribe(max_buffer_size=2, overflow=overflow)
                await say(
                    server, messages.turn_info("StartOfTurn", "hey"), messages.turn_info("Update", "hey you")
                )
                await arrived(session, 3)
                await session.finish()
            kinds = [event.type async for event in subscription]
            assert kinds == ["start_of_turn", "turn_update", "end_of_turn"]


# Utterances


async def test_utterances_of_a_subscription(connect: Connect) -> None:
    """subscribe().utterances() has a position of its own, from the subscription on, and the session its own."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            await say(server, final("early"))
            await arrived(session, 1)
            utterances = session.subscribe().utterances()
            gc.collect()
            await say(server, final("one", 1.0), final("two", 2.0, speech_final=True))
            utterance = await anext(utterances)
            assert (utterance.text, utterance.confirmed) == ("one two", True)
            assert [word.word for word in utterance.words] == ["one", "two"]
            assert (await anext(session.utterances())).text == "early one two"
            del utterances
            await anyio.lowlevel.checkpoint()
            await has_subscribers(session, 0)


@pytest.mark.parametrize("is_flux", [False, True], ids=["nova", "flux"])
async def test_the_tail_comes_before_the_error(connect: Connect, *, is_flux: bool) -> None:
    """What the loss of the stream cuts off is an utterance that is not confirmed; then the error comes, and once."""
    async with DeepgramServer() as server:
        async with connect(server, flux() if is_flux else nova()) as session:
            utterances = session.subscribe().utterances()
            tail = messages.turn_info("StartOfTurn", "tail") if is_flux else final("tail")
            await say(server, tail)
            await arrived(session, 2 if is_flux else 1)
            await (await server.connection()).close(1011)
            utterance = await anext(utterances)
            assert (utterance.text, utterance.confirmed) == ("tail", False)
            with pytest.raises(ConnectionLost):
                await anext(utterances)


async def test_the_tail_of_a_subscription_that_was_too_slow(connect: Connect) -> None:
    """What its own end cuts off comes before the BufferOverflow too."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            utterances = session.subscribe(max_buffer_size=1, overflow="error").utterances()
            await say(server, final("one"), final("two", 1.0))
            await arrived(session, 2)
            utterance = await anext(utterances)
            assert (utterance.text, utterance.confirmed) == ("one two", False)
            with pytest.raises(BufferOverflow):
                await anext(utterances)


async def test_a_tail_hides_no_error_that_was_seen(connect: Connect) -> None:
    """An error that the session has raised is not raised again by its exit because a subscription is at its tail."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            utterances = session.subscribe().utterances()
            await say(server, final("tail"))
            await anext(session)
            await (await server.connection()).close(1011)
            with pytest.raises(ConnectionLost):
                await anext(session)
            assert (await anext(utterances)).text == "tail"


async def test_utterances_take_all_kinds(connect: Connect) -> None:
    """Whole utterances of some kinds of events are a ValueError that says what to call."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        with pytest.raises(ValueError, match="without kinds"):
            session.subscribe(StreamEvent.Transcript).utterances()


# The end of the stream


async def test_an_error_reaches_each(connect: Connect) -> None:
    """The error of the stream comes out of each, behind its events, and not of the exit then."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            first, second = session.subscribe(), session.subscribe(StreamEvent.UtteranceEnd)
            await say(server, final("one"))
            await arrived(session, 1)
            await (await server.connection()).close(1011, "NET-0000")
            assert said([await anext(first)]) == ["one"]
            for each in (first, second):
                with pytest.raises(ConnectionLost, match="1011"):
                    await anext(each)


async def test_an_error_that_a_subscription_alone_has_not_seen(connect: Connect) -> None:
    """The exit raises the error where no consumer got as far as that."""
    async with DeepgramServer() as server:
        with pytest.raises(ConnectionLost):
            async with connect(server, nova()) as session:
                subscription = session.subscribe()
                await say(server, final("one"))
                await arrived(session, 1)
                await (await server.connection()).close(1011)
                assert said([await anext(subscription)]) == ["one"]


async def test_the_exception_of_a_source_reaches_each(connect: Connect) -> None:
    """What the source of feed() raises comes out of a subscription as itself."""

    async def source() -> Any:
        yield FRAME
        raise LookupError("no more")

    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            subscription = session.subscribe()
            session.feed(source())
            with pytest.raises(LookupError, match="no more"):
                await anext(subscription)


@pytest.mark.parametrize("is_lost", [False, True], ids=["closed", "lost"])
async def test_subscribing_after_the_end(connect: Connect, *, is_lost: bool) -> None:
    """A subscription to a stream that has ended comes to the end, or raises the error, at once."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            if is_lost:
                await (await server.connection()).close(1011)
                with pytest.raises(ConnectionLost):
                    await anext(session)
            await session.finish()
            subscription = session.subscribe()
            with pytest.raises(ConnectionLost if is_lost else StopAsyncIteration):
                await anext(subscription)
        with pytest.raises(ConnectionLost if is_lost else StopAsyncIteration):
            await anext(session.subscribe().utterances())


async def test_iterating_after_the_session_was_left(connect: Connect) -> None:
    """What waits can be iterated after the session was left, then comes the end."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            subscription = session.subscribe()
            await say(server, final("one"))
        assert [event.type async for event in subscription] == ["transcript", "metadata"]


# Its own end


async def test_leaving_a_subscription(connect: Connect) -> None:
    """Left or closed, it gets no more events; those that wait are handed out, then it ends; the stream goes on."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            async with session.subscribe() as left:
                closed = session.subscribe()
                await say(server, final("one"))
                await arrived(session, 1)
                closed.close()
                closed.close()
            await has_subscribers(session, 0)
            await say(server, final("two", 1.0))
            await session.finish()
            for each in (left, closed):
                assert said([event async for event in each]) == ["one"]
            assert said([event async for event in session]) == ["one", "two"]


async def test_closing_ends_a_wait(connect: Connect) -> None:
    """A task that waits for an event of a subscription that is closed comes to the end."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            subscription = session.subscribe()

            async def consume() -> list[AnyStreamEvent]:
                return [event async for event in subscription]

            consuming = asyncio.create_task(consume())
            await anyio.lowlevel.checkpoint()
            subscription.close()
            assert await consuming == []


async def test_a_subscription_that_is_dropped(connect: Connect) -> None:
    """Dropped subscriptions warn of nothing and leave nothing: after a break, without one event, in a cycle, in a thread."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            await say(server, final("one"))

            async def breaks() -> None:
                async for _ in session.subscribe():
                    break

            breaking = asyncio.create_task(breaks())
            await anyio.lowlevel.checkpoint()
            await say(server, final("two", 1.0))
            await breaking
            for _ in range(100):
                session.subscribe()
            cycle: list[Any] = [session.subscribe()]
            cycle.append(cycle)
            del cycle
            gc.collect()
            in_thread = [session.subscribe()]
            await anyio.to_thread.run_sync(in_thread.clear)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            await has_subscribers(session, 0)
            assert said([await anext(session), await anext(session)]) == ["one", "two"]


@looks_inside
async def test_dropping_one_in_the_middle_of_an_event(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The garbage collector may drop one anywhere, also while an event is put into it: nobody else loses the event."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            subscription = session.subscribe()
            subscriber = subscription._subscriber
            append = subscriber.buffer._send.send_nowait
            dropped = [subscription]
            del subscription

            def drop_and_append(event: AnyStreamEvent) -> None:
                dropped.clear()
                append(event)

            monkeypatch.setattr(subscriber.buffer._send, "send_nowait", drop_and_append)
            later = session.subscribe()
            await say(server, final("one"))
            assert said([await anext(session)]) == ["one"]
            assert said([await anext(later)]) == ["one"]
            assert session.close_info is None


# Misuse


async def test_before_entering() -> None:
    """A session that was not entered has nothing to subscribe to, and says so."""
    with pytest.raises(RuntimeError, match="entered"):
        stream(any_client(), nova()).subscribe()


@refuses_other_loops
async def test_in_another_loop(connect: Connect) -> None:
    """subscribe(), and iterating a subscription, in another event loop are RuntimeErrors, and no hang."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        subscription = session.subscribe()

        async def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                session.subscribe()
            with pytest.raises(RuntimeError, match="another event loop"):
                await anext(subscription)
            with pytest.raises(RuntimeError, match="another event loop"):
                await anext(subscription.utterances())

        await anyio.to_thread.run_sync(asyncio.run, elsewhere())
        await has_subscribers(session, 1)


@pytest.mark.parametrize("given", [int, "transcript", None, StreamEvent.Transcript(), Utterance])
async def test_what_is_no_kind(connect: Connect, given: Any) -> None:
    """What is no kind of event is a TypeError that shows what would be."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        with pytest.raises(TypeError, match=r"StreamEvent\.UtteranceEnd"):
            session.subscribe(StreamEvent.Transcript, given)
        await has_subscribers(session, 0)


@pytest.mark.parametrize(
    "setting",
    [
        {"max_buffer_size": 0},
        {"max_buffer_size": 1.5},
        {"overflow": "explode"},
        {"overflow_timeout_seconds": 0},
        {"overflow_timeout_seconds": None},
    ],
)
async def test_settings_out_of_range(connect: Connect, setting: dict[str, Any]) -> None:
    """A setting out of its range is a ValueError that names it."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        with pytest.raises(ValueError, match=next(iter(setting))):
            session.subscribe(**setting)
        await has_subscribers(session, 0)


@orders_tasks
async def test_two_tasks_on_one_subscription(connect: Connect) -> None:
    """A second task on one subscription is a RuntimeError, and does not disturb the first; one of its own each is none."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        subscription = session.subscribe()
        first = asyncio.ensure_future(anext(subscription))
        of_the_session = asyncio.ensure_future(anext(session))
        await anyio.lowlevel.checkpoint()
        with pytest.raises(RuntimeError, match=r"subscribe\(\)"):
            await anext(subscription)
        await say(server, final("mine"))
        assert said([await first]) == said([await of_the_session]) == ["mine"]


@needs_cancellation
async def test_a_cancelled_wait_loses_no_event(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that arrives in the tick in which the wait for it is cancelled is handed out to the next one."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        subscription = session.subscribe()
        waiting = asyncio.ensure_future(anext(subscription))
        await anyio.lowlevel.checkpoint()
        buffer = subscription._subscriber.buffer
        put = buffer.put

        def put_and_cancel(event: AnyStreamEvent) -> None:
            put(event)
            waiting.cancel()

        monkeypatch.setattr(buffer, "put", put_and_cancel)
        await say(server, final("final"))
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert said([await anext(subscription)]) == ["final"]
