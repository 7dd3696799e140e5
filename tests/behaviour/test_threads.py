"""The sync client of SDK 5 to 7: its threads beside the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from conftest import FRAME, EventType, emitter_only, nova, texts

from deepgram_stream_iter import CallbackError, ConnectionLost, StreamEvent, stream
from deepgram_stream_iter.testing import DeepgramServer, messages

pytestmark = emitter_only

SCRIPT = [messages.results(f"w{number}", start=float(number), is_final=True) for number in range(40)]
WORDS = [f"w{number}" for number in range(40)]


@asynccontextmanager
async def entered(server: DeepgramServer) -> AsyncIterator[Any]:
    """Enter the SDK's context as an application does, but off the loop, for the server is on it."""
    context: Any = server.sync_client().listen.v1.connect(model="nova-3")
    connection = await anyio.to_thread.run_sync(context.__enter__)
    try:
        yield connection
    finally:
        await anyio.to_thread.run_sync(context.__exit__, None, None, None)


async def test_what_connect_returned() -> None:
    """What the sync connect() returned is entered by the session, off the loop, and left with it."""
    async with DeepgramServer(script=SCRIPT) as server:
        async with stream(server.sync_client().listen.v1.connect(model="nova-3")) as session:
            session.feed([FRAME])
            assert await texts(session) == WORDS
            assert callable(getattr(session.connection, "start_listening", None))
        assert session.close_info is not None
        assert session.close_info.drained
        served = await server.connection()
        await served.wait_closed()
        assert served.close_code == 1000
        assert served.audio == FRAME
        assert len(server.connections) == 1


@pytest.mark.parametrize("when", ["before", "during"])
async def test_handlers_of_the_application_go_on_firing(when: str) -> None:
    """The handlers of a live sync connection see each message once, in order, in the thread that listens."""
    heard: list[object] = []
    closed: list[object] = []
    threads: set[int] = set()

    def on_message(message: object) -> None:
        heard.append(message)
        threads.add(threading.get_ident())

    async with DeepgramServer() as server, entered(server) as connection:

        def register() -> None:
            connection.on(EventType.MESSAGE, on_message)
            connection.on(EventType.CLOSE, closed.append)

        if when == "before":
            register()
        async with stream(connection) as session:
            if when == "during":
                register()
            assert session.connection is connection
            for message in SCRIPT:
                await (await server.connection()).send(message)
            events = [await anext(session) for _ in SCRIPT]
            await session.finish()
        assert heard[: len(SCRIPT)] == [event.raw for event in events]
        assert [event.transcript for event in events if isinstance(event, StreamEvent.Transcript)] == WORDS
        assert closed == [None]
        assert len(threads) == 1
        assert threading.get_ident() not in threads


@pytest.mark.parametrize("order", ["before ours", "after ours"])
async def test_a_handler_that_raises_is_a_callback_error(order: str) -> None:
    """A handler that raises in the SDK's thread stops it listening: CallbackError, with that very exception."""
    error = LookupError("the application's own")

    def handler(_: object) -> None:
        raise error

    async with DeepgramServer() as server, entered(server) as connection:
        if order == "before ours":
            connection.on(EventType.MESSAGE, handler)
        async with stream(connection) as session:
            if order == "after ours":
                connection.on(EventType.MESSAGE, handler)
            await (await server.connection()).send(SCRIPT[0])
            if order == "after ours":  # ours has it already
                assert (await anext(session)).type == "transcript"
            with pytest.raises(CallbackError, match="LookupError") as caught:
                await anext(session)
            assert caught.value.__cause__ is error


@pytest.mark.parametrize("target", ["client", "context"])
async def test_under_uvloop(target: str) -> None:
    """A sync client's session runs under uvloop, a full buffer and its waiting included."""
    uvloop = pytest.importorskip("uvloop")

    async def run(server: DeepgramServer) -> list[str]:
        client = server.sync_client()
        of = (
            stream(client, nova(), max_buffer_size=2, overflow="wait")
            if target == "client"
            else stream(client.listen.v1.connect(model="nova-3"), max_buffer_size=2, overflow="wait")
        )
        async with of as session:
            session.feed([FRAME], finish=False)
            got = []
            async for event in session:
                got.append(event.transcript if isinstance(event, StreamEvent.Transcript) else "")
                if len(got) == len(WORDS):
                    break
        return got

    async with DeepgramServer(script=SCRIPT) as server:
        assert await anyio.to_thread.run_sync(lambda: uvloop.run(run(server))) == WORDS


async def test_the_loop_is_never_blocked() -> None:
    """While a full buffer holds the SDK's thread back, the loop goes on; every final comes afterwards, in order."""
    async with DeepgramServer(script=SCRIPT) as server:
        async with stream(server.sync_client(), nova(), max_buffer_size=2, overflow="wait") as session:
            with anyio.fail_after(5):
                while session.stats.buffered < 2:
                    await checkpoint()
            count, longest, begin = 0, 0.0, time.monotonic()
            now = begin
            while now < begin + 0.5:  # the consumer's absence: the SDK is held back all the while
                await checkpoint()
                before, now = now, time.monotonic()
                count, longest = count + 1, max(longest, now - before)
                assert session.stats.buffered <= 2
            assert count > 100
            assert longest < 0.25
            assert session.stats.events <= 4
            session.feed([])
            assert await texts(session) == WORDS
            assert session.stats.dropped == 0


@pytest.mark.parametrize("target", ["client", "live"])
@pytest.mark.parametrize("how", ["normally", "by an exception", "by a cancellation", "with a full buffer"])
async def test_leaving_leaves_no_thread(target: str, how: str) -> None:
    """However a session is left, its threads and the SDK's are gone with it."""

    async def use(given: Any, server: DeepgramServer) -> None:
        options = nova() if target == "client" else None
        async with stream(given, options, max_buffer_size=2, overflow="wait") as session:
            if how == "with a full buffer":
                while session.stats.buffered < 2:
                    await checkpoint()
                return
            assert (await anext(session)).type == "transcript"
            if how == "by an exception":
                raise LookupError
            if how == "by a cancellation":
                scope.cancel()
                await anyio.sleep_forever()
            assert await server.connection()
            session.feed([FRAME])
            await texts(session)

    async with DeepgramServer(script=SCRIPT) as server:
        await anyio.to_thread.run_sync(threading.get_ident)  # the tests' own worker is there before
        before = set(threading.enumerate())
        with anyio.CancelScope() as scope, anyio.fail_after(8):
            try:
                if target == "client":
                    await use(server.sync_client(), server)
                else:
                    async with entered(server) as connection:
                        await use(connection, server)
            except LookupError:
                assert how == "by an exception"
        left = [thread for thread in threading.enumerate() if thread not in before]
        for thread in left:
            thread.join(1)  # one that is on its way out is no leak
        assert [thread.name for thread in left if thread.is_alive()] == []


async def test_a_live_connection_is_closed_in_order() -> None:
    """Leaving by an exception closes the connection that the application entered with a closing handshake."""
    async with DeepgramServer() as server, entered(server) as connection:
        with pytest.raises(LookupError):
            async with stream(connection):
                raise LookupError
        served = await server.connection()
        await served.wait_closed()
        assert served.close_code == 1000


async def test_a_context_that_is_entered_late_is_left() -> None:
    """A context whose entering succeeds after the session was cancelled is left again."""
    loop, is_entering, is_cancelled, is_left = (
        asyncio.get_running_loop(),
        anyio.Event(),
        threading.Event(),
        anyio.Event(),
    )

    @contextmanager
    def entered_late(server: DeepgramServer) -> Iterator[Any]:
        with server.sync_client().listen.v1.connect(model="nova-3") as connection:
            loop.call_soon_threadsafe(is_entering.set)
            assert is_cancelled.wait(10)
            try:
                yield connection
            finally:
                loop.call_soon_threadsafe(is_left.set)

    async with DeepgramServer() as server:
        context = entered_late(server)  # held here, so that nobody but the session leaves it
        entering = asyncio.create_task(stream(context).__aenter__())
        await is_entering.wait()
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        is_cancelled.set()
        with anyio.fail_after(5):
            await is_left.wait()


async def test_observing_a_sync_connection() -> None:
    """With listen=False the application's own listener thread goes on, and the session gets each event."""
    async with DeepgramServer() as server:
        connecting = server.sync_client().listen.v1.connect(model="nova-3")
        connection = await anyio.to_thread.run_sync(connecting.__enter__)
        try:
            async with stream(connection, listen=False) as session:
                listener = threading.Thread(target=connection.start_listening)
                listener.start()
                served = await server.connection()
                for number in range(5):
                    await served.send(messages.results(f"w{number}", start=float(number), is_final=True))
                got = [await anext(session) for _ in range(5)]
                assert [event.type for event in got] == ["transcript"] * 5
                await served.close(1011)
                with anyio.fail_after(5), pytest.raises(ConnectionLost):
                    await anext(session)
                await anyio.to_thread.run_sync(listener.join)
        finally:
            await anyio.to_thread.run_sync(connecting.__exit__, None, None, None)
