"""Behaviours 8 and 9: one consumer at a time, and misuse that is told before anything is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from conftest import FRAME, IS_LEGACY, Connect, EventType, any_client, emitter_only, flux, nova, orders_tasks

from deepgram_stream_iter import SessionClosed, StreamEvent, StreamingOptions, stream
from deepgram_stream_iter.testing import DeepgramServer, messages


@orders_tasks
async def test_a_second_concurrent_consumer_is_an_error(connect: Connect) -> None:
    """A second __anext__ while the first one waits is a RuntimeError that says so; the first is not disturbed."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        first = asyncio.create_task(anext(session))
        await anyio.lowlevel.checkpoint()
        with pytest.raises(RuntimeError, match="one consumer"):
            await anext(session)
        await (await server.connection()).send(messages.results("mine", is_final=True))
        event = await first
        assert isinstance(event, StreamEvent.Transcript)


async def test_a_second_loop_goes_on_where_the_first_stopped(connect: Connect) -> None:
    """After a break, another async for gets the next event."""
    script = [messages.results(text, is_final=True) for text in ("one", "two")]
    async with DeepgramServer(script=script) as server, connect(server, nova()) as session:
        for expected in ("one", "two"):
            async for event in session:
                assert isinstance(event, StreamEvent.Transcript)
                assert event.transcript == expected
                break


@emitter_only
async def test_a_cancelled_wait_loses_no_event() -> None:
    """An event that arrives in the tick in which the wait for it is cancelled is handed out to the next one."""
    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        async with stream(connection) as session:
            waiting = asyncio.create_task(anext(session))
            await anyio.lowlevel.checkpoint()

            def cancel(_: object) -> None:
                waiting.cancel()  # ours has put the event already

            connection.on(EventType.MESSAGE, cancel)
            await (await server.connection()).send(messages.results("final", is_final=True))
            with pytest.raises(asyncio.CancelledError):
                await waiting
            event = await anext(session)
            assert isinstance(event, StreamEvent.Transcript)
            assert event.transcript == "final"


@emitter_only
async def test_a_flood_is_handed_over_in_small_portions() -> None:
    """A consumer that is there for every event has few of them waiting, though the SDK reads many at a time."""
    script = [messages.results("word", start=float(second)) for second in range(500)]
    async with DeepgramServer(script=script) as server:
        async with stream(server.client(), nova()) as session:
            waiting = [0] * len(script)
            for number in range(len(script)):
                await anext(session)
                waiting[number] = session.stats.buffered
            assert 0 < max(waiting[100:]) <= 5  # the first ones had come before


async def test_use_before_entering() -> None:
    """Everything that needs a connection says so before the session is entered."""
    session = stream(any_client(), nova())
    for use in (
        lambda: anext(session),
        lambda: session.send(FRAME),
        session.finish,
        session.finalize,
        session.keep_alive,
        lambda: session.configure(keyterms=["a"]),
    ):
        with pytest.raises(RuntimeError, match="entered"):
            await use()
    with pytest.raises(RuntimeError, match="entered"):
        session.feed([FRAME])
    if not IS_LEGACY:  # where the connection is there before it is started
        with pytest.raises(RuntimeError, match="entered"):
            _ = session.connection
    assert session.close_info is None
    assert session.transcript == session.accumulated_transcript == session.request_id == ""


async def test_entering_twice(connect: Connect) -> None:
    """A session can be entered once."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        with pytest.raises(RuntimeError, match="once"):
            await session.__aenter__()


@pytest.mark.parametrize("target", [None, 7, "client", object(), type(any_client()), open])
def test_a_wrong_target_is_told(target: Any) -> None:
    """A target of another kind is a TypeError that names what is accepted and the SDK that is installed."""
    with pytest.raises(TypeError, match=r"AsyncDeepgramClient.*connect.*live connection.*deepgram-sdk \d"):
        stream(target, nova())


@emitter_only
async def test_options_that_do_not_fit_the_target() -> None:
    """Options beside a connection, no options beside a client, options of another type: TypeErrors."""
    client = any_client()
    with pytest.raises(TypeError, match="needs options"):
        stream(client)
    with pytest.raises(TypeError, match="StreamingOptions"):
        stream(client, "nova-3")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="smart_format"):
        stream(client, {"model": "nova-3", "smart_fromat": True})
    with pytest.raises(TypeError, match="leave them out"):
        stream(client.listen.v1.connect(model="nova-3"), nova())
    with pytest.raises(TypeError, match="listen=False"):
        stream(client, nova(), listen=False)
    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        with pytest.raises(TypeError, match="leave them out"):
            stream(connection, nova())


@pytest.mark.parametrize(
    "setting",
    [
        {"max_buffer_size": -1},
        {"overflow": "explode"},
        {"overflow_timeout_seconds": 0},
        {"keepalive_seconds": -1},
        {"connect_timeout_seconds": 0},
        {"send_timeout_seconds": 0},
        {"finish_timeout_seconds": -0.1},
    ],
)
def test_settings_out_of_range(setting: dict[str, Any]) -> None:
    """A setting out of its range is a ValueError that names it."""
    with pytest.raises(ValueError, match=next(iter(setting))):
        stream(any_client(), nova(), **setting)


def test_a_misspelt_option_suggests_the_right_one() -> None:
    """A misspelt option is a TypeError before any socket is opened."""
    with pytest.raises(TypeError, match="smart_format"):
        StreamingOptions(model="nova-3", smart_fromat=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("audio", ["text", 5, None, ["text"], [5]])
async def test_audio_that_is_none(connect: Connect, audio: Any) -> None:
    """What is no audio is a TypeError, and nothing is sent."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        with pytest.raises(TypeError, match="bytes-like"):
            await session.send(audio)
        assert (await server.connection()).frames == []


async def test_sending_after_finish(connect: Connect) -> None:
    """After finish() no more audio is taken: SessionClosed, from everything that sends."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        await session.finish()
        for use in (
            lambda: session.send(FRAME),
            lambda: session.send([]),
            session.finalize,
            session.keep_alive,
            lambda: session.configure(keyterms=["a"]),
        ):
            with pytest.raises(SessionClosed, match="finish"):
                await use()
        with pytest.raises(SessionClosed, match="finish"):
            session.feed([FRAME])


async def test_messages_of_the_other_endpoint(connect: Connect) -> None:
    """A control message that the endpoint does not have is a RuntimeError that says what to use."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            with pytest.raises(RuntimeError, match="finalize"):
                await session.force_end_turn()
        async with connect(server, flux()) as session:
            with pytest.raises(RuntimeError, match="force_end_turn"):
                await session.finalize()
