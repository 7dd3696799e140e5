"""The sync session: the same guarantees as the async one, from threads that have no event loop.

The server is on the loop of the test, so the sync programs run in threads.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
import deepgram
import pytest
from conftest import (
    FRAME,
    IS_LEGACY,
    emitter_only,
    final_text,
    flux,
    legacy_only,
    nova,
    on_message,
)

from deepgram_stream_iter import (
    ConnectError,
    ConnectionLost,
    Reconnect,
    ReconnectAttempt,
    SessionClosed,
    StreamEvent,
    StreamingOptions,
)
from deepgram_stream_iter import (
    stream as async_stream,
)
from deepgram_stream_iter._sync.loop_thread import LoopLease
from deepgram_stream_iter.sync import StreamSession, stream
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

T = TypeVar("T")
SCRIPT = [messages.results(f"w{number}", start=float(number), is_final=True) for number in range(40)]
WORDS = [f"w{number}" for number in range(40)]
BOUND_SECONDS = 10


async def threaded(function: Callable[[], T]) -> T:
    """Run a sync program beside the server."""
    return await anyio.to_thread.run_sync(function)


def started(function: Callable[[], T]) -> concurrent.futures.Future[T]:
    """Start a sync program in a thread of its own."""
    result: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            result.set_result(function())
        except BaseException as error:  # noqa: BLE001  (it is raised where the result is asked for)
            result.set_exception(error)

    threading.Thread(target=run).start()
    return result


def make(server: DeepgramServer, kind: str, options: StreamingOptions, **settings: Any) -> StreamSession:
    """Make a session with a client of this kind."""
    client: Any = server.client() if kind == "async" else server.sync_client()
    if not IS_LEGACY:
        return stream(client, options, **settings)
    sockets = client.listen.asyncwebsocket if kind == "async" else client.listen.websocket
    is_anew = settings.keys() & {"reconnect", "authorization"}
    return stream((lambda: sockets.v("1")) if is_anew else sockets.v("1"), options, **settings)


def texts(session: StreamSession) -> list[str]:
    """Iterate to the end; return the final texts."""
    return [text for event in session if (text := final_text(event))]


def loop_threads() -> list[threading.Thread]:
    """Return the threads that run an event loop for sync sessions."""
    loops: list[threading.Thread] = []
    for thread in threading.enumerate():
        target = getattr(thread, "_target", None)
        if getattr(target, "__name__", "") == "run_blocking_portal":
            loops.append(thread)
    return loops


# Receiving


@pytest.mark.parametrize("options_for", [nova, flux])
async def test_events(kind: str, options_for: Callable[[], StreamingOptions]) -> None:
    """All events come in order, and the end of what was fed is the end of the stream."""
    options = options_for()
    script = SCRIPT if options.endpoint == "v1" else [messages.turn_info("EndOfTurn", word) for word in WORDS]
    async with DeepgramServer(script=script) as server:

        def program() -> None:
            with make(server, kind, options) as session:
                assert session.close_info is None
                session.feed([FRAME, FRAME])
                assert texts(session) == WORDS
                assert session.transcript == " ".join(WORDS)
                assert session.close_info is not None
                assert session.close_info.drained
                assert session.request_id
                assert session.stats.audio_seconds_sent == 0.04

        await threaded(program)
        assert (await server.connection()).audio == FRAME * 2


async def test_utterances_and_the_position(kind: str) -> None:
    """Utterances and the accumulated transcript follow what was handed out, not what has arrived."""
    script = [
        messages.results("the first", start=0.0, is_final=True),
        messages.results("utterance", start=1.0, is_final=True, speech_final=True),
        messages.results("a rest", start=4.0, is_final=True),
    ]
    async with DeepgramServer(script=script) as server:

        def events() -> list[str]:
            with make(server, kind, nova()) as session:
                session.finish()
                return [session.accumulated_transcript for _ in session]

        def utterances() -> list[tuple[str, bool]]:
            with make(server, kind, nova()) as session:
                session.finish()
                assert session.accumulated_transcript == ""
                got = list(session.utterances())
                assert len(got[0].words) == 3
                return [(utterance.text, utterance.confirmed) for utterance in got]

        assert await threaded(events) == [
            "the first",
            "the first utterance",
            "a rest",
            "a rest",
        ]
        assert await threaded(utterances) == [("the first utterance", True), ("a rest", False)]


async def test_what_the_end_completes_comes_before_its_error(kind: str) -> None:
    """An utterance that a lost connection cuts off comes first, then the error, once more with each attempt."""

    async def script(connection: ServerConnection) -> None:
        await connection.send(messages.results("cut off", start=0.0, is_final=True))
        connection.abort()

    async with DeepgramServer(script=script) as server:

        def program() -> None:
            with make(server, kind, nova()) as session:
                utterances = session.utterances()
                assert next(utterances).text == "cut off"
                for _ in range(2):
                    with pytest.raises(ConnectionLost):
                        next(utterances)
                with pytest.raises(ConnectionLost):
                    next(session)

        await threaded(program)


async def test_what_waits_is_brought_at_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of 2,000 messages that wait costs a handful of trips to the loop, not one each."""
    crossings: list[object] = []
    call = LoopLease.call

    def counted(lease: LoopLease, *args: Any, **kwargs: Any) -> Any:
        crossings.append(args)
        return call(lease, *args, **kwargs)

    script = [messages.results(f"w{number}", start=float(number), is_final=True) for number in range(2000)]
    async with DeepgramServer(script=script) as server:

        def program() -> None:
            with make(server, kind, nova(), max_buffer_size=5000) as session:
                session.finish()
                assert session.stats.buffered == 2001
                crossings.clear()
                next(session)
                assert session.stats.buffered == 2000
                assert len(texts(session)) == 1999

        monkeypatch.setattr(LoopLease, "call", counted)
        await threaded(program)
    assert len(crossings) <= 6


async def test_a_slow_consumer_is_one(kind: str) -> None:
    """A consumer that takes events, though each takes it long, does not overflow a buffer that pauses the SDK."""
    async with DeepgramServer(script=SCRIPT) as server:

        def program() -> None:
            with make(
                server, kind, nova(), max_buffer_size=12, overflow="wait", overflow_timeout_seconds=0.4
            ) as session:
                got: list[str] = []
                for event in session:
                    got.append(final_text(event))
                    time.sleep(0.05)  # the time that the consumer takes; all 12 take longer than the time-out
                    if len(got) == len(WORDS):
                        break
                assert got == WORDS

        await threaded(program)


async def test_two_threads_iterate(kind: str) -> None:
    """A second thread that iterates gets an error, and the first one loses nothing."""
    async with DeepgramServer() as server:

        def program() -> list[str]:
            with make(server, kind, nova()) as session:
                iterating = started(partial(texts, session))
                other: Exception | None = None
                while other is None:  # until the other thread waits
                    try:
                        session.utterances().__next__()
                    except RuntimeError as error:
                        other = error
                assert "another thread is iterating" in str(other)
                send_script.set()
                return iterating.result(BOUND_SECONDS)

        send_script = threading.Event()

        async def script(connection: ServerConnection) -> None:
            await anyio.to_thread.run_sync(send_script.wait)
            for message in SCRIPT:
                await connection.send(message)
            await connection.close()

        server._script = script
        assert await threaded(program) == WORDS


async def test_two_threads_iterate_utterances(kind: str) -> None:
    """Two threads that take turns lose no utterance and double none: the event and what it completes are taken in one."""
    count = 600
    script = [
        messages.results(f"w{number}", start=float(number), is_final=True, speech_final=True)
        for number in range(count)
    ]
    async with DeepgramServer(script=script) as server:

        def program() -> None:
            with make(server, kind, nova(), max_buffer_size=2 * count) as session:
                session.finish()

                def iterate() -> None:
                    utterances = session.utterances()
                    while True:
                        try:
                            got.append(next(utterances).text)
                        except StopIteration:
                            return
                        except RuntimeError:  # the other one is at it
                            time.sleep(0)  # lets it run

                got: list[str] = []
                interval = sys.getswitchinterval()
                sys.setswitchinterval(1e-6)
                try:
                    for each in [started(iterate) for _ in range(2)]:
                        each.result(BOUND_SECONDS)
                finally:
                    sys.setswitchinterval(interval)
                assert sorted(got) == sorted(f"w{number}" for number in range(count))

        await threaded(program)


# Sending


async def test_send(kind: str) -> None:
    """Pieces, iterables in the calling thread and async iterables all go out, in order."""
    threads: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            threads.append(threading.get_ident())
            yield bytes([number]) * 640

    async def later() -> AsyncIterator[bytes]:
        yield bytes([3]) * 640

    async with DeepgramServer() as server:

        def program() -> int:
            with make(server, kind, nova()) as session:
                session.send(pieces(), pace=100.0)
                session.send(later())
                session.send(memoryview(bytes([4]) * 640))
                for wrong in ("text", ["text"], 3):
                    with pytest.raises(TypeError):
                        session.send(wrong)  # type: ignore[arg-type]
                    if not isinstance(wrong, list):
                        with pytest.raises(TypeError):
                            session.feed(wrong)  # type: ignore[arg-type]
            return threading.get_ident()

        caller = await threaded(program)
        assert set(threads) == {caller}
        assert (await server.connection()).audio == b"".join(bytes([number]) * 640 for number in range(5))


async def test_an_iterable_that_blocks(kind: str) -> None:
    """What is fed runs in a thread of its own, so that it may wait for the events that it brings about."""
    heard = threading.Event()
    threads: set[int] = set()

    def microphone() -> Iterator[bytes]:
        for _ in range(2):
            threads.add(threading.get_ident())
            yield FRAME
            assert heard.wait(BOUND_SECONDS)

    async with DeepgramServer(script=SCRIPT) as server:

        def program() -> None:
            with make(server, kind, nova()) as session:
                session.feed(microphone())
                for event in session:
                    if final_text(event) == WORDS[-1]:
                        heard.set()
                assert session.close_info is not None
                assert session.close_info.drained
            assert threading.get_ident() not in threads
            assert len(threads) == 1

        await threaded(program)


async def test_a_source_that_is_waited_for(kind: str) -> None:
    """`feed()` returns what waits until all is sent; the session goes on where the source is not to finish it."""
    async with DeepgramServer() as server:

        def program() -> None:
            with make(server, kind, nova()) as session:
                fed = session.feed(iter([FRAME] * 3), finish=False)
                fed.wait()
                assert not fed.is_running
                assert session.stats.audio_seconds_sent == 0.06
                session.send(FRAME)

        await threaded(program)
        assert (await server.connection()).audio == FRAME * 4


@pytest.mark.parametrize("raised", [LookupError("mine"), SystemExit(3)], ids=["Exception", "SystemExit"])
async def test_a_source_that_fails(kind: str, raised: BaseException) -> None:
    """Its exception comes out of the iteration, after the events that had arrived, as itself where it is an Exception."""

    def failing() -> Iterator[bytes]:
        yield FRAME
        raise raised

    async with DeepgramServer() as server:

        def program() -> None:
            with make(server, kind, nova()) as session:
                session.feed(failing())
                with pytest.raises((LookupError, RuntimeError)) as caught:
                    list(session)
            assert raised in (caught.value, caught.value.__cause__)

        await threaded(program)


async def test_a_source_that_is_stopped(kind: str) -> None:
    """The end of the session waits for no source that blocks; a generator is closed when it has returned."""
    waiting, release, closed = threading.Event(), threading.Event(), threading.Event()

    def microphone() -> Iterator[bytes]:
        try:
            waiting.set()
            assert release.wait(BOUND_SECONDS)
            yield FRAME
        finally:
            closed.set()

    async with DeepgramServer() as server:

        def program() -> None:
            with make(server, kind, nova()) as session:
                session.feed(microphone())
                assert waiting.wait(BOUND_SECONDS)
            assert not closed.is_set()
            release.set()
            assert closed.wait(BOUND_SECONDS)

        await threaded(program)


async def test_controls(kind: str) -> None:
    """Each control message goes out, and what answers it is returned."""
    async with DeepgramServer(script=SCRIPT) as server:

        def program() -> None:
            with make(server, kind, nova()) as session:
                session.send(bytes(32000))
                session.keep_alive()
                assert session.finalize(0.5) is None or session.transcript
                with pytest.raises(ValueError, match="needs a change"):
                    session.configure()
                with pytest.raises(RuntimeError, match="finalize"):
                    session.force_end_turn()
                assert session.finish() is session.close_info

        await threaded(program)
        kinds = [control["type"] for control in (await server.connection()).controls]
        assert kinds[:2] == ["KeepAlive", "Finalize"]
        assert kinds[-1] == "CloseStream"


# Targets


async def test_a_factory_that_blocks(kind: str) -> None:
    """A plain function is called in a thread: while it blocks, another session goes on."""
    other_is_through = threading.Event()
    threads: list[threading.Thread] = []

    async with DeepgramServer(script=SCRIPT) as server:
        client: Any = server.client() if kind == "async" else server.sync_client()

        def factory() -> Any:
            threads.append(threading.current_thread())
            assert other_is_through.wait(BOUND_SECONDS)
            if IS_LEGACY:
                return (client.listen.asyncwebsocket if kind == "async" else client.listen.websocket).v("1")
            return client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate="16000")

        def slow() -> list[str]:
            with stream(factory, nova() if IS_LEGACY else None) as session:
                session.feed([FRAME])
                return texts(session)

        def program() -> None:
            waiting = started(slow)
            with make(server, kind, nova()) as session:
                session.feed([FRAME])
                assert texts(session) == WORDS
            other_is_through.set()
            assert waiting.result(BOUND_SECONDS) == WORDS

        await threaded(program)
    (thread,) = threads
    assert thread.name != "MainThread"
    assert thread.daemon


async def test_functions_of_the_application(kind: str) -> None:
    """Plain functions run in threads, because they may block, async ones on the loop; both do what the async session has them do."""
    seen: dict[str, bool] = {}

    def note(name: str) -> None:
        seen[name] = threading.current_thread() in loop_threads()

    def authorization() -> str:
        note("plain")
        return "Token local-key"

    async def authorization_later() -> str:
        note("async")
        return "Token local-key"

    def on_attempt(attempt: ReconnectAttempt) -> None:
        note("on_attempt")
        attempt.delay = 0.0

    async def script(connection: ServerConnection) -> None:
        if connection is server.connections[0]:
            connection.abort()

    async with DeepgramServer(script=script) as server:

        def program() -> None:
            given: dict[str, Any] = {
                "authorization": authorization,
                "on_connection": lambda _: note("on_connection"),
            }
            again = Reconnect(on_attempt=on_attempt)
            with make(server, kind, nova(), **given, reconnect=again) as session:
                for event in session:
                    if isinstance(event, StreamEvent.Reconnected):
                        break
            with make(server, kind, nova(), authorization=authorization_later) as session:
                session.send(FRAME)

        await threaded(program)
        assert len(server.connections) == 3
    assert seen == {"plain": False, "async": True, "on_attempt": False, "on_connection": False}


async def test_an_on_connection_that_blocks(kind: str) -> None:
    """It is called in a thread as well: while it blocks, another session goes on."""
    other_is_through = threading.Event()

    def on_connection(_: object) -> None:
        assert other_is_through.wait(BOUND_SECONDS)

    async with DeepgramServer(script=SCRIPT) as server:

        def slow() -> list[str]:
            with make(server, kind, nova(), on_connection=on_connection) as session:
                session.feed([FRAME])
                return texts(session)

        def program() -> None:
            waiting = started(slow)
            with make(server, kind, nova()) as session:
                session.feed([FRAME])
                assert texts(session) == WORDS
            other_is_through.set()
            assert waiting.result(BOUND_SECONDS) == WORDS

        await threaded(program)


async def test_the_traceback_of_a_function(kind: str) -> None:
    """What a plain function raises is the same object, with the lines of the application in its traceback."""
    raised = TimeoutError("the database")

    def on_connection(_: object) -> None:
        raise raised

    async with DeepgramServer() as server:

        def program() -> None:
            with pytest.raises(TimeoutError) as caught:
                make(server, kind, nova(), on_connection=on_connection).open()
            assert caught.value is raised
            assert "in on_connection" in str(caught.getrepr(style="native"))

        await threaded(program)


@pytest.mark.parametrize(
    "raised", [LookupError("mine"), StopIteration(), SystemExit()], ids=lambda e: type(e).__name__
)
async def test_a_function_that_raises(kind: str, raised: BaseException) -> None:
    """What a plain function raises ends the entering at once, and the session's thread with it."""

    def authorization() -> str:
        raise raised

    async with DeepgramServer() as server:

        def program() -> None:
            with pytest.raises((LookupError, RuntimeError)):
                make(server, kind, nova(), authorization=authorization).open()
            assert loop_threads() == []

        await threaded(program)


@emitter_only
async def test_what_connect_returned(kind: str) -> None:
    """What connect() of either client returned is entered by the session."""
    async with DeepgramServer(script=SCRIPT) as server:
        client: Any = server.client() if kind == "async" else server.sync_client()

        def program() -> None:
            with stream(client.listen.v1.connect(model="nova-3")) as session:
                session.feed([FRAME])
                assert texts(session) == WORDS
                assert callable(getattr(session.connection, "start_listening", None))

        await threaded(program)


@emitter_only
@pytest.mark.parametrize("listen", [True, False])
async def test_a_live_sync_connection(*, listen: bool) -> None:
    """A sync connection that is entered already can be listened to, or observed; its own handlers fire beside."""
    heard: list[object] = []
    async with DeepgramServer() as server:
        client: Any = server.sync_client()

        def program() -> None:
            with client.listen.v1.connect(model="nova-3") as connection:
                on_message(connection, "sync", heard.append)
                with stream(connection, listen=listen) as session:
                    listening = None if listen else started(connection.start_listening)
                    entered.set()
                    assert [final_text(next(session)) for _ in WORDS] == WORDS
                if listening is not None:
                    connection.send_media(b'{"type": "CloseStream"}'.decode())
                    listening.result(BOUND_SECONDS)

        entered = threading.Event()

        async def script(connection: ServerConnection) -> None:
            await anyio.to_thread.run_sync(entered.wait)
            for message in SCRIPT:
                await connection.send(message)

        server._script = script
        await threaded(program)
    assert len(heard) >= len(WORDS)


@legacy_only
async def test_a_started_sync_connection() -> None:
    """A sync connection of SDK 3 and 4 that was started already is taken as it is."""
    async with DeepgramServer() as server:

        def program() -> None:
            client: Any = server.sync_client()
            connection = client.listen.websocket.v("1")
            assert connection.start({"model": "nova-3"})
            with stream(connection) as session:
                entered.set()
                assert [final_text(next(session)) for _ in WORDS] == WORDS

        entered = threading.Event()

        async def script(connection: ServerConnection) -> None:
            await anyio.to_thread.run_sync(entered.wait)
            for message in SCRIPT:
                await connection.send(message)

        server._script = script
        await threaded(program)


async def test_a_live_async_connection_is_refused() -> None:
    """An async connection that is open belongs to another loop, and the error says what to do."""
    async with DeepgramServer() as server:
        client: Any = server.client()
        if IS_LEGACY:
            connection = client.listen.asyncwebsocket.v("1")
            await connection.start({"model": "nova-3"})
            with pytest.raises(TypeError, match="event loop it was opened in"):
                stream(connection)
            await connection.finish()
            return
        async with client.listen.v1.connect(model="nova-3") as connection:
            with pytest.raises(TypeError, match="event loop it was opened in"):
                stream(connection)


async def test_refused_targets(kind: str) -> None:
    """A setting or target that does not fit is refused as by the async stream()."""
    async with DeepgramServer() as server:
        with pytest.raises(ValueError, match="overflow"):
            make(server, kind, nova(), overflow="explode")
        with pytest.raises(TypeError, match="without arguments"):
            make(server, kind, nova(), authorization=lambda needed: needed)
        with pytest.raises(TypeError):
            stream(deepgram.DeepgramClient, nova())  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            stream(lambda needed: needed, nova())  # type: ignore[arg-type, misc]


# Threads


async def test_two_sessions_share_a_loop(kind: str) -> None:
    """Two sessions in two threads run in one loop, whose thread ends with the last of them."""
    async with DeepgramServer(script=SCRIPT) as server:

        def one() -> list[str]:
            with make(server, kind, nova()) as session:
                both.wait(BOUND_SECONDS)
                (loop,) = loop_threads()
                loops.add(loop)
                session.feed([FRAME])
                return texts(session)

        def program() -> None:
            running = [started(one) for _ in range(2)]
            for each in running:
                assert each.result(BOUND_SECONDS) == WORDS
            assert loop_threads() == []

        both, loops = threading.Barrier(2), set[threading.Thread]()
        await threaded(program)
    (loop,) = loops
    assert not loop.is_alive()


async def test_a_session_in_the_hands_of_several_threads(kind: str) -> None:
    """One thread sends and finishes, another one iterates, a third one looks on."""
    async with DeepgramServer(script=SCRIPT) as server:

        def program() -> None:
            session = make(server, kind, nova()).open()
            iterating = started(partial(texts, session))
            started(partial(session.send, FRAME)).result(BOUND_SECONDS)
            assert started(session.finish).result(BOUND_SECONDS).drained
            assert iterating.result(BOUND_SECONDS) == WORDS
            started(session.close).result(BOUND_SECONDS)
            assert started(lambda: session.stats.events).result(BOUND_SECONDS) > len(WORDS)
            session.close()
            assert loop_threads() == []

        await threaded(program)


async def test_closed_while_another_thread_waits(kind: str) -> None:
    """A stop button: close() in one thread ends the iteration of another in order, and each thread that closes returns."""
    async with DeepgramServer(script=SCRIPT) as server:

        def program() -> None:
            with make(server, kind, nova()) as session:
                first = next(session)
                iterating = started(partial(texts, session))
                closing = [started(session.close) for _ in range(3)]
                for each in closing:
                    each.result(BOUND_SECONDS)
                assert [final_text(first), *iterating.result(BOUND_SECONDS)] == WORDS

        await threaded(program)


async def test_in_a_thread_whose_loop_runs(kind: str) -> None:
    """A notebook: an event loop runs in the calling thread, and is blocked as by any other call."""
    async with DeepgramServer(script=SCRIPT) as server:

        async def cell() -> list[str]:
            with make(server, kind, nova()) as session:
                session.feed([FRAME])
                return texts(session)

        assert await threaded(lambda: asyncio.run(cell())) == WORDS


@emitter_only
async def test_called_in_a_handler_of_an_async_client() -> None:
    """Such a handler runs in the thread of the loop, which cannot wait for itself: an error, and no deadlock."""
    errors: list[Exception] = []
    async with DeepgramServer() as server:
        client: Any = server.client()

        def program() -> None:
            with stream(client, nova()) as session:

                def handler(_: object) -> None:
                    try:
                        session.send(FRAME)
                    except RuntimeError as error:
                        errors.append(error)

                on_message(session.connection, "async", handler)
                entered.set()
                next(session)

        entered = threading.Event()

        async def script(connection: ServerConnection) -> None:
            await anyio.to_thread.run_sync(entered.wait)
            await connection.send(SCRIPT[0])

        server._script = script
        await threaded(program)
    assert "this thread runs the event loop of all sync sessions" in str(errors[0])


async def test_called_in_a_handler_of_a_sync_client() -> None:
    """What waits for the server is refused in such a handler, for which the SDK waits; another thread may call it."""
    refused: list[str] = []
    async with DeepgramServer() as server:

        def program() -> None:
            with make(server, "sync", nova(), max_buffer_size=10) as session:

                def handler(*_: object, **__: object) -> None:
                    if refused:
                        return
                    session.send(FRAME)
                    calls: list[Callable[[], object]] = [
                        session.finish,
                        session.close,
                        session.finalize,
                        partial(session.configure, keyterms=["a"]),
                        session.wait_closed,
                        partial(next, session),
                        partial(next, session.utterances()),
                    ]
                    for call in calls:
                        try:
                            call()
                        except RuntimeError as error:
                            refused.append(str(error))
                    threading.Thread(target=session.finish).start()

                on_message(session.connection, "sync", handler)
                entered.set()
                assert session.wait_closed().drained

        entered = threading.Event()

        async def script(connection: ServerConnection) -> None:
            await anyio.to_thread.run_sync(entered.wait)
            await connection.send(SCRIPT[0])

        server._script = script
        await threaded(program)
        assert (await server.connection()).audio == FRAME
    assert len(refused) == 7
    assert all("threading.Thread(target=session.finish).start()" in each for each in refused)


@emitter_only
async def test_closed_and_opened_in_the_thread_of_the_loop() -> None:
    """A handler of an async client that closes its session, or opens another one, is refused before anything is done."""
    refused: list[str] = []
    async with DeepgramServer() as server:
        client: Any = server.client()

        def program() -> None:
            with stream(client, nova()) as session:

                def handler(_: object) -> None:
                    if refused:
                        return
                    for call in (session.close, stream(client, nova()).open):
                        try:
                            call()
                        except RuntimeError as error:
                            refused.append(str(error))

                on_message(session.connection, "async", handler)
                entered.set()
                next(session)
                session.send(FRAME)
                assert session.finish().drained

        entered = threading.Event()

        async def script(connection: ServerConnection) -> None:
            await anyio.to_thread.run_sync(entered.wait)
            await connection.send(SCRIPT[0])

        server._script = script
        await threaded(program)
    assert len(refused) == 2
    assert all("threading.Thread(target=session.finish).start()" in each for each in refused)


# Entering and leaving


async def test_before_entering(kind: str) -> None:
    """Before it is entered a session answers what there is to know, and says how to enter it for all else."""
    async with DeepgramServer() as server:
        session = make(server, kind, nova())
        assert (session.transcript, session.request_id, session.close_info) == ("", "", None)
        session.close()
        calls: list[Callable[[], object]] = [
            session.finish,
            partial(next, session),
            partial(session.send, FRAME),
            partial(next, session.utterances()),
            lambda: session.stats,
            lambda: session.connection,
        ]
        for call in calls:
            with pytest.raises(RuntimeError, match=r"with stream\(\.\.\.\) as session") as caught:
                call()
            assert "async" not in str(caught.value)
        assert loop_threads() == []


async def test_refused_by_the_server(kind: str) -> None:
    """A refused handshake is raised by the entering, and leaves no thread; the session cannot be entered again."""
    async with DeepgramServer(faults=Faults(refuse_status=402)) as server:

        def program() -> None:
            session = make(server, kind, nova())
            with pytest.raises(ConnectError), session:
                pass
            assert loop_threads() == []
            with pytest.raises(RuntimeError, match="entered once"):
                session.open()
            calls: list[Callable[[], object]] = [
                partial(session.send, FRAME),
                partial(next, session),
                partial(next, session.utterances()),
            ]
            for call in calls:
                with pytest.raises((SessionClosed, ConnectError)):
                    call()
            session.close()

        await threaded(program)


async def test_after_leaving(kind: str) -> None:
    """Late events can still be iterated, and all that can be asked has an answer, though the loop has ended."""
    async with DeepgramServer(script=SCRIPT) as server:

        def program() -> None:
            with make(server, kind, nova()) as session:
                first = next(session)
            assert loop_threads() == []
            assert [final_text(first), *texts(session)] == WORDS
            assert list(session) == []
            assert session.accumulated_transcript == session.transcript == " ".join(WORDS)
            assert session.finish() is session.wait_closed() is session.close_info
            assert session.connection is not None
            assert session.stats.events == len(WORDS) + 1
            for call in (
                partial(session.send, FRAME),
                partial(session.send, [FRAME]),
                partial(session.feed, FRAME),
                session.keep_alive,
                session.finalize,
            ):
                with pytest.raises(SessionClosed):
                    call()

        await threaded(program)


@pytest.mark.parametrize("is_seen", [True, False])
async def test_an_error_that_nobody_has_seen(kind: str, *, is_seen: bool) -> None:
    """The exit raises the error with which the stream ended, unless the iteration has; later iterations raise it again."""
    async with DeepgramServer(faults=Faults(drop_at_audio_seconds=0.02)) as server:

        def program() -> None:
            session = make(server, kind, nova()).open()
            session.send(FRAME)
            if is_seen:
                with pytest.raises(ConnectionLost):
                    list(session)
                session.close()
            else:
                with pytest.raises(ConnectionLost):
                    session.close()
            calls: list[Callable[[], object]] = [partial(list, session), session.wait_closed]
            for call in calls:
                with pytest.raises(ConnectionLost):
                    call()

        await threaded(program)


async def test_an_exception_of_the_body_is_not_chained(kind: str) -> None:
    """An exception of the body comes out as itself, and the stream is closed at once."""
    error = LookupError("mine")
    async with DeepgramServer() as server:

        def program() -> None:
            with pytest.raises(LookupError) as caught, make(server, kind, nova()):
                raise error
            assert caught.value is error
            assert error.__cause__ is None
            assert error.__context__ is None

        await threaded(program)
        connection = await server.connection()
        await connection.wait_closed()
        assert connection.controls == []


async def test_async_with_on_a_sync_session(kind: str) -> None:
    """`async with` and `async for` on a sync session name the async ones."""
    async with DeepgramServer() as server:
        session: Any = make(server, kind, nova())
        with pytest.raises(TypeError, match=r"deepgram_stream_iter\.stream\(\)"):
            async with session:
                pass
        with pytest.raises(TypeError, match=r"deepgram_stream_iter\.stream\(\)"):
            async for _ in session:
                pass


async def test_the_wrong_kind_of_with(kind: str) -> None:
    """`with` and `for` on an async session name the sync ones."""
    async with DeepgramServer() as server:
        client: Any = server.client() if kind == "async" else server.sync_client()
        session: Any = async_stream(
            client if not IS_LEGACY else (lambda: client.listen.asyncwebsocket.v("1")), nova()
        )
        with pytest.raises(TypeError, match=r"deepgram_stream_iter\.sync"):
            session.__enter__()
        with pytest.raises(TypeError, match=r"deepgram_stream_iter\.sync"), session:
            pass
        with pytest.raises(TypeError, match=r"deepgram_stream_iter\.sync"):
            iter(session)
