"""With `reconnect` a source that is ahead of the clock waits while what it has sent waits for its finals, and no other."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest
from conftest import FRAME, Connect, flux, nova
from marked_audio import marked

from deepgram_stream_iter import AnyStreamEvent, Reconnect, SessionClosed, StreamEvent, StreamingOptions
from deepgram_stream_iter._outbound import admission
from deepgram_stream_iter.testing import DeepgramServer, Faults, Hypothesis, ServerConnection, messages

BYTES_PER_SECOND = 32_000
BOUND_SECONDS = 3
"""What does not wait takes well less than this, on a busy machine too."""
TRAIL_SECONDS = 0.1
each_endpoint = pytest.mark.parametrize("options_for", [nova, flux])


def reconnect(replay_seconds: float) -> Reconnect:
    """Have so much kept, and sent again in no time."""
    return Reconnect(initial_delay_seconds=0.001, replay_seconds=replay_seconds, catch_up_rate=1000)


class Trailing:
    """Scripts a server whose finals trail behind the audio, by one to two times `seconds` of the wall clock.

    The first connection is lost when `drop_at` seconds of audio have come; or, with `drop_in`, that much time later, in
    which no final comes.
    """

    def __init__(self, seconds: float, *, drop_at: float | None = None, drop_in: float | None = None) -> None:
        self.finals: list[float] = []
        """Up to where the audio of each connection is transcribed for good, in seconds."""
        self._seconds, self._drop_at, self._drop_in = seconds, drop_at, drop_in

    async def __call__(self, connection: ServerConnection) -> None:
        """Answer the audio of a connection until it ends."""
        index = len(self.finals)
        self.finals.append(0.0)
        if index == 0 and self._drop_at is not None:
            if self._drop_in is not None:
                await connection.audio_reached(self._drop_at)
                await anyio.sleep(self._drop_in)
                connection.abort()
                return
            connection.faults = Faults(drop_at_audio_seconds=self._drop_at)
        for number in itertools.count():
            begin = self.finals[index]
            await connection.audio_reached(begin + 0.01)
            end = connection.audio_seconds
            await anyio.sleep(self._seconds)
            for message in self._final(connection, number, begin, end):
                await connection.send(message)
            self.finals[index] = end

    def _final(
        self, connection: ServerConnection, number: int, begin: float, end: float
    ) -> Iterator[dict[str, Any]]:
        if connection.path == "/v2/listen":
            yield messages.turn_info("StartOfTurn", f"w{number}", turn_index=number, start=begin, end=end)
            yield messages.turn_info("EndOfTurn", f"w{number}", turn_index=number, start=begin, end=end)
        else:
            yield messages.results(f"w{number}", start=begin, duration=end - begin, is_final=True)


def check_whole(server: DeepgramServer, script: Trailing, events: list[AnyStreamEvent], audio: bytes) -> None:
    """Check that the second connection goes on where the first was transcribed for good, and nothing is missing."""
    assert [event for event in events if isinstance(event, StreamEvent.AudioGap)] == []
    first, second = server.connections
    assert audio.startswith(first.audio)
    assert audio.endswith(second.audio)
    assert len(audio) - len(second.audio) <= round(script.finals[0] * BYTES_PER_SECOND)


# Ahead of the clock


@each_endpoint
@pytest.mark.parametrize("drop_at", [0.5, 2.0, 2.9])
async def test_a_file_over_a_lost_connection(
    connect: Connect, drop_at: float, options_for: Callable[[], StreamingOptions]
) -> None:
    """What a file has sent is kept until its finals have come, wherever the connection is lost."""
    audio, script = marked(3.0), Trailing(TRAIL_SECONDS, drop_at=drop_at)
    async with DeepgramServer(script=script) as server:
        async with connect(server, options_for(), reconnect=reconnect(1.0)) as session:
            session.feed([audio])
            events = [event async for event in session]
        check_whole(server, script, events, audio)
        assert session.stats.audio_seconds_lost == 0
        assert session.close_info is not None
        assert session.close_info.drained


async def test_a_connection_that_is_lost_while_the_source_waits(connect: Connect) -> None:
    """The outage is no reason to go on: what waits for its finals is still all that is kept."""
    audio, script = marked(3.0), Trailing(TRAIL_SECONDS, drop_at=0.9, drop_in=0.1)
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=reconnect(1.0)) as session:
            session.feed([audio])
            events = [event async for event in session]
        check_whole(server, script, events, audio)


@pytest.mark.slow
async def test_a_pause_before_is_no_credit(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is fed some time after the session began is as far ahead of the clock as any other."""
    monkeypatch.setattr(admission, "_PAUSE_SECONDS", 0.3)
    audio, script = marked(2.0), Trailing(TRAIL_SECONDS, drop_at=1.1)
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=reconnect(0.8)) as session:
            await session.send(audio[: BYTES_PER_SECOND // 10])
            await anyio.sleep(0.6)  # the pause
            session.feed([audio[BYTES_PER_SECOND // 10 :]])
            events = [event async for event in session]
        check_whole(server, script, events, audio)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["feed", "send", "pieces"])
async def test_finals_that_never_come(connect: Connect, how: str) -> None:
    """Who waits in vain goes on at the speed of the clock, and not slower."""
    audio = marked(2.0)
    pieces = [audio[at : at + 640] for at in range(0, len(audio), 640)]
    async with DeepgramServer() as server:
        async with connect(server, nova(), reconnect=reconnect(0.2)) as session:
            began = time.monotonic()
            if how == "feed":
                session.feed([audio])
            elif how == "send":
                await session.send(audio)
            else:
                for piece in pieces:
                    await session.send(piece)
            await (await server.connection()).audio_reached(2.0)
            assert 1.5 <= time.monotonic() - began <= 2.0 + BOUND_SECONDS
        assert server.connections[0].audio == audio
        assert session.close_info is not None
        assert session.close_info.drained


@pytest.mark.slow
async def test_finals_that_trail_a_little(connect: Connect) -> None:
    """Each final lets the source go on at once: it does not wait for the clock any more."""
    script = Trailing(0.05)
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=reconnect(1.0)) as session:
            began = time.monotonic()
            session.feed([bytes(10 * BYTES_PER_SECOND)])
            await (await server.connection()).audio_reached(10.0)
            elapsed = time.monotonic() - began
            assert script.finals[0] >= 8.5  # it has waited for them
            assert elapsed < 6  # where the clock would have taken 9 s
            assert session.stats.audio_seconds_lost == 0


class AtOnce:
    """A recognizer that transcribes each piece for good as it comes."""

    def __init__(self) -> None:
        self._end = 0.0

    def accept(self, audio: bytes) -> list[Hypothesis]:
        """Say nothing of it, for good."""
        start, self._end = self._end, self._end + len(audio) / BYTES_PER_SECOND
        return [Hypothesis(words=(), start=start, end=self._end, is_final=True)]

    def flush(self) -> list[Hypothesis]:
        """Say nothing."""
        return []


async def test_finals_that_come_at_once(connect: Connect) -> None:
    """A file of which next to nothing waits for its finals goes out as fast as they come."""
    async with DeepgramServer(recognizer=AtOnce) as server:
        async with connect(server, nova(), reconnect=reconnect(0.5)) as session:
            began = time.monotonic()
            session.feed([bytes(20 * BYTES_PER_SECOND)])
            async for _ in session:
                pass
        assert time.monotonic() - began < BOUND_SECONDS + 2
        assert server.connections[0].audio_seconds == 20


# Ending while it waits


async def until_it_waits(connection: ServerConnection) -> None:
    """Wait until a minute of audio has come, and see that no more does."""
    await connection.audio_reached(59.0)
    with anyio.move_on_after(0.2):
        await connection.audio_reached(61.0)
        raise AssertionError("the source does not wait")


@pytest.mark.parametrize("how", ["finish", "leave", "exception", "cancellation"])
async def test_ending_while_the_source_waits(connect: Connect, how: str) -> None:
    """A source that would wait for a minute is stopped as any other."""
    async with DeepgramServer() as server:
        ended_at = 0.0
        with anyio.CancelScope() as scope:
            try:
                async with connect(server, nova(), reconnect=reconnect(60.0)) as session:
                    session.feed([bytes(BYTES_PER_SECOND)] * 120)
                    await until_it_waits(server.connections[0])
                    ended_at = time.monotonic()
                    if how == "finish":
                        assert (await session.finish()).drained
                    elif how == "exception":
                        raise ZeroDivisionError
                    elif how == "cancellation":
                        scope.cancel()
                        await anyio.sleep_forever()
            except ZeroDivisionError:
                assert how == "exception"
        assert time.monotonic() - ended_at < BOUND_SECONDS
        assert server.connections[0].audio_seconds <= 61


@pytest.mark.parametrize("how", ["finish", "cancellation"])
async def test_a_send_that_waits(connect: Connect, how: str) -> None:
    """A `send()` that waits is told that the stream is being ended, and can be cancelled."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), reconnect=reconnect(60.0)) as session:
            began = time.monotonic()

            async def end() -> None:
                nonlocal began
                await until_it_waits(server.connections[0])
                began = time.monotonic()
                if how == "finish":
                    assert (await session.finish()).drained
                else:
                    scope.cancel()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(end)
                with anyio.CancelScope() as scope:
                    if how == "finish":
                        with pytest.raises(SessionClosed):
                            await session.send(bytes(120 * BYTES_PER_SECOND))
                    else:
                        await session.send(bytes(120 * BYTES_PER_SECOND))
            assert scope.cancelled_caught == (how == "cancellation")
            assert time.monotonic() - began < BOUND_SECONDS
        assert server.connections[0].audio_seconds <= 61


# What does not wait


async def microphone(seconds: float) -> AsyncIterator[bytes]:
    """Yield audio as it comes."""
    began = time.monotonic()
    for number in range(round(seconds / 0.02)):
        await anyio.sleep(max(0.0, began + number * 0.02 - time.monotonic()))
        yield FRAME


@pytest.mark.slow
@pytest.mark.parametrize("source", ["paced", "microphone"])
async def test_a_live_source_never_waits(connect: Connect, source: str) -> None:
    """Who is not ahead of the clock sends when it has something, though no final ever comes."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), reconnect=reconnect(0.1)) as session:
            began = time.monotonic()
            if source == "paced":
                await session.send([FRAME] * 50, pace=1.0)
            else:
                await session.send(microphone(1.0))
            assert time.monotonic() - began < 1.5
            await server.connections[0].audio_reached(1.0)


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({}, {}),
        ({"encoding": None, "sample_rate": None}, {"reconnect": reconnect(0.2)}),
    ],
    ids=["without reconnect", "audio whose bytes are not time"],
)
async def test_who_is_not_slowed_down(
    connect: Connect, options: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Where nothing is kept to be sent again, there is nothing to wait for."""
    audio = bytes(range(256)) * 125 * 20
    async with DeepgramServer() as server:
        async with connect(server, nova(**options), **settings) as session:
            began = time.monotonic()
            session.feed([audio[at : at + 3200] for at in range(0, len(audio), 3200)])
            async for _ in session:
                pass
        assert time.monotonic() - began < BOUND_SECONDS
        assert server.connections[0].audio == audio
