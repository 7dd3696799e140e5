"""A session belongs to the event loop in which it was entered: it can be made anywhere, and used nowhere else."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import deepgram
import pytest
from conftest import (
    FRAME,
    IS_LEGACY,
    Connect,
    any_client,
    emitter_only,
    flux,
    nova,
    refuses_other_loops,
    texts,
)

from deepgram_stream_iter import StreamingOptions, StreamSession, stream
from deepgram_stream_iter.testing import DeepgramServer, messages

T = TypeVar("T")
SCRIPT = [messages.results("hello", start=0.0, duration=0.02, is_final=True)]
BOUND_SECONDS = 2
"""What is refused at once is refused well within this, on a busy machine too."""


def in_a_thread(function: Callable[[], T]) -> T:
    """Call a function where no event loop runs."""
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        return threads.submit(function).result()


# Made anywhere


@pytest.mark.parametrize(
    "settings", [{}, {"reconnect": True, "stall_timeout_seconds": 60}], ids=["plain", "all"]
)
@pytest.mark.parametrize("where", ["thread", "other loop"])
async def test_made_elsewhere(connect: Connect, where: str, settings: dict[str, Any]) -> None:
    """A session that was made in a thread, or in another event loop, is entered and used as any other."""
    async with DeepgramServer(script=SCRIPT) as server:

        def make() -> StreamSession:
            return connect(server, nova(), **settings)

        async def make_in_loop() -> StreamSession:
            return make()

        session = in_a_thread(make if where == "thread" else lambda: asyncio.run(make_in_loop()))
        async with session:
            session.feed([FRAME])
            assert await texts(session) == ["hello"]
            assert session.close_info is not None
            assert session.close_info.drained


@emitter_only
@pytest.mark.parametrize("target", ["connect()", "factory"])
async def test_other_targets_made_elsewhere(kind: str, target: str) -> None:
    """What connect() returned, or makes it, needs no event loop either until it is entered."""
    async with DeepgramServer(script=SCRIPT) as server:
        client: Any = server.client() if kind == "async" else server.sync_client()

        def connection() -> Any:
            return client.listen.v1.connect(model="nova-3")

        async with in_a_thread(
            lambda: stream(connection() if target == "connect()" else connection)
        ) as session:
            session.feed([FRAME])
            assert await texts(session) == ["hello"]


async def test_entered_in_another_loop(connect: Connect) -> None:
    """A session may be made in one event loop and belong to another, in which it is entered."""
    async with DeepgramServer(script=SCRIPT) as server:
        session = connect(server, nova())

        async def use() -> list[str]:
            async with session:
                await session.send(FRAME)
                await session.finish()
                return await texts(session)

        assert await anyio.to_thread.run_sync(lambda: asyncio.run(use())) == ["hello"]
        assert session.close_info is not None
        assert session.close_info.drained


def test_made_before_there_is_a_loop(kind: str) -> None:
    """A session that is made at the top of a module, or in a constructor, is entered under asyncio.run()."""
    clients: list[Any] = []

    def factory() -> Any:
        (client,) = clients
        if IS_LEGACY:
            return (client.listen.asyncwebsocket if kind == "async" else client.listen.websocket).v("1")
        return client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate="16000")

    session = stream(factory, nova() if IS_LEGACY else None, reconnect=True)

    async def main() -> list[str]:
        async with DeepgramServer(script=SCRIPT) as server:
            clients.append(server.client() if kind == "async" else server.sync_client())
            async with session:
                session.feed([FRAME])
                return await texts(session)

    assert asyncio.run(main()) == ["hello"]


@pytest.mark.parametrize(
    "settings", [{}, {"reconnect": True, "authorization": "Bearer x"}], ids=["plain", "all"]
)
def test_what_there_is_to_know_before_entering(kind: str, settings: dict[str, Any]) -> None:
    """Where no event loop runs and nothing has happened yet, all that can be asked has an answer."""
    client = any_client() if kind == "async" else deepgram.DeepgramClient(api_key="x")
    session = stream(client, nova(), **settings)
    assert "StreamSession" in repr(session)
    assert session.close_info is None
    assert session.transcript == session.accumulated_transcript == session.request_id == ""


# Used nowhere else


async def elsewhere(call: Callable[[], Awaitable[object]]) -> BaseException | None:
    """Call in an event loop of another thread; return what it raises.

    :raises TimeoutError: it did not return; its thread is left behind then.
    """
    loop, ended = asyncio.get_running_loop(), anyio.Event()
    raised: list[BaseException] = []

    async def bounded() -> None:
        with anyio.fail_after(BOUND_SECONDS):
            await call()

    def run() -> None:
        try:
            asyncio.run(bounded())
        except Exception as error:  # noqa: BLE001  (it is looked at)
            raised.append(error)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=run, daemon=True).start()
    with anyio.fail_after(2 * BOUND_SECONDS):
        await ended.wait()
    return raised[0] if raised else None


def check_refused(error: BaseException | None) -> None:
    """Check that a call was refused for its event loop."""
    assert type(error) is RuntimeError, repr(error)
    assert "another event loop" in str(error)


@asynccontextmanager
async def unharmed(
    connect: Connect, options: StreamingOptions, **settings: Any
) -> AsyncIterator[StreamSession]:
    """Make a session; check afterwards that nothing was sent, and that it goes on as if nothing had happened."""
    is_flux = options.endpoint == "v2"
    script = [messages.turn_info("EndOfTurn", "hello", end=0.02)] if is_flux else SCRIPT
    async with DeepgramServer(script=script) as server, connect(server, options, **settings) as session:
        yield session
        served = await server.connection()
        await session.send(FRAME)
        await served.audio_reached(0.02)
        assert [frame.data for frame in served.frames] == [FRAME]
        assert session.close_info is None
        info = await session.finish()
        assert info.drained
        assert (await texts(session))[0] == "hello"


Call = Callable[[StreamSession], Awaitable[object]]
CALLS: dict[str, Call] = {
    "send": lambda session: session.send(FRAME),
    "send a source": lambda session: session.send([FRAME] * 3, pace=1.0),
    "finalize": lambda session: session.finalize(),
    "configure": lambda session: session.configure(keyterms=["a"]),
    "keep_alive": lambda session: session.keep_alive(),
    "finish": lambda session: session.finish(),
    "anext": lambda session: session.__anext__(),
    "utterances": lambda session: session.utterances().__anext__(),
}


@pytest.mark.parametrize("name", CALLS)
@refuses_other_loops
async def test_a_call_from_another_loop(connect: Connect, name: str) -> None:
    """Each is refused at once, and says why."""
    async with unharmed(connect, nova()) as session:
        check_refused(await elsewhere(lambda: CALLS[name](session)))


@pytest.mark.parametrize("name", ["send", "keep_alive", "anext"])
@refuses_other_loops
async def test_a_call_from_another_loop_with_reconnect(connect: Connect, name: str) -> None:
    """So it is where the audio is kept."""
    async with unharmed(connect, nova(), reconnect=True) as session:
        check_refused(await elsewhere(lambda: CALLS[name](session)))


@refuses_other_loops
async def test_ending_a_turn_from_another_loop(connect: Connect) -> None:
    """So is what only Flux has."""
    async with unharmed(connect, flux()) as session:
        check_refused(await elsewhere(session.force_end_turn))


@pytest.mark.parametrize("where", ["thread", "other loop"])
@refuses_other_loops
async def test_feeding_from_elsewhere(connect: Connect, where: str) -> None:
    """feed() starts nothing outside its event loop, and needs to be called in one."""
    async with unharmed(connect, nova()) as session:

        async def feed() -> None:
            session.feed([FRAME])

        if where == "thread":
            with pytest.raises(RuntimeError, match="another event loop"):
                in_a_thread(lambda: session.feed([FRAME]))
        else:
            check_refused(await elsewhere(feed))


@pytest.mark.parametrize("name", ["send", "finish"])
@refuses_other_loops
async def test_several_other_loops_at_once(connect: Connect, name: str) -> None:
    """However many call at once, each is refused, and the session's own loop is not held up."""

    async def call() -> None:
        for _ in range(10):
            check_refused(await elsewhere(lambda: CALLS[name](session)))

    async with unharmed(connect, nova()) as session:
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(call)


@refuses_other_loops
async def test_a_consumer_of_its_own_loop_goes_on(connect: Connect) -> None:
    """Who iterates in the right event loop meanwhile loses nothing, and is not taken for the other."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        got: list[str] = []

        async def consume() -> None:
            got.extend(await texts(session))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume)
            await anyio.wait_all_tasks_blocked()
            check_refused(await elsewhere(session.__anext__))
            await (await server.connection()).send(SCRIPT[0])
            session.feed([FRAME])
        assert got == ["hello"]
