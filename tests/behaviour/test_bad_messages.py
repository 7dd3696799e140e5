"""Behaviour 6: whatever the server sends becomes the right event, an Unknown, or one clear error."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

import pytest
from conftest import FRAME, IS_LEGACY, SDK, TOO_STRICT, Connect, flux, nova, set_transport, texts

from deepgram_stream_iter import AnyStreamEvent, ConnectionLost, StreamEvent, StreamingOptions
from deepgram_stream_iter.testing import DeepgramServer, Faults, Message, messages


async def test_bad_json_is_a_lost_connection_with_its_cause(connect: Connect, kind: str) -> None:
    """The SDK stops listening on bad JSON: ConnectionLost, after what had come before it."""
    script: list[Message] = [messages.results("before", is_final=True), '{"type": "Res']
    async with DeepgramServer(script=script) as server, connect(server, nova()) as session:
        assert isinstance(await anext(session), StreamEvent.Transcript)
        with pytest.raises(ConnectionLost, match=r"stopped listening.*Unterminated string") as caught:
            await anext(session)
        if not (IS_LEGACY and kind == "async"):  # which tells its text alone
            assert isinstance(caught.value.__cause__, json.JSONDecodeError)
        assert caught.value.code is None
        await (await server.connection()).wait_closed()


@pytest.mark.parametrize("options_for", [nova, flux])
async def test_unknown_types_are_events(
    connect: Connect, options_for: Callable[[], StreamingOptions]
) -> None:
    """A type nobody knows is an Unknown, and the messages around it come through."""
    if SDK[:2] == (5, 0):
        pytest.skip(TOO_STRICT)
    options = options_for()
    script: list[dict[str, object]] = (
        [messages.results("heard", is_final=True)]
        if options.endpoint == "v1"
        else [messages.turn_info("EndOfTurn", "heard", trigger="model")]
    )
    async with DeepgramServer(script=script, faults=Faults(unknown_types=True)) as server:
        async with connect(server, options) as session:
            session.feed([])
            events = [event async for event in session]
    assert session.transcript == "heard"
    assert [event.type for event in events].count("unknown") == 1


def nowhere(value: object, missing: object) -> list[object]:
    """Make every variant of a message in which one field, at any depth, is missing (or has another value)."""
    variants: list[object] = []
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "type":
                continue
            rest = {other: kept for other, kept in value.items() if other != name}
            variants.append(rest if missing is ... else {**rest, name: missing})
            variants += [{**rest, name: variant} for variant in nowhere(inner, missing)]
    elif isinstance(value, list):
        variants += [[]] if missing is ... else [[missing]]
        variants += [[variant] for inner in value[:1] for variant in nowhere(inner, missing)]
    return variants


@pytest.mark.parametrize("missing", [..., None, "text", 7, [], {}])
@pytest.mark.parametrize("name", ["results", "utterance_end", "speech_started", "metadata", "turn_info"])
async def test_fields_missing_null_or_of_a_wrong_type_at_any_depth(
    connect: Connect, name: str, missing: object
) -> None:
    """Every such message is an event whose fields can all be read, and the stream goes on."""
    whole: dict[str, dict[str, object]] = {
        "results": messages.results("one two", is_final=True),
        "utterance_end": messages.utterance_end(1.0),
        "speech_started": messages.speech_started(1.0),
        "metadata": messages.metadata(),
        "turn_info": messages.turn_info("EndOfTurn", "one two", trigger="model"),
    }
    script = [json.dumps(variant) for variant in nowhere(whole[name], missing)]
    options = flux() if name == "turn_info" else nova()
    async with (
        DeepgramServer(script=script) as server,
        connect(server, options, finish_timeout_seconds=1.0) as session,
    ):
        events: list[AnyStreamEvent] = []
        try:
            session.feed([])  # which an end that has come by now refuses
            async for event in session:
                events.append(event)  # noqa: PERF401  (those before an error count)
        except ConnectionLost:
            if SDK >= (6,):  # the parsers of those before refuse some of them: one clear error
                raise
        else:
            handed_out = [event for event in events if event.raw is None or event.type != "connected"]
            assert len(handed_out) >= len(script)
    for event in events:
        assert repr(event)
        if isinstance(event, StreamEvent.Transcript):
            assert isinstance(event.channel.alternatives[0].transcript, str)
            assert event.end is None or event.end >= 0


@pytest.mark.parametrize("reconnect", [False, True])
async def test_numbers_that_are_no_times(connect: Connect, *, reconnect: bool) -> None:
    """Python's JSON knows `Infinity`, and numbers past all audio; they are no times, and harm nothing."""
    script = [
        messages.results("one", start=start, duration=1.0, is_final=True)
        for start in (math.inf, 1e308, math.nan)
    ]
    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=reconnect) as session:
            await session.send(FRAME)
            finals = [await anext(session) for _ in script]
        assert [final.start for final in finals if isinstance(final, StreamEvent.Transcript)] == [None] * 3
        assert session.transcript == "one one one"


async def test_binary_frames_are_audio_events(connect: Connect) -> None:
    """A binary frame comes as Audio with its bytes."""
    if IS_LEGACY:
        pytest.skip("SDK 3 and 4 refuse binary frames")
    async with DeepgramServer(script=[b"\x01\x02"]) as server, connect(server, nova()) as session:
        event = await anext(session)
        assert isinstance(event, StreamEvent.Audio)
        assert event.data == b"\x01\x02"


async def test_a_message_over_the_sdks_limit_is_one_clear_error(
    kind: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's socket takes 1 MiB: a message of 2 MB is its close 1009, told as ConnectionLost."""
    set_transport(
        monkeypatch, kind, close_timeout=0.2
    )  # else the SDK waits 20 s for the server before it tells
    script = [messages.results("kept", is_final=True), messages.results("x" * 2_000_000, is_final=True)]
    async with DeepgramServer(script=script) as server, connect(server, nova()) as session:
        assert isinstance(await anext(session), StreamEvent.Transcript)
        with pytest.raises(ConnectionLost) as caught:
            await anext(session)
        if IS_LEGACY and kind == "async":  # which tells but the text
            assert "1009" in str(caught.value)
            return
        assert caught.value.code == 1009
        assert re.search("too big|exceeds limit", str(caught.value))


@pytest.mark.slow
async def test_thousands_of_messages_at_once(connect: Connect) -> None:
    """A flood comes through whole and in order to a consumer that keeps up."""
    count = (
        1000 if IS_LEGACY else 5000
    )  # SDK 3 and 4 need 2 ms for each, and the server waits 10 s for the close
    script = [messages.results(f"w{n}", start=float(n), is_final=True) for n in range(count)]
    async with (
        DeepgramServer(script=script) as server,
        connect(server, nova(), finish_timeout_seconds=50) as session,
    ):
        session.feed([])
        assert await texts(session) == [f"w{n}" for n in range(count)]
