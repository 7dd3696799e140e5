"""Audio on its way to connections that come and go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from deepgram_stream_iter import ConnectionLost, _outbox
from deepgram_stream_iter._audio import RawFormat
from deepgram_stream_iter._outbox import Outbox
from deepgram_stream_iter._recovery.memory import OpaqueMemory, RawMemory

MONO = RawFormat(sample_rate=16000, block_size=2)


class FakeConnection:
    """Takes audio until it has ended; that it is told of later."""

    def __init__(self) -> None:
        self.adapter = SimpleNamespace(endpoint="v1")
        self.ended = anyio.Event()
        self.sent: list[bytes] = []

    async def send(self, data: bytes) -> None:
        """Take a frame."""
        self.sent.append(data)


async def test_a_connection_that_ends_with_the_last_frame_of_the_replay() -> None:
    """It gets nothing more: what comes then goes to the next one, which has not caught up yet."""

    class Ending(FakeConnection):
        async def send(self, data: bytes) -> None:
            await super().send(data)
            outbox.hold()
            self.ended.set()

    memory = RawMemory(MONO, 60)
    outbox = Outbox(memory, MONO, catch_up_rate=100)
    first, second = Ending(), FakeConnection()
    begin: Any = outbox.begin
    catch_up: Any = outbox.catch_up
    await outbox.send(b"\1\0")
    begin(first)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(catch_up, first)
        await first.ended.wait()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    await outbox.send(b"\2\0")
    assert first.sent == [b"\1\0"]
    memory.rewind(0.0, 0.0)
    begin(second)
    await catch_up(second)
    await outbox.send(b"\3\0")
    assert b"".join(second.sent) == b"\1\0\2\0\3\0"


async def test_nothing_is_pushed_out_that_was_counted_in() -> None:
    """From the moment in which a connection is promised what waits, what comes new waits for its room."""
    memory = RawMemory(MONO, 0.1)
    outbox = Outbox(memory, MONO, catch_up_rate=1000)
    connection = FakeConnection()
    begin: Any = outbox.begin
    catch_up: Any = outbox.catch_up
    frames = [bytes([number]) * 320 for number in range(1, 13)]  # 10 ms
    outbox.hold()
    for frame in frames[:11]:
        await outbox.send(frame)
    assert memory.rewind(0.0, 0.0).gap == (0.0, 0.01)
    begin(connection)

    async def send_the_last() -> None:
        await outbox.wait_for_room(320)
        await outbox.send(frames[11])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send_the_last)
        await anyio.wait_all_tasks_blocked()
        await catch_up(connection)
    assert b"".join(connection.sent) == b"".join(frames[1:])


@pytest.mark.parametrize("is_raw", [True, False], ids=["raw", "opaque"])
async def test_a_socket_that_is_closed_and_nobody_knows_yet(*, is_raw: bool) -> None:
    """When a frame cannot be sent, those that follow are kept, though the connection has not told its end."""

    class Closed(FakeConnection):
        async def send(self, data: bytes) -> None:
            await super().send(data)
            raise ConnectionLost("closed", code=1012, reason="", request_id="")

    memory = RawMemory(MONO, 60) if is_raw else OpaqueMemory(60)
    outbox = Outbox(memory, MONO if is_raw else None, catch_up_rate=1000)
    first, second = Closed(), FakeConnection()
    begin: Any = outbox.begin
    catch_up: Any = outbox.catch_up
    begin(first)
    assert await catch_up(first)
    for frame in (b"1a", b"2b", b"3c"):
        await outbox.send(frame)
    assert first.sent == [b"1a"]
    memory.rewind(0.0, 0.0)
    begin(second)
    assert await catch_up(second)
    # Of opaque audio nothing is sent twice, so what was on its way is lost.
    assert b"".join(second.sent) == (b"1a2b3c" if is_raw else b"2b3c")


async def test_a_replay_that_comes_to_no_end() -> None:
    """It is no connection to send to, and says so."""

    class Closed(FakeConnection):
        async def send(self, data: bytes) -> None:
            del data
            raise ConnectionLost("closed", code=1012, reason="", request_id="")

    outbox = Outbox(RawMemory(MONO, 60), MONO, catch_up_rate=1000)
    closed = Closed()
    begin: Any = outbox.begin
    catch_up: Any = outbox.catch_up
    await outbox.send(b"1a")
    begin(closed)
    assert not await catch_up(closed)


async def test_a_connection_that_fails_too_late() -> None:
    """A frame that an old connection could not be sent is nothing to the one that has come after it."""
    is_begun, is_over = anyio.Event(), anyio.Event()

    class Slow(FakeConnection):
        async def send(self, data: bytes) -> None:
            await super().send(data)
            is_begun.set()
            await is_over.wait()
            raise ConnectionLost("closed", code=1012, reason="", request_id="")

    memory = RawMemory(MONO, 60)
    outbox = Outbox(memory, MONO, catch_up_rate=1000)
    first, second = Slow(), FakeConnection()
    begin: Any = outbox.begin
    catch_up: Any = outbox.catch_up
    begin(first)
    assert await catch_up(first)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.send, b"1a")
        await is_begun.wait()
        outbox.hold()
        memory.rewind(0.0, 0.0)
        begin(second)
        assert await catch_up(second)
        is_over.set()
    await outbox.send(b"2b")
    assert second.sent == [b"1a", b"2b"]


class Clock:
    """Time that passes when somebody sleeps, and at no other time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 100.0
        monkeypatch.setattr(_outbox, "now", lambda: self.time)
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

    outbox = Outbox(RawMemory(MONO, 60), MONO, catch_up_rate=1.25)
    connection = Timed()
    begin: Any = outbox.begin
    catch_up: Any = outbox.catch_up
    audio = bytes(range(250)) * 128  # 1 s
    await outbox.send(audio)
    begin(connection)
    assert await catch_up(connection)
    assert b"".join(connection.sent) == audio
    assert [len(frame) for frame in connection.sent] == [3200] * 10
    frame_seconds = 0.1 / 1.25
    before = [100 + number * frame_seconds for number in range(5)]
    after = [before[-1] + 60 + number * frame_seconds for number in range(5)]
    assert times == pytest.approx(before + after)


async def test_the_speed_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """During an outage audio is taken in real time, with a lead of half of what is free."""
    clock = Clock(monkeypatch)
    outbox = Outbox(RawMemory(MONO, 4), MONO, catch_up_rate=1.25)
    await outbox.send(bytes(64_000))  # 2 s of 4
    outbox.hold()
    times: list[float] = []
    for _ in range(5):
        await outbox.wait_for_room(16_000)  # 0.5 s
        times.append(clock.time - 100)
    assert times == pytest.approx([0, 0, 0, 0.5, 1.0])
