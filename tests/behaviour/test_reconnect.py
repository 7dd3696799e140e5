"""A connection that is lost is made again: what is tried, what is told, what is sent again, and how it all ends."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from conftest import FRAME, IS_LEGACY, Connect, EventType, any_client, emitter_only, flux, nova

from deepgram_stream_iter import (
    AnyStreamEvent,
    BufferOverflow,
    ConnectError,
    ConnectionLost,
    Reconnect,
    ReconnectAttempt,
    StreamEvent,
    StreamingOptions,
    StreamSession,
    stream,
)
from deepgram_stream_iter._adapters.decode import decode
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

SOON = Reconnect(initial_delay_seconds=0.01)
LATER = Reconnect(initial_delay_seconds=3600, max_delay_seconds=3600)
"""An outage that does not end by itself: nobody's jitter is that lucky."""


def dropping(
    count: int, code: int = 1006, *, at_seconds: float = 0.02
) -> Callable[[ServerConnection], Awaitable[None]]:
    """Script a server that ends its first connections when so much audio has come, and then behaves."""
    left = count

    async def script(connection: ServerConnection) -> None:
        nonlocal left
        if left:
            left -= 1
            await connection.audio_reached(at_seconds)
            await connection.close(code)

    return script


async def until(session: StreamSession, kind: type[AnyStreamEvent]) -> AnyStreamEvent:
    """Iterate until an event of this kind."""
    async for event in session:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__}")


# Which ends


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1011, 1012, 1013])
async def test_ends_worth_another_try(connect: Connect, code: int) -> None:
    """An end that nobody asked for, of a server that may have restarted, is followed by another connection."""
    async with DeepgramServer(script=dropping(1, code)) as server:
        async with connect(server, nova(), reconnect=SOON) as session:
            await session.send(FRAME)
            event = await until(session, StreamEvent.Reconnected)
            await session.send(FRAME)
        assert event == StreamEvent.Reconnected(attempt=1, replayed_seconds=0.02)
        assert session.close_info is not None
        assert session.close_info.drained
        assert [connection.audio for connection in server.connections] == [FRAME, FRAME * 2]
        assert session.stats.reconnects == 1


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008])
async def test_fatal_ends(connect: Connect, code: int) -> None:
    """An end that the next connection would come to as well is raised at once."""
    async with DeepgramServer(script=dropping(1, code)) as server:
        async with connect(server, nova(), reconnect=SOON) as session:
            await session.send(FRAME)
            with pytest.raises(ConnectionLost) as caught:
                await until(session, StreamEvent.Reconnecting)
        assert caught.value.code == code
        assert caught.value.causes == ()
        assert len(server.connections) == 1


@emitter_only
@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_refusals_worth_another_try(connect: Connect, status: int) -> None:
    """A handshake that is refused for the moment is tried again, on entering too."""
    faults = Faults(refuse_status=status)

    def accept(attempt: ReconnectAttempt) -> None:
        attempts.append(attempt)
        if len(attempts) == 2:
            faults.refuse_status = None

    attempts: list[ReconnectAttempt] = []
    reconnect = Reconnect(initial_delay_seconds=0.01, on_attempt=accept)
    async with (
        DeepgramServer(faults=faults) as server,
        connect(server, nova(), reconnect=reconnect) as session,
    ):
        assert [attempt.number for attempt in attempts] == [1, 2]
        assert all(isinstance(a.cause, ConnectError) and a.cause.status == status for a in attempts)
        assert session.stats.reconnects == 0


@emitter_only
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
async def test_fatal_refusals(connect: Connect, status: int) -> None:
    """A handshake that is refused for good is raised at once, out of the iteration where it was a reconnection."""
    faults = Faults()

    async def script(connection: ServerConnection) -> None:
        faults.refuse_status = status
        connection.abort()

    async with DeepgramServer(script=script, faults=faults) as server:
        with pytest.raises(ConnectError) as caught:
            async with connect(server, nova(), reconnect=SOON) as session:
                async for _ in session:
                    pass
        assert caught.value.status == status
        assert len(server.refused) == 1
        with pytest.raises(ConnectError):
            await connect(server, nova(), reconnect=SOON).__aenter__()
        assert len(server.refused) == 2


@emitter_only
async def test_retry_after(connect: Connect) -> None:
    """How long the server wants to be left alone is in the delay of the attempt."""

    def stop(attempt: ReconnectAttempt) -> None:
        delays.append(attempt.delay)
        attempt.stop()

    delays: list[float] = []
    faults = Faults(refuse_status=429, retry_after=7)
    async with DeepgramServer(faults=faults) as server:
        reconnect = Reconnect(initial_delay_seconds=0.01, on_attempt=stop)
        with pytest.raises(ConnectError) as caught:
            await connect(server, nova(), reconnect=reconnect).__aenter__()
    assert caught.value.retry_after_seconds == 7
    (delay,) = delays
    assert 7 <= delay <= 7.01


async def test_a_server_that_drops_for_ever(connect: Connect) -> None:
    """Handshakes are no progress: the session ends when its attempts are used up, with the cause of each."""
    async with DeepgramServer(script=dropping(99)) as server:
        async with connect(
            server, nova(), reconnect=Reconnect(max_attempts=3, initial_delay_seconds=0.01)
        ) as session:
            await session.send(FRAME)
            with pytest.raises(ConnectionLost, match="gave up after 3 attempts") as caught:
                async for _ in session:
                    pass
        assert [type(cause) for cause in caught.value.causes] == [ConnectionLost] * 4
        assert caught.value.code == 1006
        assert len(server.connections) == 4


async def test_a_final_transcript_is_progress(connect: Connect) -> None:
    """A server that drops the connection after each final never uses up the attempts."""
    left = 6

    async def script(connection: ServerConnection) -> None:
        nonlocal left
        await connection.audio_reached(0.02)
        await connection.send(messages.results("word", start=0.0, duration=0.02, is_final=True))
        if left:
            left -= 1
            await connection.close(1011)

    async with DeepgramServer(script=script) as server:
        reconnect = Reconnect(max_attempts=1, initial_delay_seconds=0.01)
        async with connect(server, nova(), reconnect=reconnect) as session:
            heard = 0
            await session.send(FRAME)
            async for event in session:
                match event:
                    case StreamEvent.Transcript(transcript="word"):
                        heard += 1
                        if heard == 7:
                            break
                    case StreamEvent.Reconnected():
                        await session.send(FRAME)
        assert session.stats.reconnects == 6
        assert session.transcript == " ".join(["word"] * 7)


# What is told


async def test_what_the_consumer_sees(connect: Connect) -> None:
    """Each attempt, its cause and its delay; then the connection, and how much is sent again."""
    async with DeepgramServer(script=dropping(2, 1012)) as server:
        async with connect(server, nova(), reconnect=SOON) as session:
            await session.send(FRAME)
            events = [await anext(session) for _ in range(4)]
        first, second, third, fourth = events
    assert isinstance(first, StreamEvent.Reconnecting)
    assert isinstance(first.cause, ConnectionLost)
    assert first.cause.code == 1012
    assert first.attempt == 1
    assert 0 <= first.delay <= 0.01
    assert second == StreamEvent.Reconnected(attempt=1, replayed_seconds=0.02)
    assert isinstance(third, StreamEvent.Reconnecting)
    assert third.attempt == 2
    assert fourth == StreamEvent.Reconnected(attempt=2, replayed_seconds=0.02)
    assert session.stats.audio_seconds_replayed == pytest.approx(0.04)
    assert session.stats.audio_seconds_lost == 0


@pytest.mark.parametrize("is_async", [False, True])
async def test_on_attempt_changes_the_delay(connect: Connect, *, is_async: bool) -> None:
    """The application may have it tried at once, or later."""

    def now(attempt: ReconnectAttempt) -> None:
        attempt.delay = 0.0

    async def now_too(attempt: ReconnectAttempt) -> None:
        attempt.delay = 0.0

    reconnect = Reconnect(
        initial_delay_seconds=3600, max_delay_seconds=3600, on_attempt=now_too if is_async else now
    )
    async with DeepgramServer(script=dropping(1)) as server:
        async with connect(server, nova(), reconnect=reconnect) as session:
            await session.send(FRAME)
            event = await until(session, StreamEvent.Reconnecting)
            assert isinstance(event, StreamEvent.Reconnecting)
            assert event.delay == 0.0
            await until(session, StreamEvent.Reconnected)


async def test_on_attempt_stops(connect: Connect) -> None:
    """The application may have had enough: the session ends with what was lost."""
    async with DeepgramServer(script=dropping(1, 1011)) as server:
        reconnect = Reconnect(on_attempt=ReconnectAttempt.stop)
        async with connect(server, nova(), reconnect=reconnect) as session:
            await session.send(FRAME)
            with pytest.raises(ConnectionLost, match="on_attempt") as caught:
                await until(session, StreamEvent.Reconnecting)
        assert caught.value.code == 1011
        assert len(caught.value.causes) == 1


async def test_on_attempt_raises(connect: Connect) -> None:
    """What the application raises there ends the session, and comes out as itself."""

    def fail(_: ReconnectAttempt) -> None:
        raise ZeroDivisionError("mine")

    async with DeepgramServer(script=dropping(1)) as server:
        with pytest.raises(ZeroDivisionError, match="mine"):
            async with connect(server, nova(), reconnect=Reconnect(on_attempt=fail)) as session:
                await session.send(FRAME)
                async for _ in session:
                    pass


@pytest.mark.parametrize("delay", [None, "1", timedelta(seconds=1), -1.0, math.nan, math.inf], ids=repr)
async def test_on_attempt_sets_what_is_no_delay(connect: Connect, delay: Any) -> None:
    """That is an error with the value, not an end."""

    def change(attempt: ReconnectAttempt) -> None:
        attempt.delay = delay

    async with DeepgramServer(script=dropping(1)) as server:
        async with connect(server, nova(), reconnect=Reconnect(on_attempt=change)) as session:
            await session.send(FRAME)
            with pytest.raises(
                ValueError, match="delay of an attempt must be a number of at least 0"
            ) as caught:
                async for _ in session:
                    pass
            assert repr(delay) in str(caught.value)


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "coroutine"])
@pytest.mark.parametrize(
    "failure", [asyncio.CancelledError(), StopAsyncIteration(), anyio.EndOfStream()], ids=repr
)
async def test_on_attempt_raises_what_would_pass_for_an_end(
    connect: Connect, failure: BaseException, *, is_async: bool
) -> None:
    """None of it ends the iteration as if all had been said."""

    def fail(_: ReconnectAttempt) -> None:
        raise failure

    async def fail_later(attempt: ReconnectAttempt) -> None:
        fail(attempt)

    reconnect = Reconnect(on_attempt=fail_later if is_async else fail)
    async with DeepgramServer(script=dropping(1)) as server:
        async with connect(server, nova(), reconnect=reconnect) as session:
            await session.send(FRAME)
            with pytest.raises((RuntimeError, anyio.EndOfStream)) as caught:
                async for _ in session:
                    pass
    assert failure in (caught.value, caught.value.__cause__)


# Which targets


def test_what_cannot_be_made_again() -> None:
    """A connection that somebody else has made cannot be made again: that is told before anything is sent."""
    client = any_client()
    target = client.listen.asyncwebsocket.v("1") if IS_LEGACY else client.listen.v1.connect(model="nova-3")
    options = nova() if IS_LEGACY else None
    with pytest.raises(TypeError, match="pass the client with options, or a factory"):
        stream(target, options, reconnect=True)
    with pytest.raises(TypeError, match="True, False or a Reconnect"):
        stream(client, nova(), reconnect=3)  # type: ignore[arg-type]


@emitter_only
async def test_a_live_connection_cannot_be_made_again() -> None:
    """Neither can one that is live."""
    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        with pytest.raises(TypeError, match="pass the client with options, or a factory"):
            stream(connection, reconnect=True)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_factory(kind: str, *, is_async: bool) -> None:
    """A function, plain or async, is called for each connection."""
    async with DeepgramServer(script=dropping(1)) as server:
        client: Any = server.client() if kind == "async" else server.sync_client()
        made = 0

        def factory() -> Any:
            nonlocal made
            made += 1
            if IS_LEGACY:
                return (client.listen.asyncwebsocket if kind == "async" else client.listen.websocket).v("1")
            return client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate="16000")

        async def async_factory() -> Any:
            return factory()

        options = nova() if IS_LEGACY else None
        async with stream(async_factory if is_async else factory, options, reconnect=SOON) as session:
            await session.send(FRAME)
            await until(session, StreamEvent.Reconnected)
        assert made == len(server.connections) == 2


@emitter_only
async def test_a_factory_that_makes_one_connection(kind: str) -> None:
    """A connection cannot be entered twice: that is said, and the session ends with it."""
    async with DeepgramServer(script=dropping(1, at_seconds=0)) as server:
        client: Any = server.client() if kind == "async" else server.sync_client()
        only = client.listen.v1.connect(model="nova-3")
        async with stream(lambda: only, reconnect=SOON) as session:
            with pytest.raises(TypeError, match="has to make a new one each time"):
                async for _ in session:
                    pass


@emitter_only
async def test_a_factory_and_options(kind: str) -> None:
    """Options go with a client, whichever model they are for."""
    async with DeepgramServer() as server:
        client: Any = server.client() if kind == "async" else server.sync_client()
        for options in (nova(), StreamingOptions(model="flux-general-en")):
            session = stream(lambda: client.listen.v1.connect(model="nova-3"), options, reconnect=SOON)
            with pytest.raises(TypeError, match="the factory makes the connection: give it the options"):
                await session.__aenter__()


# The outage


async def test_sending_during_an_outage(connect: Connect) -> None:
    """What is sent while there is no connection goes to the next, in order, behind what is sent again."""
    frames = [bytes([number]) * 640 for number in range(1, 30)]
    is_lost, is_back = anyio.Event(), anyio.Event()

    async def come_back(_: ReconnectAttempt) -> None:
        is_lost.set()
        await is_back.wait()

    reconnect = Reconnect(initial_delay_seconds=0.01, catch_up_rate=100, on_attempt=come_back)
    async with DeepgramServer(script=dropping(1)) as server:
        async with connect(server, nova(), reconnect=reconnect) as session:
            await session.send(frames[0])
            await is_lost.wait()
            for frame in frames[1:]:
                await session.send(frame)
            is_back.set()
            await until(session, StreamEvent.Reconnected)
        assert server.connections[1].audio == b"".join(frames)


@emitter_only
async def test_a_control_message_in_the_moment_of_the_loss() -> None:
    """One that is sent when the SDK has just emitted its CLOSE waits for the next connection."""
    async with DeepgramServer(script=dropping(1)) as server:
        async with stream(server.client(), nova(), reconnect=SOON) as session:
            is_lost = anyio.Event()
            connection: Any = session.connection
            connection.on(EventType.CLOSE, lambda _: is_lost.set())
            await session.send(FRAME)
            await is_lost.wait()
            await session.keep_alive()
            await server.connections[1].received("KeepAlive")


async def test_the_memory_overflows(connect: Connect) -> None:
    """What an outage is too long for is told to the sample, and the clock goes on behind it."""
    is_lost, is_back = anyio.Event(), anyio.Event()

    async def come_back(_: ReconnectAttempt) -> None:
        is_lost.set()
        await is_back.wait()

    async def script(connection: ServerConnection) -> None:
        if connection is server.connections[0]:
            await connection.audio_reached(0.02)
            await connection.send(messages.results("one", start=0.0, duration=0.01, is_final=True))
            connection.abort()
        else:
            await connection.audio_reached(0.2)
            await connection.send(messages.results("two", start=0.0, duration=0.2, is_final=True))

    reconnect = Reconnect(
        initial_delay_seconds=0.01, replay_seconds=0.2, catch_up_rate=100, on_attempt=come_back
    )
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=reconnect) as session:
            await session.send(FRAME)
            await until(session, StreamEvent.Transcript)
            await is_lost.wait()
            await session.send(FRAME * 24)
            is_back.set()
            gap = await until(session, StreamEvent.AudioGap)
            final = await until(session, StreamEvent.Transcript)
        assert gap == StreamEvent.AudioGap(start=0.01, end=0.3)
        assert isinstance(final, StreamEvent.Transcript)
        assert (final.start, final.end) == (0.3, 0.5)
        assert session.stats.audio_seconds_lost == pytest.approx(0.29)
        assert session.stats.audio_seconds_replayed == 0


async def test_opaque_audio(connect: Connect) -> None:
    """Of audio whose bytes are not time the head is sent again, and what was in flight is told as a gap."""
    head, cluster = b"\x1a\x45\xdf\xa3 head", b"\x1f\x43\xb6\x75 one"

    async def script(connection: ServerConnection) -> None:
        await connection.send(messages.results("word", start=0.5, duration=1.0, is_final=True))
        if len(server.connections) == 1:
            while not connection.audio.endswith(b"three"):
                await anyio.lowlevel.checkpoint()
            connection.abort()

    async with DeepgramServer(script=script) as server:
        options = nova(encoding=None, sample_rate=None)
        async with connect(server, options, reconnect=SOON) as session:
            await session.send(head + cluster)
            first = await until(session, StreamEvent.Transcript)
            await session.send(b"two")
            await session.send(b"three")
            gap = await until(session, StreamEvent.AudioGap)
            second = await until(session, StreamEvent.Transcript)
            await session.send(b"four")
        assert server.connections[1].audio_frames == [head, b"four"]
        assert gap == StreamEvent.AudioGap(start=1.5, end=None)
        assert isinstance(first, StreamEvent.Transcript)
        assert isinstance(second, StreamEvent.Transcript)
        assert (first.start, second.start) == (0.5, 2.0)


@pytest.mark.slow
@pytest.mark.parametrize("is_raw", [True, False], ids=["raw", "opaque"])
async def test_a_file_waits(connect: Connect, *, is_raw: bool) -> None:
    """A file, which could be read in no time, does not push out of the memory what has to be sent again, or at all."""
    is_lost, is_back = anyio.Event(), anyio.Event()

    async def come_back(_: ReconnectAttempt) -> None:
        is_lost.set()
        await is_back.wait()

    reconnect = Reconnect(
        initial_delay_seconds=0.001, replay_seconds=4, catch_up_rate=1000, on_attempt=come_back
    )
    options = nova() if is_raw else nova(encoding=None, sample_rate=None)
    begin, file = bytes(32_000 * 3) if is_raw else b"", bytes(range(256)) * 125 * 7  # 3 s and 7 s

    async def script(connection: ServerConnection) -> None:
        if connection is server.connections[0]:
            await connection.audio_reached(len(begin) / 32_000)
            connection.abort()
        for start in (0.0, 4.0) if is_raw else ():  # the finals of what was kept, which the rest waits for
            await connection.audio_reached(start + 4.0)
            await connection.send(messages.results("", start=start, duration=4.0, is_final=True))

    async with DeepgramServer(script=script) as server:
        async with connect(server, options, reconnect=reconnect) as session:
            await session.send(begin)  # and no final comes
            await is_lost.wait()
            session.feed([file])
            await anyio.wait_all_tasks_blocked()
            is_back.set()
            events = [event async for event in session]
        assert not [event for event in events if isinstance(event, StreamEvent.AudioGap)]
        assert server.connections[1].audio == begin + file


async def test_no_memory_without_bound(connect: Connect) -> None:
    """Audio whose bytes are not time is kept during an outage up to a bound too; what goes is told."""
    is_lost, is_back = anyio.Event(), anyio.Event()

    async def come_back(_: ReconnectAttempt) -> None:
        is_lost.set()
        await is_back.wait()

    async with DeepgramServer(script=dropping(1, at_seconds=0)) as server:
        reconnect = Reconnect(initial_delay_seconds=0.01, replay_seconds=0.2, on_attempt=come_back)
        options = nova(encoding=None, sample_rate=None)
        async with connect(server, options, reconnect=reconnect) as session:
            await is_lost.wait()
            for _ in range(30):
                await session.send(FRAME)
            is_back.set()
            gap = await until(session, StreamEvent.AudioGap)
        assert gap == StreamEvent.AudioGap(start=0.0, end=None)
        assert len(server.connections[1].audio) <= 0.2 * 32_000 + len(FRAME)


async def test_a_consumer_that_stopped(connect: Connect) -> None:
    """A full buffer holds the reconnecting back as well, and its time-out ends it."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(0.02)
        await connection.send(messages.results("word", start=0.0, duration=0.01, is_final=True))
        await connection.close(1011)

    async with DeepgramServer(script=script) as server:
        reconnect = Reconnect(initial_delay_seconds=0.001, max_delay_seconds=0.001)
        settings = {"max_buffer_size": 4, "overflow_timeout_seconds": 0.2}
        with pytest.raises(BufferOverflow):
            async with connect(server, nova(), reconnect=reconnect, **settings) as session:
                while True:  # and nobody iterates
                    await session.send(FRAME)
                    await anyio.sleep(0.005)
        assert session.stats.buffered_max <= 4 + 3


# One stream


async def test_utterances_go_across(connect: Connect) -> None:
    """Words from before and after the loss make one utterance, and so does the text that accumulates."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(0.02)
        if len(server.connections) == 1:
            await connection.send(messages.results("before", start=0.0, duration=0.01, is_final=True))
            await connection.close(1012)
        else:
            final = messages.results("after", start=0.0, duration=0.01, is_final=True, speech_final=True)
            await connection.send(final)

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=SOON) as session:
            await session.send(FRAME * 2)
            utterance = await anext(session.utterances())
        assert utterance.text == session.accumulated_transcript == "before after"
        assert (utterance.start, utterance.end) == (0.0, 0.02)
        assert [word.start for word in utterance.words] == [0.0, 0.01]


@pytest.mark.parametrize(("asked", "seconds"), [({"utterance_end_ms": 1000}, 1.1), ({}, 0.1)])
async def test_an_utterance_that_nobody_else_ends(
    connect: Connect, asked: dict[str, int], seconds: float
) -> None:
    """The next connection has not heard the words; that it hears silence ends the utterance all the same."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(0.02)
        if len(server.connections) == 1:
            await connection.send(messages.results("yes", start=0.0, duration=0.02, is_final=True))
            await connection.close(1012)
        else:
            await connection.send(messages.results("", start=0.0, duration=seconds, is_final=True))

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(**asked), reconnect=SOON) as session:
            await session.send(FRAME)
            await until(session, StreamEvent.Reconnected)
            await session.send(FRAME)
            event = await until(session, StreamEvent.UtteranceEnd)
        assert event == StreamEvent.UtteranceEnd(last_word_end=0.02, channel_index=0)


@emitter_only
async def test_what_configure_changed_stays_changed(connect: Connect) -> None:
    """Settings that were changed on the way are those of the next connection too, before it gets audio."""
    async with DeepgramServer(script=dropping(1)) as server:
        async with connect(server, flux(), reconnect=SOON) as session:
            if not hasattr(session.connection, "send_configure"):
                pytest.skip("this SDK does not know Configure: see test_sending.py")
            await session.configure(thresholds={"eot_threshold": 0.8}, keyterms=["Deepgram"])
            await session.configure(thresholds={"eot_timeout_ms": 5000})
            await session.send(FRAME)
            await until(session, StreamEvent.Reconnected)
        configure, audio, *_ = server.connections[1].frames
        assert json.loads(configure.data) == {
            "type": "Configure",
            "thresholds": {"eot_threshold": 0.8, "eot_timeout_ms": 5000},
            "keyterms": ["Deepgram"],
        }
        assert audio.data == FRAME


@emitter_only
@pytest.mark.parametrize("is_answered", [True, False], ids=["late", "never"])
async def test_audio_while_settings_are_not_confirmed_yet(connect: Connect, *, is_answered: bool) -> None:
    """What comes while a new connection has not answered its settings goes out once it has, or after the time-out."""
    is_asked, is_sent = anyio.Event(), anyio.Event()

    async def script(connection: ServerConnection) -> None:
        if connection is server.connections[0]:
            await connection.received("Configure")
            await connection.audio_reached(0.02)
            connection.abort()
        else:
            connection.faults = Faults(mute=True)
            await connection.received("Configure")
            await connection.audio_reached(0.02)
            is_asked.set()
            await is_sent.wait()
            connection.faults = Faults()
            if is_answered:
                await connection.send(messages.configure_success())

    frames = [bytes([number]) * 640 for number in range(1, 6)]
    reconnect = Reconnect(
        initial_delay_seconds=0.01, catch_up_rate=1000
    )  # so that the replay is over at once
    timeout_seconds = 10.0 if is_answered else 0.5
    async with DeepgramServer(script=script) as server:
        async with connect(
            server, flux(), reconnect=reconnect, send_timeout_seconds=timeout_seconds
        ) as session:
            if not hasattr(session.connection, "send_configure"):
                pytest.skip("this SDK does not know Configure: see test_sending.py")
            await session.configure(keyterms=["Deepgram"])
            await session.send(frames[0])
            await is_asked.wait()
            for frame in frames[1:]:
                await session.send(frame)
            is_sent.set()
            await server.connections[1].audio_reached(0.1)
        assert server.connections[1].audio == b"".join(frames)


@emitter_only
async def test_one_configure_at_a_time(connect: Connect) -> None:
    """A change by the application goes out when the settings that are made again have been answered."""
    is_asked, is_asked_again = anyio.Event(), anyio.Event()

    async def script(connection: ServerConnection) -> None:
        if connection is server.connections[0]:
            await connection.received("Configure")
            await connection.audio_reached(0.02)
            connection.abort()
        else:
            connection.faults = Faults(mute=True)
            await connection.received("Configure")
            await connection.audio_reached(0.02)
            is_asked.set()
            await is_asked_again.wait()
            await (await connection.websocket.ping())  # what the client has sent before has come
            assert len([one for one in connection.controls if one["type"] == "Configure"]) == 1
            connection.faults = Faults()
            await connection.send(messages.configure_success())

    async with DeepgramServer(script=script) as server:
        async with connect(server, flux(), reconnect=SOON) as session:
            if not hasattr(session.connection, "send_configure"):
                pytest.skip("this SDK does not know Configure: see test_sending.py")
            await session.configure(keyterms=["first"])
            await session.send(FRAME)
            await is_asked.wait()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: session.configure(keyterms=["second"]))
                await anyio.sleep(0.1)  # in which it would go out
                is_asked_again.set()


@emitter_only
@pytest.mark.parametrize("is_refused", [False, True], ids=["taken over", "refused"])
async def test_configure_is_answered_for_itself(
    connect: Connect, caplog: pytest.LogCaptureFixture, *, is_refused: bool
) -> None:
    """The answer to settings that are made again is nobody's, whatever it is; a change that was under way gets its own."""

    async def script(connection: ServerConnection) -> None:
        if connection is server.connections[0]:
            await connection.received("Configure", 2)
            connection.abort()
        elif is_refused:
            connection.faults = Faults(configure_failure=("NO", "not any more"))
            await connection.received("Configure")
            connection.faults = Faults()

    async with DeepgramServer(script=script) as server:
        async with connect(server, flux(), reconnect=SOON) as session:
            if not hasattr(session.connection, "send_configure"):
                pytest.skip("this SDK does not know Configure: see test_sending.py")
            await session.configure(keyterms=["first"])
            server.connections[0].faults = Faults(mute=True)
            answer = await session.configure(thresholds={"eot_threshold": 0.8})
        events = [event async for event in session]
        configured = [event for event in events if isinstance(event, StreamEvent.Configured)]
        assert len(configured) == 2
        assert configured[1] is answer
        assert decode(answer.raw) == answer
        assert not [event for event in events if isinstance(event, StreamEvent.ConfigureFailed)]
        assert ("refused settings that it had taken over before" in caplog.text) == is_refused
        assert [control for control in server.connections[1].controls if control["type"] == "Configure"] == [
            {"type": "Configure", "keyterms": ["first"]},
            {"type": "Configure", "thresholds": {"eot_threshold": 0.8}},
        ]


async def test_a_turn_cut_in_two(connect: Connect) -> None:
    """A turn that was open goes on as itself: one start, all of its words, and the next index after it."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(0.02)
        if len(server.connections) == 1:
            await connection.send(messages.turn_info("StartOfTurn", "one", turn_index=0, end=0.02))
            await connection.send(messages.turn_info("EndOfTurn", "one", turn_index=0, end=0.02))
            await connection.audio_reached(0.04)
            await connection.send(
                messages.turn_info("StartOfTurn", "two", turn_index=1, start=0.02, end=0.04)
            )
            await connection.close(1012)
        else:
            await connection.send(messages.turn_info("StartOfTurn", "two", turn_index=0, end=0.02))
            await connection.audio_reached(0.04)
            await connection.send(messages.turn_info("EndOfTurn", "two three", turn_index=0, end=0.04))
            await connection.send(
                messages.turn_info("StartOfTurn", "four", turn_index=1, start=0.04, end=0.05)
            )

    async with DeepgramServer(script=script) as server:
        seen: list[tuple[str, int | None, str, float | None, float | None]] = []
        async with connect(server, flux(), reconnect=SOON) as session:
            await session.send(FRAME)
            await session.send(FRAME)
            async for event in session:
                match event:
                    case StreamEvent.Reconnected():
                        await session.send(FRAME)
                    case StreamEvent.StartOfTurn() | StreamEvent.TurnUpdate() | StreamEvent.EndOfTurn():
                        seen.append((event.type, event.turn_index, event.transcript, event.start, event.end))
                        if event.transcript == "four":
                            break
        assert seen == [
            ("start_of_turn", 0, "one", 0.0, 0.02),
            ("end_of_turn", 0, "one", 0.0, 0.02),
            ("start_of_turn", 1, "two", 0.02, 0.04),
            ("turn_update", 1, "two", 0.02, 0.04),
            ("end_of_turn", 1, "two three", 0.02, 0.06),
            ("start_of_turn", 2, "four", 0.06, 0.07),
        ]


async def test_the_raw_message_stays_as_it_was(connect: Connect) -> None:
    """What the SDK made of a message is not moved on the clock."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(0.02)
        await connection.send(messages.results("word", start=0.0, duration=0.02, is_final=True))
        if len(server.connections) == 1:
            await connection.close(1012)

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=SOON) as session:
            await session.send(FRAME)
            await until(session, StreamEvent.Reconnected)
            await session.send(FRAME)
            event = await until(session, StreamEvent.Transcript)
        assert isinstance(event, StreamEvent.Transcript)
        assert (event.start, event.words[0].start) == (0.02, 0.02)
        raw: Any = event.raw
        assert (raw.start, raw.channel.alternatives[0].words[0].start) == (0, 0)
