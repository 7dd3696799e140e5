"""What feed() returns: waiting for a source, its failure, and that of the stream; one source at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from conftest import FRAME, Connect, LateWord, flux, nova, refuses_other_loops, texts

from deepgram_stream_iter import ConnectionLost, Reconnect, SessionClosed, StreamEvent, StreamSession
from deepgram_stream_iter.testing import DeepgramServer, Faults, Hypothesis, ServerConnection, messages

BOUND_SECONDS = 3
"""What does not wait takes well less than this, on a busy machine too."""


async def pieces(count: int = 5) -> AsyncIterator[bytes]:
    """Yield pieces of 20 ms."""
    for _ in range(count):
        yield FRAME


async def endless() -> AsyncIterator[bytes]:
    """Yield pieces for ever."""
    while True:
        yield FRAME
        await anyio.sleep(0.005)


class LastWord(LateWord):
    """A recognizer that has a word to say when it is first asked for the rest."""

    def flush(self) -> list[Hypothesis]:
        """Say the word, once."""
        said, self._is_said = self._is_said, True
        return [] if said else super().flush()

    _is_said = False


class HungUpError(Exception):
    """What the sources of these tests fail with."""


async def broken(error: Exception) -> AsyncIterator[bytes]:
    """Yield a piece, and fail."""
    yield FRAME
    raise error


# Waiting


@pytest.mark.parametrize("finish", [True, False])
async def test_waiting_for_a_source(connect: Connect, *, finish: bool) -> None:
    """It takes until the source is through and all of it is sent, whether that ends the stream or not."""
    is_gone = anyio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield FRAME
        await is_gone.wait()
        yield FRAME

    async with DeepgramServer() as server, connect(server, nova()) as session:
        feed = session.feed(source(), finish=finish)
        assert feed.is_running
        await (await server.connection()).audio_reached(0.02)
        with anyio.move_on_after(0.02):
            await feed
            raise AssertionError("it has more to send")
        is_gone.set()
        await feed
        assert not feed.is_running
        assert session.stats.audio_seconds_sent == pytest.approx(0.04)
        await server.connections[0].audio_reached(0.04)
        if finish:
            assert await texts(session) == []
            assert session.close_info is not None
            assert session.close_info.drained
        else:
            await session.send(FRAME)
            await server.connections[0].audio_reached(0.06)


@pytest.mark.parametrize("finish", [True, False])
async def test_leaving_after_it_loses_nothing(connect: Connect, *, finish: bool) -> None:
    """Leaving the block right after it, which ends a source that is on its way, is then no trap."""
    async with DeepgramServer(recognizer=LastWord) as server:
        async with connect(server, nova()) as session:
            await session.feed(pieces(200), finish=finish)
        assert server.connections[0].audio == FRAME * 200
        assert session.transcript == "late"
        assert session.close_info is not None
        assert session.close_info.drained


async def test_waiting_often(connect: Connect) -> None:
    """It may be awaited by several tasks, again, and after the end."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            feed = session.feed(pieces())

            async def wait() -> None:
                await feed

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                tasks.start_soon(wait)
            await feed
            await asyncio.gather(feed, feed.wait())
        await feed


async def test_cancelling_leaves_it_running(connect: Connect) -> None:
    """Who is cancelled while waiting does not end the source; another who waits goes on waiting."""
    is_gone = anyio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield FRAME
        await is_gone.wait()
        yield FRAME

    async with DeepgramServer() as server, connect(server, nova()) as session:
        feed = session.feed(source())
        waiting = asyncio.create_task(feed.wait())
        with anyio.move_on_after(0.02) as scope:
            await feed
        assert scope.cancelled_caught
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(feed, 0.02)
        assert feed.is_running
        is_gone.set()
        await waiting
        await feed
        await server.connections[0].audio_reached(0.04)


async def test_over_a_reconnection(connect: Connect) -> None:
    """A lost connection that is made again is nothing to whoever waits: all of it is sent in the end."""

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            await connection.audio_reached(0.04)
            connection.abort()

    async with DeepgramServer(script=script) as server:
        reconnect = Reconnect(initial_delay_seconds=0.01, catch_up_rate=100)
        async with connect(server, nova(), reconnect=reconnect) as session:
            feed = session.feed(pieces(50), pace=4.0)
            await feed
            assert session.stats.audio_seconds_sent == pytest.approx(1.0)
        assert server.connections[1].audio == FRAME * 50


@refuses_other_loops
async def test_in_another_event_loop(connect: Connect) -> None:
    """Elsewhere it cannot be awaited, and says so."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        feed = session.feed(pieces())

        def wait() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                asyncio.run(feed.wait())

        await anyio.to_thread.run_sync(wait)
        await feed


# What it raises


@pytest.mark.parametrize("error", [HungUpError("mine"), anyio.EndOfStream(), SessionClosed("mine")], ids=repr)
@pytest.mark.parametrize("on_error", ["raise", "finish"])
async def test_what_the_source_raises(connect: Connect, error: Exception, on_error: Any) -> None:
    """It is raised as itself, each time; who has seen it is not told again by the exit."""

    async def wait() -> None:
        with pytest.raises(type(error)) as caught:
            await feed
        assert caught.value is error

    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            feed = session.feed(broken(error), on_error=on_error)
            await wait()
            await wait()
        await wait()


async def test_a_piece_that_is_no_audio(connect: Connect) -> None:
    """A source of text is a TypeError, from it and from the iteration."""
    source: Any = ["text"]
    async with DeepgramServer() as server, connect(server, nova()) as session:
        with pytest.raises(TypeError, match="bytes-like"):
            await session.feed(source)
        with pytest.raises(TypeError, match="bytes-like"):
            await texts(session)


@pytest.mark.parametrize("how", ["before", "after"])
async def test_finish_came_first(connect: Connect, how: str) -> None:
    """A source that finish() has cut off is told as that, whenever somebody asks."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        feed = session.feed(endless())
        waiting = asyncio.create_task(feed.wait()) if how == "before" else None
        await (await server.connection()).audio_reached(0.04)
        assert (await session.finish()).drained
        with pytest.raises(SessionClosed, match="finish"):
            await (feed if waiting is None else waiting)


@pytest.mark.parametrize("reconnect", [False, Reconnect(max_attempts=1, initial_delay_seconds=0.01)])
async def test_the_stream_failed_first(connect: Connect, reconnect: Any) -> None:
    """The loss of the connection comes out of it, and does not come out of the exit again."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(0.04)
        await connection.close(1011, "NET-0000")

    async with (
        DeepgramServer(script=script) as server,
        connect(server, nova(), reconnect=reconnect) as session,
    ):
        with pytest.raises(ConnectionLost) as caught:
            await session.feed(endless())
        assert caught.value.code == 1011


async def test_the_server_ended_first(connect: Connect) -> None:
    """So does an end that the server had every right to."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(0.04)
        await connection.close(1000)

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova()) as session:
            with pytest.raises((SessionClosed, ConnectionLost)):
                await session.feed(endless())


async def test_leaving_while_somebody_waits(connect: Connect) -> None:
    """Who waits in another task is told when the session is left, in order or not."""
    for error in (None, HungUpError()):
        async with DeepgramServer() as server:
            try:
                async with connect(server, nova()) as session:
                    waiting = asyncio.create_task(session.feed(endless()).wait())
                    await (await server.connection()).audio_reached(0.04)
                    if error is not None:
                        raise error
            except HungUpError:
                pass
            with pytest.raises(SessionClosed):
                await waiting


@pytest.mark.parametrize("how", ["finish", "loss"])
async def test_a_source_that_cannot_be_cancelled(connect: Connect, how: str) -> None:
    """Who waits for a source that hangs in a thread is told of the end of the stream when it comes, and not later."""
    release, reading = threading.Event(), anyio.Event()

    def read() -> None:
        anyio.from_thread.run_sync(reading.set)
        release.wait()

    async def source() -> AsyncIterator[bytes]:
        yield FRAME
        await anyio.to_thread.run_sync(read)

    try:
        async with DeepgramServer() as server:
            async with connect(server, nova()) as session:
                feed = session.feed(source())
                await reading.wait()
                if how == "finish":
                    await session.finish()
                else:
                    (await server.connection()).abort()
                with (
                    anyio.fail_after(BOUND_SECONDS),
                    pytest.raises((SessionClosed, ConnectionLost)) as caught,
                ):
                    await feed
                assert type(caught.value) is (SessionClosed if how == "finish" else ConnectionLost)
    finally:
        release.set()
    while asyncio.all_tasks() != {asyncio.current_task()}:
        await checkpoint()


async def test_a_clean_up_that_fails(connect: Connect) -> None:
    """What a source raises when the stream ends does not pass for a failure that ended it."""

    async def source() -> AsyncIterator[bytes]:
        try:
            async for piece in endless():
                yield piece
        finally:
            raise HungUpError

    async with DeepgramServer(recognizer=LastWord) as server:
        try:
            async with connect(server, nova()) as session:
                session.feed(source())
                await (await server.connection()).audio_reached(0.04)
        except HungUpError:
            pass  # it may be told
        assert session.transcript == "late"
        assert session.close_info is not None
        assert session.close_info.drained


# One at a time


async def test_a_second_source(connect: Connect) -> None:
    """While one is fed another is refused, of which nothing is taken; then it is its turn."""
    is_gone, taken = anyio.Event(), list[int]()

    async def first() -> AsyncIterator[bytes]:
        yield FRAME
        await is_gone.wait()

    def second() -> Iterator[bytes]:
        taken.append(1)
        yield FRAME

    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            feed = session.feed(first(), finish=False)
            for _ in range(2):
                with pytest.raises(RuntimeError, match="another source is being fed"):
                    session.feed(second())
                await checkpoint()
            assert taken == []
            is_gone.set()
            await feed
            await session.feed(second())
            assert taken == [1]
        assert server.connections[0].audio == FRAME * 2


async def test_a_source_after_the_last(connect: Connect) -> None:
    """After a source whose end is finish() there is none."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        await session.feed(pieces())
        with pytest.raises(SessionClosed):
            session.feed(pieces())


@pytest.mark.parametrize("on_error", ["ignore", None, True, "", "Finish"], ids=repr)
async def test_a_wrong_on_error(connect: Connect, on_error: Any) -> None:
    """A value that there is not is a ValueError, before anything of the source is taken."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            with pytest.raises(ValueError, match="on_error must be one of"):
                session.feed(pieces(), on_error=on_error)
            await session.feed([])
        assert server.connections[0].audio == b""


# A source that fails in order


async def ends_in(session: StreamSession) -> tuple[list[str], Exception | None]:
    """Iterate to the end; return the kinds of events, and the error."""
    kinds: list[str] = []
    try:
        async for event in session:
            kinds += [f"{event.type} {getattr(event, 'transcript', '')}".strip()]
    except Exception as error:  # noqa: BLE001  (it is looked at)
        return kinds, error
    return kinds, None


async def test_the_tail_of_nova(connect: Connect) -> None:
    """With `finish` the late finals come out first, then what the source raised."""
    error = HungUpError()
    async with DeepgramServer(recognizer=LastWord) as server:
        async with connect(server, nova()) as session:
            session.feed(broken(error), on_error="finish")
            kinds, raised = await ends_in(session)
        assert raised is error
        assert [kind for kind in kinds if kind != "transcript"] == ["transcript late", "metadata"]
        assert session.close_info is not None
        assert session.close_info.drained
        assert session.close_info.initiator == "client"
        controls = [control["type"] for control in server.connections[0].controls]
        assert controls == ["Finalize", "CloseStream"]


async def test_the_tail_of_flux(connect: Connect) -> None:
    """So does the end of the turn that was open."""
    error = HungUpError()
    async with DeepgramServer(recognizer=LastWord) as server:
        async with connect(server, flux()) as session:
            session.feed(broken(error), on_error="finish")
            kinds, raised = await ends_in(session)
        assert raised is error
        assert kinds[-1] == "end_of_turn late"
        assert session.transcript == "late"
        assert session.close_info is not None
        assert session.close_info.drained


async def test_the_tail_as_utterances(connect: Connect) -> None:
    """So do the utterances, the one that is cut off too."""
    error = HungUpError()
    async with DeepgramServer(recognizer=LastWord) as server:
        async with connect(server, nova()) as session:
            session.feed(broken(error), on_error="finish")
            heard: list[str] = []
            with pytest.raises(HungUpError):
                async for utterance in session.utterances():
                    heard += [utterance.text]
            assert heard == ["late"]


async def test_the_tail_after_waiting(connect: Connect) -> None:
    """Who has waited for the source, and has seen it fail, can have the tail all the same."""
    error = HungUpError()
    async with DeepgramServer(recognizer=LastWord) as server:
        async with connect(server, nova()) as session:
            with pytest.raises(HungUpError):
                await session.feed(broken(error), on_error="finish")
            kinds, raised = await ends_in(session)
            assert raised is error
            assert "transcript late" in kinds


def leave(session: StreamSession) -> None:
    """Do nothing more."""


@pytest.mark.parametrize("how", ["leave", "wait_closed", "nothing kept"])
@pytest.mark.parametrize("on_error", ["raise", "finish"])
async def test_nobody_iterates(connect: Connect, how: str, on_error: Any) -> None:
    """The failure is then raised by wait_closed(), or else by the exit; with `finish` all has arrived by then."""
    error = HungUpError()
    async with DeepgramServer(recognizer=LastWord) as server:
        settings: dict[str, Any] = {"max_buffer_size": 0} if how == "nothing kept" else {}
        with pytest.raises(HungUpError) as caught:
            async with connect(server, nova(), **settings) as session:
                feed = session.feed(broken(error), on_error=on_error)
                if how == "wait_closed":
                    await session.wait_closed()
                while feed.is_running:
                    await checkpoint()
        assert caught.value is error
        if on_error == "finish":
            assert session.transcript == "late"
            assert session.close_info is not None
            assert session.close_info.drained


async def test_wait_closed_is_enough(connect: Connect) -> None:
    """A failure that wait_closed() has raised, and the application has handled, does not come again."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        session.feed(broken(HungUpError()), on_error="finish")
        with pytest.raises(HungUpError):
            await session.wait_closed()


async def test_a_server_that_does_not_end(connect: Connect) -> None:
    """Where the end does not come in order, that is the error, and what the source raised is told by its feed."""
    error = HungUpError()
    async with DeepgramServer(faults=Faults(mute=True)) as server:
        async with connect(server, nova(), finish_timeout_seconds=0.1) as session:
            feed = session.feed(broken(error), on_error="finish")
            with pytest.raises((ConnectionLost, HungUpError)):
                await texts(session)
            with pytest.raises(HungUpError):
                await feed
            assert session.close_info is not None
            assert not session.close_info.drained


@pytest.mark.parametrize(
    "make", [lambda: broken(HungUpError()), lambda: iter([FRAME, "text"])], ids=["own", "text"]
)
async def test_a_failure_while_reconnecting(connect: Connect, make: Callable[[], Any]) -> None:
    """A source that fails in an outage ends the stream in order too: the next connection gets its audio, and the end."""
    is_lost = anyio.Event()

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            connection.abort()
        else:
            await connection.audio_reached(0.02)
            await connection.send(messages.results("tail", duration=0.02, is_final=True))

    async with DeepgramServer(script=script) as server:
        reconnect = Reconnect(initial_delay_seconds=0.01, on_attempt=lambda _: is_lost.set())
        async with connect(server, nova(), reconnect=reconnect) as session:
            await is_lost.wait()
            session.feed(make(), on_error="finish")
            kinds, raised = await ends_in(session)
            assert isinstance(raised, (HungUpError, TypeError))
            assert "transcript tail" in kinds
            assert session.close_info is not None
            assert session.close_info.drained
        assert server.connections[-1].audio == FRAME
        assert StreamEvent.Reconnected.type in kinds
