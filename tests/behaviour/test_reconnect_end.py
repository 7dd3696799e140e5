"""Ending a session that is reconnecting: in each phase of it, by each way out, and in bounded time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from conftest import (
    FRAME,
    Connect,
    LateWord,
    emitter_only,
    ended,
    flux,
    nova,
    orders_tasks,
    set_transport,
    whole_text,
)
from test_reconnect import LATER, dropping, until

from deepgram_stream_iter import (
    ConnectionLost,
    Reconnect,
    ReconnectAttempt,
    SessionClosed,
    StreamEvent,
    StreamingOptions,
    StreamSession,
)
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

SLOWLY = Reconnect(initial_delay_seconds=0.01, catch_up_rate=1.001)
BOUND_SECONDS = 5
"""What ends at once ends well within this, on a busy machine too."""


async def hanging(attempt: ReconnectAttempt) -> None:
    """Hold the attempt up for ever."""
    attempt.delay = 0.0
    await anyio.sleep_forever()


@asynccontextmanager
async def in_phase(phase: str, connect: Connect, **settings: float) -> AsyncIterator[StreamSession]:
    """Give a session that has lost its connection and is in this phase of getting over it."""
    faults = Faults()

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            await connection.audio_reached(0.02)
            faults.hang_handshake = phase == "handshake"
            connection.abort()

    reconnects = {
        "on_attempt": Reconnect(on_attempt=hanging),
        "back-off": LATER,
        "handshake": Reconnect(initial_delay_seconds=0.001),
        "replay": SLOWLY,
    }
    async with DeepgramServer(script=script, faults=faults) as server:
        session = connect(server, nova(), reconnect=reconnects[phase], **settings)
        async with session:
            await session.send(FRAME * 1000)  # 20 s
            if phase == "on_attempt":
                await server.connections[0].wait_closed()
            else:
                await until(session, StreamEvent.Reconnecting)
            if phase == "replay":
                await until(session, StreamEvent.Reconnected)
            yield session


each_phase = pytest.mark.parametrize("phase", ["on_attempt", "back-off", "handshake", "replay"])


@each_phase
async def test_cancelling(connect: Connect, phase: str) -> None:
    """Cancelling the body ends the session at once, in every phase, and leaves nothing behind."""
    began = time.monotonic()
    with anyio.CancelScope() as scope:
        async with in_phase(phase, connect):
            began = time.monotonic()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert time.monotonic() - began < BOUND_SECONDS


@each_phase
async def test_an_exception_in_the_body(connect: Connect, phase: str) -> None:
    """An exception ends the session at once, in every phase, and comes out as itself."""
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        async with in_phase(phase, connect):
            began = time.monotonic()
            raise ZeroDivisionError
    assert time.monotonic() - began < BOUND_SECONDS


@pytest.mark.parametrize("phase", ["on_attempt", "back-off", "handshake"])
async def test_finishing_without_a_connection(connect: Connect, phase: str) -> None:
    """`finish()` waits for a connection for as long as it may, then tells what is lost, and that it is."""
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match="finish_timeout_seconds") as caught:
        async with in_phase(phase, connect, finish_timeout_seconds=0.1) as session:
            began = time.monotonic()
            info = await session.finish()
            assert not info.drained
            gap = await until(session, StreamEvent.AudioGap)
            await anext(session)
    assert gap == StreamEvent.AudioGap(start=0.0, end=20.0)
    assert session.stats.audio_seconds_lost == 20.0
    assert len(caught.value.causes) >= 1
    assert time.monotonic() - began < BOUND_SECONDS


@pytest.mark.slow
async def test_finishing_a_replay(connect: Connect) -> None:
    """`finish()` waits until all audio was sent again, however short its own time-out is."""

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            await connection.audio_reached(0.02)
            connection.abort()

    reconnect = Reconnect(initial_delay_seconds=0.01, catch_up_rate=10)
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=reconnect, finish_timeout_seconds=0.5) as session:
            await session.send(FRAME)
            await until(session, StreamEvent.Reconnecting)
            for _ in range(400):
                await session.send(FRAME)
            await until(session, StreamEvent.Reconnected)
            info = await session.finish()
            assert info.drained
        assert server.connections[1].audio_seconds == 0.02 * 401


async def test_a_server_that_never_closes(connect: Connect) -> None:
    """A server that does not end the stream is not waited for; audio of which no final came is told, then the error."""
    async with DeepgramServer(
        faults=Faults(no_close=True, no_finalize_answer=True, no_metadata=True)
    ) as server:
        async with connect(server, nova(), reconnect=True, finish_timeout_seconds=0.1) as session:
            await session.send(FRAME)
            info = await session.finish()
            assert not info.drained
            assert await anext(session) == StreamEvent.AudioGap(start=0.0, end=0.02)
            with pytest.raises(ConnectionLost, match="finish_timeout_seconds"):
                await anext(session)
        assert len(server.connections) == 1


async def test_the_connection_is_lost_while_finishing(connect: Connect) -> None:
    """A tail that goes down with its connection is asked of the next."""

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            await connection.received("CloseStream")
            connection.abort()

    faults = Faults(no_finalize_answer=True)
    async with DeepgramServer(script=script, recognizer=LateWord, faults=faults) as server:
        async with connect(server, nova(), reconnect=Reconnect(initial_delay_seconds=0.01)) as session:
            await session.send(FRAME)
            server.connections[0].faults = Faults(late_final_seconds=5, no_finalize_answer=True)
        assert session.transcript == "late"
        assert session.close_info is not None
        assert session.close_info.drained
        assert [connection.audio for connection in server.connections] == [FRAME, FRAME]


@orders_tasks
async def test_sending_after_finish(connect: Connect) -> None:
    """Once `finish()` was called nothing is taken any more, with or without a connection."""
    async with in_phase("back-off", connect, finish_timeout_seconds=0.1) as session:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.finish)
                await anyio.lowlevel.checkpoint()
                with pytest.raises(SessionClosed):
                    await session.send(FRAME)
                with pytest.raises(SessionClosed):
                    session.feed([FRAME])
                scope.cancel()
        with pytest.raises(ConnectionLost):
            async for _ in session:
                pass


async def test_controls_wait_for_a_connection(connect: Connect) -> None:
    """A control message goes to the next connection, behind the audio; without one it fails in bounded time."""
    async with DeepgramServer(script=dropping(1)) as server:
        async with connect(server, nova(), reconnect=Reconnect(initial_delay_seconds=0.01)) as session:
            await session.send(FRAME)
            await until(session, StreamEvent.Reconnecting)
            answer = await session.finalize(timeout_seconds=5)
            assert answer is not None
            assert answer.end == 0.02
            assert server.connections[1].frames[0].data == FRAME
    async with in_phase(
        "back-off", connect, send_timeout_seconds=0.05, finish_timeout_seconds=0.05
    ) as session:
        with pytest.raises(ConnectionLost, match="reconnecting"):
            await session.keep_alive()
        assert await session.finalize(timeout_seconds=0.02) is None
        with pytest.raises(ConnectionLost):
            await session.finish()
            async for _ in session:
                pass


async def test_what_is_kept_does_not_make_finishing_longer(connect: Connect) -> None:
    """On a connection that is there, `finish()` takes as long as without `reconnect`: nothing is sent again."""
    faults = Faults(no_close=True, no_finalize_answer=True, no_metadata=True)
    began = time.monotonic()
    async with DeepgramServer(faults=faults) as server:
        with pytest.raises(ConnectionLost, match="finish_timeout_seconds"):
            async with connect(server, nova(), reconnect=True, finish_timeout_seconds=0.1) as session:
                await session.send(FRAME * 1500)  # 30 s, of which no final comes
                info = await session.finish()
        assert not info.drained
    assert time.monotonic() - began < BOUND_SECONDS


async def test_a_control_that_could_not_be_sent_is_not_the_end(connect: Connect) -> None:
    """Who has seen that has not seen with what the session ended after it: that comes out of the exit."""
    faults = Faults()
    is_lost, is_seen = anyio.Event(), anyio.Event()

    async def later(_: ReconnectAttempt) -> None:
        is_lost.set()
        await is_seen.wait()

    async with DeepgramServer(script=dropping(1), faults=faults) as server:
        reconnect = Reconnect(initial_delay_seconds=0.001, max_attempts=1, on_attempt=later)
        with pytest.raises(ConnectionLost, match="max_attempts"):
            async with connect(server, nova(), reconnect=reconnect, send_timeout_seconds=0.05) as session:
                faults.refuse_status = 503
                await session.send(FRAME)
                await server.connections[0].wait_closed()
                await is_lost.wait()
                with pytest.raises(ConnectionLost, match="goes on with that"):
                    await session.keep_alive()
                is_seen.set()
                await ended(session)


@pytest.mark.parametrize("code", [1000, 1012])
async def test_a_control_on_a_socket_that_is_closed(connect: Connect, code: int) -> None:
    """It goes to the next connection, though the end of this one has not come through the full buffer yet."""

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            await connection.audio_reached(0.02)
            for number in range(6):
                await connection.send(
                    messages.results(f"w{number}", start=number / 1000, duration=0.001, is_final=True)
                )
            await connection.close(code)

    async with DeepgramServer(script=script) as server:
        reconnect = Reconnect(initial_delay_seconds=0.001)
        async with connect(server, nova(), reconnect=reconnect, max_buffer_size=2) as session:
            await session.send(FRAME)
            await server.connections[0].wait_closed()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.keep_alive)
                await until(session, StreamEvent.Reconnected)
            await server.connections[1].received("KeepAlive")
        assert session.transcript == "w0 w1 w2 w3 w4 w5"


@pytest.mark.slow
async def test_patience_with_each_connection(connect: Connect) -> None:
    """After a loss `finish()` waits anew for a connection, and for all of its replay, however short its time-out is."""

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            connection.faults = Faults(mute=True)
            await connection.received("CloseStream")
            await anyio.sleep(1.5)  # most of what finish() waits for a server, and it has to begin anew
            connection.abort()

    def wait(attempt: ReconnectAttempt) -> None:
        attempt.delay = 1.0

    async with DeepgramServer(script=script) as server:
        reconnect = Reconnect(on_attempt=wait, catch_up_rate=10)
        async with connect(server, nova(), reconnect=reconnect, finish_timeout_seconds=2) as session:
            await session.send(bytes(32000 * 25))  # 25 s, which are sent again in 2.5 s
            assert (await session.finish()).drained
        assert server.connections[1].audio_seconds == 25


async def test_finishing_while_it_is_being_entered(connect: Connect) -> None:
    """There is nothing to finish yet, nor to send to, however long that takes; the entering goes on."""
    async with DeepgramServer(faults=Faults(refuse_status=503)) as server:
        session = connect(
            server,
            nova(),
            reconnect=Reconnect(initial_delay_seconds=0.001, max_delay_seconds=0.01, max_attempts=10**6),
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.__aenter__)
            while not server.refused:
                await anyio.lowlevel.checkpoint()
            for call in (session.finish, lambda: session.send(FRAME)):
                with pytest.raises(RuntimeError, match="has not been entered"):
                    await call()
            server.faults.refuse_status = None
        await session.__aexit__(None, None, None)
        assert session.close_info is not None
        assert session.close_info.drained


@pytest.mark.parametrize("code", [1000, 1005])
@pytest.mark.parametrize("options_for", [nova, flux])
async def test_finishing_on_a_socket_that_is_closed(
    connect: Connect, code: int, options_for: Callable[[], StreamingOptions]
) -> None:
    """A clean close that came before CloseStream is not its answer: the next connection is sent all that was kept."""
    options = options_for()

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            await connection.audio_reached(0.02)
            for number in range(6):
                final = messages.results(f"w{number}", start=number / 1000, duration=0.001, is_final=True)
                turn = messages.turn_info("EndOfTurn", f"w{number}", turn_index=number, end=0.02)
                await connection.send(turn if options.endpoint == "v2" else final)
            await connection.close(code)

    async with DeepgramServer(script=script) as server:
        reconnect = Reconnect(initial_delay_seconds=0.001, catch_up_rate=1000)
        async with connect(server, options, reconnect=reconnect, max_buffer_size=2) as session:
            await session.send(FRAME)
            await server.connections[0].wait_closed()
            for number in range(10):
                await session.send(bytes([number]) * 640)
        assert session.close_info is not None
        assert session.close_info.drained
        assert len(server.connections) == 2
        assert server.connections[1].audio.endswith(b"".join(bytes([number]) * 640 for number in range(10)))


async def test_an_answer_to_finalize_is_enough(connect: Connect) -> None:
    """A clean close after it is the agreed end, though Metadata has not come: all words are there."""
    async with DeepgramServer(recognizer=LateWord, faults=Faults(no_metadata=True)) as server:
        async with connect(server, nova(), reconnect=True) as session:
            await session.send(FRAME)
        assert session.close_info is not None
        assert session.close_info.drained
        assert len(server.connections) == 1


@pytest.mark.slow
@emitter_only
async def test_a_dead_peer_is_got_over(connect: Connect, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a send has found the socket closed, the SDK is not waited for, which waits 20 s for its peer."""
    set_transport(monkeypatch, kind, ping_interval=0.1, ping_timeout=0.2)
    async with DeepgramServer() as server:
        with anyio.fail_after(BOUND_SECONDS):
            reconnect = Reconnect(initial_delay_seconds=0.01)
            # A send that is under way when a sync client gives up its peer waits with it, for `send_timeout_seconds`.
            bounds = {"keepalive_seconds": 0.1, "send_timeout_seconds": 1.0}
            async with connect(server, nova(), reconnect=reconnect, **bounds) as session:
                (await server.connection()).faults = Faults(frozen=True)
                await until(session, StreamEvent.Reconnected)


async def test_a_control_is_sent_once(connect: Connect) -> None:
    """However many attempts the outage takes, one that waited for its end goes out once."""
    faults = Faults()

    def come_back(attempt: ReconnectAttempt) -> None:
        if attempt.number == 4:
            faults.refuse_status = None

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            await connection.audio_reached(0.02)
            faults.refuse_status = 503
            connection.abort()

    reconnect = Reconnect(initial_delay_seconds=0.02, on_attempt=come_back)
    async with DeepgramServer(script=script, faults=faults) as server:
        async with connect(server, nova(), reconnect=reconnect) as session:
            await session.send(FRAME)
            await until(session, StreamEvent.Reconnecting)
            assert await session.finalize(timeout_seconds=5) is not None
            assert server.connections[1].controls == [{"type": "Finalize"}]


@pytest.mark.parametrize(
    "name",
    [
        "_life.dialer.Dialer.next_attempt",
        "_life.life.Life._begin",
        "_connection.connection.Connection._start",
        "_connection.connection.Connection.wait_for_end",
        "_connection.connection.Connection.finish",
    ],
)
async def test_a_failure_of_our_own(connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What nobody has foreseen, in any task of the session, is an error of the session, never a clean end."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(f"deepgram_stream_iter.{name}", fail)
    async with DeepgramServer(script=dropping(1) if "Dialer" in name else None) as server:
        with pytest.raises(Exception) as caught:  # noqa: PT011  (send() chains it to its own error)
            async with connect(server, nova(), reconnect=True) as session:
                await session.send(FRAME)
                if "Dialer" in name:
                    await ended(session)
    assert "a fault of ours" in whole_text(caught.value)
