"""The application ends the stream itself, through the SDK's connection: that is as agreed as when the session does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import pytest
from conftest import FRAME, Connect, LateWord, emitter_only, flux, nova
from test_finish_timeout import listened

from deepgram_stream_iter import Reconnect, SessionClosed, StreamEvent, StreamingOptions, stream
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

SOON = Reconnect(initial_delay_seconds=0.01)
each_endpoint = pytest.mark.parametrize("options_for", [nova, flux])


async def send_close_stream(connection: Any, kind: str) -> None:
    """Send CloseStream as the SDK's connection lets an application do."""
    text = json.dumps({"type": "CloseStream"})
    send = getattr(connection, "send_media", None) or connection.send  # SDK 3 and 4
    if kind == "async":
        await send(text)
    else:
        await anyio.to_thread.run_sync(send, text)


def script_of(options: StreamingOptions) -> list[dict[str, Any]]:
    """Have something said before the end."""
    if options.endpoint == "v2":
        return [messages.turn_info("StartOfTurn", "hello", end=0.02)]
    return [messages.results("hello", start=0.0, duration=0.02, is_final=True)]


EXPECTED = {"v1": ["transcript", "metadata"], "v2": ["connected", "start_of_turn", "end_of_turn"]}


@each_endpoint
async def test_on_the_connection_of_the_session(
    connect: Connect, kind: str, options_for: Callable[[], StreamingOptions]
) -> None:
    """The iteration ends, with all that the server still had to say, and there is no error."""
    options = options_for()
    async with DeepgramServer(script=script_of(options)) as server:
        async with connect(server, options) as session:
            await send_close_stream(session.connection, kind)
            assert [event.type async for event in session] == EXPECTED[options.endpoint]
            assert session.close_info is not None
            assert session.close_info.drained
            with pytest.raises(SessionClosed):
                await session.send(FRAME)
        assert session.transcript == "hello"


@emitter_only
@each_endpoint
async def test_on_a_connection_that_was_entered_by_the_application(
    kind: str, options_for: Callable[[], StreamingOptions]
) -> None:
    """A live connection that is attached to ends in the same way."""
    options = options_for()
    async with DeepgramServer(script=script_of(options)) as server:
        client: Any = server.client() if kind == "async" else server.sync_client()
        sockets = client.listen.v2 if options.endpoint == "v2" else client.listen.v1
        context = sockets.connect(model=options.model, encoding="linear16", sample_rate="16000")
        if kind == "async":
            connection = await context.__aenter__()
        else:
            connection = await anyio.to_thread.run_sync(context.__enter__)
        try:
            async with stream(connection) as session:
                await send_close_stream(connection, kind)
                types = [event.type async for event in session]
            assert [type_ for type_ in types if type_ != "connected"] == EXPECTED[options.endpoint][-2:]
            assert session.close_info is not None
            assert session.close_info.drained
        finally:
            if kind == "async":
                await context.__aexit__(None, None, None)
            else:
                await anyio.to_thread.run_sync(context.__exit__, None, None, None)


@emitter_only
@each_endpoint
async def test_on_a_connection_that_is_observed(
    kind: str, options_for: Callable[[], StreamingOptions]
) -> None:
    """An observer sees the agreed end as such."""
    options = options_for()
    async with DeepgramServer() as server, listened(server, kind, options.model) as connection:
        async with stream(connection, listen=False) as session:
            for message in script_of(options):
                await (await server.connection()).send(message)
            await send_close_stream(connection, kind)
            types = [event.type async for event in session]
        assert [type_ for type_ in types if type_ != "connected"] == EXPECTED[options.endpoint][-2:]
        assert session.close_info is not None
        assert session.close_info.drained


async def test_flux_that_closes_without_a_status_by_itself(connect: Connect) -> None:
    """Nobody can see who asked for it, so without `reconnect` it is the agreed end."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(0.02)
        await connection.close(1005)

    async with DeepgramServer(script=script) as server:
        async with connect(server, flux()) as session:
            await session.send(FRAME)
            assert [event.type async for event in session] == ["connected"]
            assert session.close_info is not None
            assert (session.close_info.code, session.close_info.drained) == (1005, True)


async def test_flux_that_closes_without_a_status_is_connected_again(connect: Connect) -> None:
    """With `reconnect` an end that the session has not asked for is got over."""

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            await connection.audio_reached(0.02)
            await connection.close(1005)

    async with DeepgramServer(script=script) as server:
        async with connect(server, flux(), reconnect=SOON) as session:
            await session.send(FRAME)
            async for event in session:
                if isinstance(event, StreamEvent.Reconnected):
                    break
        assert [connection.audio for connection in server.connections] == [FRAME, FRAME]
        assert session.close_info is not None
        assert session.close_info.drained


@pytest.mark.parametrize("code", [1000, 1006])
async def test_nova_with_reconnect(connect: Connect, kind: str, code: int) -> None:
    """Where the server's Metadata has come nothing is connected again, whoever asked for it."""
    async with DeepgramServer(recognizer=LateWord, faults=Faults(close_code=code)) as server:
        async with connect(server, nova(), reconnect=SOON) as session:
            await session.send(FRAME)
            await send_close_stream(session.connection, kind)
            types = []
            async for event in session:
                types.append(event.type)
                if isinstance(event, StreamEvent.Reconnecting):
                    break  # it would go on for ever
            assert types == ["transcript", "metadata"]
            assert session.close_info is not None
            assert session.close_info.drained
        assert len(server.connections) == 1
        assert session.stats.reconnects == 0
