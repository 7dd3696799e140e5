"""skip(): audio that the application left out still counts, so that all later times are where the source has them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from conftest import Connect, flux, nova, orders_tasks, refuses_other_loops
from marked_audio import MarkedRecognizer, expected_words, marked

from deepgram_stream_iter import (
    AnyStreamEvent,
    Reconnect,
    ReconnectAttempt,
    SessionClosed,
    StreamEvent,
    StreamingOptions,
    StreamSession,
)
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, SpokenWord, messages

BYTES_PER_SECOND = 32_000
WordAt = tuple[str, float | None, float | None]
Part = tuple[float, float]

LENGTH_SECONDS = 8.0
GATES: dict[str, list[Part]] = {
    "always open": [(0.0, 8.0)],
    "one pause": [(0.0, 2.0), (5.0, 8.0)],
    "late, and closed at the end": [(3.0, 5.0)],
    "many pauses": [(0.2, 0.8), (1.0, 1.2), (1.4, 3.0), (3.2, 3.4), (6.0, 7.8)],
}
"""The parts of the source that a gate lets through. It closes and opens in the silence between two words."""
endpoints = pytest.mark.parametrize("options_for", [nova, flux])
gates = pytest.mark.parametrize("gate", GATES.values(), ids=GATES)


async def send_gated(session: StreamSession, gate: list[Part], how: str = "send") -> None:
    """Send what a gate lets through of a source, and skip the rest."""
    audio, at = marked(LENGTH_SECONDS), 0.0
    for begin, end in [*gate, (LENGTH_SECONDS, LENGTH_SECONDS)]:
        if begin > at:
            await session.skip(begin - at)
        piece = audio[round(begin * BYTES_PER_SECOND) : round(end * BYTES_PER_SECOND)]
        if how == "send":
            await session.send(piece)
        elif how == "feed":
            await session.feed([piece], finish=False)
        else:
            for first in range(0, len(piece), 1000):
                session.send_nowait(piece[first : first + 1000])
        at = end


def words_in(gate: list[Part]) -> list[WordAt]:
    """Return the words that a gate lets through, with their times in the source."""
    return [
        (text, start, end)
        for text, start, end in expected_words(LENGTH_SECONDS)
        if any(opens <= start and end <= closes for opens, closes in gate)
    ]


def heard(events: list[AnyStreamEvent]) -> list[WordAt]:
    """Return the final words; check that each is where its segment or turn is."""
    words: list[WordAt] = []
    for event in events:
        if isinstance(event, StreamEvent.EndOfTurn) or (
            isinstance(event, StreamEvent.Transcript) and event.is_final
        ):
            assert event.start is not None
            assert event.end is not None
            for word in event.words:
                assert word.start is not None
                assert word.end is not None
                assert event.start - 1e-6 <= word.start <= word.end <= event.end + 1e-6
                words.append((word.word, word.start, word.end))
    return words


def assert_at(words: list[WordAt], expected: list[WordAt]) -> None:
    """Check the words, each once and in order, and their times."""
    assert [word for word, *_ in words] == [word for word, *_ in expected]
    for word, right in zip(words, expected, strict=True):
        assert word[1:] == pytest.approx(right[1:], abs=1e-5)


# Where the words are


@gates
@endpoints
async def test_words_behind_a_gate(
    connect: Connect, gate: list[Part], options_for: Callable[[], StreamingOptions]
) -> None:
    """However often audio is left out, each word is where the source has it, and so is the end of the stream."""
    async with DeepgramServer(recognizer=MarkedRecognizer) as server:
        async with connect(server, options_for()) as session:
            await send_gated(session, gate)
            await session.finish()
            events = [event async for event in session]
        assert_at(heard(events), words_in(gate))
        sent = sum(end - begin for begin, end in gate)
        assert server.connections[0].audio_seconds == pytest.approx(sent)
        assert session.stats.audio_seconds_sent == pytest.approx(sent)
        for event in events:
            if isinstance(event, StreamEvent.Metadata):
                assert event.duration == pytest.approx(LENGTH_SECONDS)
        last_end = max(end for _, _, end in words_in(gate) if end is not None)
        assert last_end - 1e-6 <= session.stats.audio_seconds_finalized <= gate[-1][1] + 1e-6
        latency = session.stats.latency_seconds
        assert latency is not None
        assert latency < 0.1  # the silence behind the last word
        assert session.stats.audio_seconds_lost == 0


async def test_in_an_audio_callback(connect: Connect) -> None:
    """A thread that gates its audio skips between two pieces, and waits for nothing."""
    audio = marked(LENGTH_SECONDS)
    async with DeepgramServer(recognizer=MarkedRecognizer) as server:
        async with connect(server, nova()) as session:

            def recording() -> None:
                session.send_nowait(audio[: BYTES_PER_SECOND * 2])
                session.skip(3.0)
                session.send_nowait(audio[BYTES_PER_SECOND * 5 :])

            await anyio.to_thread.run_sync(recording)
            await session.finish()
            events = [event async for event in session]
        assert_at(heard(events), words_in(GATES["one pause"]))


@endpoints
@pytest.mark.parametrize("drop_at", [0.3, 1.0, 1.7, 2.9])
@pytest.mark.parametrize("name", ["one pause", "many pauses"])
async def test_over_a_reconnection(
    connect: Connect, name: str, drop_at: float, options_for: Callable[[], StreamingOptions]
) -> None:
    """Where audio is sent again nothing is moved twice: each word comes once, and is where the source has it."""
    gate = GATES[name]

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            connection.faults = Faults(drop_at_audio_seconds=drop_at)

    async with DeepgramServer(recognizer=MarkedRecognizer, script=script) as server:
        reconnect = Reconnect(initial_delay_seconds=0.001, catch_up_rate=1000)
        async with connect(server, options_for(), reconnect=reconnect) as session:
            await send_gated(session, gate)
            await session.finish()
            events = [event async for event in session]
        assert len(server.connections) == 2
        assert_at(heard(events), words_in(gate))
        assert session.stats.audio_seconds_lost == 0
        for event in events:
            if isinstance(event, StreamEvent.Metadata):
                assert event.duration == pytest.approx(LENGTH_SECONDS)


@pytest.mark.parametrize("how", ["send", "feed", "send_nowait"])
async def test_however_the_audio_comes(connect: Connect, how: str) -> None:
    """It takes its turn behind all audio that was handed over before, in whatever way."""
    gate = GATES["many pauses"]
    async with DeepgramServer(recognizer=MarkedRecognizer) as server:
        async with connect(server, nova(), max_unsent_seconds=60) as session:
            await send_gated(session, gate, how)
            await session.finish()
            assert_at(heard([event async for event in session]), words_in(gate))


async def test_inside_a_source(connect: Connect) -> None:
    """A generator that is fed may skip what it leaves out itself."""
    audio = marked(LENGTH_SECONDS)

    async def gated() -> AsyncIterator[bytes]:
        yield audio[: BYTES_PER_SECOND * 2]
        await session.skip(3.0)
        yield audio[BYTES_PER_SECOND * 5 :]

    async with DeepgramServer(recognizer=MarkedRecognizer) as server:
        async with connect(server, nova()) as session:
            session.feed(gated())
            events = [event async for event in session]
            assert_at(heard(events), words_in(GATES["one pause"]))


async def test_several_in_a_row(connect: Connect) -> None:
    """One after another they add up, at the beginning too."""
    audio = marked(LENGTH_SECONDS)
    async with DeepgramServer(recognizer=MarkedRecognizer) as server:
        async with connect(server, nova()) as session:
            for seconds in (1.0, 0.5, 0.5):
                await session.skip(seconds)
            await session.send(audio[BYTES_PER_SECOND * 2 : BYTES_PER_SECOND * 4])
            for _ in range(100):
                await session.skip(0.02)
            await session.send(audio[BYTES_PER_SECOND * 6 :])
            await session.finish()
            events = [event async for event in session]
            assert_at(heard(events), words_in([(2.0, 4.0), (6.0, 8.0)]))


async def test_utterances(connect: Connect) -> None:
    """An utterance begins and ends where the source has it, and so do its words."""
    gate = GATES["one pause"]
    async with DeepgramServer(recognizer=MarkedRecognizer) as server:
        async with connect(server, nova()) as session:
            await send_gated(session, gate)
            await session.finish()
            utterances = [utterance async for utterance in session.utterances()]
        words: list[WordAt] = [
            (word.word, word.start, word.end) for utterance in utterances for word in utterance.words
        ]
        assert_at(words, words_in(gate))
        assert session.transcript == " ".join(word for word, *_ in words)
        for utterance in utterances:
            assert utterance.start is not None
            assert utterance.end == pytest.approx(utterance.words[-1].end)
            assert utterance.start <= (utterance.words[0].start or 0.0)


# Other times


async def told(
    connect: Connect, options: StreamingOptions, *what: dict[str, object], **settings: Any
) -> list[AnyStreamEvent]:
    """Send 1 s, skip 10 s, and send 1 s; return the events of a server that tells this of it."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(2.0)
        for message in what:
            await connection.send(message)

    async with DeepgramServer(script=script) as server:
        async with connect(server, options, **settings) as session:
            await session.send(bytes(BYTES_PER_SECOND))
            await session.skip(10.0)
            await session.send(bytes(BYTES_PER_SECOND))
            await (await server.connection()).audio_reached(2.0)
            events = [await anext(session) for _ in range(len(what) + (options.endpoint == "v2"))]
            assert session.stats.latency_seconds is not None
            assert session.stats.latency_seconds <= 2.0
            assert (session.stats.latency_seconds_max or 0.0) <= 2.0
            await session.finish()
            return events[options.endpoint == "v2" :]


@pytest.mark.parametrize("reconnect", [False, True])
async def test_marks_of_nova(connect: Connect, *, reconnect: bool) -> None:
    """SpeechStarted begins behind a skip, an UtteranceEnd ends before it, and -1 stays what it is."""
    events = await told(
        connect,
        nova(),
        messages.speech_started(0.5),
        messages.speech_started(1.0),
        messages.utterance_end(1.0),
        messages.utterance_end(1.5),
        messages.utterance_end(-1),
        reconnect=reconnect,
    )
    times = [
        event.timestamp if isinstance(event, StreamEvent.SpeechStarted) else event.last_word_end
        for event in events
        if isinstance(event, (StreamEvent.SpeechStarted, StreamEvent.UtteranceEnd))
    ]
    # With `reconnect` the end of a word that has ended already is left out, whatever is skipped.
    assert times == [0.5, 11.0, 1.0, 11.5, -1]


@pytest.mark.parametrize("reconnect", [False, True])
async def test_a_segment_across_a_skip(connect: Connect, *, reconnect: bool) -> None:
    """It lasts as long as in the source, with what was left out; one on either side lasts as long as it is."""
    words = [SpokenWord("a", 0.5, 1.0), SpokenWord("b", 1.0, 1.5), SpokenWord("c", 0.9, 1.1)]
    events = await told(
        connect,
        nova(),
        messages.results("before", start=0.25, duration=0.75),
        messages.results("across", start=0.5, duration=1.0, words=words),
        messages.results("behind", start=1.0, duration=0.5),
        reconnect=reconnect,
    )
    transcripts = [event for event in events if isinstance(event, StreamEvent.Transcript)]
    assert [(each.start, each.duration, each.end) for each in transcripts] == [
        (0.25, 0.75, 1.0),
        (0.5, 11.0, 11.5),
        (11.0, 0.5, 11.5),
    ]
    across = [(word.word, word.start, word.end) for word in transcripts[1].words]
    assert across == [("a", 0.5, 1.0), ("b", 11.0, 11.5), ("c", 0.9, 11.1)]


@pytest.mark.parametrize("reconnect", [False, True])
async def test_windows_of_flux(connect: Connect, *, reconnect: bool) -> None:
    """The windows of turns and the words in them are where the source has them."""
    events = await told(
        connect,
        flux(),
        messages.turn_info("StartOfTurn", "a", start=0.5, end=0.75),
        messages.turn_info("EndOfTurn", "a b", start=0.5, end=1.5),
        messages.turn_info("Update", turn_index=1, start=1.0, end=2.0),
        reconnect=reconnect,
    )
    windows = [
        (event.start, event.end)
        for event in events
        if isinstance(event, (StreamEvent.StartOfTurn, StreamEvent.EndOfTurn, StreamEvent.TurnUpdate))
    ]
    assert windows == [(0.5, 0.75), (0.5, 11.5), (11.0, 12.0)]
    end = events[1]
    assert isinstance(end, StreamEvent.EndOfTurn)
    assert [(word.start, word.end) for word in end.words] == [(0.5, 1.0), (11.0, 11.5)]


async def test_a_turn_that_the_end_cuts_off(connect: Connect) -> None:
    """What the session makes of the last event of a turn is where that was, and not moved again."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(1.0)
        await connection.send(messages.turn_info("StartOfTurn", "a", start=0.5, end=1.0))

    async with DeepgramServer(script=script) as server:
        async with connect(server, flux()) as session:
            await session.send(bytes(BYTES_PER_SECOND // 2))
            await session.skip(10.0)
            await session.send(bytes(BYTES_PER_SECOND // 2))
            await session.finish()
            end = [event async for event in session][-1]
    assert isinstance(end, StreamEvent.EndOfTurn)
    assert (end.confirmed, end.start, end.end) == (False, 10.5, 11.0)
    assert [(word.start, word.end) for word in end.words] == [(10.5, 11.0)]


async def test_the_answer_to_a_finalize(connect: Connect) -> None:
    """What finalize() returns is placed like the event that is iterated, because it is that."""
    async with DeepgramServer(recognizer=MarkedRecognizer) as server:
        async with connect(server, nova()) as session:
            await session.skip(2.0)
            await session.send(marked(0.8, first_block=200))
            flushed = await session.finalize()
            assert flushed is not None
            events = [event async for event in _finished(session)]
            assert flushed in events
            assert flushed.end == pytest.approx(flushed.words[-1].end)
            assert flushed.words[-1].word == "w13"
            assert flushed.words[-1].end == pytest.approx(2.77)


async def _finished(session: StreamSession) -> AsyncIterator[AnyStreamEvent]:
    await session.finish()
    async for event in session:
        yield event


async def test_a_gap_across_a_skip(connect: Connect) -> None:
    """Audio that an outage costs is told where the source has it; what was left out in between is not lost."""
    is_lost, is_back = anyio.Event(), anyio.Event()

    async def come_back(_: ReconnectAttempt) -> None:
        is_lost.set()
        await is_back.wait()

    async def script(connection: ServerConnection) -> None:
        if len(server.connections) == 1:
            connection.abort()
        else:
            await connection.audio_reached(0.2)
            await connection.send(messages.results("on", start=0.0, duration=0.2, is_final=True))

    reconnect = Reconnect(
        initial_delay_seconds=0.001, catch_up_rate=1000, replay_seconds=0.2, on_attempt=come_back
    )
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=reconnect) as session:
            await is_lost.wait()
            await session.send(bytes(BYTES_PER_SECOND // 5))
            await session.skip(10.0)
            await session.send(bytes(BYTES_PER_SECOND * 2 // 5))
            is_back.set()
            await session.finish()
            events = [event async for event in session]
        (gap,) = [event for event in events if isinstance(event, StreamEvent.AudioGap)]
        assert gap == StreamEvent.AudioGap(start=0.0, end=10.4)
        assert session.stats.audio_seconds_lost == pytest.approx(0.4)
        (final,) = [
            event for event in events if isinstance(event, StreamEvent.Transcript) and event.transcript
        ]
        assert (final.start, final.end) == pytest.approx((10.4, 10.6))


# Where it takes its turn


async def skip(session: StreamSession, seconds: float) -> None:
    """Skip in a task."""
    await session.skip(seconds)


@orders_tasks
async def test_it_waits_for_the_audio_before(connect: Connect) -> None:
    """While other audio is on its way it counts behind that, and audio that is sent later behind it."""
    async with DeepgramServer(recognizer=MarkedRecognizer) as server:
        async with connect(server, nova()) as session:
            audio = marked(LENGTH_SECONDS)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.send, audio[: BYTES_PER_SECOND * 2])
                tasks.start_soon(skip, session, 3.0)
                tasks.start_soon(session.send, audio[BYTES_PER_SECOND * 5 :])
            await session.finish()
            events = [event async for event in session]
            assert_at(heard(events), words_in(GATES["one pause"]))


async def test_nothing_is_sent_for_it(connect: Connect) -> None:
    """It is no message of its own."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            await session.skip(5.0)
            await session.skip(1e-3)
            await checkpoint()
        assert server.connections[0].audio == b""
        assert [control["type"] for control in server.connections[0].controls] == ["Finalize", "CloseStream"]


# Refused


@pytest.mark.parametrize(
    "seconds", [0, 0.0, -1.0, math.nan, math.inf, "1", None, True, timedelta(seconds=1)], ids=repr
)
async def test_what_is_no_length(connect: Connect, seconds: Any) -> None:
    """What is no number of seconds above 0 is a ValueError, and changes nothing."""
    async with DeepgramServer(recognizer=MarkedRecognizer) as server, connect(server, nova()) as session:
        with pytest.raises(ValueError, match="seconds must be a number above 0") as caught:
            await session.skip(seconds)
        assert repr(seconds) in str(caught.value)
        await session.send(marked(LENGTH_SECONDS))
        await session.finish()
        assert_at(heard([event async for event in session]), words_in(GATES["always open"]))


@pytest.mark.parametrize("encoding", [None, "opus"])
async def test_opaque_audio(connect: Connect, encoding: str | None) -> None:
    """Where bytes are not time, nobody knows how long a skip would be in them."""
    options = StreamingOptions(model="nova-3", encoding=encoding, sample_rate=16000 if encoding else None)
    async with DeepgramServer() as server, connect(server, options) as session:
        with pytest.raises(ValueError, match=r"skip\(\) needs raw audio"):
            await session.skip(1.0)


async def test_when_there_is_no_session(connect: Connect) -> None:
    """Before it is entered and after its end it is refused as send() is."""
    async with DeepgramServer() as server:
        session = connect(server, nova())
        with pytest.raises(RuntimeError, match="has not been entered"):
            await session.skip(1.0)
        async with session:
            await session.finish()
            with pytest.raises(SessionClosed):
                await session.skip(1.0)


@refuses_other_loops
async def test_in_another_event_loop(connect: Connect) -> None:
    """There it is refused as send() is."""
    async with DeepgramServer() as server, connect(server, nova()) as session:

        async def skip() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                await session.skip(1.0)

        await anyio.to_thread.run_sync(lambda: asyncio.run(skip()))
