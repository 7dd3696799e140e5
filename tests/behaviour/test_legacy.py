"""The dialect of SDK 3 and 4: what only an application on those can have."""

from __future__ import annotations

import ast
import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import deepgram
import pytest
from anyio.lowlevel import checkpoint
from conftest import FRAME, Connect, LateWord, LegacyEvents, legacy_only, nova, on_message, texts

from deepgram_stream_iter import (
    CallbackError,
    ConnectError,
    ConnectionLost,
    DeepgramStreamError,
    StreamEvent,
    StreamingOptions,
    stream,
)
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

pytestmark = legacy_only

sdk: Any = deepgram
SCRIPT = [messages.results("one", is_final=True), messages.results("two", is_final=True)]
NOVA = {"model": "nova-3"}


def connection_of(server: DeepgramServer, kind: str, **config: object) -> Any:
    """Make a connection as an application does, not started yet."""
    client: Any = server.client(**config)
    return (client.listen.asyncwebsocket if kind == "async" else client.listen.websocket).v("1")


async def call(connection: Any, kind: str, name: str, *arguments: object) -> Any:
    """Call a method of the connection as an application of this kind does, off the loop where it blocks."""
    if kind == "async":
        return await getattr(connection, name)(*arguments)
    return await anyio.to_thread.run_sync(getattr(connection, name), *arguments)


class Application:
    """Handlers with the SDK's own signatures, and what they were called with."""

    def __init__(self) -> None:
        self.transcripts: list[Any] = []
        self.metadata: list[Any] = []
        self.closed: list[Any] = []
        self.threads: set[int] = set()
        self.clients: set[int] = set()

    def register(self, connection: Any, kind: str) -> None:
        """Register the handlers: coroutine functions for an async connection, plain ones for a sync one."""

        def on_transcript(client: Any, result: Any, **_: Any) -> None:
            self._took(client, self.transcripts, result)

        def on_metadata(client: Any, metadata: Any, **_: Any) -> None:
            self._took(client, self.metadata, metadata)

        def on_close(client: Any, close: Any, **_: Any) -> None:
            self._took(client, self.closed, close)

        for event, plain in (
            (LegacyEvents.Transcript, on_transcript),
            (LegacyEvents.Metadata, on_metadata),
            (LegacyEvents.Close, on_close),
        ):
            connection.on(event, as_coroutine_function(plain) if kind == "async" else plain)

    def _took(self, client: object, taken: list[Any], payload: object) -> None:
        taken.append(payload)
        self.clients.add(id(client))
        if taken is not self.closed:  # which the thread that closes tells
            self.threads.add(threading.get_ident())


def as_coroutine_function(plain: Callable[..., None]) -> Callable[..., Awaitable[None]]:
    """Make of a handler what the async client wants."""

    async def handler(*arguments: Any, **named: Any) -> None:
        await checkpoint()
        plain(*arguments, **named)

    return handler


@pytest.mark.parametrize("registered", ["before stream()", "during the session"])
async def test_handlers_of_the_application_go_on_firing(kind: str, registered: str) -> None:
    """The application's handlers fire beside the session, once each, with their own signatures, in the SDK's thread."""
    application = Application()
    async with DeepgramServer() as server:
        connection = connection_of(server, kind)
        if registered == "before stream()":
            application.register(connection, kind)
        async with stream(connection, NOVA) as session:
            if registered == "during the session":
                application.register(connection, kind)
            for message in SCRIPT:
                await (await server.connection()).send(message)
            events = [await anext(session), await anext(session)]
            assert session.connection is connection
    assert application.transcripts == [event.raw for event in events]
    assert [one.channel.alternatives[0].transcript for one in application.transcripts] == ["one", "two"]
    assert application.clients == {id(connection)}
    assert [type(one).__name__ for one in application.metadata] == ["MetadataResponse"]
    assert {type(one).__name__ for one in application.closed} == {"CloseResponse"}
    if kind == "async":
        assert application.threads == {threading.get_ident()}
    else:
        assert len(application.threads) == 1
        assert threading.get_ident() not in application.threads


@pytest.mark.parametrize("form", ["LiveOptions", "ListenWebSocketOptions", "mapping", "StreamingOptions"])
async def test_options(kind: str, form: str) -> None:
    """Options reach the server as they were meant, in whichever form: booleans in lower case, sequences repeated."""
    given: dict[str, Any] = {
        "model": "nova-3",
        "smart_format": True,
        "punctuate": False,
        "interim_results": True,
        "encoding": "linear16",
        "sample_rate": 16000,
        "keywords": ["hello", "world"],
    }
    options: Any = given
    if form == "StreamingOptions":
        options = StreamingOptions(**given)
    elif form != "mapping":
        options = getattr(sdk, form)(**given)
    async with DeepgramServer() as server:
        async with stream(connection_of(server, kind), options) as session:
            query = (await server.connection()).query
            await session.send(FRAME * 5)
            assert session.stats.audio_seconds_sent == pytest.approx(0.1)
    for name, value in {
        "model": "nova-3",
        "smart_format": "true",
        "punctuate": "false",
        "interim_results": "true",
        "encoding": "linear16",
        "sample_rate": "16000",
    }.items():
        assert query[name] in (value, [value])
    assert query["keywords"] == ["hello", "world"]


@pytest.mark.parametrize("form", ["mapping", "StreamingOptions"])
async def test_addons(kind: str, form: str) -> None:
    """The further query parameters of `start()` are a TypeError, and what its text says to write instead reaches the server."""

    def options(**given: Any) -> Any:
        given["model"] = "nova-3"
        return given if form == "mapping" else StreamingOptions(**given)

    async with DeepgramServer() as server:
        connection = connection_of(server, kind)
        with pytest.raises(TypeError, match="addons") as caught:
            stream(connection, options(addons={"from_the_future": "yes", "several": ["a", "b"]}))
        written = str(caught.value).partition("extra=")[2].partition("}")[0] + "}"
        async with stream(connection, options(extra=ast.literal_eval(written))):
            query = (await server.connection()).query
    assert (query["from_the_future"], query["several"]) == (["yes"], ["a", "b"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"encoding": "linear16"}, "needs a sample_rate"),
        ({"encoding": "pcm", "sample_rate": 16000}, "encoding must be one of"),
        ({"encoding": "linear16", "sample_rate": 16}, "sample_rate must be"),
        ({"channels": 300}, "channels must be"),
    ],
)
@pytest.mark.parametrize("target", ["client", "connection"])
async def test_the_sdks_own_options_are_checked(
    kind: str, target: str, given: dict[str, Any], told: str
) -> None:
    """What is no form of audio is a ValueError in LiveOptions, too."""
    async with DeepgramServer() as server:
        made = server.client() if target == "client" else connection_of(server, kind)
        with pytest.raises(ValueError, match=told):
            stream(made, sdk.LiveOptions(model="nova-3", **given))


async def test_extra_of_the_sdks_own_options(kind: str) -> None:
    """A mapping adds query parameters by name, as in StreamingOptions, and is not checked; strings are Deepgram's `extra`."""
    async with DeepgramServer() as server:
        extra = {"no_delay": "true", "several": ["a", "b"], "channels": 300}
        async with stream(connection_of(server, kind), sdk.LiveOptions(model="nova-3", extra=extra)):
            query = (await server.connection()).query
        async with stream(connection_of(server, kind), sdk.LiveOptions(model="nova-3", extra=["a:1"])):
            of_deepgram = (await server.connection(1)).query
    assert (query["no_delay"], query["several"], query["channels"]) == (["true"], ["a", "b"], ["300"])
    assert "extra" not in query
    assert of_deepgram["extra"] == ["a:1"]


async def test_a_started_connection_is_attached_to(kind: str) -> None:
    """A connection that the application started is taken as it is, with its handlers, and ended with the session."""
    heard: list[object] = []
    async with DeepgramServer() as server:
        connection = connection_of(server, kind)
        on_message(connection, kind, heard.append)
        assert await call(connection, kind, "start", {"model": "nova-2", "smart_format": "true"})
        async with stream(connection) as session:
            for message in SCRIPT:
                await (await server.connection()).send(message)
            await session.finish()
            assert await texts(session) == ["one", "two"]
        assert len(heard) == 2
        assert len(server.connections) == 1
        assert session.close_info is not None
        assert session.close_info.drained
        assert not connection.is_connected() if kind == "sync" else not await connection.is_connected()


async def test_options_for_a_started_connection_are_refused(kind: str) -> None:
    """Options for a connection that has its own are a TypeError on entry, and the connection goes on as it was."""
    async with DeepgramServer() as server:
        connection = connection_of(server, kind)
        assert await call(connection, kind, "start", NOVA)
        began = time.monotonic()
        with pytest.raises(TypeError, match="started already"):
            await stream(connection, NOVA).__aenter__()
        assert time.monotonic() - began < 1
        async with stream(connection) as session:
            await (await server.connection()).send(SCRIPT[0])
            event = await anext(session)
            assert isinstance(event, StreamEvent.Transcript)
            assert event.transcript == "one"


async def test_a_connection_without_options_is_refused(kind: str) -> None:
    """A connection that is not started, and no options to start it with, is a TypeError on entry, before any socket."""
    async with DeepgramServer() as server:
        with pytest.raises(TypeError, match="not started"):
            await stream(connection_of(server, kind)).__aenter__()
        assert not server.connections


async def test_a_factory_that_starts_its_connection_has_its_authorization(kind: str) -> None:
    """An authorization for a connection that its factory has started already is a TypeError on entry."""
    async with DeepgramServer() as server:
        connection = connection_of(server, kind)

        async def factory() -> Any:
            assert await call(connection, kind, "start", NOVA)
            return connection

        with pytest.raises(TypeError, match="its authorization"):
            await stream(factory, authorization="Bearer token").__aenter__()
        await call(connection, kind, "finish")


@pytest.mark.parametrize("seconds", [0.1, 1.0])
async def test_late_finals_arrive_once(kind: str, seconds: float) -> None:
    """Finals that come long after CloseStream, when the SDK's own finish() would have closed, arrive; each once."""
    heard: list[Any] = []
    faults = Faults(late_final_seconds=seconds, no_finalize_answer=True)
    async with DeepgramServer(recognizer=LateWord, faults=faults) as server:
        connection = connection_of(server, kind)
        on_message(connection, kind, heard.append)
        async with stream(connection, nova()) as session:
            session.feed([FRAME])
            assert await texts(session) == ["late"]
            assert [event async for event in session] == []
            assert session.close_info is not None
            assert session.close_info.drained
        assert session.transcript == "late"
        assert [one.channel.alternatives[0].transcript for one in heard] == ["late"]
        served = await server.connection()
        assert [control["type"] for control in served.controls].count("CloseStream") == 1


@pytest.mark.parametrize("order", ["before ours", "after ours"])
async def test_a_handler_that_raises(kind: str, order: str) -> None:
    """Where a raising handler kills the SDK's listener, it is a CallbackError; where the SDK swallows it, nothing is."""
    error = LookupError("the application's own")

    def handler(_: object) -> None:
        raise error

    async with DeepgramServer() as server:
        connection = connection_of(server, kind)
        if order == "before ours":
            on_message(connection, kind, handler)
        async with stream(connection, NOVA) as session:
            if order == "after ours":
                on_message(connection, kind, handler)
            served = await server.connection()
            await served.send(SCRIPT[0])
            if kind == "async":
                await served.send(SCRIPT[1])
                await session.finish()
                assert await texts(session) == ["one", "two"]
                assert session.close_info is not None
                assert session.close_info.drained
                return
            if order == "after ours":  # ours has it already
                assert (await anext(session)).type == "transcript"
            with pytest.raises(CallbackError, match="LookupError") as caught:
                await anext(session)
            assert caught.value.__cause__ is error


@pytest.mark.parametrize("is_on", [True, False])
async def test_keepalives_are_sent_once(kind: str, *, is_on: bool) -> None:
    """Where the SDK keeps the connection alive, ours is silent in the gaps; where it does not, ours is not."""
    config: dict[str, object] = {"options": {"keepalive": "true"}} if is_on else {}
    async with DeepgramServer() as server:
        connection = connection_of(server, kind, **config)
        async with stream(connection, nova(), keepalive_seconds=0.05) as session:
            await session.send(
                bytes(4 * 3200), pace=1.0
            )  # cut into frames of 100 ms: the gaps are longer than 50
            kinds = [control["type"] for control in (await server.connection()).controls]
            assert (session.stats.keepalives_sent == 0) == is_on
            assert ("KeepAlive" in kinds) != is_on


async def test_the_application_finishes(kind: str) -> None:
    """When the application calls the SDK's finish() itself, the session hands out what had come, and ends."""
    async with DeepgramServer(script=SCRIPT[:1]) as server:
        connection = connection_of(server, kind)
        with anyio.fail_after(4):
            async with stream(connection, NOVA) as session:
                assert (await anext(session)).type == "transcript"
                await call(connection, kind, "finish")
                await texts(session)
                assert session.close_info is not None
        assert session.transcript == "one"


@pytest.mark.parametrize("form", ["StreamingOptions", "mapping"])
@pytest.mark.parametrize("target", ["connection", "client"])
async def test_flux_needs_a_newer_sdk(kind: str, form: str, target: str) -> None:
    """A Flux model is a ValueError that says which SDK has it, before anything is connected."""
    given: dict[str, Any] = {"model": "flux-general-en"}
    async with DeepgramServer() as server:
        of: Any = connection_of(server, kind) if target == "connection" else server.client()
        with pytest.raises(ValueError, match="deepgram-sdk 5"):
            stream(of, StreamingOptions(**given) if form == "StreamingOptions" else given)
        assert not server.connections


async def test_a_client_makes_its_connection(connect: Connect) -> None:
    """A session from the client or its factory starts a connection, gives it out, and ends it."""
    async with DeepgramServer(script=SCRIPT) as server:
        async with connect(server, nova()) as session:
            session.feed([FRAME])
            assert await texts(session) == ["one", "two"]
            assert callable(getattr(session.connection, "finish", None))
        await (await server.connection()).wait_closed()
        assert len(server.connections) == 1


async def test_a_close_handler_that_raises_does_not_hide_the_end(kind: str) -> None:
    """When an application's Close handler raises before ours is called, the end of the socket is told all the same."""

    def plain(*_: object, **__: object) -> None:
        raise LookupError

    async def coroutine(*_: object, **__: object) -> None:
        raise LookupError

    async with DeepgramServer() as server:
        sockets = server.client().listen
        connection: Any = (sockets.asyncwebsocket if kind == "async" else sockets.websocket).v("1")
        connection.on(LegacyEvents.Close, coroutine if kind == "async" else plain)
        async with stream(connection, nova()) as session:
            await (await server.connection()).close(1011)
            with anyio.fail_after(6), pytest.raises(ConnectionLost):
                await anext(session)


# That the SDK's thread dies of the handler is the case at hand.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_an_error_handler_that_kills_the_listener_does_not_hide_the_end(kind: str) -> None:
    """When an application's Error handler raises too, and Close is never told, the iteration still ends in an error."""

    def plain(*_: object, **__: object) -> None:
        raise LookupError

    async def coroutine(*_: object, **__: object) -> None:
        raise LookupError

    async with DeepgramServer() as server:
        sockets: Any = server.client().listen
        connection: Any = (sockets.asyncwebsocket if kind == "async" else sockets.websocket).v("1")
        connection.on(LegacyEvents.Error, coroutine if kind == "async" else plain)
        async with stream(connection, nova()) as session:
            await (await server.connection()).close(1011)
            with anyio.fail_after(6), pytest.raises(ConnectionLost):
                await anext(session)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_handlers_that_kill_the_listener_on_an_open_socket() -> None:
    """When the SDK's thread dies of an application's handlers while the socket is open, the iteration ends in an error."""

    def handler(*_: object, **__: object) -> None:
        raise LookupError

    async with DeepgramServer(script=SCRIPT) as server:
        connection = connection_of(server, "sync")
        connection.on(LegacyEvents.Transcript, handler)
        connection.on(LegacyEvents.Error, handler)
        with anyio.fail_after(6), pytest.raises(DeepgramStreamError):
            async with stream(connection, nova()) as session:
                await texts(session)


async def test_what_the_dialect_cannot_do_is_told(kind: str) -> None:
    """Flux in LiveOptions is a ValueError, and observing a connection that nobody has started a TypeError."""
    async with DeepgramServer() as server:
        sockets: Any = server.client().listen
        connection: Any = (sockets.asyncwebsocket if kind == "async" else sockets.websocket).v("1")
        with pytest.raises(ValueError, match="needs deepgram-sdk 5"):
            stream(connection, deepgram.LiveOptions(model="flux-general-en"))
        with pytest.raises(TypeError, match="listen=False"):
            stream(connection, nova(), listen=False)


KEEPALIVE = {"options": {"keepalive": "true"}}


def tasks_of_the_sdk() -> set[asyncio.Task[Any]]:
    """Return the tasks that an async connection of the SDK has made and not ended."""
    return {task for task in asyncio.all_tasks() if "WebSocketClient." in repr(task.get_coro())}


async def assert_nothing_is_left(threads: set[threading.Thread]) -> None:
    """Let tasks that were cancelled end, and threads whose socket is gone; no other may be there."""
    if left := tasks_of_the_sdk():
        await asyncio.wait(left, timeout=0.1)
    assert tasks_of_the_sdk() == set()
    for thread in set(threading.enumerate()) - threads:
        await anyio.to_thread.run_sync(thread.join, 2)
        assert not thread.is_alive(), thread.name


@pytest.mark.parametrize("times", [1, 2])
async def test_cancelling_leaves_no_task_of_the_sdk(kind: str, times: int) -> None:
    """After a cancellation, and after a second one that cuts the closing short, the SDK keeps nothing alive."""
    await anyio.to_thread.run_sync(threading.get_ident)  # the tests' own worker is there before
    async with DeepgramServer() as server:
        threads, entered = set(threading.enumerate()), anyio.Event()

        async def body() -> None:
            async with stream(connection_of(server, kind, **KEEPALIVE), NOVA):
                entered.set()
                await anyio.sleep_forever()

        task = asyncio.create_task(body())
        await entered.wait()
        for _ in range(times):
            task.cancel()
            for _ in range(5):
                await checkpoint()
        with pytest.raises(asyncio.CancelledError):
            await task
        await assert_nothing_is_left(threads)


@pytest.mark.parametrize(("is_frozen", "seconds"), [(False, 0.8), (True, 1.4)])
async def test_a_handler_that_still_runs_at_the_exit(*, is_frozen: bool, seconds: float) -> None:
    """An application's handler that still runs when the session is left is not cut off, nor when the peer is dead."""
    began, ended = anyio.Event(), anyio.Event()

    async def handler(*_: object, **__: object) -> None:
        began.set()
        await asyncio.sleep(seconds)  # this long its work takes
        ended.set()

    async with DeepgramServer(script=SCRIPT[:1]) as server:
        connection = connection_of(server, "async")
        connection.on(LegacyEvents.Transcript, handler)
        with pytest.raises(ZeroDivisionError):
            async with stream(connection, NOVA):
                await began.wait()
                server.faults.frozen = is_frozen
                raise ZeroDivisionError
        assert ended.is_set()


async def test_cancelling_in_a_handler_for_open(kind: str) -> None:
    """Cancelling the entry while the SDK, connected already, waits for a handler for Open leaves nothing open."""
    await anyio.to_thread.run_sync(threading.get_ident)
    loop, opened, is_cancelled = asyncio.get_running_loop(), anyio.Event(), threading.Event()

    def plain(*_: object, **__: object) -> None:
        loop.call_soon_threadsafe(opened.set)
        assert is_cancelled.wait(10)

    async def coroutine(*_: object, **__: object) -> None:
        opened.set()
        await anyio.sleep_forever()

    async with DeepgramServer() as server:
        threads = set(threading.enumerate())
        connection = connection_of(server, kind, **KEEPALIVE)
        connection.on(LegacyEvents.Open, coroutine if kind == "async" else plain)
        entering = asyncio.create_task(stream(connection, NOVA).__aenter__())
        await opened.wait()
        entering.cancel()
        loop.call_later(0.1, is_cancelled.set)
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert time.monotonic() - began < 1.9
        await (await server.connection()).wait_closed()
        await assert_nothing_is_left(threads)


async def test_a_handler_for_open_that_raises() -> None:
    """A sync handler for Open that raises makes start() return False with the socket open: the session closes it."""

    def handler(*_: object, **__: object) -> None:
        raise LookupError

    await anyio.to_thread.run_sync(threading.get_ident)
    async with DeepgramServer() as server:
        threads = set(threading.enumerate())
        connection = connection_of(server, "sync")
        connection.on(LegacyEvents.Open, handler)
        with pytest.raises(ConnectError):
            await stream(connection, NOVA).__aenter__()
        with anyio.fail_after(2):
            await (await server.connection()).wait_closed()
        await assert_nothing_is_left(threads)


async def test_a_connection_that_is_lost_in_a_handler_for_open(kind: str) -> None:
    """A connection whose end comes while the SDK still waits for a handler for Open is lost, and leaves nothing."""
    await anyio.to_thread.run_sync(threading.get_ident)

    def plain(connection: Any, *_: object, **__: object) -> None:
        while connection.is_connected():
            time.sleep(0.01)

    async def coroutine(connection: Any, *_: object, **__: object) -> None:
        while await connection.is_connected():
            await checkpoint()

    async def drop(served: ServerConnection) -> None:
        served.abort()

    async with DeepgramServer(script=drop) as server:
        threads = set(threading.enumerate())
        connection = connection_of(server, kind, **KEEPALIVE)
        connection.on(LegacyEvents.Open, coroutine if kind == "async" else plain)
        with pytest.raises(ConnectionLost):
            async with stream(connection, NOVA) as session:
                await anext(session)
        await assert_nothing_is_left(threads)
