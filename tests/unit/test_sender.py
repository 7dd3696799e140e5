"""Audio on its way out of a source."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from deepgram_stream_iter import ConnectionLost
from deepgram_stream_iter._inbound.buffer import EventBuffer
from deepgram_stream_iter._inbound.inbox import Inbox
from deepgram_stream_iter._log import Log
from deepgram_stream_iter._outbound.sender import AudioSender
from deepgram_stream_iter._outbound.unsent import Unsent


def a_sender(send: Callable[[bytes], Awaitable[None]]) -> AudioSender:
    """Make a sender of opaque audio, whose inbox keeps nothing."""
    outbox: Any = SimpleNamespace(send=send, bytes_taken=0, unsent=Unsent(5.0))
    connection: Any = SimpleNamespace(format=None, adapter=SimpleNamespace(endpoint="v1", query={}))
    buffer = EventBuffer(0, "drop_oldest", 1, Log("test"))
    buffer.close()
    return AudioSender(outbox, connection, Inbox(buffer, Log("test")))


@pytest.mark.parametrize("sources", [[[b"frame"] * 40], [b"frame"] * 40], ids=["one", "many"])
async def test_a_source_that_is_always_ready_leaves_the_loop_to_others(sources: list[Any]) -> None:
    """After eight frames others get their turn, though neither the source nor the socket ever waits."""
    turns: list[str] = []

    async def send(frame: bytes) -> None:
        turns.append(frame.decode())

    async def others() -> None:
        for _ in range(4):
            turns.append("other")
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        sender = a_sender(send)
        for source in sources:
            await sender.send_all(source, None)
    others_turns = [position for position, turn in enumerate(turns) if turn == "other"]
    assert len(others_turns) == 4
    assert all(later - earlier <= 9 for earlier, later in pairwise([-1, *others_turns]))


@pytest.mark.parametrize("is_lost", [True, False])
async def test_a_source_that_the_stream_does_not_take(*, is_lost: bool) -> None:
    """In the background the loss is returned and not raised, so that it is not taken for the end of the source."""

    async def send(_: bytes) -> None:
        if is_lost:
            raise ConnectionLost("lost")

    error = await a_sender(send).feed([b"a"], None)
    assert isinstance(error, ConnectionLost) is is_lost
