"""A server that does not end the stream within `finish_timeout_seconds`: an error says so, after all that had arrived."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import FRAME, Connect, emitter_only, flux, nova, texts

from deepgram_stream_iter import (
    AnyStreamEvent,
    ConnectionLost,
    StreamEvent,
    StreamingOptions,
    StreamSession,
    stream,
)
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

SILENCES: dict[str, dict[str, Any]] = {
    "mute": {"mute": True},
    "frozen": {"frozen": True},
    "only pongs": {"no_close": True, "no_metadata": True, "no_finalize_answer": True},
}
each_endpoint = pytest.mark.parametrize("options_for", [nova, flux])
reconnecting_or_not = pytest.mark.parametrize("reconnect", [False, True], ids=["once", "reconnect"])


@asynccontextmanager
async def listened(server: DeepgramServer, kind: str, model: str) -> AsyncIterator[Any]:
    """Enter a connection of the SDK, and listen on it, as an application does that has itself observed."""
    client: Any = server.client() if kind == "async" else server.sync_client()
    sockets = client.listen.v2 if model.startswith("flux") else client.listen.v1
    context = sockets.connect(model=model, encoding="linear16", sample_rate="16000")
    if kind == "async":
        async with context as connection, anyio.create_task_group() as tasks:
            tasks.start_soon(connection.start_listening)
            yield connection
            tasks.cancel_scope.cancel()
        return
    connection = await anyio.to_thread.run_sync(context.__enter__)
    listener = threading.Thread(target=connection.start_listening)
    listener.start()
    try:
        yield connection
    finally:
        await anyio.to_thread.run_sync(context.__exit__, None, None, None)
        await anyio.to_thread.run_sync(listener.join)


async def events_until_the_error(session: StreamSession) -> list[AnyStreamEvent]:
    """Iterate until the error that names the time-out; return the events before it."""
    events: list[AnyStreamEvent] = []
    with pytest.raises(ConnectionLost, match="finish_timeout_seconds"):
        async for event in session:
            events.append(event)  # noqa: PERF401  (it raises)
    return events


# Neither the agreed close nor Metadata


@each_endpoint
@reconnecting_or_not
@pytest.mark.parametrize("fault", SILENCES)
async def test_finishing_a_server_that_falls_silent(
    connect: Connect, fault: str, options_for: Callable[[], StreamingOptions], *, reconnect: bool
) -> None:
    """`finish()` tells it in its result, the iteration raises it; with `reconnect` what is missing is told before it."""
    options = options_for()
    if (fault, options.endpoint) == ("frozen", "v2"):
        pytest.skip("a peer that is frozen is the same on both endpoints, and takes 1 s to be dropped")
    async with DeepgramServer() as server:
        settings: dict[str, Any] = {"reconnect": reconnect, "finish_timeout_seconds": 0.1}
        async with connect(server, options, **settings) as session:
            (await server.connection()).faults = Faults(**SILENCES[fault])
            await session.send(FRAME)
            info = await session.finish()
            assert not info.drained
            assert info.initiator == "client"
            events = await events_until_the_error(session)
            assert await session.finish() == info == session.close_info
        gap = StreamEvent.AudioGap(start=0.0, end=0.02)
        assert [event for event in events if event.type != "connected"] == ([gap] if reconnect else [])
        assert len(server.connections) == 1


@each_endpoint
@reconnecting_or_not
async def test_a_fed_source_and_a_server_that_falls_silent(
    connect: Connect, options_for: Callable[[], StreamingOptions], *, reconnect: bool
) -> None:
    """The iteration over a source that has ended does not pass for a whole one."""
    async with DeepgramServer() as server:
        settings: dict[str, Any] = {"reconnect": reconnect, "finish_timeout_seconds": 0.1}
        async with connect(server, options_for(), **settings) as session:
            (await server.connection()).faults = Faults(mute=True)
            session.feed([FRAME] * 3)
            events = await events_until_the_error(session)
        assert [event.type for event in events if event.type != "connected"] == ["audio_gap"] * reconnect
        assert session.close_info is not None
        assert not session.close_info.drained


@each_endpoint
@reconnecting_or_not
async def test_leaving_a_server_that_falls_silent(
    connect: Connect, options_for: Callable[[], StreamingOptions], *, reconnect: bool
) -> None:
    """The exit raises what nobody has seen, and who iterates afterwards gets it too, behind the events."""
    async with DeepgramServer() as server:
        settings: dict[str, Any] = {"reconnect": reconnect, "finish_timeout_seconds": 0.1}
        session = connect(server, options_for(), **settings)
        with pytest.raises(ConnectionLost, match="finish_timeout_seconds"):
            async with session:
                (await server.connection()).faults = Faults(mute=True)
                await session.send(FRAME)
        events = await events_until_the_error(session)
        assert [event.type for event in events if event.type != "connected"] == ["audio_gap"] * reconnect
        assert len(server.connections) == 1


@reconnecting_or_not
async def test_an_answer_to_finalize_is_not_the_end(connect: Connect, *, reconnect: bool) -> None:
    """Nova that has answered Finalize, and then sends neither Metadata nor a close, has not ended the stream."""
    async with DeepgramServer(faults=Faults(no_metadata=True, no_close=True)) as server:
        settings: dict[str, Any] = {"reconnect": reconnect, "finish_timeout_seconds": 0.5}
        async with connect(server, nova(), **settings) as session:
            session.feed([FRAME])
            events = await events_until_the_error(session)
        assert [event.type for event in events] == ["transcript"]


async def test_the_gap_is_what_no_final_came_of(connect: Connect) -> None:
    """With `reconnect`, all that had arrived comes first, then what is missing behind it, then the error."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(0.06)
        await connection.send(messages.results("first", start=0.0, duration=0.04, is_final=True))
        connection.faults = Faults(mute=True)

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=True, finish_timeout_seconds=0.1) as session:
            await session.send(FRAME * 3)
            first = await anext(session)
            await session.finish()
            events = await events_until_the_error(session)
        assert isinstance(first, StreamEvent.Transcript)
        assert events == [StreamEvent.AudioGap(start=0.04, end=0.06)]
        assert session.stats.audio_seconds_lost == pytest.approx(0.02)
        assert session.transcript == "first"


@each_endpoint
@reconnecting_or_not
async def test_an_open_utterance_comes_before_the_error(
    connect: Connect, options_for: Callable[[], StreamingOptions], *, reconnect: bool
) -> None:
    """What was said of an utterance that the silence cuts off is handed out, unconfirmed; then comes the error."""
    options = options_for()
    turn = messages.turn_info("StartOfTurn", "hello", end=0.02)
    final = messages.results("hello", start=0.0, duration=0.02, is_final=True)

    async def script(connection: ServerConnection) -> None:
        await connection.send(turn if options.endpoint == "v2" else final)
        connection.faults = Faults(mute=True)

    async with DeepgramServer(script=script) as server:
        settings: dict[str, Any] = {"reconnect": reconnect, "finish_timeout_seconds": 0.1}
        async with connect(server, options, **settings) as session:
            while (await anext(session)).type == "connected":
                pass
            session.feed([FRAME] * 2)
            utterances = session.utterances()
            utterance = await anext(utterances)
            assert (utterance.text, utterance.confirmed) == ("hello", False)
            with pytest.raises(ConnectionLost, match="finish_timeout_seconds"):
                await anext(utterances)


@emitter_only
@each_endpoint
@pytest.mark.parametrize("is_seen", [True, False], ids=["iterated", "left"])
async def test_observing_a_server_that_falls_silent(
    kind: str, options_for: Callable[[], StreamingOptions], *, is_seen: bool
) -> None:
    """An observer that asks for the end and does not get it is told; the connection is the application's still."""
    model = options_for().model
    async with DeepgramServer() as server, listened(server, kind, model) as connection:
        served = await server.connection()
        served.faults = Faults(mute=True)
        session = stream(connection, listen=False, finish_timeout_seconds=0.1)
        if is_seen:
            async with session:
                assert not (await session.finish()).drained
                await events_until_the_error(session)
        else:
            with pytest.raises(ConnectionLost, match="finish_timeout_seconds"):
                async with session:
                    await session.finish()
        assert served.close_code is None
        assert [control["type"] for control in served.controls][-1:] == ["CloseStream"]


# Metadata, and only the close is missing


@pytest.mark.parametrize(
    ("how", "reconnect"), [("finish", False), ("feed", False), ("leave", False), ("leave", True)]
)
async def test_metadata_without_a_close(
    connect: Connect, how: str, caplog: pytest.LogCaptureFixture, *, reconnect: bool
) -> None:
    """Nothing is to come after Nova's Metadata: that is a clean end, without a warning in the log."""
    async with DeepgramServer(faults=Faults(no_close=True)) as server:
        settings: dict[str, Any] = {"reconnect": reconnect, "finish_timeout_seconds": 0.5}
        with caplog.at_level(logging.WARNING, "deepgram_stream_iter"):
            async with connect(server, nova(), **settings) as session:
                if how == "feed":
                    session.feed([FRAME])
                    assert [event.type async for event in session] == ["transcript", "metadata"]
                else:
                    await session.send(FRAME)
                if how == "finish":
                    assert (await session.finish()).drained
        if how != "feed":
            assert [event.type async for event in session] == ["transcript", "metadata"]
        info = session.close_info
        assert info is not None
        assert (info.drained, info.initiator) == (True, "client")
        assert info.metadata is not None
        assert len(server.connections) == 1
    assert [record.getMessage() for record in caplog.records if "deepgram_stream" in record.name] == []


@emitter_only
async def test_observing_metadata_without_a_close(kind: str) -> None:
    """The same holds for an observer that asked for the end."""
    async with DeepgramServer(faults=Faults(no_close=True)) as server:
        async with listened(server, kind, "nova-3") as connection:
            async with stream(connection, listen=False, finish_timeout_seconds=0.5) as session:
                assert (await session.finish()).drained
                assert await texts(session) == []
            assert (await server.connection()).close_code is None
