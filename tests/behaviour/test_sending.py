"""Audio on its way out: frames, pace, sources, several senders; control messages and their answers."""

from __future__ import annotations

import array
import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest
from conftest import (
    FRAME,
    IS_LEGACY,
    SDK,
    Connect,
    cancels_its_source,
    emitter_only,
    ended,
    flux,
    nova,
    orders_tasks,
    texts,
)

from deepgram_stream_iter import (
    ConfigureError,
    ConnectionLost,
    SessionClosed,
    StreamEvent,
    StreamingOptions,
    StreamSession,
    stream,
)
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages


async def microphone(pieces: int = 5) -> AsyncIterator[bytes]:
    """Give pieces of 20 ms."""
    for _ in range(pieces):
        yield FRAME


@pytest.mark.parametrize(
    ("options_for", "given", "milliseconds", "bytes_per_second"),
    [
        (nova, {}, 100, 32_000),
        (flux, {}, 80, 32_000),
        (nova, {"encoding": "mulaw", "sample_rate": 8000}, 100, 8_000),
        (nova, {"encoding": "linear32", "sample_rate": 48000, "channels": 2}, 100, 384_000),
    ],
)
async def test_large_pieces_are_cut(
    connect: Connect,
    options_for: Callable[..., StreamingOptions],
    given: dict[str, Any],
    milliseconds: int,
    bytes_per_second: int,
) -> None:
    """Frames of raw audio are of 100 ms at most, of 80 ms for Flux; none is lost."""
    audio = bytes(range(256)) * 400
    async with DeepgramServer() as server, connect(server, options_for(**given)) as session:
        await session.send(audio)
        await session.finish()
        connection = await server.connection()
        assert connection.audio == audio
        assert {len(frame) for frame in connection.audio_frames[:-1]} == {
            bytes_per_second * milliseconds // 1000
        }
        assert session.stats.audio_seconds_sent == pytest.approx(len(audio) / bytes_per_second)


async def test_small_pieces_go_out_as_they_are(connect: Connect) -> None:
    """Frames of 20 ms are neither joined nor cut, and empty pieces are never forwarded."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        await session.send([FRAME, b"", FRAME])
        await session.send(b"")
        await session.send(FRAME)
        await session.finish()
        assert [len(frame) for frame in (await server.connection()).audio_frames] == [640] * 3


async def test_every_kind_of_source(connect: Connect) -> None:
    """Bytes-like objects, iterables and async iterables of them, sync generators."""

    def generator() -> Iterator[bytearray]:
        yield bytearray(FRAME)

    async with DeepgramServer() as server, connect(server, nova()) as session:
        for source in (
            FRAME,
            bytearray(FRAME),
            memoryview(FRAME),
            array.array("h", [0] * 320),
            [FRAME],
            generator(),
            microphone(1),
        ):
            await session.send(source)
        await session.finish()
        assert [len(frame) for frame in (await server.connection()).audio_frames] == [640] * 7


async def test_containers_go_out_in_opaque_frames(connect: Connect) -> None:
    """Audio whose bytes are not time is cut for size alone, and its seconds are not known."""
    async with DeepgramServer() as server:
        async with connect(server, StreamingOptions(model="nova-3")) as session:
            await session.send(bytes(100_000))
            await session.finish()
            assert (await server.connection()).audio == bytes(100_000)
            assert session.stats.audio_seconds_sent is None


async def test_pace_follows_the_clock(connect: Connect) -> None:
    """With pace each frame goes out at its deadline: never early, and the last one not late by the sum of delays."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        began = anyio.current_time()
        await session.send([FRAME] * 26, pace=2.0)
        took = anyio.current_time() - began
        assert took >= 25 * 0.02 / 2.0
        times = [frame.time for frame in (await server.connection()).frames]
        assert len(times) >= 20


@emitter_only
async def test_pace_of_a_live_connection_is_read_off_its_request() -> None:
    """A connection that the application made tells its encoding too."""
    async with DeepgramServer() as server:
        connecting = server.client().listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16000)
        async with connecting as connection, stream(connection) as session:
            await session.send(bytes(6400), pace=100.0)
            assert session.stats.audio_seconds_sent == pytest.approx(0.2)


@pytest.mark.parametrize("encoding", [None, "opus", "flac"])
async def test_pace_needs_raw_audio(connect: Connect, encoding: str | None) -> None:
    """A pace for audio whose bytes are not time is a ValueError, from send() and from feed()."""
    options = StreamingOptions(model="nova-3", encoding=encoding, sample_rate=16000 if encoding else None)
    async with DeepgramServer() as server, connect(server, options) as session:
        with pytest.raises(ValueError, match="raw audio"):
            await session.send(FRAME, pace=1.0)
        with pytest.raises(ValueError, match="raw audio"):
            session.feed([FRAME], pace=1.0)
        with pytest.raises(ValueError, match="more than 0"):
            await session.send(FRAME, pace=0)


async def test_several_senders(connect: Connect) -> None:
    """The frames of a piece stay together when several tasks send at once."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(session.send, bytes([number]) * 32_000)
        await session.finish()
        audio = (await server.connection()).audio
        assert len(audio) == 4 * 32_000
        assert all(len(set(audio[start : start + 32_000])) == 1 for start in range(0, len(audio), 32_000))


TIMERS = pytest.mark.parametrize(
    "settings", [{}, {"reconnect": True}, {"stall_timeout_seconds": 60}], ids=str
)


def count_timers(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.Task[Any] | None]:
    """Return a list that will have the task in which a timer is made, once for every timer."""
    loop, makers = asyncio.get_running_loop(), list[asyncio.Task[Any] | None]()
    call_at = loop.call_at

    def counting(*arguments: Any, **named: Any) -> asyncio.TimerHandle:
        makers.append(asyncio.current_task())
        return call_at(*arguments, **named)

    monkeypatch.setattr(loop, "call_at", counting)
    return makers


@TIMERS
@pytest.mark.async_client_only(reason="with a sync client every send waits for a thread")
async def test_a_paced_frame_takes_one_timer(
    connect: Connect, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the one that waits for the frame's time; a frame that is late takes none."""
    counted: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        async for piece in microphone(10):
            yield piece
        counted.append(timers.count(asyncio.current_task()))

    async with DeepgramServer() as server, connect(server, nova(), **settings) as session:
        timers = count_timers(monkeypatch)
        session.feed(source(), pace=1.0)
        await texts(session)
        assert (await server.connection()).audio_seconds == pytest.approx(0.2)
    assert counted[0] in range(1, 11)


@TIMERS
@pytest.mark.async_client_only(reason="with a sync client every send waits for a thread")
async def test_a_frame_that_the_socket_takes_at_once(
    connect: Connect, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no timer, though there is a limit to how long sending may take."""
    async with DeepgramServer() as server, connect(server, nova(), **settings) as session:
        timers = count_timers(monkeypatch)
        for _ in range(10):
            await session.send(FRAME)
        assert timers.count(asyncio.current_task()) == 0
        await (await server.connection()).audio_reached(0.2)


async def test_feeding_ends_the_stream(connect: Connect) -> None:
    """The end of a fed source is finish()."""
    async with DeepgramServer(script=[messages.results("hi", is_final=True)]) as server:
        async with connect(server, nova()) as session:
            session.feed(microphone())
            assert await texts(session) == ["hi"]
            assert session.close_info is not None
            assert session.close_info.drained
            assert len((await server.connection()).audio_frames) == 5


async def test_feeding_without_finish(connect: Connect) -> None:
    """With finish=False the session goes on after the source."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        session.feed(microphone(), finish=False)
        connection = await server.connection()
        await connection.audio_reached(0.1)
        await session.send(FRAME)
        await connection.audio_reached(0.12)
        assert connection.controls == []


@pytest.mark.parametrize("error", [LookupError("no microphone"), anyio.EndOfStream()], ids=repr)
async def test_an_exception_in_the_source_comes_out_as_itself(connect: Connect, error: Exception) -> None:
    """What a source raises is raised by the iteration, as itself, after the events that had arrived."""

    async def broken() -> AsyncIterator[bytes]:
        yield FRAME
        await heard.wait()
        raise error

    heard = anyio.Event()
    async with DeepgramServer(script=[messages.results("hi", is_final=True)]) as server:
        async with connect(server, nova()) as session:
            session.feed(broken())
            while not session.transcript:
                await anyio.lowlevel.checkpoint()
            heard.set()
            assert isinstance(await anext(session), StreamEvent.Transcript)
            with pytest.raises(type(error)) as caught:
                await anext(session)
            assert caught.value is error


async def test_an_exception_in_the_source_that_nobody_saw(connect: Connect) -> None:
    """Without an iteration, the exit raises what the source raised."""

    def broken() -> Iterator[bytes]:
        raise LookupError
        yield FRAME

    async with DeepgramServer() as server:
        with pytest.raises(LookupError):
            async with connect(server, nova()) as session:
                session.feed(broken())
                await (await server.connection()).wait_closed()


@cancels_its_source
async def test_the_end_of_the_session_closes_the_source(connect: Connect) -> None:
    """A source that never ends is stopped by the exit, and its clean-up runs."""
    cleaned = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield FRAME
                await anyio.sleep(0.01)
        finally:
            cleaned.append("up")

    async with DeepgramServer() as server, connect(server, nova()) as session:
        session.feed(endless())
        await (await server.connection()).audio_reached(0.04)
    assert cleaned == ["up"]


async def test_finalize_returns_the_flushed_transcript(connect: Connect) -> None:
    """finalize() gives the Transcript with from_finalize, which is iterated too."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        await session.send(FRAME)
        flushed = await session.finalize()
        assert flushed is not None
        assert flushed.from_finalize
        assert await anext(session) is flushed


async def test_other_transcripts_are_no_answer_to_finalize(connect: Connect) -> None:
    """What was on its way when Finalize was sent is not taken for the answer."""

    async def script(connection: ServerConnection) -> None:
        await connection.received("Finalize")
        await connection.send(messages.results("before", is_final=True))
        await connection.send(messages.results("flushed", is_final=True, from_finalize=True))

    async with DeepgramServer(script=script, faults=Faults(no_finalize_answer=True)) as server:
        async with connect(server, nova()) as session:
            flushed = await session.finalize(timeout_seconds=10)
            assert flushed is not None
            assert flushed.transcript == "flushed"


@orders_tasks
async def test_finalize_is_bounded(connect: Connect) -> None:
    """finalize() gives None when the server does not answer in time, or the stream ends."""
    async with DeepgramServer(faults=Faults(no_finalize_answer=True)) as server:
        async with connect(server, nova()) as session:
            await session.send(FRAME)
            assert await session.finalize(timeout_seconds=0.05) is None
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.finish)
                await anyio.lowlevel.checkpoint()
                with pytest.raises(SessionClosed):
                    await session.finalize(timeout_seconds=10)


async def cannot_configure(session: StreamSession) -> bool:
    """Tell whether the SDK has no Configure here; the session then says so, and sends nothing."""
    if IS_LEGACY or hasattr(session.connection, "send_configure"):
        return False
    with pytest.raises(RuntimeError, match="does not know Configure"):
        await session.configure(keyterms=["a"])
    return True


@pytest.mark.parametrize("options_for", [nova, flux])
async def test_configure(connect: Connect, options_for: Callable[[], StreamingOptions]) -> None:
    """configure() sends its fields and returns the Configured; concurrent ones go one after another."""
    options = options_for()
    async with DeepgramServer() as server, connect(server, options) as session:
        if await cannot_configure(session):
            return
        async with anyio.create_task_group() as tasks:
            for term in ("one", "two"):
                tasks.start_soon(functools.partial(session.configure, keyterms=[term]))
        connection = await server.connection()
        assert [control["keyterms"] for control in connection.controls] == [["one"], ["two"]]
        session.feed([])
        assert [event.type async for event in session].count("configured") == 2


async def test_a_refused_configure(connect: Connect) -> None:
    """A ConfigureFailure is a ConfigureError with its code and description, and an event."""
    failure = ("CONFIGURE_KEYTERMS_NOT_SUPPORTED", "not on this model")
    async with DeepgramServer(faults=Faults(configure_failure=failure)) as server:
        async with connect(server, nova()) as session:
            if await cannot_configure(session):
                return
            with pytest.raises(ConfigureError, match="not on this model") as caught:
                await session.configure(keyterms=["a"])
            assert (caught.value.code, caught.value.description) == failure
            event = await anext(session)
            assert isinstance(event, StreamEvent.ConfigureFailed)
            with pytest.raises(ValueError, match="needs a change"):
                await session.configure()
            with pytest.raises(TypeError, match="JSON"):
                await session.configure(keyterms={"a"})


async def test_configure_when_the_stream_ends(connect: Connect) -> None:
    """A Configure that the end of the stream leaves without an answer is a ConfigureError."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            if await cannot_configure(session):
                return
            server.faults.mute = True
            async with anyio.create_task_group() as tasks:

                async def end() -> None:
                    await (await server.connection()).received("Configure")
                    await (await server.connection()).close()

                tasks.start_soon(end)
                with pytest.raises(ConfigureError, match="ended before"):
                    await session.configure(keyterms=["a"])


async def test_force_end_turn(connect: Connect) -> None:
    """force_end_turn() ends the open Flux turn, triggered manually."""
    async with DeepgramServer() as server, connect(server, flux()) as session:
        await session.force_end_turn()
        events = [await anext(session), await anext(session)]
        assert isinstance(events[1], StreamEvent.Warning)
        assert events[1].description or SDK < (7,)  # those before drop it


@pytest.mark.parametrize("name", ["send", "send_nowait", "skip", "feed", "finalize", "keep_alive"])
async def test_a_call_that_tells_of_the_loss(connect: Connect, name: str) -> None:
    """Whoever is told of the loss by any call is not told again by the exit."""

    async def script(connection: ServerConnection) -> None:
        await connection.close(1011, "gone")

    given: dict[str, list[Any]] = {"send": [FRAME], "send_nowait": [FRAME], "feed": [[FRAME]], "skip": [1.0]}
    async with DeepgramServer(script=script) as server, connect(server, nova()) as session:
        await ended(session)
        with pytest.raises(ConnectionLost, match="1011 gone"):
            await getattr(session, name)(*given.get(name, []))
