"""What a connection, and the life of a session with it, do in moments that no server can hit on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from deepgram_stream_iter import Reconnect, StreamEvent
from deepgram_stream_iter._adapters._protocol import Adapter, Sink
from deepgram_stream_iter._adapters.boundary import OnLoop
from deepgram_stream_iter._connection.connection import Connection
from deepgram_stream_iter._connection.ending import End
from deepgram_stream_iter._inbound.buffer import EndOfEvents, EventBuffer
from deepgram_stream_iter._inbound.inbox import Inbox
from deepgram_stream_iter._life.life import Life
from deepgram_stream_iter._log import Log
from deepgram_stream_iter._loop.tasks import Tasks
from deepgram_stream_iter._options import Endpoint
from deepgram_stream_iter._settings import Settings

LATER = Reconnect(initial_delay_seconds=3600, max_delay_seconds=3600)


class FakeAdapter(Adapter):
    """A socket that takes everything and says nothing."""

    def __init__(self) -> None:
        super().__init__(None, OnLoop())
        self.lost = anyio.Event()

    @property
    def endpoint(self) -> Endpoint:
        """Speak Nova's protocol."""
        return "v1"

    async def open(self, sink: Sink) -> None:
        """Be open at once."""
        self._sink = sink

    async def listen(self) -> None:
        """Listen until the connection is lost."""
        await self.lost.wait()
        self._listening_ended(OSError("lost"))

    async def observe(self) -> None:
        """Do the same."""
        await self.listen()

    async def send(self, data: bytes | str) -> None:
        """Take it."""

    async def start(self) -> None:
        """Have nothing to start."""

    async def close(self) -> None:
        """Have nothing to close."""


def some_settings(**changes: Any) -> Settings:
    """Return settings that let nothing end by itself."""
    given: dict[str, Any] = {
        "max_buffer_size": 1,
        "overflow": "wait",
        "overflow_timeout_seconds": 60,
        "keepalive_seconds": None,
        "connect_timeout_seconds": 60,
        "send_timeout_seconds": 60,
        "finish_timeout_seconds": 60,
        "stall_timeout_seconds": None,
        "listen": True,
        "max_unsent_seconds": 60,
        "name": "",
        "on_connection": None,
        "reconnect": None,
        **changes,
    }
    return Settings(**given)


async def test_leaving_before_there_is_an_inbox_releases_the_sdk() -> None:
    """The SDK is paused over what comes before the session takes it, which nobody does after the end."""
    adapter = FakeAdapter()
    connection = Connection(adapter, some_settings(), Log("test"))
    with anyio.fail_after(1):
        async with anyio.create_task_group() as sdk:
            await connection.open(Tasks(), Tasks())
            pausing = connection.arrived(StreamEvent.Connected())
            assert pausing is not None
            sdk.start_soon(lambda: pausing)
            await anyio.wait_all_tasks_blocked()
            connection.finish_with(End())
    adapter.lost.set()
    await connection.close()


@asynccontextmanager
async def watched(stall_timeout_seconds: float) -> AsyncIterator[tuple[Connection, Inbox]]:
    """Open a connection that watches for a stall, with an inbox for one event, and close it in the end."""
    connection = Connection(
        FakeAdapter(), some_settings(stall_timeout_seconds=stall_timeout_seconds), Log("test")
    )
    inbox = Inbox(EventBuffer(1, "wait", 60, Log("test")), Log("test"))
    async with anyio.create_task_group() as tasks:
        await connection.open(Tasks(), Tasks())
        tasks.start_soon(connection.wait_for_end)
        connection.deliver_to(inbox)
        connection.arrived(StreamEvent.SpeechStarted())
        yield connection, inbox
        connection.finish_with(End())
        await connection.close()
    inbox.close(None, lost=None)


async def test_after_a_pause_the_server_gets_its_time() -> None:
    """What it owes from before a pause of the SDK is not held against it when the pause is over."""
    async with watched(0.1) as (connection, inbox), anyio.create_task_group() as tasks:
        pausing = connection.arrived(StreamEvent.SpeechStarted())
        assert pausing is not None
        tasks.start_soon(lambda: pausing)
        await connection.send(b"audio")
        await anyio.sleep(0.25)  # in which the SDK is paused
        await inbox.buffer.get()
        await anyio.sleep(0.2)  # in which the server has nothing to say
        assert connection.end is None


async def test_an_event_is_nothing_to_answer() -> None:
    """After it the server owes nothing until audio goes out."""
    async with watched(0.05) as (connection, _):
        await anyio.sleep(0.2)  # in which nobody has anything to say
        assert connection.end is None


async def test_a_first_connection_that_is_lost_at_once() -> None:
    """It counts as the first one: the session is entered, and reconnects."""
    adapter = FakeAdapter()
    adapter.lost.set()

    async def connector() -> Adapter:
        return adapter

    life = Life(connector, some_settings(reconnect=LATER))
    try:
        with anyio.fail_after(1):
            assert (await life.open()).end is not None
    finally:
        await life.close_at_once()


async def test_an_id_that_the_handshake_did_not_tell() -> None:
    """It is the one that the first message brings."""

    async def connector() -> Adapter:
        return FakeAdapter()

    life = Life(connector, some_settings())
    connection = await life.open()
    assert not life.tally.request_ids
    connection.arrived(StreamEvent.Connected(request_id="r-1"))
    assert life.tally.request_ids == ("r-1",)
    await life.close_at_once()


async def test_a_failure_to_open_that_nobody_knows() -> None:
    """It comes out of the entry as itself."""

    class Broken(FakeAdapter):
        async def open(self, sink: Sink) -> None:
            del sink
            raise LookupError("mine")

    async def connector() -> Adapter:
        return Broken()

    with pytest.raises(LookupError, match="mine"):
        await Life(connector, some_settings()).open()


async def test_whoever_cancels_all_tasks() -> None:
    """A session whose task is cancelled natively is over, for all who wait for its events or its end."""

    async def connector() -> Adapter:
        return FakeAdapter()

    life = Life(connector, some_settings())
    await life.open()
    (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "deepgram_stream_iter")
    task.cancel()
    with anyio.fail_after(1):
        await asyncio.wait({task})
        assert not (await life.wait_closed()).info.drained
        with pytest.raises(EndOfEvents):
            await life.inbox.buffer.get()
