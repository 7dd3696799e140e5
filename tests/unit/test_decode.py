from __future__ import annotations

import copy
import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, get_type_hints

import pydantic
import pytest
from deepgram.core.unchecked_base_model import construct_type
from deepgram.listen.v1.socket_client import V1SocketClientResponse
from deepgram.listen.v2.socket_client import V2SocketClientResponse
from deepgram.listen.v2.types import ListenV2Connected
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._adapters.decode import decode
from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent
from deepgram_stream_iter._events.words import Word

WORDS = [
    {"word": "hello", "punctuated_word": "Hello.", "start": 0.5, "end": 1, "confidence": 0.9, "speaker": 1},
    {"word": "hi", "language": "en", "confidence": 1},
]
READ_WORDS = (
    Word("hello", "Hello.", 0.5, 1.0, 0.9, 1),
    Word("hi", confidence=1.0, language="en"),
)
RESULTS = {
    "type": "Results",
    "channel_index": [1, 2],
    "duration": 1.5,
    "start": 2,
    "is_final": True,
    "speech_final": False,
    "from_finalize": True,
    "channel": {
        "alternatives": [
            {"transcript": "Hello. hi", "confidence": 0.9, "words": WORDS, "languages": ["en"]},
            {"transcript": "Yellow."},
        ]
    },
    "metadata": {"request_id": "r"},
}
TURN = {
    "type": "TurnInfo",
    "event": "EndOfTurn",
    "request_id": "r",
    "sequence_id": 4,
    "turn_index": 2,
    "audio_window_start": 0,
    "audio_window_end": 1.5,
    "transcript": "Hello. hi",
    "words": WORDS,
    "end_of_turn_confidence": 0.8,
    "trigger": "model",
    "languages": ["en"],
}
STATE: dict[str, Any] = {
    "transcript": "Hello. hi",
    "words": READ_WORDS,
    "turn_index": 2,
    "start": 0.0,
    "end": 1.5,
    "end_of_turn_confidence": 0.8,
    "languages": ("en",),
}
V1: list[tuple[dict[str, Any], AnyStreamEvent]] = [
    (
        RESULTS,
        StreamEvent.Transcript(
            transcript="Hello. hi",
            is_final=True,
            from_finalize=True,
            confidence=0.9,
            words=READ_WORDS,
            start=2.0,
            duration=1.5,
            channel_index=1,
            channel_count=2,
            languages=("en",),
        ),
    ),
    (
        {"type": "SpeechStarted", "channel": [1, 2], "timestamp": 0.5},
        StreamEvent.SpeechStarted(timestamp=0.5, channel_index=1),
    ),
    (
        {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 2.5},
        StreamEvent.UtteranceEnd(last_word_end=2.5, channel_index=0),
    ),
    (
        {"type": "Metadata", "request_id": "r", "duration": 3, "channels": 2, "sha256": "", "created": ""},
        StreamEvent.Metadata(request_id="r", duration=3.0, channels=2),
    ),
    (
        {"type": "Error", "variant": "V", "description": "", "message": "what"},
        StreamEvent.Error(code="V", description="what"),
    ),
    ({"type": "ConfigureSuccess", "keyterms": ["a"]}, StreamEvent.Configured()),
    (
        {"type": "ConfigureFailure", "code": "C", "description": "no"},
        StreamEvent.ConfigureFailed(code="C", description="no"),
    ),
]
V2: list[tuple[dict[str, Any], AnyStreamEvent]] = [
    ({"type": "Connected", "request_id": "r", "sequence_id": 0}, StreamEvent.Connected(request_id="r")),
    (TURN, StreamEvent.EndOfTurn(**STATE, trigger="model")),
    ({**TURN, "event": "StartOfTurn"}, StreamEvent.StartOfTurn(**STATE)),
    ({**TURN, "event": "Update"}, StreamEvent.TurnUpdate(**STATE)),
    ({**TURN, "event": "EagerEndOfTurn"}, StreamEvent.EagerEndOfTurn(**STATE)),
    ({**TURN, "event": "TurnResumed"}, StreamEvent.TurnResumed(**STATE)),
    ({"type": "Warning", "code": "C", "description": "d"}, StreamEvent.Warning(code="C", description="d")),
    ({"type": "Error", "code": "C", "description": "d"}, StreamEvent.Error(code="C", description="d")),
]


def as_v1(message: object) -> object:
    """Do as the SDK does on /v1/listen."""
    return construct_type(type_=V1SocketClientResponse, object_=message)  # type: ignore[arg-type]


def as_v2(message: object) -> object:
    """Do as the SDK does on /v2/listen."""
    return construct_type(type_=V2SocketClientResponse, object_=message)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "event", "as_model"),
    [(*case, as_v1) for case in V1] + [(*case, as_v2) for case in V2],
    ids=lambda value: value.get("event", value["type"]) if isinstance(value, dict) else "",
)
def test_messages(
    message: dict[str, Any], event: AnyStreamEvent, as_model: Callable[[object], object]
) -> None:
    """A message gives the same event as a mapping and as the SDK's model, with the original as `raw`."""
    model = as_model(message)
    assert isinstance(model, pydantic.BaseModel)
    for raw in (message, model):
        decoded = decode(raw)
        assert decoded == event
        assert decoded.raw is raw


@pytest.mark.parametrize(("message", "event"), V2[1:6], ids=lambda value: getattr(value, "type", ""))
def test_a_model_of_the_wrong_class(message: dict[str, Any], event: AnyStreamEvent) -> None:
    """The `type` string decides, not the class: SDK 6.1 made turns `ListenV2Connected`."""
    wrong = construct_type(type_=ListenV2Connected, object_=message)
    assert isinstance(wrong, ListenV2Connected)
    assert decode(wrong) == event


@pytest.mark.parametrize("as_model", [lambda message: message, as_v1, as_v2], ids=["dict", "v1", "v2"])
@pytest.mark.parametrize("name", ["Results", "TurnInfo", "Metadata", "Error", "Warning", "Connected"])
def test_an_empty_message(name: str, as_model: Callable[[object], object]) -> None:
    """Of a message that has only its type nothing is known, on any endpoint, and nothing is raised."""
    expected = {"Results": StreamEvent.Transcript(), "TurnInfo": StreamEvent.Unknown(name="TurnInfo.")}
    kind = getattr(StreamEvent, name, StreamEvent.Unknown)
    assert decode(as_model({"type": name})) in {expected.get(name) or kind(), StreamEvent.Unknown()}


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (None, ""),
        ("text", ""),
        (7, ""),
        ([], ""),
        ({}, ""),
        pytest.param(object(), "", id="object"),  # whose repr is another one in each process
        ({"type": None}, ""),
        ({"type": ["Results"]}, ""),
        ({"type": "results"}, "results"),
        ({"type": "SomethingNew"}, "SomethingNew"),
        ({"type": "TurnInfo", "event": "SomethingNew"}, "TurnInfo.SomethingNew"),
    ],
    ids=repr,
)
def test_what_is_not_known(raw: object, name: str) -> None:
    """Whatever is no known message is an Unknown, by its name if it has one, and there as `raw`."""
    event = decode(raw)
    assert event == StreamEvent.Unknown(name=name)
    assert event.raw is raw


def test_a_kind_of_dict() -> None:
    """Whatever is a dict is read as one, at all depths."""
    words = [OrderedDict(word=word["word"]) for word in WORDS]
    channel = OrderedDict(alternatives=[OrderedDict(transcript="Hello. hi", words=words)])
    event = decode(OrderedDict(type="Results", channel=channel))
    assert isinstance(event, StreamEvent.Transcript)
    assert (event.transcript, [word.word for word in event.words]) == ("Hello. hi", ["hello", "hi"])


@pytest.mark.parametrize("raw", [b"\0\1", bytearray(b"\0\1"), b""])
def test_binary_frames(raw: bytes) -> None:
    """A binary frame is audio, as bytes."""
    event = decode(raw)
    assert event == StreamEvent.Audio(data=bytes(raw))
    assert isinstance(event, StreamEvent.Audio)
    assert type(event.data) is bytes


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"is_final": False, "speech_final": True}, (True, True)),
        ({"speech_final": True}, (True, True)),
        ({"is_final": True}, (True, False)),
        ({"is_final": 1, "speech_final": "true"}, (False, False)),
        ({"is_final": None}, (False, False)),
    ],
)
def test_flags(flags: dict[str, object], expected: tuple[bool, bool]) -> None:
    """`speech_final` implies `is_final`; only true is true."""
    event = decode({"type": "Results", **flags})
    assert isinstance(event, StreamEvent.Transcript)
    assert (event.is_final, event.speech_final) == expected


def test_a_flag_is_no_number() -> None:
    """True is not 1, though Python has it so."""
    assert (
        decode({"type": "Results", "start": True, "channel_index": [False, True]}) == StreamEvent.Transcript()
    )


NAMES = sorted({*RESULTS, *TURN, *WORDS[0], "alternatives", "languages"})
INTEGERS = st.integers(-(2**63), 2**63)
JUNK = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | st.text("ab", max_size=3) | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)


def places(message: Any) -> list[tuple[Any, Any]]:
    """List the places in a message, at all depths, as a container and a key."""
    keys = list(message if isinstance(message, dict) else range(len(message)))
    inner = [message[key] for key in keys if isinstance(message[key], (dict, list))]
    return [(message, key) for key in keys if key != "type"] + [place for it in inner for place in places(it)]


@st.composite
def spoiled(draw: st.DrawFn) -> Any:
    """Put something else, or nothing, into some places of a message."""
    message = copy.deepcopy(draw(st.sampled_from([message for message, _ in V1 + V2])))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from([*places(message), ({0: None}, 0)]))
        container[key] = draw(JUNK)
        if draw(st.integers(0, 3)) == 0:
            del container[key]
    return message


@pytest.mark.parametrize("as_model", [lambda message: message, as_v1, as_v2], ids=["dict", "v1", "v2"])
@given(message=spoiled())
def test_wrong_types_at_any_depth(as_model: Callable[[object], object], message: Any) -> None:
    """Nothing is raised, and each field of the event is of the type that it is declared with."""
    try:
        raw = as_model(message)
    except Exception:  # noqa: BLE001  (the SDK's own: it skips what it cannot construct)
        return
    event = decode(raw)
    hints = get_type_hints(type(event))
    for field in dataclasses.fields(event):
        pydantic.TypeAdapter(hints[field.name]).validate_python(getattr(event, field.name), strict=True)
    assert event.raw is raw


def test_a_number_beyond_all_bounds() -> None:
    """JSON knows no largest integer, and one that no float can hold is not raised about."""
    assert decode({"type": "Results", "start": 10**400}).type == "transcript"
