"""What was once wrong: each of these lost a word, hung, leaked or misled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import anyio
import anyio.to_thread
import pytest
from conftest import (
    FRAME,
    IS_LEGACY,
    Connect,
    EventType,
    LateWord,
    cancels_its_source,
    emitter_only,
    flux,
    nova,
    set_transport,
    texts,
)

from deepgram_stream_iter import (
    ConnectError,
    ConnectionLost,
    Reconnect,
    ReconnectAttempt,
    SessionClosed,
    StreamEvent,
    stream,
)
from deepgram_stream_iter.testing import (
    DeepgramServer,
    Faults,
    ServerConnection,
    messages,
)


@pytest.mark.parametrize("overflow", ["coalesce", "wait"])
async def test_finishing_first_and_consuming_then_loses_nothing(connect: Connect, overflow: str) -> None:
    """Once the end is asked for, a full buffer holds nobody back: more finals than it holds are all handed out."""
    script = [messages.results(f"w{n}", start=float(n), is_final=True) for n in range(200)]
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), max_buffer_size=8, overflow=overflow) as session:
            info = await session.finish()
            assert info.drained
            assert await texts(session) == [f"w{n}" for n in range(200)]


async def test_a_slow_consumer_of_a_fed_stream_loses_nothing(connect: Connect) -> None:
    """The end of a fed source holds nobody back, either, however slow the consumer is."""
    script = [messages.results(f"w{n}", start=float(n), is_final=True) for n in range(60)]
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), max_buffer_size=8, finish_timeout_seconds=5) as session:
            session.feed([FRAME])
            got = []
            async for event in session:
                await anyio.sleep(0.005)  # the consumer's own work
                if isinstance(event, StreamEvent.Transcript):
                    got.append(event.transcript)
            assert got[:60] == [f"w{n}" for n in range(60)]
            assert session.close_info is not None
            assert session.close_info.drained


@pytest.mark.parametrize("finish", [True, False])
async def test_a_source_that_was_cancelled_is_told(connect: Connect, *, finish: bool) -> None:
    """A source that ends by a cancellation of its own does not pass for the end of the stream."""

    async def cancelled() -> AsyncIterator[bytes]:
        yield FRAME
        task = asyncio.create_task(asyncio.sleep(9))
        task.cancel()
        await task

    async with DeepgramServer() as server, connect(server, nova()) as session:
        session.feed(cancelled(), finish=finish)
        with pytest.raises(RuntimeError, match=r"(?i)cancelled"):
            await texts(session)
        with pytest.raises(SessionClosed):
            await session.send(FRAME)


async def test_after_a_failed_entry(connect: Connect) -> None:
    """Leaving or using a session whose entry has failed neither hangs nor misleads."""
    async with DeepgramServer(faults=Faults(refuse_status=403)) as server:
        session = connect(server, nova())
        with pytest.raises(ConnectError):
            await session.__aenter__()
        assert "deepgram_stream_iter" not in {task.get_name() for task in asyncio.all_tasks()}
        with anyio.fail_after(1):
            await session.__aexit__(None, None, None)
            assert not (await session.finish()).drained
        for use in (lambda: session.send(FRAME), session.finalize, lambda: anext(session)):
            with pytest.raises(ConnectError):
                await use()
        with pytest.raises(RuntimeError, match="could not be entered"):
            _ = session.connection


@pytest.mark.parametrize("how", ["normally", "by an exception"])
@cancels_its_source
async def test_a_source_that_cannot_be_cancelled_holds_up_nothing(
    connect: Connect, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A source that reads in a thread is not waited for: the stream is ended in order, and the exit is bounded."""
    release, reading = threading.Event(), anyio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        loop.call_soon_threadsafe(reading.set)
        release.wait()

    async def blocking() -> AsyncIterator[bytes]:
        yield FRAME
        await anyio.to_thread.run_sync(wait)

    async with DeepgramServer(recognizer=LateWord, faults=Faults(no_finalize_answer=True)) as server:
        with anyio.fail_after(1 + 2 + 1):
            try:
                async with connect(server, nova(), finish_timeout_seconds=1) as session:
                    session.feed(blocking())
                    await reading.wait()
                    if how != "normally":
                        raise LookupError
            except LookupError:
                pass
        assert session.transcript == ("late" if how == "normally" else "")
    assert "cannot be cancelled" in caplog.text
    release.set()
    while any(task.get_name().startswith("deepgram_stream_iter") for task in asyncio.all_tasks()):
        await anyio.lowlevel.checkpoint()


@pytest.mark.slow
@pytest.mark.skipif(IS_LEGACY, reason="the socket of SDK 3 and 4 tells a missing pong by itself")
async def test_a_dead_peer_that_the_sdk_has_given_up(
    connect: Connect, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When pings go unanswered, send() and the exit say so at once, and do not wait the SDK's 20 s."""
    set_transport(monkeypatch, kind, ping_interval=0.1, ping_timeout=0.2)
    async with DeepgramServer() as server:
        with pytest.raises(ConnectionLost, match="1011") as caught:
            async with connect(server, nova(), keepalive_seconds=None, finish_timeout_seconds=1.0):
                server.faults.frozen = True
        assert caught.value.code == 1011


@cancels_its_source
async def test_clean_up_of_a_source_that_raises_does_not_cost_the_tail(connect: Connect) -> None:
    """What a source raises while it is being stopped comes out after the late finals."""

    async def source() -> AsyncIterator[bytes]:
        try:
            while True:
                yield FRAME
                await anyio.sleep(0.01)
        finally:
            raise LookupError("the microphone does not close")

    async with DeepgramServer(recognizer=LateWord, faults=Faults(no_finalize_answer=True)) as server:
        with pytest.raises(LookupError):
            async with connect(server, nova()) as session:
                session.feed(source())
                await (await server.connection()).audio_reached(0.02)
        assert session.transcript == "late"


@emitter_only
async def test_an_observer_is_not_left_behind_by_a_close_handler_that_raises() -> None:
    """When another CLOSE handler raises before ours, an observing session still sees the end of the socket."""

    def handler(_: object) -> None:
        raise LookupError

    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        connection.on(EventType.CLOSE, handler)
        listening = asyncio.create_task(connection.start_listening())
        async with stream(connection, listen=False) as session:
            await (await server.connection()).close(1011)
            with anyio.fail_after(5), pytest.raises(ConnectionLost):
                await anext(session)
        with pytest.raises(LookupError):
            await listening


@emitter_only
async def test_a_close_handler_that_raises_does_not_hide_the_close_code() -> None:
    """The close frame's verdict is told; the handler's error is logged."""

    def handler(_: object) -> None:
        raise LookupError

    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        connection.on(EventType.CLOSE, handler)
        async with stream(connection) as session:
            await (await server.connection()).close(1011, "NET-0001")
            with pytest.raises(ConnectionLost, match="NET-0001"):
                await anext(session)


async def test_an_open_turn_at_a_full_buffer(connect: Connect) -> None:
    """The end of the open turn goes into a full buffer, without a coroutine that nobody awaits."""
    script = [messages.turn_info("StartOfTurn", "hey")]
    async with DeepgramServer(script=script) as server:
        async with connect(server, flux(), max_buffer_size=2) as session:
            await session.finish()
            kinds = [event.type async for event in session]
            assert kinds == ["connected", "start_of_turn", "end_of_turn"]


async def test_a_break_at_the_end_of_the_utterances(connect: Connect) -> None:
    """Of several utterances that the end completes, a break loses none."""
    script = [
        messages.results(text, is_final=True, channel=channel, channels=2)
        for channel, text in enumerate(("left", "right"))
    ]
    async with DeepgramServer(script=script) as server, connect(server, nova()) as session:
        session.feed([])
        got = []
        for _ in range(2):
            async for utterance in session.utterances():
                got.append(utterance.text)
                break
        assert got == ["left", "right"]


@pytest.mark.parametrize("code", [1000, 1005, 1006, 1011])
async def test_flux_that_closes_before_it_is_connected(connect: Connect, code: int) -> None:
    """A Flux connection that ends before its Connected is a ConnectError, whatever the code."""

    async def script(connection: ServerConnection) -> None:
        await connection.close(code)

    async with DeepgramServer(script=script, faults=Faults(no_connected=True)) as server:
        with pytest.raises(ConnectError, match="before it was ready"):
            await connect(server, flux()).__aenter__()


async def test_pace_over_many_calls(connect: Connect) -> None:
    """Pieces that are sent one by one with a pace keep to the clock as one source does."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        began = anyio.current_time()
        for _ in range(11):
            await session.send(FRAME, pace=1.0)
        assert anyio.current_time() - began >= 0.2


async def test_a_paced_source_leaves_room_for_others(connect: Connect) -> None:
    """A long piece that is paced does not keep another sender waiting for all of it."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        session.feed(bytes(32_000 * 60), pace=1.0)
        with anyio.fail_after(5):
            await session.send(FRAME)


async def test_a_source_of_the_wrong_kind_is_told_at_once(connect: Connect) -> None:
    """A generator function that was not called is a TypeError, from feed() too."""

    def generator() -> Iterator[bytes]:
        yield FRAME

    async with DeepgramServer() as server, connect(server, nova()) as session:
        with pytest.raises(TypeError, match="function"):
            session.feed(generator)  # type: ignore[arg-type]


async def test_an_on_attempt_that_is_cancelled_is_no_end(connect: Connect) -> None:
    """An on_attempt that waits for a task which somebody cancels was taken for the agreed end of the stream."""

    async def script(connection: ServerConnection) -> None:
        connection.abort()

    async def on_attempt(_: ReconnectAttempt) -> None:
        waited_for = asyncio.create_task(anyio.sleep_forever())
        waited_for.cancel()
        await waited_for

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=Reconnect(on_attempt=on_attempt)) as session:
            with pytest.raises(RuntimeError, match="cancelled by somebody else"):
                await texts(session)
