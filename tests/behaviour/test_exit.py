"""Behaviour 2: leaving a session, whatever the reason, is orderly or at once, bounded, and leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import pytest
from conftest import FRAME, IS_LEGACY, Connect, LateWord, flux, needs_cancellation, nova, texts

from deepgram_stream_iter import ConnectionLost, StreamEvent, StreamingOptions
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages


@pytest.mark.parametrize("late_seconds", [0.1, 1.0, pytest.param(3.0, marks=pytest.mark.slow)])
async def test_finals_that_come_late_are_in_the_transcript(connect: Connect, late_seconds: float) -> None:
    """After a normal body the session reads on to the server's end, though nobody consumes."""
    faults = Faults(late_final_seconds=late_seconds, no_finalize_answer=True)
    async with DeepgramServer(recognizer=LateWord, faults=faults) as server:
        async with connect(server, nova()) as session:
            await session.send(FRAME)
        assert session.transcript == "late"
        assert session.close_info is not None
        assert session.close_info.drained
        assert await texts(session) == ["late"]


async def test_break_then_exit_finishes(connect: Connect) -> None:
    """A break out of the iteration ends the stream in order."""
    script = [messages.results(text, is_final=True) for text in ("one", "two")]
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova()) as session:
            async for event in session:
                assert isinstance(event, StreamEvent.Transcript)
                break
        assert session.transcript == "one two"
        assert (await server.connection()).close_code == 1000


async def test_more_than_the_buffer_holds_at_the_exit(connect: Connect) -> None:
    """The exit reads on past a full buffer: nothing is held back any more."""
    script = [messages.results(f"w{number}", is_final=True, start=number) for number in range(600)]
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), max_buffer_size=8, overflow="wait") as session:
            pass
        assert session.transcript.split() == [f"w{number}" for number in range(600)]


@pytest.mark.parametrize("overflow", ["error", "drop_oldest"])
async def test_what_comes_at_the_exit_is_kept(connect: Connect, overflow: str) -> None:
    """Whatever the policy, nothing that comes during the exit is dropped or too much: nobody can consume it then."""

    async def script(connection: ServerConnection) -> None:
        await connection.received("CloseStream")
        for number in range(20):
            await connection.send(messages.results(f"w{number}", is_final=True, start=number))

    async with DeepgramServer(script=script, faults=Faults(late_final_seconds=0.2)) as server:
        async with connect(server, nova(), max_buffer_size=2, overflow=overflow) as session:
            pass
        assert await texts(session) == [f"w{number}" for number in range(20)]


@pytest.mark.parametrize("options_for", [nova, flux])
async def test_an_exception_of_the_body_comes_out_as_itself(
    connect: Connect, options_for: Callable[[], StreamingOptions]
) -> None:
    """After an exception the socket is closed at once, without CloseStream, and the exception is the same."""
    options = options_for()
    error = LookupError("mine")
    async with DeepgramServer() as server:
        with pytest.raises(LookupError) as caught:
            async with connect(server, options) as session:
                raise error
        assert caught.value is error
        assert caught.value.__cause__ is None
        connection = await server.connection()
        await connection.wait_closed()
        assert connection.controls == []
        assert IS_LEGACY or connection.close_code == 1000  # by the handshake, not by dropping the socket
        assert session.close_info is not None
        assert not session.close_info.drained
        assert [event.type async for event in session] in ([], ["connected"])


async def test_cancelling_the_body_closes_at_once_and_goes_on(connect: Connect) -> None:
    """A cancelled body closes without waiting for the server, and the cancellation goes on."""
    async with DeepgramServer(faults=Faults(no_close=True)) as server:
        entered = anyio.Event()

        async def body() -> None:
            async with connect(server, nova()):
                entered.set()
                await anyio.sleep_forever()

        task = asyncio.create_task(body())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        connection = await server.connection()
        await connection.wait_closed()
        assert connection.controls == []


@needs_cancellation
async def test_cancelling_the_exit_closes_at_once(connect: Connect) -> None:
    """A cancellation while the exit waits for the server ends the wait."""
    async with DeepgramServer(faults=Faults(no_close=True)) as server:

        async def body() -> None:
            async with connect(server, nova()):
                pass

        task = asyncio.create_task(body())
        await (await server.connection()).received("CloseStream")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@needs_cancellation
async def test_a_second_cancellation_is_obeyed_too(connect: Connect) -> None:
    """A cancellation of the closing itself drops the socket and leaves no task."""
    async with DeepgramServer() as server:
        entered = anyio.Event()
        session = connect(server, nova())

        async def body() -> None:
            async with session:
                entered.set()
                await anyio.sleep_forever()

        task = asyncio.create_task(body())
        await entered.wait()
        server.faults.frozen = True
        await session.send(FRAME)
        await (await server.connection()).received("nothing", 0)
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with anyio.fail_after(1):
            await session.finish()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["frozen", "mute"])
async def test_a_server_that_does_not_end_does_not_hold_the_exit(connect: Connect, fault: str) -> None:
    """A dead or deaf peer holds the exit for finish_timeout_seconds plus 2 s at most; then it raises."""
    async with DeepgramServer() as server:
        with (
            anyio.fail_after(0.2 + 2.0 + 0.5),
            pytest.raises(ConnectionLost, match="finish_timeout_seconds"),
        ):
            async with connect(server, nova(), finish_timeout_seconds=0.2) as session:
                setattr(server.faults, fault, True)
                await session.send(FRAME)
    assert session.close_info is not None
    assert not session.close_info.drained
    assert session.close_info.initiator == "client"


@pytest.mark.slow
async def test_an_exception_with_a_dead_peer_is_bounded(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Closing at once takes at most 2 s when the peer is dead, and nobody else is blamed for that."""
    async with DeepgramServer() as server:
        with anyio.fail_after(2.5), pytest.raises(LookupError):
            async with connect(server, nova()) as session:
                server.faults.frozen = True
                await session.send(FRAME)
                raise LookupError
    assert "cannot be cancelled" not in caplog.text


async def test_a_loss_that_nobody_saw_comes_out_of_the_exit(connect: Connect) -> None:
    """ConnectionLost is raised by the exit when neither the iteration nor send() has raised it."""
    async with DeepgramServer() as server:
        with pytest.raises(ConnectionLost) as caught:
            async with connect(server, nova()) as session:
                await (await server.connection()).close(1011, "NET-0000")
        assert caught.value.code == 1011
        assert caught.value.reason == "NET-0000"
        assert caught.value.request_id == (await server.connection()).request_id
        await session.__aexit__(None, None, None)  # now somebody has seen it


async def test_a_loss_that_was_seen_is_not_raised_again(connect: Connect) -> None:
    """What the iteration has raised, and the application has caught, the exit does not repeat."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        await (await server.connection()).close(1011)
        with pytest.raises(ConnectionLost):
            await anext(session)


async def test_a_concurrent_consumer_gets_the_tail(connect: Connect) -> None:
    """A task that iterates while another leaves the session still gets the late finals, and its end."""
    async with DeepgramServer(recognizer=LateWord, faults=Faults(no_finalize_answer=True)) as server:
        got: list[str] = []
        async with anyio.create_task_group() as tasks:
            async with connect(server, nova()) as session:

                async def consume() -> None:
                    got.extend(await texts(session))

                tasks.start_soon(consume)
                await session.send(FRAME)
        assert got == ["late"]
