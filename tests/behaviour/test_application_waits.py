"""Functions of the application that wait where nobody can cancel them: they hold up neither the session nor its end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import FRAME, IS_LEGACY, Connect, needs_cancellation, nova

from deepgram_stream_iter import (
    ConnectError,
    ConnectionLost,
    Reconnect,
    ReconnectAttempt,
    StreamEvent,
    StreamSession,
)
from deepgram_stream_iter.testing import DeepgramServer, ServerConnection

BOUND_SECONDS = 2
"""What does not wait for the application takes well less than this, on a busy machine too."""
GIVES_UP_SECONDS = 4
"""So that who does wait for it fails a test, and does not hang it."""
SOON = Reconnect(initial_delay_seconds=0.001, max_delay_seconds=0.01)
each_function = pytest.mark.parametrize("what", ["authorization", "factory"])


class Waiting:
    """A function that waits in a thread, which nobody can cancel, until the test is over."""

    def __init__(self) -> None:
        self.calls = 0
        self.began = anyio.Event()
        self.release = threading.Event()
        self.failure: Exception | None = None
        """What it raises once it is through, when nobody cares any more."""

    async def __call__(self) -> None:
        """Wait, whatever happens meanwhile."""
        self.began.set()
        await anyio.to_thread.run_sync(self.release.wait, GIVES_UP_SECONDS)
        if self.failure is not None:
            raise self.failure

    async def on_the_second_call(self) -> None:
        """Wait, but only once, when this is called for the second time."""
        self.calls += 1
        if self.calls == 2:
            await self()


@pytest.fixture
async def waiting() -> AsyncIterator[Waiting]:
    """Let go of the function after the test, and of the task that it runs in."""
    function, before = Waiting(), asyncio.all_tasks()
    yield function
    function.release.set()
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        await asyncio.wait(left, timeout=BOUND_SECONDS)


def session_that_asks(
    asks: Callable[[], Awaitable[None]],
    what: str,
    connect: Connect,
    server: DeepgramServer,
    kind: str,
    **settings: Any,
) -> StreamSession:
    """Make a session whose authorization, or whose factory, calls this for each connection."""

    async def authorization() -> str:
        await asks()
        return f"Token {server.api_key}"

    async def factory() -> Any:
        await asks()
        client: Any = server.client() if kind == "async" else server.sync_client()
        if IS_LEGACY:
            return (client.listen.asyncwebsocket if kind == "async" else client.listen.websocket).v("1")
        return client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate="16000")

    if what == "authorization":
        return connect(server, nova(), authorization=authorization, **settings)
    return connect.stream(factory, nova() if IS_LEGACY else None, **settings)


def drop_the_first() -> Callable[[ServerConnection], Awaitable[None]]:
    """Script a server that loses its first connection, and behaves from then on."""
    connections: list[ServerConnection] = []

    async def script(connection: ServerConnection) -> None:
        connections.append(connection)
        if connection is connections[0]:
            connection.abort()

    return script


# On entering


@each_function
@pytest.mark.parametrize("is_late_failure", [False, True], ids=["returns", "raises"])
async def test_the_first_connection(
    connect: Connect, kind: str, what: str, waiting: Waiting, *, is_late_failure: bool
) -> None:
    """`connect_timeout_seconds` is kept, and what the function comes to in the end is nobody's any more."""
    waiting.failure = LookupError("too late") if is_late_failure else None
    async with DeepgramServer() as server:
        session = session_that_asks(waiting, what, connect, server, kind, connect_timeout_seconds=0.1)
        began = time.monotonic()
        with pytest.raises(ConnectError, match="connect_timeout_seconds"):
            await session.__aenter__()
        assert time.monotonic() - began < BOUND_SECONDS
        assert not server.connections


@each_function
async def test_the_first_connection_with_reconnect(
    connect: Connect, kind: str, what: str, waiting: Waiting
) -> None:
    """Each attempt has its time, though the function of the one before still waits."""
    reconnect = Reconnect(initial_delay_seconds=0.001, max_attempts=2)
    settings: dict[str, Any] = {"connect_timeout_seconds": 0.1, "reconnect": reconnect}
    async with DeepgramServer() as server:
        session = session_that_asks(waiting, what, connect, server, kind, **settings)
        began = time.monotonic()
        with pytest.raises(ConnectError, match="connect_timeout_seconds"):
            await session.__aenter__()
        assert 0.29 <= time.monotonic() - began < BOUND_SECONDS


@each_function
@needs_cancellation
async def test_cancelling_the_entry(connect: Connect, kind: str, what: str, waiting: Waiting) -> None:
    """A cancellation of the entry is obeyed at once."""
    async with DeepgramServer() as server:
        session = session_that_asks(waiting, what, connect, server, kind)
        began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.__aenter__)
            await waiting.began.wait()
            tasks.cancel_scope.cancel()
        assert time.monotonic() - began < BOUND_SECONDS
        assert not server.connections


# On a reconnection


async def leave(session: StreamSession, waiting: Waiting, how: str) -> float:
    """Enter a session, and leave it while the function waits; return how long that took."""
    began = 0.0
    with anyio.CancelScope() as scope:
        try:
            async with session:
                await session.send(FRAME)
                await waiting.began.wait()
                began = time.monotonic()
                if how == "by an exception":
                    raise ZeroDivisionError
                if how == "by a cancellation":
                    scope.cancel()
                    await anyio.sleep_forever()
        except ZeroDivisionError:
            assert how == "by an exception"
        except ConnectionLost as error:
            assert how == "normally"
            assert "finish_timeout_seconds" in str(error)  # noqa: PT017  (which way it is left is the matter here)
        else:
            raise AssertionError("the exit hid what it should have raised")
    assert scope.cancelled_caught == (how == "by a cancellation")
    return time.monotonic() - began


each_way = pytest.mark.parametrize("how", ["by an exception", "by a cancellation", "normally"])


@each_way
@each_function
async def test_leaving(connect: Connect, kind: str, what: str, how: str, waiting: Waiting) -> None:
    """However the session is left while the function is called for another connection, it is not waited for."""
    settings: dict[str, Any] = {"finish_timeout_seconds": 0.1, "reconnect": SOON}
    async with DeepgramServer(script=drop_the_first()) as server:
        asks = waiting.on_the_second_call
        session = session_that_asks(asks, what, connect, server, kind, **settings)
        assert await leave(session, waiting, how) < BOUND_SECONDS
        assert session.close_info is not None
        assert not session.close_info.drained
        assert len(server.connections) == 1


@each_way
async def test_leaving_while_on_attempt_waits(connect: Connect, how: str, waiting: Waiting) -> None:
    """Neither is an `on_attempt`."""

    async def on_attempt(_: ReconnectAttempt) -> None:
        await waiting()

    async with DeepgramServer(script=drop_the_first()) as server:
        reconnect = Reconnect(on_attempt=on_attempt)
        session = connect(server, nova(), finish_timeout_seconds=0.1, reconnect=reconnect)
        assert await leave(session, waiting, how) < BOUND_SECONDS
        assert len(server.connections) == 1


@each_function
async def test_the_next_attempt(connect: Connect, kind: str, what: str, waiting: Waiting) -> None:
    """`connect_timeout_seconds` is kept: the next attempt comes in its time, and gets a connection."""
    settings: dict[str, Any] = {"connect_timeout_seconds": 0.2, "reconnect": SOON}
    async with DeepgramServer(script=drop_the_first()) as server:
        asks = waiting.on_the_second_call
        async with session_that_asks(asks, what, connect, server, kind, **settings) as session:
            await session.send(FRAME)
            await waiting.began.wait()
            began = time.monotonic()
            causes = []
            async for event in session:
                if isinstance(event, StreamEvent.Reconnected):
                    break
                assert isinstance(event, StreamEvent.Reconnecting)
                causes.append(event.cause)
            assert time.monotonic() - began < BOUND_SECONDS
            assert not waiting.release.is_set()
        assert "connect_timeout_seconds" in str(causes[1])
        assert server.connections[-1].audio == FRAME
        assert session.close_info is not None
        assert session.close_info.drained


# What is over costs no time


async def cancelled() -> str:
    """Wait for a task that somebody cancels."""
    task = asyncio.create_task(anyio.sleep_forever())
    task.cancel()
    await task
    return "Bearer never"


async def raising() -> str:
    """Raise what looks like a cancellation."""
    raise asyncio.CancelledError


async def garbage() -> Any:
    """Return what is no header."""
    return 7


@pytest.mark.parametrize("is_first", [True, False], ids=["entering", "reconnecting"])
@pytest.mark.parametrize(
    ("authorization", "error", "text"),
    [
        (cancelled, RuntimeError, "cancelled by somebody else"),
        (raising, RuntimeError, "cancelled by somebody else"),
        (garbage, TypeError, "must be a str"),
    ],
    ids=["waits", "raises", "garbage"],
)
async def test_what_it_comes_to_is_told_at_once(
    connect: Connect,
    authorization: Callable[[], Awaitable[Any]],
    error: type[Exception],
    text: str,
    *,
    is_first: bool,
) -> None:
    """A cancellation that is not ours, or what is no header, ends the session with that error, not with a time-out."""
    calls = 0

    async def asked() -> Any:
        nonlocal calls
        calls += 1
        return f"Token {server.api_key}" if calls == 1 and not is_first else await authorization()

    async with DeepgramServer(script=drop_the_first()) as server:
        settings: dict[str, Any] = {"connect_timeout_seconds": 3600, "finish_timeout_seconds": 3600}
        session = connect(server, nova(), authorization=asked, reconnect=SOON, **settings)
        began = time.monotonic()
        with pytest.raises(error, match=text):
            async with session:
                async for _ in session:
                    pass
        assert time.monotonic() - began < BOUND_SECONDS
