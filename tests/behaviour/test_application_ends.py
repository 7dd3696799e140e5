"""The application ends the stream itself, through the SDK's connection: that is as agreed as when the session does."""

from __future__ import annotations

import importlib
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import FRAME, Connect, LateWord, LegacyEvents, emitter_only, flux, legacy_only, nova, texts
from test_finish_timeout import listened

from deepgram_stream_iter import Reconnect, SessionClosed, StreamEvent, StreamingOptions, stream
from deepgram_stream_iter.testing import (
    DeepgramServer,
    Faults,
    Hypothesis,
    ServerConnection,
    messages,
)

SOON = Reconnect(initial_delay_seconds=0.01)
each_endpoint = pytest.mark.parametrize("options_for", [nova, flux])


async def call(kind: str, method: Callable[..., Any], *arguments: object) -> Any:
    """Call a method of the SDK as an application does, off the loop where it blocks."""
    if kind == "async":
        return await method(*arguments)
    return await anyio.to_thread.run_sync(method, *arguments)


async def send_close_stream(connection: Any, kind: str) -> None:
    """Send CloseStream as the SDK's connection lets an application do."""
    if hasattr(connection, "send_close_stream"):  # SDK 6 and 7
        await call(kind, connection.send_close_stream)
    elif hasattr(connection, "send_control"):  # SDK 5
        version = "V2" if "V2" in type(connection).__name__ else "V1"
        sockets = importlib.import_module("deepgram.extensions.types.sockets")
        message = getattr(sockets, f"Listen{version}ControlMessage")(type="CloseStream")
        await call(kind, connection.send_control, message)
    else:  # SDK 3 and 4
        await call(kind, connection.send, json.dumps({"type": "CloseStream"}))


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


LATE = Faults(late_final_seconds=0.1)


@each_endpoint
@pytest.mark.parametrize("is_fed", [False, True], ids=["sent", "fed"])
async def test_late_words(
    connect: Connect, kind: str, options_for: Callable[[], StreamingOptions], *, is_fed: bool
) -> None:
    """What is recognised only after CloseStream is handed out, also while a source goes on."""
    options = options_for()
    async with DeepgramServer(recognizer=LateWord, faults=LATE) as server:
        async with connect(server, options) as session:
            if is_fed:
                session.feed(itertools.repeat(FRAME), pace=1.0)
                await (await server.connection()).audio_reached(0.1)
            else:
                await session.send(FRAME)
            await send_close_stream(session.connection, kind)
            assert [event async for event in session][-1].type == EXPECTED[options.endpoint][-1]
            assert session.transcript == "late"
            assert session.close_info is not None
            assert session.close_info.drained
            assert session.close_info.code == (1005 if options.endpoint == "v2" else 1000)


@emitter_only
@each_endpoint
async def test_late_words_are_observed(kind: str, options_for: Callable[[], StreamingOptions]) -> None:
    """An observer of an application that sends audio and CloseStream itself gets them too."""
    options = options_for()
    async with DeepgramServer(recognizer=LateWord, faults=LATE) as server:
        async with listened(server, kind, options.model) as connection:
            async with stream(connection, listen=False) as session:
                await call(kind, connection.send_media, FRAME)
                await send_close_stream(connection, kind)
                assert await texts(session) == ["late"]
                assert session.close_info is not None
                assert session.close_info.drained


class LateWords(LateWord):
    """A recognizer that has two words to say at the end."""

    def flush(self) -> list[Hypothesis]:
        """Say the words."""
        return super().flush() * 2


def register_a_slow_handler(connection: Any, kind: str) -> None:
    """Have the SDK still read when the server has said all and closed."""

    async def coroutine(*_: object, **__: object) -> None:
        await anyio.sleep(0.05)

    def plain(*_: object, **__: object) -> None:
        time.sleep(0.05)

    connection.on(LegacyEvents.Transcript, coroutine if kind == "async" else plain)


@legacy_only
@pytest.mark.parametrize("listen", [True, False], ids=["session", "observed"])
@pytest.mark.parametrize("how", ["finish", "CloseStream"])
async def test_on_a_connection_of_sdk_3_and_4(kind: str, how: str, *, listen: bool) -> None:
    """Its own `finish()` or CloseStream ends the iteration, behind all that the server had to say."""
    async with DeepgramServer(recognizer=LateWords) as server:
        sockets: Any = server.client().listen
        connection: Any = (sockets.asyncwebsocket if kind == "async" else sockets.websocket).v("1")
        register_a_slow_handler(connection, kind)
        if not listen:
            assert await call(kind, connection.start, nova().query())
        async with stream(connection, nova() if listen else None, listen=listen) as session:
            await call(kind, connection.send, FRAME)
            if how == "finish":
                await call(kind, connection.finish)
            else:
                await send_close_stream(connection, kind)
            assert await texts(session) == ["late", "late"]
            assert session.close_info is not None
            assert session.close_info.drained
            assert session.close_info.metadata is not None


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
