"""A server that says nothing, and a socket that takes nothing: named, or got over."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import anyio
import pytest
from conftest import FRAME, Connect, flux, nova, set_transport

from deepgram_stream_iter import (
    ConnectionLost,
    Reconnect,
    StalledError,
    StreamEvent,
    StreamingOptions,
)
from deepgram_stream_iter._connection import stall
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

each_endpoint = pytest.mark.parametrize("options", [nova, flux])


@each_endpoint
async def test_a_server_that_says_nothing(connect: Connect, options: Callable[[], StreamingOptions]) -> None:
    """Audio goes out and nothing is heard: the stream ends with a StalledError that says so."""
    async with DeepgramServer(faults=Faults()) as server:
        async with connect(server, options(), stall_timeout_seconds=0.1) as session:
            server.faults.mute = True
            await session.send(FRAME)
            with pytest.raises(StalledError, match="stall_timeout_seconds") as caught:
                async for _ in session:
                    pass
        assert isinstance(caught.value, ConnectionLost)


async def test_silence_after_the_last_of_many(connect: Connect) -> None:
    """A server that sends a flood after CloseStream, and then nothing, has stalled: the flood pauses the SDK for a turn."""

    async def script(connection: ServerConnection) -> None:
        await connection.received("CloseStream")
        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(connection.send, messages.results(str(number), is_final=True))

    silent = Faults(no_close=True, no_metadata=True, no_finalize_answer=True)
    async with DeepgramServer(script=script, faults=silent) as server:
        async with connect(server, nova(), stall_timeout_seconds=0.3, finish_timeout_seconds=30.0) as session:
            await session.send(FRAME)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.finish)
                with pytest.raises(StalledError):
                    async for _ in session:
                        pass


async def test_silence_is_no_stall(connect: Connect) -> None:
    """Where no audio goes out, or every audio is answered, nobody is stalled."""

    async def script(connection: ServerConnection) -> None:
        for number in range(1, 4):
            await connection.audio_reached(0.02 * number)
            await anyio.sleep(0.3)  # the server takes its time
            await connection.send(messages.results(str(number)))

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), stall_timeout_seconds=0.7) as session:
            await anyio.sleep(0.8)  # the application has nothing to say
            for number in "123":
                await session.send(FRAME)
                event = await anext(session)
                assert isinstance(event, StreamEvent.Transcript)
                assert event.transcript == number


@pytest.mark.slow
async def test_a_pause_is_no_stall(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who pauses while the server still owes an answer has not stalled: it may have nothing to say to so little audio."""
    monkeypatch.setattr(stall, "PAUSE_SECONDS", 0.1)
    async with DeepgramServer() as server:
        async with connect(server, nova(), stall_timeout_seconds=0.2) as session:
            for _ in range(2):
                await session.send(FRAME)
                await anyio.sleep(0.4)  # the pause that is no stall
            assert session.close_info is None
            server.connections[0].faults = Faults(mute=True)
            with pytest.raises(StalledError):
                await session.send(itertools.repeat(FRAME), pace=1.0)  # it is not muted any more


async def test_a_stall_is_got_over(connect: Connect) -> None:
    """With `reconnect` the next connection gets the audio to which nothing was said."""

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            connection.faults = Faults(mute=True)
        else:
            await connection.audio_reached(0.02)
            await connection.send(messages.results("heard", start=0.0, duration=0.02, is_final=True))

    async with DeepgramServer(script=script) as server:
        reconnect = Reconnect(initial_delay_seconds=0.01)
        async with connect(server, nova(), reconnect=reconnect, stall_timeout_seconds=0.1) as session:
            await session.send(FRAME)
            lost = await anext(session)
            assert isinstance(lost, StreamEvent.Reconnecting)
            assert isinstance(lost.cause, StalledError)
            async for event in session:
                if isinstance(event, StreamEvent.Transcript):
                    break
        assert session.transcript == "heard"


async def test_a_consumer_that_takes_its_time_is_no_stall(connect: Connect) -> None:
    """While the SDK is held back by a full buffer, it is not the server that says nothing."""
    script = [messages.results(str(number), is_final=True) for number in range(5)]
    async with DeepgramServer(script=script) as server:
        settings = {"max_buffer_size": 1, "overflow": "wait", "stall_timeout_seconds": 0.5}
        async with connect(server, nova(), **settings) as session:
            for _ in range(40):
                await session.send(FRAME)
                await anyio.sleep(0.02)  # the consumer is busy
            finals = [await anext(session) for _ in range(5)]
        assert [final.transcript for final in finals if isinstance(final, StreamEvent.Transcript)] == list(
            "01234"
        )


@pytest.mark.slow
async def test_a_socket_that_takes_nothing(
    connect: Connect, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `send_timeout_seconds` the socket is dropped, not waited for, and the next one gets the audio."""
    set_transport(monkeypatch, kind, ping_interval=None)

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            connection.faults = Faults(frozen=True)

    async with DeepgramServer(script=script) as server:
        reconnect = Reconnect(initial_delay_seconds=0.01, catch_up_rate=1000, replay_seconds=3600)
        async with connect(server, nova(), reconnect=reconnect, send_timeout_seconds=0.2) as session:
            audio = bytes(32_000 * 60 * 10)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.send, audio)
                lost = await anext(session)
                assert isinstance(lost, StreamEvent.Reconnecting)
                assert "send_timeout_seconds" in str(lost.cause)
        assert server.connections[-1].audio == audio
