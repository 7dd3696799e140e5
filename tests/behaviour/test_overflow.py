"""Behaviour 4: a consumer that is too slow loses no final word, and the bound holds."""

from __future__ import annotations

import asyncio
import itertools

import anyio
import pytest
from anyio.lowlevel import checkpoint
from conftest import Connect, flux, nova, on_message, set_transport, texts

from deepgram_stream_iter import BufferOverflow, StreamEvent
from deepgram_stream_iter.testing import DeepgramServer, ServerConnection, messages


def segment(number: int, *, final: bool) -> dict[str, object]:
    """Make an interim or the final of a numbered segment."""
    return messages.results(f"w{number}", start=float(number), is_final=final)


@pytest.mark.slow
async def test_a_sleeping_consumer_keeps_its_connection_and_gets_every_final(
    kind: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5,000 messages and several ping windows pass while nobody consumes: still connected, every final there."""
    set_transport(monkeypatch, kind, ping_interval=0.1, ping_timeout=1.5)
    flood = [segment(number // 25, final=number % 25 == 24) for number in range(5000)]
    go = anyio.Event()

    async def script(connection: ServerConnection) -> None:
        await go.wait()
        for number, message in enumerate(flood):
            await connection.send(message)
            if number % 100 == 0:  # the SDK's parsing is slow, and its pongs come behind what it has to parse
                await (await connection.websocket.ping())

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova()) as session:
            all_arrived = anyio.Event()
            loop, seen = asyncio.get_running_loop(), itertools.count(1)

            def count(_: object) -> None:
                if next(seen) == len(flood):
                    loop.call_soon_threadsafe(all_arrived.set)

            on_message(session.connection, kind, count)
            go.set()
            await anyio.sleep(2.5)  # the consumer sleeps: that is what is tested
            await all_arrived.wait()
            assert session.stats.buffered <= 256
            assert session.stats.interims_coalesced > 4000
            assert session.stats.dropped == 0
            assert (await server.connection()).close_code is None
            session.feed([])
            assert await texts(session) == [f"w{number}" for number in range(200)]
            assert session.stats.buffered_max == 256


async def test_flux_updates_are_coalesced(connect: Connect) -> None:
    """Turn updates that a later event of the turn supersedes go; the events that begin and end turns stay."""
    script: list[dict[str, object]] = []
    for turn in range(5):
        script.append(messages.turn_info("StartOfTurn", "a", turn_index=turn))
        script += [messages.turn_info("Update", f"a {n}", turn_index=turn) for n in range(50)]
        script.append(messages.turn_info("EndOfTurn", f"turn {turn}", turn_index=turn, trigger="model"))
    async with DeepgramServer(script=script) as server:
        async with connect(server, flux(), max_buffer_size=16) as session:
            await session.finish()
            events = [event async for event in session]
    kinds = [event.type for event in events]
    assert kinds.count("start_of_turn") == kinds.count("end_of_turn") == 5
    assert session.transcript == "turn 0 turn 1 turn 2 turn 3 turn 4"
    assert session.stats.interims_coalesced == 250 - kinds.count("turn_update")


@pytest.mark.parametrize("overflow", ["coalesce", "wait"])
async def test_a_held_back_sdk_loses_nothing(connect: Connect, session_kind: str, overflow: str) -> None:
    """With nothing left to coalesce the SDK is held back; a slow consumer still gets every final, in order."""
    script = [segment(number, final=True) for number in range(500)]
    # What is handed to the thread of a sync session makes room for as many behind it.
    most = 8 if session_kind == "sync-session" else 4
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), max_buffer_size=4, overflow=overflow) as session:
            got = []
            async for event in session:
                assert session.stats.buffered <= most
                await checkpoint()
                if isinstance(event, StreamEvent.Transcript):
                    got.append(event.transcript)
                if len(got) == 500:
                    break
            assert got == [f"w{number}" for number in range(500)]
            assert session.stats.dropped == session.stats.interims_coalesced == 0


@pytest.mark.parametrize("overflow", ["coalesce", "wait"])
async def test_holding_back_is_bounded(connect: Connect, overflow: str) -> None:
    """After overflow_timeout_seconds comes BufferOverflow, behind the events, and says what to do."""
    script = [segment(number, final=True) for number in range(10)]
    async with DeepgramServer(script=script) as server:
        async with connect(
            server,
            nova(),
            max_buffer_size=3,
            overflow=overflow,
            overflow_timeout_seconds=0.05,
        ) as session:
            await (await server.connection()).wait_closed()
            got = [await anext(session) for _ in range(4)]
            assert [event.type for event in got] == ["transcript"] * 4
            with pytest.raises(BufferOverflow, match=r"feed\(\).*max_buffer_size"):
                await anext(session)


async def test_overflow_error(connect: Connect) -> None:
    """overflow="error" raises at once, behind the events."""
    script = [segment(number, final=True) for number in range(10)]
    async with DeepgramServer(script=script) as server:
        with pytest.raises(BufferOverflow, match="'error'"):
            async with connect(server, nova(), max_buffer_size=3, overflow="error"):
                await (await server.connection()).wait_closed()


async def test_overflow_drop_oldest(connect: Connect) -> None:
    """overflow="drop_oldest" keeps the newest and counts what it drops; transcript has all the same."""
    script = [segment(number, final=True) for number in range(10)]
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), max_buffer_size=3, overflow="drop_oldest") as session:
            await session.finish()
            assert session.stats.dropped == 8  # of ten and the Metadata
            assert [event.type async for event in session] == ["transcript", "transcript", "metadata"]
            assert len(session.transcript.split()) == 10


async def test_stats_count_what_arrived(connect: Connect) -> None:
    """The stats tell events, what is buffered now and at most, and the audio finalized."""

    async def script(connection: ServerConnection) -> None:
        await connection.send(segment(1, final=False))
        await connection.send(segment(1, final=True))

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova()) as session:
            await anext(session)
            await anext(session)
            stats = session.stats
            assert (stats.events, stats.buffered, stats.audio_seconds_finalized) == (2, 0, 2.0)
            assert 1 <= stats.buffered_max <= 2
