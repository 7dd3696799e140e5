"""What `session.stats` tells of a session: how it connected, what came, how late, and how long it waited."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest
from conftest import FRAME, Connect, arrived, flux, nova

from deepgram_stream_iter import Reconnect, StreamStats
from deepgram_stream_iter.testing import DeepgramServer, ServerConnection, messages

SECOND = bytes(32_000)


async def test_how_long_connecting_took(connect: Connect) -> None:
    """connect_seconds is that of the last connection, with what the application does meanwhile."""

    async def wait(_: object) -> None:
        await anyio.sleep(0.05)  # the time is what is tested

    async with DeepgramServer() as server, connect(server, nova(), on_connection=wait) as session:
        assert 0.05 <= session.stats.connect_seconds < 5


async def test_events_by_kind(connect: Connect) -> None:
    """Every event that the session makes or gets is counted under its type, so that the sum is `events`."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(0.02)
        await connection.send(messages.results("one", start=0.0, duration=0.02))
        await connection.send(messages.results("one", start=0.0, duration=0.02, is_final=True))
        await connection.send(messages.utterance_end(0.02))
        if connection is server.connections[0]:
            await connection.close(1012)

    async with DeepgramServer(script=script) as server:
        reconnect = Reconnect(initial_delay_seconds=0.01)
        async with connect(server, nova(), reconnect=reconnect) as session:
            await session.send(FRAME)
            await server.connection(1)
            await session.send(FRAME)
            await server.connections[1].audio_reached(0.02)
            await session.finish()
            events = [event async for event in session]
    stats = session.stats
    counts = dict(stats.events_by_kind)
    assert sum(counts.values()) == stats.events == len(events)
    assert counts == Counter(event.type for event in events)
    assert counts["reconnecting"] == counts["reconnected"] == counts["metadata"] == 1
    assert counts["transcript"] >= 3
    assert StreamStats.from_dict(stats.to_dict()).events_by_kind == counts


@pytest.mark.parametrize("is_flux", [False, True], ids=["nova", "flux"])
async def test_latency(connect: Connect, *, is_flux: bool) -> None:
    """Latency is where the audio is less where the last result ends, interim or final; the most of it is kept."""

    def result(end: float, text: str) -> Any:
        return (
            messages.turn_info("Update", text, end=end)
            if is_flux
            else messages.results(text, start=0.0, duration=end)
        )

    async with DeepgramServer() as server:
        async with connect(server, flux() if is_flux else nova()) as session:
            before = session.stats.events
            assert session.stats.latency_seconds == 0.0
            assert session.stats.latency_seconds_max is None
            await session.send(SECOND)
            assert session.stats.latency_seconds == pytest.approx(1.0)
            assert session.stats.latency_seconds_max is None
            connection = await server.connection()
            await connection.send(result(0.4, "one"))
            await arrived(session, before + 1)
            assert session.stats.latency_seconds == pytest.approx(0.6)
            assert session.stats.latency_seconds_max == pytest.approx(0.6)
            await session.send(SECOND)
            assert session.stats.latency_seconds == pytest.approx(1.6)
            await connection.send(result(1.9, "one two"))
            await arrived(session, before + 2)
            assert session.stats.latency_seconds == pytest.approx(0.1)
            assert session.stats.latency_seconds_max == pytest.approx(0.6)
            await connection.send(
                result(2.5, "one two three")
            )  # ahead of the audio: by rounding, or a wrong clock
            await arrived(session, before + 3)
            assert session.stats.latency_seconds == 0.0


async def test_no_latency_at_all(connect: Connect) -> None:
    """A first result that is as far as the audio makes the most a zero, and no None."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            await session.send(SECOND)
            await (await server.connection()).send(messages.results("one", start=0.0, duration=1.0))
            await arrived(session, 1)
            assert session.stats.latency_seconds == session.stats.latency_seconds_max == 0.0


async def test_latency_with_audio_that_was_left_out(connect: Connect) -> None:
    """What skip() left out is nothing that Deepgram is behind with."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            await session.send(SECOND)
            await session.skip(10)
            await session.send(SECOND)
            assert session.stats.latency_seconds == pytest.approx(2.0)
            await (await server.connection()).send(messages.results("one", start=1.0, duration=0.5))
            await arrived(session, 1)
            assert session.stats.latency_seconds == pytest.approx(0.5)


async def test_no_latency_of_containers(connect: Connect) -> None:
    """Where the bytes are not time, nobody knows it."""
    async with DeepgramServer() as server:
        async with connect(server, nova(encoding=None, sample_rate=None)) as session:
            await session.send(b"OggS" + FRAME)
            await (await server.connection()).send(messages.results("one"))
            await arrived(session, 1)
            assert session.stats.latency_seconds is None
            assert session.stats.latency_seconds_max is None
            assert session.stats.audio_seconds_sent is None


async def test_how_long_events_waited(connect: Connect) -> None:
    """A consumer that is there has few waits; one that sleeps makes the events wait, and the longest is kept."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            assert (session.stats.wait_seconds_p50, session.stats.wait_seconds_max) == (0.0, 0.0)
            for number in range(3):
                await (await server.connection()).send(messages.results(f"w{number}", start=float(number)))
            await arrived(session, 3)
            await anyio.sleep(0.05)  # the time is what is tested
            assert session.stats.wait_seconds_max == 0.0  # nothing was handed out yet
            for _ in range(3):
                await anext(session)
            assert 0.05 <= session.stats.wait_seconds_p50 <= session.stats.wait_seconds_max < 5
            for number in range(5):
                await (await server.connection()).send(messages.results(f"w{number}", start=float(number)))
                await anext(session)
            assert session.stats.wait_seconds_p50 < 0.05 <= session.stats.wait_seconds_max


@pytest.mark.parametrize("overflow", ["coalesce", "drop_oldest"])
async def test_waits_when_the_buffer_was_full(connect: Connect, overflow: str) -> None:
    """What was taken out of a full buffer waited for nobody: the waits are those of the events that are handed out."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), max_buffer_size=2, overflow=overflow) as session:
            connection = await server.connection()
            for number in range(6):
                await connection.send(messages.results(f"interim {number}", start=0.0))
            await arrived(session, 6)
            await anyio.sleep(0.1)  # the time is what is tested
            await connection.send(messages.results("final", start=0.0, is_final=True))
            await connection.send(messages.utterance_end(1.0))
            await arrived(session, 8)
            first, second = await anext(session), await anext(session)
            assert [first.type, second.type] == ["transcript", "utterance_end"]
            assert 0 < session.stats.wait_seconds_p50 <= session.stats.wait_seconds_max < 0.1


async def test_waits_after_the_end(connect: Connect) -> None:
    """Events that are iterated after the stream has ended have waited since they came."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            await (await server.connection()).send(messages.results("one"))
            await arrived(session, 1)
        await anyio.sleep(0.05)  # the time is what is tested
        events = [event async for event in session]
        assert len(events) == 2
        assert session.stats.wait_seconds_p50 >= 0.05


async def test_subscriptions_are_counted(connect: Connect) -> None:
    """What waits, is dropped or is taken out counts for every consumer: where nobody iterates, there are only those."""
    async with DeepgramServer() as server, connect(server, nova(), max_buffer_size=0) as session:
        slow = session.subscribe(max_buffer_size=1, overflow="drop_oldest")
        coalescing = session.subscribe(max_buffer_size=2)
        for number in range(4):
            await (await server.connection()).send(messages.results(f"w{number}", start=0.0))
        await arrived(session, 4)
        stats = session.stats
        assert (stats.buffered, stats.buffered_max) == (2, 2)  # of the fullest buffer
        assert (stats.dropped, stats.interims_coalesced) == (3, 2)
        await anyio.sleep(0.05)  # the time is what is tested
        await anext(slow)
        await anext(coalescing)
        assert session.stats.wait_seconds_p50 >= 0.05
