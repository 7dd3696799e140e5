"""send_nowait(): audio from any thread, event loop or audio callback; its order, its bound, and what is told when it is too much."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import anyio.to_thread
import deepgram
import pytest
from anyio.lowlevel import checkpoint
from conftest import (
    FRAME,
    Connect,
    emitter_only,
    flux,
    legacy_only,
    looks_inside,
    needs_cancellation,
    nova,
    refuses_other_loops,
    texts,
)

from deepgram_stream_iter import (
    AnyStreamEvent,
    ConnectionLost,
    Reconnect,
    ReconnectAttempt,
    SessionClosed,
    StreamEvent,
    StreamingOptions,
    StreamSession,
    stream,
)
from deepgram_stream_iter._outbound.sender import AudioSender
from deepgram_stream_iter.testing import DeepgramServer, ServerConnection, SpokenWord, messages

PIECE_SECONDS = 0.02


def piece(number: int) -> bytes:
    """Make 20 ms of 16 kHz mono linear16 that tell their number."""
    return number.to_bytes(2, "little") * 320


def pieces(*numbers: int) -> bytes:
    """Make the audio of several."""
    return b"".join(map(piece, numbers))


def numbers_of(audio: bytes) -> list[int]:
    """Return the numbers of pieces, each of which has to be whole."""
    numbers = [int.from_bytes(audio[at : at + 2], "little") for at in range(0, len(audio), 640)]
    assert audio == pieces(*numbers)
    return numbers


def in_a_thread(function: Callable[[], object]) -> Awaitable[object]:
    """Call a function where no event loop runs."""
    return anyio.to_thread.run_sync(function)


# From everywhere


async def test_from_the_event_loop(connect: Connect) -> None:
    """It needs no await, and what was handed over before the block is left has arrived when it is."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            for number in range(1, 51):
                session.send_nowait(piece(number))
        assert numbers_of(server.connections[0].audio) == list(range(1, 51))
        assert session.stats.audio_seconds_sent == pytest.approx(1.0)
        assert session.close_info is not None
        assert session.close_info.drained


async def test_it_goes_out_by_itself(connect: Connect) -> None:
    """Nobody has to call anything else for it to be sent."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        served = await server.connection()
        for number in (1, 2):
            session.send_nowait(piece(number))
            await served.audio_reached(number * PIECE_SECONDS)


async def test_from_threads(connect: Connect) -> None:
    """However many threads hand over audio, none is lost, and each one's is in its order."""
    threads, count = 4, 200

    def hand_over(thread: int) -> None:
        for number in range(count):
            session.send_nowait(piece(thread * count + number))

    async with DeepgramServer() as server:
        async with connect(server, nova(), max_unsent_seconds=60.0) as session:
            async with anyio.create_task_group() as tasks:
                for thread in range(threads):
                    tasks.start_soon(anyio.to_thread.run_sync, hand_over, thread)
        numbers = numbers_of(server.connections[0].audio)
        assert len(numbers) == threads * count
        for thread in range(threads):
            own = range(thread * count, (thread + 1) * count)
            assert [number for number in numbers if number in own] == list(own)


async def test_from_another_event_loop(connect: Connect) -> None:
    """A coroutine of another event loop may hand over audio."""

    async def hand_over() -> None:
        for number in range(1, 11):
            session.send_nowait(piece(number))
            await asyncio.sleep(0)

    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            await in_a_thread(lambda: asyncio.run(hand_over()))
        assert numbers_of(server.connections[0].audio) == list(range(1, 11))


@refuses_other_loops
async def test_what_is_refused_in_another_event_loop(connect: Connect) -> None:
    """There send() is refused, and names what is not."""

    async def hand_over() -> None:
        with pytest.raises(RuntimeError, match="send_nowait"):
            await session.send(piece(1))

    async with DeepgramServer() as server, connect(server, nova()) as session:
        await in_a_thread(lambda: asyncio.run(hand_over()))


async def test_an_audio_callback(connect: Connect) -> None:
    """A callback that is called with the same memory each time, in a thread of somebody else, loses nothing."""
    memory, count = bytearray(640), 100

    def record() -> None:
        for number in range(1, count + 1):
            memory[:] = piece(number)
            session.send_nowait(memoryview(memory))
            memory[:] = bytes(640)

    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            device = threading.Thread(target=record)
            device.start()
            await (await server.connection()).audio_reached(count * PIECE_SECONDS)
            device.join()
        assert numbers_of(server.connections[0].audio) == list(range(1, count + 1))


@legacy_only
@pytest.mark.parametrize("is_muted", [False, True])
async def test_the_microphone_of_the_sdk(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, *, is_muted: bool
) -> None:
    """`Microphone(session.send_nowait)` of SDK 3 and 4 calls it from PyAudio's thread."""

    class PyAudio:
        """What the SDK calls of PyAudio."""

        def open(self, **given: Any) -> Any:
            """Record ten pieces in a thread."""

            def record() -> None:
                for number in range(1, 11):
                    assert callback(piece(number), 320, {}, 0)[1] == 0

            callback, device = given["stream_callback"], threading.Thread(target=record)
            return types.SimpleNamespace(
                start_stream=device.start,
                stop_stream=device.join,
                close=lambda: None,
                is_active=device.is_alive,
            )

    fake = types.SimpleNamespace(PyAudio=PyAudio, paInt16=8, paContinue=0, paAbort=2)
    monkeypatch.setitem(sys.modules, "pyaudio", fake)
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            microphone = cast("Any", deepgram).Microphone(session.send_nowait, rate=16000, chunk=320)
            microphone._is_muted = is_muted
            assert microphone.start()
            await (await server.connection()).audio_reached(0.2)
            await in_a_thread(microphone.finish)
        expected = bytes(6400) if is_muted else pieces(*range(1, 11))
        assert server.connections[0].audio == expected


@looks_inside
async def test_many_calls_are_few_tasks(connect: Connect) -> None:
    """A burst of calls weighs its audio, and not a task for each."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), max_unsent_seconds=60.0) as session:
            before = len(asyncio.all_tasks())
            for number in range(1, 1001):
                session.send_nowait(piece(number))
            await checkpoint()
            assert len(asyncio.all_tasks()) <= before + 2
        assert numbers_of(server.connections[0].audio) == list(range(1, 1001))


# Its order


async def nothing(session: StreamSession) -> None:
    """Call nothing."""


async def cancelled_at_once(session: StreamSession) -> None:
    """Send, and be cancelled in the first step of that."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await session.send(piece(3))


LATER: dict[str, tuple[Callable[[StreamSession], Awaitable[object]], str]] = {
    "finalize": (lambda session: session.finalize(0.1), "Finalize"),
    "keep_alive": (lambda session: session.keep_alive(), "KeepAlive"),
    "finish": (lambda session: session.finish(), "Finalize"),
    "leaving": (nothing, "Finalize"),
    "a cancelled send": (cancelled_at_once, "Finalize"),
}


@pytest.mark.parametrize("name", LATER)
async def test_before_a_later_control_message(connect: Connect, name: str) -> None:
    """A control message goes out behind all audio that was handed over before it was called for."""
    call, kind = LATER[name]
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            for number in (1, 2):
                session.send_nowait(piece(number))
            await call(session)
        frames = [frame.data for frame in server.connections[0].frames]
        assert frames[:2] == [piece(1), piece(2)]
        assert kind in str(frames[2])


@emitter_only
async def test_leaving_what_is_observed(kind: str) -> None:
    """An observer ends nothing, but what it was handed over is sent before it detaches."""
    async with DeepgramServer() as server:
        client: Any = server.client() if kind == "async" else server.sync_client()
        connecting = client.listen.v1.connect(model="nova-3")
        entering: Any = connecting.__aenter__() if kind == "async" else in_a_thread(connecting.__enter__)
        connection: Any = await entering
        try:
            async with stream(connection, listen=False) as session:
                for number in (1, 2):
                    session.send_nowait(piece(number))
            served = await server.connection()
            if kind == "async":
                await connection.send_media(piece(3))
            else:
                await in_a_thread(lambda: connection.send_media(piece(3)))
            while len(served.frames) < 3 and piece(3) not in served.audio_frames:
                await checkpoint()
            assert [frame.data for frame in served.frames] == [piece(1), piece(2), piece(3)]
        finally:
            if kind == "async":
                await connecting.__aexit__(None, None, None)
            else:
                await in_a_thread(lambda: connecting.__exit__(None, None, None))


async def test_before_force_end_turn(connect: Connect) -> None:
    """So does what ends a turn of Flux."""
    async with DeepgramServer() as server, connect(server, flux()) as session:
        session.send_nowait(piece(1))
        await session.force_end_turn()
        served = await server.connection()
        await served.received("ForceEndTurn")
        assert served.frames[0].data == piece(1)


async def test_before_a_configure(connect: Connect) -> None:
    """Settings are changed behind the audio that was handed over before."""
    async with DeepgramServer() as server, connect(server, flux()) as session:
        if not hasattr(session.connection, "send_configure"):
            pytest.skip("this SDK has no Configure")
        session.send_nowait(piece(1))
        await session.configure(keyterms=["a"])
        assert (await server.connection()).frames[0].data == piece(1)


@pytest.mark.parametrize("how", ["send", "send a source", "feed"])
async def test_before_later_audio(connect: Connect, how: str) -> None:
    """Audio of a later call goes out behind it, and what is handed over after that behind this one."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            session.send_nowait(piece(1))
            if how == "send":
                await session.send(piece(2))
            elif how == "send a source":
                await session.send([piece(2)])
            else:
                await session.feed([piece(2)], finish=False)
            session.send_nowait(piece(3))
            await session.send(piece(4))
        assert numbers_of(server.connections[0].audio) == [1, 2, 3, 4]


@pytest.mark.parametrize("on_error", ["finish", None])
async def test_before_the_end_of_a_source(connect: Connect, on_error: Any) -> None:
    """The end of a fed source, in order or by a failure, ends the stream behind what was handed over before it."""

    async def source() -> AsyncIterator[bytes]:
        yield piece(1)
        for number in (2, 3):
            session.send_nowait(piece(number))
        if on_error:
            raise LookupError("hung up")

    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            session.feed(source(), on_error=on_error or "raise")
            with contextlib.suppress(LookupError):
                await texts(session)
        assert numbers_of(server.connections[0].audio) == [1, 2, 3]


async def test_odd_sizes(connect: Connect) -> None:
    """Pieces that end inside a sample make the stream that they are when they are joined."""
    audio = pieces(*range(1, 51))
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            for at in range(0, len(audio), 333):
                session.send_nowait(audio[at : at + 333])
        assert server.connections[0].audio == audio


# A socket that takes nothing

LOUD = {"encoding": "linear32", "sample_rate": 48_000, "channels": 8}
"""Audio of which a second is so many bytes that a few seconds fill all buffers of a socket."""
LOUD_BYTES_PER_SECOND = 4 * 48_000 * 8
STUCK_SECONDS = 16
"""More audio than all buffers on its way hold: the kernel's alone may be 10 MB."""
LONG = {"encoding": "linear32", "sample_rate": 48_000}
"""The same for Flux, which hears one channel: an eighth as many bytes a second."""


def loud(number: int) -> bytes:
    """Make 20 ms of loud audio that tell their number."""
    return number.to_bytes(4, "little") * 7680


def loud_numbers(audio: bytes) -> list[int]:
    """Return the numbers of loud pieces, each of which has to be whole."""
    size = len(loud(0))
    numbers = [int.from_bytes(audio[at : at + 4], "little") for at in range(0, len(audio), size)]
    assert audio == b"".join(map(loud, numbers))
    return numbers


def sender_of(session: StreamSession) -> Any:
    """Return what sends the audio, because nothing else tells whose turn it is."""
    engine: Any = getattr(session, "_engine", session)
    return engine._sender


async def its_turn(session: StreamSession) -> None:
    """Wait until what was handed over is next to be sent, and cannot be lost any more."""
    sender = sender_of(session)
    while sender._unsent:
        await checkpoint()


@asynccontextmanager
async def stuck(
    session: StreamSession,
    served: ServerConnection,
    bulk: bytes = bytes(STUCK_SECONDS * LOUD_BYTES_PER_SECOND),
) -> AsyncIterator[asyncio.Task[None]]:
    """Have a server read nothing until the block is left, while the session sends it more than a socket takes."""
    transport = served.websocket.transport
    transport.pause_reading()
    sending = asyncio.create_task(session.send(bulk))
    sender = sender_of(session)
    while not sender._lock.locked():
        await checkpoint()
    yield sending
    transport.resume_reading()
    with contextlib.suppress(asyncio.CancelledError):
        await sending


async def only_gap(session: StreamSession) -> StreamEvent.AudioGap:
    """Iterate until audio is lost."""
    async for event in session:
        if isinstance(event, StreamEvent.AudioGap):
            return event
    raise AssertionError("no gap")


async def test_the_oldest_goes(connect: Connect) -> None:
    """Beyond `max_unsent_seconds` the oldest audio goes; a gap tells exactly which, and the stats how much."""
    async with DeepgramServer() as server:
        async with connect(server, nova(**LOUD), max_unsent_seconds=1.0) as session:
            served = await server.connection()
            async with stuck(session, served):
                session.send_nowait(loud(1))
                await its_turn(session)
                for number in range(2, 151):
                    session.send_nowait(loud(number))
                assert session.stats.audio_seconds_lost == 0
            gap = await only_gap(session)
        kept = loud_numbers(served.audio[STUCK_SECONDS * LOUD_BYTES_PER_SECOND :])
        assert kept == [1, *range(101, 151)]
        assert gap == StreamEvent.AudioGap(start=STUCK_SECONDS + 0.02, end=STUCK_SECONDS + 2.0)
        assert session.stats.audio_seconds_lost == pytest.approx(1.98)
        assert session.stats.audio_seconds_sent == pytest.approx(STUCK_SECONDS + 1.02)
        assert session.close_info is not None
        assert session.close_info.drained


async def after_a_gap(
    connect: Connect, options: StreamingOptions, stuck_seconds: int, told: Iterable[dict[str, object]]
) -> list[AnyStreamEvent]:
    """Lose audio behind so many seconds and a piece, and have the server tell of what follows; return the events from the gap on."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(stuck_seconds + 0.5)
        for message in told:
            await connection.send(message)

    async with DeepgramServer(script=script) as server:
        async with connect(server, options, max_unsent_seconds=1.0) as session:
            async with stuck(session, await server.connection()):
                session.send_nowait(loud(1))
                await its_turn(session)
                for _ in range(99):
                    session.send_nowait(loud(1))
            events = [await only_gap(session)]
            await session.finish()
            return [*events, *[event async for event in session]]


async def test_times_of_nova_after_a_gap(connect: Connect) -> None:
    """All later times are where the source has them: of segments, words, and both kinds of marks; not so those before."""
    at = STUCK_SECONDS
    told = [
        messages.results("before", start=at - 1.0, duration=0.5, is_final=True),
        messages.speech_started(at + 0.25),
        messages.results(
            start=at - 0.5,
            duration=1.0,
            is_final=True,
            words=[SpokenWord("a", at - 0.5, at - 0.25), SpokenWord("b", at + 0.25, at + 0.5)],
        ),
        messages.utterance_end(at + 0.5),
    ]
    gap, before, started, across, ended, *rest = await after_a_gap(connect, nova(**LOUD), STUCK_SECONDS, told)
    lost = 0.98
    assert isinstance(gap, StreamEvent.AudioGap)
    assert (gap.start, gap.end) == pytest.approx((at + 0.02, at + 1.0))
    assert isinstance(before, StreamEvent.Transcript)
    assert (before.start, before.end) == (at - 1.0, at - 0.5)
    assert isinstance(started, StreamEvent.SpeechStarted)
    assert started.timestamp == pytest.approx(at + 0.25 + lost)
    assert isinstance(across, StreamEvent.Transcript)
    assert (across.start, across.end) == pytest.approx((at - 0.5, at + 0.5 + lost))
    times = [(word.start, word.end) for word in across.words]
    assert times[0] == (at - 0.5, at - 0.25)
    assert times[1] == pytest.approx((at + 0.25 + lost, at + 0.5 + lost))
    assert isinstance(ended, StreamEvent.UtteranceEnd)
    assert ended.last_word_end == pytest.approx(at + 0.5 + lost)
    (metadata,) = [event for event in rest if isinstance(event, StreamEvent.Metadata)]
    assert metadata.duration == pytest.approx(at + 2.0)


async def test_times_of_flux_after_a_gap(connect: Connect) -> None:
    """So are the windows of turns and their words."""
    at = 8 * STUCK_SECONDS
    word = SpokenWord("b", at + 0.25, at + 0.5)
    told = [messages.turn_info("EndOfTurn", start=at + 0.25, end=at + 0.5, words=[word])]
    gap, turn, *_ = await after_a_gap(connect, flux(**LONG), at, told)
    lost = 14.84
    assert isinstance(gap, StreamEvent.AudioGap)
    assert (gap.start, gap.end) == pytest.approx((at + 0.16, at + 15.0))
    assert isinstance(turn, StreamEvent.EndOfTurn)
    assert (turn.start, turn.end) == pytest.approx((at + 0.25 + lost, at + 0.5 + lost))
    assert turn.words[0].start == turn.start


async def test_opaque_audio(connect: Connect) -> None:
    """Pieces of a container stay whole, 32 kB count as a second, and nobody knows how long the gap is."""
    packets = [bytes([number]) * 8_000 for number in range(1, 21)]
    bulk = bytes(STUCK_SECONDS * LOUD_BYTES_PER_SECOND)
    async with DeepgramServer() as server:
        async with connect(server, StreamingOptions(model="nova-3"), max_unsent_seconds=1.0) as session:
            served = await server.connection()
            async with stuck(session, served, bulk):
                session.send_nowait(packets[0])
                await its_turn(session)
                for packet in packets[1:]:
                    session.send_nowait(packet)
            assert await only_gap(session) == StreamEvent.AudioGap(start=0.0, end=None)
        assert served.audio[len(bulk) :] == b"".join([packets[0], *packets[-4:]])
        assert session.stats.audio_seconds_lost == 0


async def test_a_socket_that_is_stuck_for_good(connect: Connect) -> None:
    """The stream ends with the error that send() would raise, and whoever hands over more is told so.

    What was handed over and is not sent is told as lost, to the sample.
    """
    async with DeepgramServer() as server:
        async with connect(server, nova(**LOUD), send_timeout_seconds=0.2, max_unsent_seconds=60) as session:
            (await server.connection()).websocket.transport.pause_reading()
            for number in range(50 * STUCK_SECONDS):
                session.send_nowait(loud(number))
            gap = await anext(session)
            assert isinstance(gap, StreamEvent.AudioGap)
            assert gap.end == pytest.approx(STUCK_SECONDS)
            assert session.stats.audio_seconds_lost == pytest.approx(STUCK_SECONDS - gap.start)
            with pytest.raises(ConnectionLost, match="send_timeout_seconds"):
                await anext(session)
            with pytest.raises(ConnectionLost, match="send_timeout_seconds"):
                session.send_nowait(loud(1))


async def test_an_end_in_an_outage(connect: Connect) -> None:
    """What could not even be kept for the next connection is told as lost when there is none, behind what was kept."""
    again = Reconnect(replay_seconds=2.0, initial_delay_seconds=3600, max_delay_seconds=3600)
    async with DeepgramServer() as server:
        async with connect(
            server, nova(), reconnect=again, max_unsent_seconds=30, finish_timeout_seconds=0.3
        ) as session:
            (await server.connection()).abort()
            assert isinstance(await anext(session), StreamEvent.Reconnecting)
            for _ in range(10):
                session.send_nowait(bytes(32_000))
            await session.finish()
            gaps = [await anext(session), await anext(session)]
            assert [gap.to_dict() for gap in gaps] == [
                {"type": "audio_gap", "start": 0.0, "end": 2.0},
                {"type": "audio_gap", "start": 2.0, "end": 10.0},
            ]
            with pytest.raises(ConnectionLost):
                await anext(session)
            assert session.stats.audio_seconds_lost == pytest.approx(10.0)


@needs_cancellation
async def test_a_thread_that_comes_as_the_stream_ends(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken is sent: a thread that had found the stream open before it was ended is refused, or is in time."""
    looked, ended = threading.Event(), threading.Event()
    put = AudioSender.put

    def put_late(sender: AudioSender, piece: bytes) -> None:
        looked.set()
        assert ended.wait(10)
        put(sender, piece)

    monkeypatch.setattr(AudioSender, "put", put_late)
    async with DeepgramServer() as server, connect(server, nova()) as session:
        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(session.send_nowait, FRAME)
            await anyio.to_thread.run_sync(looked.wait)
            finishing = asyncio.create_task(session.finish())
            await checkpoint()
            ended.set()
            with pytest.raises(SessionClosed):
                await asyncio.wrap_future(sending)
            assert (await finishing).drained
        assert server.connections[0].audio == b""


@needs_cancellation
@pytest.mark.parametrize("call", ["finish", "finalize", "send", "leave"])
async def test_who_is_cancelled_loses_nothing(connect: Connect, call: str) -> None:
    """A call that waits until what was handed over is sent may be cancelled: all of that is sent, before the stream ends."""
    async with DeepgramServer() as server:
        async with connect(server, nova(**LOUD)) as session:
            served = await server.connection()
            async with stuck(session, served):
                for number in range(1, 51):
                    session.send_nowait(loud(number))
                with anyio.move_on_after(0.05) as scope:
                    if call == "finish":
                        await session.finish()
                    elif call == "finalize":
                        await session.finalize()
                    elif call == "send":
                        await session.send(loud(99))
                    else:
                        await anyio.sleep_forever()
                assert scope.cancelled_caught
                for number in range(51, 61):
                    with contextlib.suppress(SessionClosed):
                        session.send_nowait(loud(number))
        numbers = loud_numbers(served.audio[STUCK_SECONDS * LOUD_BYTES_PER_SECOND :])
        assert numbers[:50] == list(range(1, 51))
        assert numbers[50:] in ([], list(range(51, 61)))
        assert session.stats.audio_seconds_lost == 0
        assert session.close_info is not None
        assert session.close_info.drained


async def test_a_finalize_that_waits_is_bounded(connect: Connect) -> None:
    """It is not sent ahead of the audio that it is to flush, and waits no longer than it was told to."""
    async with DeepgramServer() as server:
        async with connect(server, nova(**LOUD)) as session:
            served = await server.connection()
            async with stuck(session, served):
                session.send_nowait(loud(1))
                with anyio.fail_after(1):
                    assert await session.finalize(timeout_seconds=0.05) is None
            await session.send(loud(2))
        assert [control["type"] for control in served.controls] == ["Finalize", "CloseStream"]


@needs_cancellation
async def test_a_send_that_was_cancelled_is_counted(connect: Connect) -> None:
    """What a cancelled send() has given to the socket counts as sent, because it goes out."""
    async with DeepgramServer() as server:
        async with connect(server, nova(**LOUD)) as session:
            served = await server.connection()
            async with stuck(session, served) as sending:
                # There is nothing to wait for: the socket is full when nothing happens any more.
                await anyio.sleep(0.2)
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending
        assert session.stats.audio_seconds_sent == pytest.approx(served.audio_seconds)


async def test_finishing_is_bounded(connect: Connect) -> None:
    """A socket that takes nothing holds up finish() no longer than it may."""
    async with DeepgramServer() as server:
        with pytest.raises(ConnectionLost):
            async with connect(server, nova(**LOUD), finish_timeout_seconds=0.3) as session:
                (await server.connection()).websocket.transport.pause_reading()
                for number in range(50 * STUCK_SECONDS):
                    session.send_nowait(loud(number))
                    if number % 100 == 0:
                        await checkpoint()
                with anyio.fail_after(2 * 0.3 + 2.0 + 1.0):
                    info = await session.finish()
                assert not info.drained


# Refused


@pytest.mark.parametrize(
    "what",
    ["text", None, 7, [piece(1)], iter([piece(1)])],
    ids=["text", "None", "number", "list", "iterator"],
)
async def test_what_is_no_piece_of_audio(connect: Connect, what: Any) -> None:
    """Text and iterables are refused, and nothing of them is sent."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            with pytest.raises(TypeError, match="one bytes-like piece of audio"):
                session.send_nowait(what)
            session.send_nowait(piece(1))
        assert server.connections[0].audio == piece(1)


async def test_before_entering(connect: Connect) -> None:
    """A session that is not entered takes nothing, and says why."""
    async with DeepgramServer() as server:
        session = connect(server, nova())
        with pytest.raises(RuntimeError, match="has not been entered"):
            session.send_nowait(piece(1))


async def test_after_the_end(connect: Connect) -> None:
    """After finish() audio is refused, in any thread, before the server has ended the stream and after."""

    async def hand_over() -> None:
        with pytest.raises(SessionClosed):
            session.send_nowait(piece(1))
        with pytest.raises(SessionClosed):
            await in_a_thread(lambda: session.send_nowait(piece(1)))

    async with DeepgramServer() as server:
        server.faults.late_final_seconds = 0.1
        async with connect(server, nova()) as session:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.finish)
                await (await server.connection()).received("CloseStream")
                await hand_over()
            await hand_over()
        await hand_over()
        assert server.connections[0].audio == b""


async def test_after_a_loss(connect: Connect) -> None:
    """After the loss of the connection it raises what send() raises."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            await (await server.connection()).close(1011, "NET-0000")
            with pytest.raises(ConnectionLost) as caught:
                await texts(session)
            with pytest.raises(ConnectionLost) as again:
                await in_a_thread(lambda: session.send_nowait(piece(1)))
            assert again.value is caught.value


@refuses_other_loops
def test_after_the_event_loop(connect: Connect) -> None:
    """Where the session's event loop has ended, audio is refused each time, whether the session was left or not."""
    sessions: list[StreamSession] = []

    async def main(*, is_left: bool) -> None:
        async with DeepgramServer() as server:
            session = connect(server, nova())
            sessions.append(session)
            await session.open()
            await session.send(piece(1))
            if is_left:
                await session.aclose()

    for is_left in (True, False):
        asyncio.run(main(is_left=is_left))
        for _ in range(3):
            with pytest.raises((SessionClosed, ConnectionLost)):
                sessions[-1].send_nowait(piece(1))


# Reconnecting


async def test_during_an_outage(connect: Connect) -> None:
    """Audio of the outage goes to the next connection, behind what is sent again, and nothing goes twice."""
    is_lost, is_back = anyio.Event(), anyio.Event()

    async def come_back(_: ReconnectAttempt) -> None:
        is_lost.set()
        await is_back.wait()

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            await connection.audio_reached(0.2)
            await connection.send(messages.results("one", duration=0.1, is_final=True))
            while not session.transcript:
                await checkpoint()
            connection.abort()

    def hand_over(*numbers: int) -> None:
        for number in numbers:
            session.send_nowait(piece(number))

    reconnect = Reconnect(initial_delay_seconds=0.01, catch_up_rate=100, on_attempt=come_back)
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=reconnect) as session:
            hand_over(*range(1, 11))
            await is_lost.wait()
            await in_a_thread(lambda: hand_over(*range(11, 21)))
            is_back.set()
            await in_a_thread(lambda: hand_over(*range(21, 31)))
            await (await server.connection(1)).audio_reached(0.5)
            hand_over(31)
        assert numbers_of(server.connections[1].audio) == list(range(6, 32))
        assert session.stats.audio_seconds_sent == pytest.approx(0.62)
        assert session.stats.audio_seconds_lost == 0
