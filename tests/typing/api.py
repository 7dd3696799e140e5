"""Only type-checked, never run: what the checkers must know of the public names."""

from __future__ import annotations

import json
from typing import Any

from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.listen.v1.socket_client import AsyncV1SocketClient
from deepgram.listen.v2.socket_client import AsyncV2SocketClient
from typing_extensions import assert_never, assert_type

from deepgram_stream_iter import (
    AnyStreamEvent,
    CloseInfo,
    StreamEvent,
    StreamingOptions,
    StreamSession,
    StreamStats,
    Subscription,
    Utterance,
    Word,
    stream,
    sync,
)


def exhaustive(event: AnyStreamEvent) -> str:
    match event:
        case StreamEvent.Transcript(transcript=text, is_final=True):
            assert_type(text, str)
            return text
        case StreamEvent.Transcript() | StreamEvent.SpeechStarted() | StreamEvent.UtteranceEnd():
            return event.type
        case StreamEvent.Metadata() | StreamEvent.Connected():
            return event.request_id
        case StreamEvent.StartOfTurn() | StreamEvent.TurnUpdate() | StreamEvent.EagerEndOfTurn():
            return event.transcript
        case StreamEvent.TurnResumed():
            return event.transcript
        case StreamEvent.EndOfTurn(trigger=trigger, confirmed=confirmed):
            assert_type(confirmed, bool)
            return trigger
        case StreamEvent.Configured() | StreamEvent.ConfigureFailed():
            return ""
        case StreamEvent.Warning(description=description) | StreamEvent.Error(description=description):
            assert_type(description, str)
            return description
        case StreamEvent.Audio(data=data):
            assert_type(data, bytes)
            return ""
        case StreamEvent.Reconnecting(attempt=attempt, cause=cause, delay=delay):
            assert_type((attempt, cause, delay), tuple[int, Exception, float])
            return str(cause)
        case StreamEvent.Reconnected(replayed_seconds=replayed_seconds):
            assert_type(replayed_seconds, float)
            return ""
        case StreamEvent.AudioGap(start=start, end=end):
            assert_type((start, end), tuple[float, float | None])
            return ""
        case StreamEvent.Unknown(name=name):
            return name
        case _:
            assert_never(event)


def narrowed(event: AnyStreamEvent) -> str:
    if event.type == "transcript":
        assert_type(event, StreamEvent.Transcript)
        return event.channel.alternatives[0].transcript
    if event.type == "utterance_end":
        assert_type(event, StreamEvent.UtteranceEnd)
        assert_type(event.last_word_end, float | None)
    return event.type


def of_the_base(event: StreamEvent) -> str:
    match event:
        case StreamEvent.Transcript(transcript=text):
            assert_type(text, str)
            return text
        case _:
            return event.type


async def sessions(client: AsyncDeepgramClient, live: AsyncV1SocketClient, flux: AsyncV2SocketClient) -> None:
    """Each kind of target is accepted, and an iterated event is one of the union."""
    async with stream(client, StreamingOptions(model="nova-3", smart_format=True, keyterm=["a"])) as session:
        assert_type(session, StreamSession)
        session.feed(b"")
        async for event in session:
            assert_type(event, AnyStreamEvent)
            match event:
                case StreamEvent.Transcript(transcript=text, words=words, start=start):
                    assert_type(text, str)
                    assert_type(words, tuple[Word, ...])
                    assert_type(start, float | None)
                case _:
                    pass
        async for utterance in session.utterances():
            assert_type(utterance, Utterance)
        assert_type(await session.finish(), CloseInfo)
        assert_type(session.stats, StreamStats)
        assert_type(await session.finalize(), StreamEvent.Transcript | None)
    stream(client.listen.v1.connect(model="nova-3"))
    stream(client.listen.v2.connect(model="flux-general-en"))
    stream(live, listen=False, keepalive_seconds=None)
    stream(flux)


def elsewhere(event: AnyStreamEvent, some: StreamEvent, utterance: Utterance, stats: StreamStats) -> None:
    """Check that what leaves the process is a dict, and that what is read back is what it was."""
    assert_type(event.to_dict(), dict[str, Any])
    assert_type(some.to_dict(), dict[str, Any])
    read = StreamEvent.from_dict(event.to_dict())
    assert_type(read, AnyStreamEvent)
    exhaustive(read)
    assert_type(StreamEvent.from_dict(json.loads("{}")), AnyStreamEvent)
    assert_type(StreamEvent.Transcript.from_dict({"type": "transcript"}), AnyStreamEvent)
    assert_type(Utterance.from_dict(utterance.to_dict()), Utterance)
    assert_type(StreamStats.from_dict(stats.to_dict()), StreamStats)
    assert_type(utterance.speaker, int | None)
    assert_type(utterance.by_speaker(), tuple[Utterance, ...])


async def consumers(session: StreamSession) -> None:
    """Check that the items of a subscription follow the kinds that are named."""
    async for end in session.subscribe(StreamEvent.UtteranceEnd):
        assert_type(end, StreamEvent.UtteranceEnd)
    async with session.subscribe(StreamEvent.UtteranceEnd, StreamEvent.EndOfTurn, overflow="wait") as ends:
        assert_type(ends, Subscription[StreamEvent.UtteranceEnd | StreamEvent.EndOfTurn])
        async for either in ends:
            assert_type(either, StreamEvent.UtteranceEnd | StreamEvent.EndOfTurn)
    async for event in session.subscribe(max_buffer_size=3):
        assert_type(event, AnyStreamEvent)
    async for utterance in session.subscribe().utterances():
        assert_type(utterance, Utterance)
    assert_type(await session.feed(b""), None)
    assert_type(await session.wait_closed(), CloseInfo)


def without_a_loop(client: DeepgramClient) -> None:
    """Check that a sync session has the types of the async one."""
    with sync.stream(client, StreamingOptions(model="nova-3"), max_buffer_size=3) as session:
        assert_type(session, sync.StreamSession)
        session.send_nowait(b"")
        assert_type(session.feed([b""]).wait(), None)
        for event in session:
            assert_type(event, AnyStreamEvent)
        for end in session.subscribe(StreamEvent.UtteranceEnd, StreamEvent.EndOfTurn):
            assert_type(end, StreamEvent.UtteranceEnd | StreamEvent.EndOfTurn)
        for utterance in session.utterances():
            assert_type(utterance, Utterance)
        assert_type(session.finish(), CloseInfo)
        assert_type(session.stats, StreamStats)
    sync.stream(client, StreamingOptions(model="nova-3"), overflow="explode")  # type: ignore[arg-type]
    session.subscribe(str)  # type: ignore[type-var]


def refused(client: AsyncDeepgramClient) -> None:
    """Find what is wrong: an ignore that were not needed would be reported."""
    stream(client, StreamingOptions(model="nova-3", smart_fromat=True))  # type: ignore[call-arg]
    stream(client, StreamingOptions())  # type: ignore[call-arg]
    stream(client, overflow="explode")  # type: ignore[arg-type]
    StreamEvent.from_dict("{}")  # type: ignore[arg-type]
