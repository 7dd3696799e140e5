"""Behaviour 7: the application's handlers fire as before, and ours neither raise nor block."""

from __future__ import annotations

import asyncio
import logging
import threading

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from conftest import FRAME, SDK, EventType, emitter_only, texts

from deepgram_stream_iter import CallbackError, ConnectionLost, StreamEvent, stream
from deepgram_stream_iter.testing import DeepgramServer, ServerConnection, messages

pytestmark = emitter_only

SCRIPT = [messages.results("one", is_final=True), messages.results("two", is_final=True)]


@pytest.mark.parametrize("when", ["before", "during"])
async def test_handlers_of_the_application_go_on_firing(when: str) -> None:
    """Plain and coroutine handlers, registered before or during the session, see each message once, in order."""
    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        plain: list[object] = []
        awaited: list[object] = []
        closed: list[object] = []

        async def handler(message: object) -> None:
            await anyio.lowlevel.checkpoint()
            awaited.append(message)

        def register() -> None:
            connection.on(EventType.MESSAGE, plain.append)
            connection.on(EventType.MESSAGE, handler)
            connection.on(EventType.CLOSE, closed.append)

        if when == "before":
            register()
        async with stream(connection) as session:
            if when == "during":
                register()
            for message in SCRIPT:
                await (await server.connection()).send(message)
            events = [await anext(session), await anext(session)]
            await session.finish()
            assert plain[:2] == awaited[:2] == [event.raw for event in events]
        assert closed == [None]


async def test_a_handler_goes_on_after_the_session() -> None:
    """After an observing session has detached, the application's handlers still fire and ours do nothing."""
    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        seen: list[object] = []
        came = anyio.Event()

        def handler(message: object) -> None:
            seen.append(message)
            came.set()

        connection.on(EventType.MESSAGE, handler)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.start_listening)
            async with stream(connection, listen=False) as session:
                pass
            await (await server.connection()).send(SCRIPT[0])
            await came.wait()
            assert session.stats.events == 0
            assert len(seen) == 1
            await (await server.connection()).close()


async def test_two_sessions_on_one_connection_get_each_event_once() -> None:
    """A second session beside the first, or after it, gets each event once."""
    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        served = await server.connection()
        async with stream(connection) as first:
            async with stream(connection, listen=False) as second:
                await served.send(SCRIPT[0])
                assert [(await anext(session)).type for session in (first, second)] == ["transcript"] * 2
            async with stream(connection, listen=False) as third:
                await served.send(SCRIPT[1])
                event = await anext(third)
                assert isinstance(event, StreamEvent.Transcript)
                assert event.transcript == "two"
                assert third.stats.events == 1
            assert second.stats.events == 1
            first.feed([])
            assert await texts(first) == ["two"]


@pytest.mark.parametrize("order", ["before ours", "after ours"])
@pytest.mark.parametrize("listen", [True, False])
async def test_a_handler_that_raises_is_a_callback_error(order: str, *, listen: bool) -> None:
    """Where the SDK stops listening over an application's handler, the session raises CallbackError with its cause."""
    if SDK[0] == 5 and not listen:
        pytest.skip("SDK 5 tells it to nobody but who runs start_listening(): here the application")
    error = LookupError("the application's own")

    def handler(_: object) -> None:
        raise error

    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        if order == "before ours":
            connection.on(EventType.MESSAGE, handler)
        session = stream(connection, listen=listen)
        async with anyio.create_task_group() as tasks:
            if not listen:
                tasks.start_soon(connection.start_listening)
            async with session:
                if order == "after ours":
                    connection.on(EventType.MESSAGE, handler)
                await (await server.connection()).send(SCRIPT[0])
                if order == "after ours":  # ours has it already
                    assert (await anext(session)).type == "transcript"
                with pytest.raises(CallbackError, match="LookupError") as caught:
                    await anext(session)
                assert caught.value.__cause__ is error


async def test_a_handler_that_raises_over_a_loss(caplog: pytest.LogCaptureFixture) -> None:
    """The loss is the error, with the handler's exception as its cause; the log names it without its text."""
    caplog.set_level(logging.DEBUG, "deepgram_stream_iter")
    called, closed = anyio.Event(), anyio.Event()

    async def script(connection: ServerConnection) -> None:
        await connection.send(messages.results("one", is_final=True))
        await called.wait()
        await connection.close(1011, "NET-0001")
        closed.set()

    async def handler(message: object) -> None:
        del message
        called.set()
        await closed.wait()
        raise LookupError("Authorization: Token SECRET")

    async with (
        DeepgramServer(script=script) as server,
        server.client().listen.v1.connect(model="nova-3") as sdk,
    ):
        sdk.on(EventType.MESSAGE, handler)
        session = await stream(sdk, name="call").open()
        with pytest.raises(ConnectionLost, match="1011") as caught:
            await session.wait_closed()
    assert isinstance(caught.value.__cause__, LookupError)
    ours = [record for record in caplog.records if record.name == "deepgram_stream_iter"]
    assert [record.getMessage() for record in ours if record.levelno >= logging.WARNING] == [
        "call: a handler of the application raised LookupError, and the SDK stopped listening"
    ]
    assert "SECRET" not in "".join(logging.Formatter().format(record) for record in ours)


async def test_a_handler_that_lets_a_cancellation_out() -> None:
    """A handler that awaits a cancelled task takes the SDK's listener down: that is a CallbackError, and no clean end."""

    async def handler(_: object) -> None:
        waiting = asyncio.ensure_future(anyio.sleep_forever())
        waiting.cancel()
        await waiting

    async with (
        DeepgramServer(script=SCRIPT) as server,
        server.client().listen.v1.connect(model="nova-3") as connection,
    ):
        connection.on(EventType.MESSAGE, handler)
        async with stream(connection) as session:
            with pytest.raises(CallbackError, match="cancelled") as caught:
                async for _ in session:
                    pass
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)


async def test_listening_twice_is_told() -> None:
    """Where the application listens already, the session says to observe, and the application listens on."""
    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        seen: list[object] = []
        connection.on(EventType.MESSAGE, seen.append)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.start_listening)
            await anyio.lowlevel.checkpoint()
            with pytest.raises(ConnectionError, match="listen=False"):
                async with stream(connection) as session:
                    await anext(session)
        assert await server.connection()


async def test_an_async_close_handler_is_not_cut_off() -> None:
    """An application's CLOSE handler that awaits runs to its end, also when the session is left by an exception."""
    ran: list[str] = []

    async def handler(_: object) -> None:
        await anyio.sleep(0.05)
        ran.append("to its end")

    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        connection.on(EventType.CLOSE, handler)
        with pytest.raises(LookupError):
            async with stream(connection) as session:
                await session.send(FRAME)
                raise LookupError
        assert ran == ["to its end"]
        assert server.connections


@pytest.mark.slow
async def test_a_handler_that_never_returns_does_not_hold_the_exit() -> None:
    """A coroutine handler of the application that hangs is cancelled when the closing has had its time; the exit tells."""

    async def handler(_: object) -> None:
        await anyio.sleep_forever()

    async with DeepgramServer(script=SCRIPT) as server:
        async with server.client().listen.v1.connect(model="nova-3") as connection:
            connection.on(EventType.MESSAGE, handler)
            session = stream(connection, finish_timeout_seconds=0.1)
            with (
                anyio.fail_after(0.1 + 2.0 + 0.5),
                pytest.raises(ConnectionLost, match="finish_timeout_seconds"),
            ):
                async with session:
                    pass
            assert session.close_info is not None
            assert not session.close_info.drained


@pytest.mark.parametrize("how", ["normally", "by an exception"])
async def test_a_handler_that_cannot_be_cancelled_does_not_hold_the_exit(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A coroutine handler that waits in a thread goes on; the exit is as short as without it, and a warning tells."""
    release, waiting = threading.Event(), anyio.Event()

    async def handler(_: object) -> None:
        waiting.set()
        await anyio.to_thread.run_sync(release.wait)

    async with DeepgramServer(script=SCRIPT) as server:
        async with server.client().listen.v1.connect(model="nova-3") as connection:
            connection.on(EventType.MESSAGE, handler)
            error = ConnectionLost if how == "normally" else LookupError
            with anyio.fail_after(0.1 + 2.0 + 1.0), pytest.raises(error):
                async with stream(connection, finish_timeout_seconds=0.1):
                    await waiting.wait()
                    if how != "normally":
                        raise LookupError
            assert "cannot be cancelled" in caplog.text
            release.set()
            while any(task.get_name() == "deepgram_stream_iter-task" for task in asyncio.all_tasks()):
                await anyio.lowlevel.checkpoint()


async def test_the_application_stops_listening() -> None:
    """An observing session whose application cancels start_listening() is told so."""
    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.start_listening)
            async with stream(connection, listen=False) as session:
                await (await server.connection()).send(SCRIPT[0])
                await anext(session)
                tasks.cancel_scope.cancel()
                with (
                    anyio.CancelScope(shield=True),
                    pytest.raises(ConnectionError, match="stopped listening"),
                ):
                    await anext(session)
