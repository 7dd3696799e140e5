"""Behaviour 1: entering connects, starts the listener, waits for Flux, and refuses clearly."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from conftest import (
    FRAME,
    IS_LEGACY,
    SDK,
    TOO_STRICT,
    Connect,
    EventType,
    emitter_only,
    flux,
    needs_cancellation,
    nova,
    texts,
)

from deepgram_stream_iter import ConnectError, ServerError, StreamEvent, stream
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages


async def test_a_client_with_options_connects(connect: Connect) -> None:
    """stream(client, options) makes the connection with the options as query parameters."""
    async with DeepgramServer() as server, connect(server, nova(smart_format=True)) as session:
        connection = await server.connection()
        assert connection.path == "/v1/listen"
        assert connection.query["smart_format"] == ["true"]
        assert session.request_id == connection.request_id


async def test_options_the_sdk_does_not_know_reach_the_server(connect: Connect) -> None:
    """Options of extra={...} travel as query parameters, lists as repeated ones."""
    options = nova(keyterm=["one", "two"], extra={"brand_new": True, "several": ["a", "b"]})
    if SDK[0] == 5:  # its connect() leaves them out, so the session says so
        async with DeepgramServer() as server:
            with pytest.raises(ConnectError, match=r"deepgram-sdk 5.* does not send brand_new, several"):
                await connect(server, options).__aenter__()
        return
    async with DeepgramServer() as server, connect(server, options):
        query = (await server.connection()).query
        assert query["brand_new"] == ["true"]
        assert query["several"] == ["a", "b"]
        assert query["keyterm"] == ["one", "two"]


async def test_deepgrams_own_extra_reaches_the_server(connect: Connect) -> None:
    """Strings as extra are Deepgram's option of that name."""
    async with DeepgramServer() as server, connect(server, nova(extra="call:17")):
        assert (await server.connection()).query["extra"] == ["call:17"]


async def test_a_flux_model_goes_to_v2(connect: Connect) -> None:
    """A model whose name starts with flux is served by listen.v2, and its Connected has come on entry."""
    async with DeepgramServer() as server, connect(server, flux(eot_threshold=0.8)) as session:
        connection = await server.connection()
        assert connection.path == "/v2/listen"
        assert connection.query["eot_threshold"] == ["0.8"]
        first = await anext(session)
        assert isinstance(first, StreamEvent.Connected)
        assert first.request_id == session.request_id == connection.request_id


@emitter_only
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_what_connect_returned_is_entered_and_left(version: str) -> None:
    """A context of connect() is entered by the session, which closes the socket when it is left."""
    if version == "v2" and SDK[:2] == (5, 0):
        pytest.skip(TOO_STRICT)
    async with DeepgramServer() as server:
        listen = server.client().listen
        if version == "v1":
            session = stream(listen.v1.connect(model="nova-3"))
        else:
            session = stream(listen.v2.connect(model="flux-general-en"))
        async with session:
            connection = await server.connection()
            assert connection.close_code is None
        await connection.wait_closed()


@emitter_only
async def test_a_live_connection_is_listened_to_and_closed() -> None:
    """The session starts start_listening() on a live connection and, as it listens, closes it."""
    async with DeepgramServer(script=[messages.results("hello", is_final=True)]) as server:
        async with server.client().listen.v1.connect(model="nova-3") as connection:
            async with stream(connection) as session:
                assert session.connection is connection
                event = await anext(session)
                assert isinstance(event, StreamEvent.Transcript)
            served = await server.connection()
            assert served.close_code == 1000
        assert [control["type"] for control in served.controls] == ["Finalize", "CloseStream"]


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, "Bad Request"), (401, "INVALID_AUTH"), (402, ""), (403, "NO_MODEL"), (429, "TOO_MANY"), (503, "")],
)
async def test_a_refused_handshake_is_a_connect_error(connect: Connect, status: int, error: str) -> None:
    """ConnectError carries the HTTP status, dg-error and dg-request-id, and says what to look at."""
    faults = Faults(refuse_status=status, refuse_error=error)
    async with DeepgramServer(faults=faults) as server:
        with pytest.raises(ConnectError) as caught:
            async with connect(server, nova()):
                pass
    assert isinstance(caught.value, ConnectionError)
    if IS_LEGACY:  # start() returns False, and says no more
        assert "start()" in str(caught.value)
        return
    assert caught.value.status == status
    assert caught.value.reason == error
    assert caught.value.request_id
    assert caught.value.request_id in str(caught.value)
    assert str(status) in str(caught.value)


async def test_no_server_is_a_connect_error() -> None:
    """Where nobody listens, that is a ConnectError without a status."""
    async with DeepgramServer() as server:
        client = server.client()
    with pytest.raises(ConnectError) as caught:
        await stream(client, nova()).__aenter__()
    assert caught.value.status is None


async def test_a_handshake_without_an_answer_is_bounded(connect: Connect) -> None:
    """connect_timeout_seconds bounds a server that does not answer the handshake."""
    async with DeepgramServer(faults=Faults(hang_handshake=True)) as server:
        with pytest.raises(ConnectError, match="connect_timeout_seconds"):
            await connect(server, nova(), connect_timeout_seconds=0.1).__aenter__()


async def test_waiting_for_connected_is_bounded(connect: Connect) -> None:
    """connect_timeout_seconds bounds Flux's Connected too."""
    async with DeepgramServer(faults=Faults(no_connected=True)) as server:
        with pytest.raises(ConnectError, match="connect_timeout_seconds"):
            await connect(server, flux(), connect_timeout_seconds=0.1).__aenter__()
        await (await server.connection()).wait_closed()


async def test_a_fatal_error_instead_of_connected(connect: Connect) -> None:
    """Flux's fatal Error before Connected comes out of the entry."""

    async def script(connection: ServerConnection) -> None:
        await connection.send(messages.fatal_error("INTERNAL_SERVER_ERROR", "try later"))

    async with DeepgramServer(script=script, faults=Faults(no_connected=True)) as server:
        with pytest.raises(ServerError, match="try later"):
            await connect(server, flux()).__aenter__()


async def test_a_fatal_error_and_no_answer_to_the_close(connect: Connect) -> None:
    """When the time is up while the connection is being closed, what ended it comes out, and not the time-out."""

    async def script(connection: ServerConnection) -> None:
        await connection.send(messages.fatal_error("INTERNAL_SERVER_ERROR", "try later"))

    async with DeepgramServer(script=script, faults=Faults(no_connected=True, frozen=True)) as server:
        with pytest.raises(ServerError, match="try later"):
            await connect(server, flux(), connect_timeout_seconds=0.5).__aenter__()


async def test_a_bad_first_message_just_before_the_time_out(connect: Connect) -> None:
    """That the connection is still being closed when the time is up does not change which error it is."""

    async def script(connection: ServerConnection) -> None:
        connection.faults = Faults(frozen=True)  # so that closing takes its time
        await connection.send("{{{")

    async with DeepgramServer(script=script, faults=Faults(no_connected=True)) as server:
        with pytest.raises(ConnectError, match="before it was ready"):
            await connect(server, flux(), connect_timeout_seconds=0.3).__aenter__()


@needs_cancellation
async def test_cancelling_the_entry_at_once_leaves_nothing(connect: Connect) -> None:
    """An entry that is cancelled together with all tasks before it began, as `asyncio.run` does, ends."""
    async with DeepgramServer() as server:
        entering = asyncio.create_task(connect(server, nova()).__aenter__())
        while all(task.get_name() != "deepgram_stream_iter" for task in asyncio.all_tasks()):  # noqa: ASYNC110  (a task that starts sets no event)
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if task is entering or task.get_name() == "deepgram_stream_iter":
                task.cancel()
        with anyio.fail_after(2), pytest.raises(asyncio.CancelledError):
            await entering


@needs_cancellation
async def test_cancelling_the_entry_leaves_nothing(connect: Connect) -> None:
    """A handshake that is cancelled leaves no task and no socket."""
    async with DeepgramServer(faults=Faults(hang_handshake=True)) as server:
        session = connect(server, nova())
        with anyio.move_on_after(0.05) as scope:
            await session.__aenter__()
        assert scope.cancelled_caught


@emitter_only
async def test_a_closed_connection_is_refused() -> None:
    """A live connection that has been closed is told on entry."""
    async with DeepgramServer() as server:
        async with server.client().listen.v1.connect(model="nova-3") as connection:
            pass
        with pytest.raises(ConnectError, match="closed already"):
            await stream(connection).__aenter__()


@emitter_only
async def test_observing_detaches_and_closes_nothing() -> None:
    """listen=False takes its events beside the application's listener; leaving it leaves the connection as it is."""
    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        seen: list[object] = []
        connection.on(EventType.MESSAGE, seen.append)
        served = await server.connection()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.start_listening)
            async with stream(connection, listen=False) as session:
                await served.send(messages.results("one", is_final=True))
                event = await anext(session)
                assert isinstance(event, StreamEvent.Transcript)
                assert event.raw is seen[0]
            assert served.close_code is None
            assert served.controls == []
            async with stream(connection, listen=False) as session:
                await served.send(messages.results("two", is_final=True))
                await anext(session)
                assert session.transcript == "two"
                info = await session.finish()
                assert info.drained
                assert [event.type async for event in session] == ["metadata"]
        assert [control["type"] for control in served.controls] == ["Finalize", "CloseStream"]
        assert len(seen) == 3  # one, two, Metadata


async def test_enter_and_exit_in_different_tasks(connect: Connect) -> None:
    """A session may be entered in one task and left in another."""
    async with DeepgramServer(script=[messages.results("hello", is_final=True)]) as server:
        session = connect(server, nova())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.__aenter__)
        await session.send(FRAME)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.__aexit__, None, None, None)
        assert session.transcript == "hello"
        assert await texts(session) == ["hello"]
