"""A program that has handlers and iterates nothing: max_buffer_size=0, wait_closed(), on_connection, open() and aclose()."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from conftest import (
    FRAME,
    IS_LEGACY,
    Connect,
    EventType,
    LateWord,
    LegacyEvents,
    any_client,
    arrived,
    emitter_only,
    flux,
    needs_cancellation,
    nova,
    on_message,
    refuses_other_loops,
)

from deepgram_stream_iter import (
    ConnectError,
    ConnectionLost,
    Reconnect,
    SessionClosed,
    StreamingOptions,
    StreamSession,
    stream,
)
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

SOON = Reconnect(initial_delay_seconds=0.01)


def final(text: str, start: float = 0.0) -> Any:
    """Make a final of one second."""
    return messages.results(text, start=start, is_final=True)


class Handlers:
    """An application's own handlers, as SDK 4 and SDK 7 want them, and what they were called with."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.connections: list[Any] = []
        self.opened = 0
        self.texts: list[str] = []
        self.types: list[str] = []
        self.threads: set[int] = set()

    def register(self, connection: Any) -> None:
        """Register them; this is what `on_connection` is given."""
        self.connections.append(connection)
        self.threads.add(threading.get_ident())
        on_message(connection, self._kind, self._take)
        if IS_LEGACY:

            def plain(_: object, *__: object, **___: object) -> None:
                self.opened += 1

            async def coroutine(_: object, *__: object, **___: object) -> None:
                self.opened += 1

            connection.on(LegacyEvents.Open, coroutine if self._kind == "async" else plain)
        else:

            def on_open(_: object) -> None:
                self.opened += 1

            connection.on(EventType.OPEN, on_open)

    async def register_later(self, connection: Any) -> None:
        """Register them as an async function."""
        await anyio.sleep(0.02)
        self.register(connection)

    def _take(self, message: Any) -> None:
        def field(name: str) -> Any:
            return message.get(name) if isinstance(message, dict) else getattr(message, name, None)

        self.types.append(str(field("type")))
        if (channel := field("channel")) is not None and field("is_final"):
            self.texts += [text] if (text := channel.alternatives[0].transcript) else []


# Nothing is kept


async def test_nothing_to_iterate(connect: Connect) -> None:
    """Iterating a session that keeps nothing is a RuntimeError that says what to do, at any time; utterances() too."""
    async with DeepgramServer(script=[final("one")]) as server:
        async with connect(server, nova(), max_buffer_size=0) as session:
            for _ in range(2):
                with pytest.raises(RuntimeError, match=r"max_buffer_size=0.*subscribe\(\).*wait_closed\(\)"):
                    await anext(session)
                with pytest.raises(RuntimeError, match="max_buffer_size=0"):
                    await anext(session.utterances())
                await session.finish()
        with pytest.raises(RuntimeError, match="max_buffer_size=0"):
            await anext(session)
    assert session.transcript == "one"


@pytest.mark.parametrize("overflow", ["coalesce", "wait", "drop_oldest", "error"])
async def test_a_thousand_events(kind: str, connect: Connect, overflow: str) -> None:
    """No event is kept, counted as dropped, or waited for; the handlers get every one, and nothing overflows."""
    handlers = Handlers(kind)
    script = [final(f"w{number}", float(number)) for number in range(1000)]
    async with DeepgramServer(script=script, recognizer=LateWord()) as server:
        settings: dict[str, Any] = {"max_buffer_size": 0, "overflow": overflow}
        async with connect(
            server,
            nova(),
            **settings,
            overflow_timeout_seconds=0.01,
            finish_timeout_seconds=30,
            on_connection=handlers.register,
        ) as session:
            session.feed([FRAME])
            info = await session.wait_closed()
        stats = session.stats
    assert info.drained
    assert handlers.texts[:1000] == [f"w{number}" for number in range(1000)]
    assert set(handlers.texts[1000:]) == {"late"}
    assert (stats.buffered, stats.buffered_max, stats.dropped, stats.interims_coalesced) == (0, 0, 0, 0)
    assert stats.events == len(handlers.texts) + 1
    assert (stats.wait_seconds_p50, stats.wait_seconds_max) == (0.0, 0.0)
    assert session.transcript.split()[-1] == "late"


async def test_flux_alone(connect: Connect) -> None:
    """Flux's Connected is waited for, and the turns are counted, though nobody iterates."""
    async with DeepgramServer(script=[messages.turn_info("StartOfTurn", "hello")]) as server:
        async with connect(server, flux(), max_buffer_size=0) as session:
            session.feed([FRAME])
            await session.wait_closed()
    assert session.transcript == "hello"  # the turn that the end cuts off
    assert session.request_id


async def test_keepalives_go_on(connect: Connect) -> None:
    """The session keeps the stream alive for a program that iterates nothing."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), max_buffer_size=0, keepalive_seconds=0.02) as session:
            await (await server.connection()).received("KeepAlive", 3)
            assert session.stats.keepalives_sent >= 2  # one is counted when it was sent


async def test_answers_are_found(connect: Connect) -> None:
    """finalize() gets its answer though no event is kept."""
    async with DeepgramServer(recognizer=LateWord) as server:
        async with connect(server, nova(), max_buffer_size=0) as session:
            await session.send(FRAME)
            answer = await session.finalize()
    assert answer is not None
    assert answer.transcript == "late"


# Waiting for the end


async def test_wait_closed_waits(connect: Connect) -> None:
    """It returns when the stream has ended and nothing is open any more, to all that wait, and again."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), max_buffer_size=0) as session:
            waiting = [asyncio.create_task(session.wait_closed()) for _ in range(2)]
            await anyio.lowlevel.checkpoint()
            assert not any(task.done() for task in waiting)
            info = await session.finish()
            assert await asyncio.gather(*waiting) == [info, info]
            assert (await server.connection()).close_code == 1000
        assert await session.wait_closed() == info


async def test_wait_closed_raises_a_loss_once(connect: Connect) -> None:
    """A lost stream is a ConnectionLost of wait_closed(), as of an iteration, and the exit does not raise it again."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), max_buffer_size=0) as session:
            await (await server.connection()).close(1011, "NET-0000")
            with pytest.raises(ConnectionLost, match="1011"):
                await session.wait_closed()


@pytest.mark.parametrize("waits", [False, True], ids=["exit", "wait_closed"])
async def test_the_exception_of_a_source(connect: Connect, *, waits: bool) -> None:
    """What a source raises comes out as itself: of wait_closed() where somebody calls it, else of the exit."""

    async def source() -> Any:
        yield FRAME
        raise LookupError("no more")

    async with DeepgramServer() as server:
        with pytest.raises(LookupError, match="no more") if not waits else contextlib.nullcontext():
            async with connect(server, nova(), max_buffer_size=0) as session:
                feed = session.feed(source())
                if waits:
                    with pytest.raises(LookupError, match="no more"):
                        await session.wait_closed()
                else:
                    await (await server.connection()).wait_closed()
                    assert not feed.is_running


async def test_a_cancelled_wait_closed(connect: Connect) -> None:
    """Cancelling it, also twice, changes nothing: the stream goes on, and another call waits for its end."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), max_buffer_size=0) as session:
            for _ in range(2):
                with anyio.move_on_after(0.01) as scope:
                    await session.wait_closed()
                assert scope.cancelled_caught
            assert session.close_info is None
            await session.send(FRAME)
            await (await server.connection()).audio_reached(0.02)
            session.feed([])
            assert (await session.wait_closed()).drained


@refuses_other_loops
async def test_wait_closed_in_the_wrong_place(connect: Connect) -> None:
    """Before entering, and in another event loop, it is a RuntimeError, and no hang."""
    with pytest.raises(RuntimeError, match="entered"):
        await stream(any_client(), nova()).wait_closed()
    async with DeepgramServer() as server, connect(server, nova()) as session:

        async def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                await session.wait_closed()

        await anyio.to_thread.run_sync(asyncio.run, elsewhere())


async def test_wait_closed_across_a_reconnection(connect: Connect) -> None:
    """A connection that is made again is no end, and a session that gives up raises what the iteration would."""
    connections: list[ServerConnection] = []

    async def script(connection: ServerConnection) -> None:
        connections.append(connection)
        await connection.audio_reached(0.02)
        if len(connections) == 1:
            await connection.close(1012)

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), max_buffer_size=0, reconnect=SOON) as session:
            waiting = asyncio.create_task(session.wait_closed())
            await session.send(FRAME)
            await server.connection(1)
            await server.connections[1].audio_reached(0.02)
            assert not waiting.done()
            assert session.stats.reconnects == 1
            await server.connections[1].close(1008)
            with pytest.raises(ConnectionLost, match="1008"):
                await waiting


# on_connection


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_handlers_get_every_event(
    kind: str, session_kind: str, connect: Connect, *, is_async: bool
) -> None:
    """on_connection is called before the first event, messages that come at once among them, in the session's thread."""
    handlers = Handlers(kind)
    script = [final(f"w{number}", float(number)) for number in range(10)]
    async with DeepgramServer(script=script) as server:
        settings = {"on_connection": handlers.register_later if is_async else handlers.register}
        async with connect(server, nova(), max_buffer_size=0, **settings) as session:
            assert handlers.connections == [session.connection]
            await session.finish()
    assert handlers.texts == [f"w{number}" for number in range(10)]
    assert handlers.opened == 1
    # That of a sync session is called where it may block, an async one by the tests in their loop.
    is_elsewhere = session_kind == "sync-session" and not is_async
    assert (handlers.threads != {threading.get_ident()}) == is_elsewhere


async def test_handlers_live_across_reconnections(kind: str, connect: Connect) -> None:
    """on_connection is called with each connection anew, so the handlers get all that each of them says, from the first."""
    handlers = Handlers(kind)

    async def script(connection: ServerConnection) -> None:
        number = len(server.connections)
        await connection.send(final(f"first of {number}", float(number)))
        await connection.audio_reached(0.02 * number)
        await connection.send(final(f"last of {number}", float(number)))
        if number < 3:
            await connection.close(1012)

    async with DeepgramServer(script=script) as server:
        settings: dict[str, Any] = {"reconnect": SOON, "on_connection": handlers.register}
        async with connect(server, nova(), max_buffer_size=0, **settings) as session:
            for number in range(3):
                await server.connection(number)
                await session.send(FRAME * (number + 1))
            await server.connections[2].audio_reached(0.06)
            await session.finish()
            assert handlers.connections[-1] is session.connection
    assert handlers.texts == [f"{which} of {number}" for number in (1, 2, 3) for which in ("first", "last")]
    assert len({id(connection) for connection in handlers.connections}) == handlers.opened == 3


@emitter_only
async def test_flux_handlers_get_connected(kind: str, connect: Connect) -> None:
    """With Flux they get its Connected too, of each connection."""
    handlers = Handlers(kind)

    async def script(connection: ServerConnection) -> None:
        if connection is server.connections[0]:
            await connection.audio_reached(0.02)
            await connection.close(1012)

    async with DeepgramServer(script=script) as server:
        settings: dict[str, Any] = {"reconnect": SOON, "on_connection": handlers.register}
        async with connect(server, flux(), max_buffer_size=0, **settings) as session:
            await session.send(FRAME)
            await server.connection(1)
            await server.connections[1].audio_reached(0.02)
            await session.finish()
    assert handlers.types.count("Connected") == handlers.opened == 2


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("error", [LookupError, ConnectionError, OSError, TimeoutError, StopIteration])
@pytest.mark.parametrize("reconnects", [False, True], ids=["", "reconnect"])
async def test_what_on_connection_raises(
    connect: Connect, error: type[Exception], *, is_async: bool, reconnects: bool
) -> None:
    """It comes out of the entering as itself, whatever it is, is not tried again, and leaves nothing open."""
    if is_async and error is StopIteration:
        pytest.skip("Python turns it into a RuntimeError in a coroutine")
    raised = error("of the application")
    calls = 0

    def fail(_: object) -> None:
        nonlocal calls
        calls += 1
        raise raised

    async def fail_later(connection: object) -> None:
        await anyio.lowlevel.checkpoint()
        fail(connection)

    settings: dict[str, Any] = {"reconnect": SOON} if reconnects else {}
    async with DeepgramServer() as server:
        session = connect(server, nova(), on_connection=fail_later if is_async else fail, **settings)
        with pytest.raises(RuntimeError if error is StopIteration else error) as caught:
            await session.open()
        if error is not StopIteration:
            assert caught.value is raised
        assert calls == 1
        for connection in server.connections:
            await connection.wait_closed()


async def test_on_connection_raises_on_the_way(kind: str, connect: Connect) -> None:
    """For a later connection it ends the session, as itself."""
    handlers = Handlers(kind)

    def register(connection: Any) -> None:
        if handlers.connections:
            raise ConnectionError("the database is gone")
        handlers.register(connection)

    async def script(connection: ServerConnection) -> None:
        if connection is server.connections[0]:
            await connection.audio_reached(0.02)
            await connection.close(1012)

    async with DeepgramServer(script=script) as server:
        settings: dict[str, Any] = {"reconnect": SOON, "on_connection": register}
        async with connect(server, nova(), max_buffer_size=0, **settings) as session:
            await session.send(FRAME)
            with pytest.raises(ConnectionError, match="the database is gone") as caught:
                await session.wait_closed()
            assert type(caught.value) is ConnectionError
        for connection in server.connections:
            await connection.wait_closed()


@pytest.mark.parametrize("is_stubborn", [False, True], ids=["", "in a thread"])
async def test_on_connection_hangs(connect: Connect, *, is_stubborn: bool) -> None:
    """One that does not return ends with connect_timeout_seconds, though it cannot be cancelled."""
    go_on, is_over = threading.Event(), anyio.Event()

    async def hang(_: object) -> None:
        try:
            if is_stubborn:
                await anyio.to_thread.run_sync(go_on.wait)
            await anyio.sleep_forever()
        finally:
            is_over.set()

    async with DeepgramServer() as server:
        with pytest.raises(ConnectError, match="connect_timeout_seconds"):
            # On a busy machine the handshake before it has taken 0.1 s.
            await connect(server, nova(), on_connection=hang, connect_timeout_seconds=0.5).open()
        go_on.set()
        await is_over.wait()
        for connection in server.connections:
            await connection.wait_closed()


@needs_cancellation
async def test_cancelling_while_on_connection_runs(connect: Connect) -> None:
    """Cancelling the entering cancels it, and leaves nothing open."""
    running, cancelled = anyio.Event(), anyio.Event()

    async def hang(_: object) -> None:
        running.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async with DeepgramServer() as server:
        session = connect(server, nova(), on_connection=hang)
        opening = asyncio.create_task(session.open())
        await running.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await cancelled.wait()
        for connection in server.connections:
            await connection.wait_closed()


async def test_on_connection_that_is_no_function(connect: Connect) -> None:
    """What cannot be called is a TypeError before anything is connected."""
    async with DeepgramServer() as server:
        with pytest.raises(TypeError, match="on_connection"):
            connect(server, nova(), on_connection="register")


@emitter_only
@pytest.mark.parametrize("listens", [True, False], ids=["", "listen=False"])
async def test_on_connection_of_a_live_connection(kind: str, *, listens: bool) -> None:
    """It is called with a connection that was made by the application too, observed or not; a failure leaves that open."""
    async with DeepgramServer() as server:
        client: Any = server.client() if kind == "async" else server.sync_client()
        context = client.listen.v1.connect(model="nova-3")
        connection = await context.__aenter__() if kind == "async" else await in_thread(context.__enter__)
        handlers = Handlers(kind)

        def fail(_: object) -> None:
            raise LookupError("of the application")

        if not listens:
            with pytest.raises(LookupError):
                await stream(connection, listen=False, on_connection=fail).open()
            assert (await server.connection()).close_code is None
        async with stream(
            connection, listen=listens, max_buffer_size=0, on_connection=handlers.register
        ) as session:
            assert handlers.connections == [connection]
            listening = None
            if not listens:
                start = connection.start_listening
                listening = asyncio.ensure_future(start() if kind == "async" else in_thread(start))
            await (await server.connection()).send(final("one"))
            await arrived(session, 1)
            await (await server.connection()).close(1000)
            await session.wait_closed()
        if listening is not None:
            await listening
        if kind == "async":
            await context.__aexit__(None, None, None)
        else:
            await in_thread(context.__exit__, None, None, None)
    assert handlers.texts == ["one"]
    assert handlers.opened == 1


async def in_thread(function: Callable[..., Any], *arguments: object) -> Any:
    """Call what blocks."""
    return await anyio.to_thread.run_sync(function, *arguments)


# Opened and closed in different methods


async def test_open_and_aclose(connect: Connect) -> None:
    """They do what `async with` does, in different tasks; the last words are there, and a second aclose() does nothing."""
    async with DeepgramServer(recognizer=LateWord()) as server:
        session = connect(server, nova())
        assert await asyncio.create_task(session.open()) is session
        await session.send(FRAME)
        await asyncio.create_task(session.aclose())
        assert session.transcript.startswith("late")
        assert session.close_info is not None
        assert session.close_info.drained
        await session.aclose()
        assert [event.type async for event in session][-2:] == ["transcript", "metadata"]
        assert server.connections[0].close_code == 1000
        with pytest.raises(SessionClosed):
            await session.send(FRAME)


async def test_aclose_before_open(connect: Connect) -> None:
    """It does nothing, and the session can still be opened."""
    async with DeepgramServer() as server:
        session = connect(server, nova())
        await session.aclose()
        async with session:
            assert session.close_info is None


async def test_opening_twice(connect: Connect) -> None:
    """A second open(), at any time, is a RuntimeError, and leaves the first as it is."""
    async with DeepgramServer() as server:
        session = connect(server, nova())
        came_to = await asyncio.gather(session.open(), session.open(), return_exceptions=True)
        (refused,) = [each for each in came_to if each is not session]
        assert "once" in str(refused)
        with pytest.raises(RuntimeError, match="once"):
            await session.open()
        await session.send(FRAME)
        await session.aclose()
        with pytest.raises(RuntimeError, match="once"):
            await session.open()
        assert len(server.connections) == 1


async def test_aclose_after_a_failed_open(connect: Connect) -> None:
    """There is nothing to close, and the error has been seen."""
    async with DeepgramServer(faults=Faults(refuse_status=401)) as server:
        session = connect(server, nova())
        with pytest.raises(ConnectError):
            await session.open()
        await session.aclose()
        with pytest.raises(ConnectError):
            await session.wait_closed()
        with pytest.raises(ConnectError):
            await session.send(FRAME)


async def test_aclose_while_it_is_being_opened(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop() that comes while start() still waits for the server closes: open() is a RuntimeError, and nothing is left."""
    asked, admit = asyncio.Event(), DeepgramServer._admit

    async def admit_later(server: DeepgramServer, *request: Any) -> Any:
        asked.set()
        return await admit(server, *request)

    monkeypatch.setattr(DeepgramServer, "_admit", admit_later)
    async with DeepgramServer(faults=Faults(hang_handshake=True)) as server:
        session = connect(server, nova())
        opening = asyncio.create_task(session.open())
        await asked.wait()
        await session.aclose()
        with pytest.raises(RuntimeError, match="closed while it was being entered"):
            await opening
        await session.aclose()


async def test_aclose_raises_an_error_once(connect: Connect) -> None:
    """An error that nobody has seen comes out of aclose(), and of the first call alone."""
    async with DeepgramServer() as server:
        session = await connect(server, nova()).open()
        await (await server.connection()).close(1011)
        with pytest.raises(ConnectionLost):
            await session.aclose()
        await session.aclose()


async def test_an_exit_stack(connect: Connect) -> None:
    """A class that starts and stops in different methods keeps the session in an AsyncExitStack."""

    class Transcriber:
        def __init__(self, make: Callable[[], StreamSession]) -> None:
            self._make, self._stack = make, contextlib.AsyncExitStack()

        async def start(self) -> None:
            self.session = await self._stack.enter_async_context(self._make())

        async def stop(self) -> None:
            await self._stack.aclose()

    async with DeepgramServer(recognizer=LateWord()) as server:
        transcriber = Transcriber(lambda: connect(server, nova(), max_buffer_size=0))
        await asyncio.create_task(transcriber.start())
        await transcriber.session.send(FRAME)
        await asyncio.create_task(transcriber.stop())
        assert transcriber.session.transcript.startswith("late")


@refuses_other_loops
async def test_aclose_in_another_loop(connect: Connect) -> None:
    """It is a RuntimeError that says so, and the session stays open."""
    async with DeepgramServer() as server, connect(server, nova()) as session:

        async def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                await session.aclose()

        await anyio.to_thread.run_sync(asyncio.run, elsewhere())
        assert session.close_info is None


async def test_a_session_is_made_without_a_loop() -> None:
    """stream() needs no event loop: it can stand at module level, and be opened later."""

    def make() -> StreamSession:
        return stream(any_client(), StreamingOptions(model="nova-3"))

    session = await anyio.to_thread.run_sync(make)
    assert session.close_info is None
