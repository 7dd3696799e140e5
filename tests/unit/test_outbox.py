"""Audio on its way to connections that come and go."""

from __future__ import annotations

from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from deepgram_stream_iter import ConnectionLost, Reconnect, SessionClosed
from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._outbound import outbox as outbox_module
from deepgram_stream_iter._outbound.outbox import Outbox
from deepgram_stream_iter._recovery.memory import Memory, OpaqueMemory, RawMemory
from deepgram_stream_iter._settings import Settings

MONO = RawFormat(sample_rate=16000, block_size=2)


class FakeConnection:
    """Takes audio and control messages."""

    def __init__(self, audio_format: RawFormat | None = MONO) -> None:
        self.adapter, self.format = SimpleNamespace(endpoint="v1"), audio_format
        self.end: object = None
        self.request_id = "r-1"
        self.sent: list[bytes] = []
        self.controls: list[str] = []

    async def send(self, data: bytes) -> None:
        """Take a frame."""
        self.sent.append(data)

    async def send_control(self, kind: str) -> None:
        """Take a control message."""
        self.controls.append(kind)


class Closed(FakeConnection):
    """A connection whose socket is closed, which has not reported its end yet."""

    async def send(self, data: bytes) -> None:
        """Take a frame that goes nowhere."""
        await super().send(data)
        raise ConnectionLost("closed", code=1012)

    async def send_control(self, kind: str) -> None:
        """Take a control message that goes nowhere."""
        await super().send_control(kind)
        raise ConnectionLost("closed", code=1012)


def an_outbox(
    memory: Memory | None = None, *, rate: float = 1000.0, send_timeout_seconds: float = 30.0
) -> Any:
    """Make an outbox; one with a memory is that of a session that reconnects. Takes fakes for connections."""
    outbox = Outbox(
        Settings(
            max_buffer_size=1,
            overflow="coalesce",
            overflow_timeout_seconds=1,
            keepalive_seconds=None,
            connect_timeout_seconds=1,
            send_timeout_seconds=send_timeout_seconds,
            finish_timeout_seconds=1,
            stall_timeout_seconds=None,
            listen=True,
            max_unsent_seconds=1,
            name="",
            on_connection=None,
            reconnect=Reconnect(catch_up_rate=rate),
        )
    )
    if memory is not None:
        outbox.keep_in(memory)
    return outbox


async def live(outbox: Any, connection: FakeConnection) -> None:
    """Have a connection caught up and live."""
    outbox.begin(connection)
    await outbox.catch_up(connection)
    outbox.go_live()


async def test_nothing_is_pushed_out_that_was_promised() -> None:
    """From the moment in which a connection is promised what waits, what comes new waits for its room."""
    memory = RawMemory(MONO, 0.1)
    outbox = an_outbox(memory)
    connection = FakeConnection()
    frames = [bytes([number]) * 320 for number in range(1, 13)]  # 10 ms
    for frame in frames[:11]:
        await outbox.send(frame)
    assert memory.rewind(0.0, 0.0).gap == (0.0, 0.01)
    outbox.begin(connection)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.send, frames[11])
        await anyio.wait_all_tasks_blocked()
        await outbox.catch_up(connection)
        outbox.go_live()
    assert b"".join(connection.sent) == b"".join(frames[1:])


async def test_a_promise_is_kept_while_the_socket_is_slow() -> None:
    """What was promised is not pushed out either when what comes new would be due, were it live."""

    class Slow(FakeConnection):
        async def send(self, data: bytes) -> None:
            await super().send(data)
            await anyio.sleep(0.3)

    outbox = an_outbox(RawMemory(MONO, 0.2))
    for number in (1, 2):
        await outbox.send(bytes([number]) * 3200)  # 0.1 s
    connection = Slow()
    outbox.begin(connection)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.send, b"3" * 3200)
        await outbox.catch_up(connection)
    assert [frame[:1] for frame in connection.sent] == [b"\x01", b"\x02", b"3"]


async def test_room_while_a_connection_catches_up() -> None:
    """Who waits for room is let in as soon as enough of what waits was sent, and not when all was."""
    is_let_in = anyio.Event()

    class Waits(FakeConnection):
        async def send(self, data: bytes) -> None:
            await super().send(data)
            if len(self.sent) == 2:
                await is_let_in.wait()

    outbox = an_outbox(RawMemory(MONO, 0.2))
    for frame in (bytes(3200), bytes(3200)):  # 0.1 s
        await outbox.send(frame)
    connection = Waits()
    outbox.begin(connection)

    async def send() -> None:
        await outbox.send(bytes(320))
        is_let_in.set()

    with anyio.fail_after(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            await outbox.catch_up(connection)
    assert len(b"".join(connection.sent)) == 6720


@pytest.mark.parametrize("is_raw", [True, False], ids=["raw", "opaque"])
async def test_a_socket_that_is_closed_and_nobody_knows_yet(*, is_raw: bool) -> None:
    """When a frame cannot be sent, those that follow are kept, though the connection has not reported its end."""
    memory = RawMemory(MONO, 60) if is_raw else OpaqueMemory(60)
    outbox = an_outbox(memory)
    audio_format = MONO if is_raw else None
    first, second = Closed(audio_format), FakeConnection(audio_format)
    await live(outbox, first)
    for frame in (b"1a", b"2b", b"3c"):
        await outbox.send(frame)
    assert first.sent == [b"1a"]
    memory.rewind(0.0, 0.0)
    await live(outbox, second)
    assert b"".join(second.sent) == (
        b"1a2b3c" if is_raw else b"2b3c"
    )  # of opaque audio what was in flight is lost


async def test_a_replay_that_comes_to_no_end() -> None:
    """A connection that cannot be sent all that waits raises that, and is sent no more of it."""
    outbox = an_outbox(RawMemory(MONO, 60))
    closed = Closed()
    for frame in (bytes(3200), bytes(3200)):
        await outbox.send(frame)
    outbox.begin(closed)
    with pytest.raises(ConnectionLost):
        await outbox.catch_up(closed)
    assert len(closed.sent) == 1
    assert not outbox.is_live


async def test_a_connection_that_fails_too_late() -> None:
    """A frame that an old connection could not be sent is nothing to the one that has come after it."""
    is_begun, is_over = anyio.Event(), anyio.Event()

    class Slow(FakeConnection):
        async def send(self, data: bytes) -> None:
            await super().send(data)
            is_begun.set()
            await is_over.wait()
            raise ConnectionLost("closed", code=1012)

    memory = RawMemory(MONO, 60)
    outbox = an_outbox(memory)
    first, second = Slow(), FakeConnection()
    await live(outbox, first)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.send, b"1a")
        await is_begun.wait()
        outbox.pause()
        memory.rewind(0.0, 0.0)
        await live(outbox, second)
        is_over.set()
    await outbox.send(b"2b")
    assert second.sent == [b"1a", b"2b"]


async def test_a_control_waits_for_the_next_connection() -> None:
    """One that a closed socket does not take waits until the connection is over, and goes to the next."""
    outbox = an_outbox(RawMemory(MONO, 60))
    first, second = Closed(), FakeConnection()
    await live(outbox, first)
    taken: list[object] = []

    async def send() -> None:
        taken.append(await outbox.send_control("KeepAlive"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        first.end = "lost"
        outbox.pause()
        await anyio.wait_all_tasks_blocked()
        assert taken == []
        await live(outbox, second)
    assert taken == [second]
    assert (first.controls, second.controls) == (["KeepAlive"], ["KeepAlive"])


async def test_a_control_is_nothing_for_a_connection_that_has_ended() -> None:
    """Not even in the moment before its end has paused the outbox: it would be sent again and again, for ever."""
    outbox = an_outbox(RawMemory(MONO, 60))
    first, second = FakeConnection(), FakeConnection()
    await live(outbox, first)
    first.end = "lost"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.send_control, "KeepAlive")
        await anyio.wait_all_tasks_blocked()
        outbox.pause()
        await live(outbox, second)
    assert (first.controls, second.controls) == ([], ["KeepAlive"])


async def test_no_audio_behind_the_end() -> None:
    """Without reconnection, too, a source that goes on after `finish()` is refused, though the socket is still open."""
    outbox = an_outbox()
    connection = FakeConnection()
    await live(outbox, connection)
    outbox.refuse("finish() was called")
    with pytest.raises(SessionClosed, match="finish"):
        await outbox.send(b"1a")
    assert connection.sent == []


async def test_a_control_on_a_closed_socket_and_no_other_to_come() -> None:
    """Without reconnection it raises at once: there is nothing to wait for."""
    outbox = an_outbox()
    await live(outbox, Closed())
    with anyio.fail_after(1), pytest.raises(ConnectionLost, match="closed"):
        await outbox.send_control("KeepAlive")


@pytest.mark.parametrize("is_live", [True, False], ids=["that is closed", "that there is none"])
async def test_a_control_waits_for_a_bounded_time(*, is_live: bool) -> None:
    """A connection that never reports its end, or never comes, does not hold it for longer than the time-out."""
    outbox = an_outbox(RawMemory(MONO, 60), send_timeout_seconds=0.01)
    await live(outbox, Closed())
    if not is_live:
        outbox.pause()
    with pytest.raises(ConnectionLost, match="closed" if is_live else "goes on with that"):
        await outbox.send_control("KeepAlive")


@pytest.mark.parametrize("what", ["audio", "control"])
async def test_who_waits_is_refused(what: str) -> None:
    """The end of the stream reaches a sender that waits for room, or for a connection; the first reason counts."""
    outbox = an_outbox(RawMemory(MONO, 0.1))
    await outbox.send(bytes(3200))

    async def send() -> None:
        waiting: Coroutine[None, None, object] = (
            outbox.send(bytes(3200)) if what == "audio" else outbox.send_control("KeepAlive")
        )
        with pytest.raises(SessionClosed, match="first"):
            await waiting

    outbox.begin(FakeConnection())  # which never catches up
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        outbox.refuse("first")
        outbox.refuse("second")


class Clock:
    """Time that passes when somebody sleeps, and at no other time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 100.0
        monkeypatch.setattr(outbox_module, "now", lambda: self.time)
        monkeypatch.setattr(anyio, "sleep_until", self.sleep_until)

    async def sleep_until(self, deadline: float) -> None:
        """Let the time pass."""
        self.time = max(self.time, deadline)
        await anyio.lowlevel.checkpoint()


async def test_no_faster_than_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is sent at the rate, frame by frame; what was late once is not made up for by a burst."""
    clock = Clock(monkeypatch)
    times: list[float] = []

    class Timed(FakeConnection):
        async def send(self, data: bytes) -> None:
            await super().send(data)
            times.append(clock.time)
            if len(times) == 5:
                clock.time += 60  # the socket takes its time

    outbox = an_outbox(RawMemory(MONO, 60), rate=1.25)
    connection = Timed()
    audio = bytes(range(250)) * 128  # 1 s
    await outbox.send(audio)
    await live(outbox, connection)
    assert b"".join(connection.sent) == audio
    assert [len(frame) for frame in connection.sent] == [3200] * 10
    frame_seconds = 0.1 / 1.25
    before = [100 + number * frame_seconds for number in range(5)]
    after = [before[-1] + 60 + number * frame_seconds for number in range(5)]
    assert times == pytest.approx(before + after)
