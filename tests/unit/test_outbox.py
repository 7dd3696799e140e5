"""Audio on its way to connections that come and go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio

from deepgram_stream_iter._audio import RawFormat
from deepgram_stream_iter._outbox import Outbox
from deepgram_stream_iter._recovery.memory import RawMemory

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
    catch_up: Any = outbox.catch_up
    await outbox.send(b"\1\0")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(catch_up, first)
        await first.ended.wait()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    await outbox.send(b"\2\0")
    assert first.sent == [b"\1\0"]
    memory.rewind(0.0, 0.0)
    await catch_up(second)
    await outbox.send(b"\3\0")
    assert b"".join(second.sent) == b"\1\0\2\0\3\0"
