from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
import types
import typing
from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter import AnyStreamEvent, ConnectionLost, StreamEvent, StreamStats, Utterance, Word
from deepgram_stream_iter._adapters.decode import decode
from deepgram_stream_iter._events.plain import from_plain, to_plain
from deepgram_stream_iter._recovery.timeline import Timeline
from deepgram_stream_iter.testing import messages

KINDS: tuple[type[AnyStreamEvent], ...] = get_args(AnyStreamEvent)
HOLDERS: tuple[Any, ...] = (*KINDS, Utterance, StreamStats)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
each_holder = pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: holder.__name__)

NUMBERS = st.integers(-(10**14), 10**14).map(lambda microseconds: microseconds / 1e6)
"""Numbers that have no more than the six decimals that a time comes out with."""
OPTIONAL_INTEGERS = st.none() | st.integers()
WORDS = st.builds(
    Word,
    word=st.text(),
    punctuated_word=st.text(),
    start=st.none() | NUMBERS,
    end=st.none() | NUMBERS,
    confidence=st.none() | st.floats(0, 1),
    speaker=OPTIONAL_INTEGERS,
    language=st.text(),
)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    bool: st.booleans(),
    int: st.integers(),
    int | None: OPTIONAL_INTEGERS,
    float: NUMBERS,
    float | None: st.none() | NUMBERS,
    bytes: st.binary(),
    tuple[str, ...]: st.lists(st.text()).map(tuple),
    tuple[Word, ...]: st.lists(WORDS, max_size=3).map(tuple),
    Exception: st.builds(ConnectionLost, st.text()) | st.builds(ValueError, st.text()),
    Mapping[str, int]: st.dictionaries(st.text(), st.integers()),
}
"""By the type of a field, its possible values: a field of a type that is not here has no support yet."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ODD_WORDS = st.lists(st.none() | JSON | st.fixed_dictionaries(dict.fromkeys(Word._fields, JSON)), max_size=3)
ODD_CAUSES = st.fixed_dictionaries({"type": JSON | st.text(), "text": JSON})

PLAIN_WORD = {
    "word": "hello",
    "punctuated_word": "Hello.",
    "start": 0.5,
    "end": 0.9,
    "confidence": 0.99853516,
    "speaker": 1,
    "language": "en",
}
WORD = Word("hello", "Hello.", 0.5, 0.9, 0.99853516, 1, "en")
TURN: dict[str, Any] = {
    "transcript": "Hello.",
    "words": (WORD,),
    "turn_index": 3,
    "start": 0.0,
    "end": 1.25,
    "end_of_turn_confidence": 0.75,
    "languages": ("en",),
}
PLAIN_TURN: dict[str, Any] = {**TURN, "words": [PLAIN_WORD], "languages": ["en"]}

GOLDEN: list[tuple[Any, dict[str, Any]]] = [
    (
        StreamEvent.Transcript(
            transcript="Hello.",
            is_final=True,
            speech_final=True,
            confidence=0.99853516,
            words=(WORD,),
            start=0.1 + 0.2,
            duration=1.0,
            channel_index=0,
            channel_count=2,
            languages=("en", "de"),
            raw=object(),
        ),
        {
            "type": "transcript",
            "transcript": "Hello.",
            "is_final": True,
            "speech_final": True,
            "from_finalize": False,
            "confidence": 0.99853516,
            "words": [PLAIN_WORD],
            "start": 0.3,
            "duration": 1.0,
            "channel_index": 0,
            "channel_count": 2,
            "languages": ["en", "de"],
        },
    ),
    (
        StreamEvent.SpeechStarted(timestamp=1.5, channel_index=1),
        {"type": "speech_started", "timestamp": 1.5, "channel_index": 1},
    ),
    (
        StreamEvent.UtteranceEnd(last_word_end=-1.0, channel_index=0),
        {"type": "utterance_end", "last_word_end": -1.0, "channel_index": 0},
    ),
    (
        StreamEvent.Metadata(request_id="abc", duration=60.0, channels=1),
        {"type": "metadata", "request_id": "abc", "duration": 60.0, "channels": 1},
    ),
    (StreamEvent.Connected(request_id="abc"), {"type": "connected", "request_id": "abc"}),
    (StreamEvent.StartOfTurn(**TURN), {"type": "start_of_turn", **PLAIN_TURN}),
    (StreamEvent.TurnUpdate(**TURN), {"type": "turn_update", **PLAIN_TURN}),
    (StreamEvent.EagerEndOfTurn(**TURN), {"type": "eager_end_of_turn", **PLAIN_TURN}),
    (StreamEvent.TurnResumed(**TURN), {"type": "turn_resumed", **PLAIN_TURN}),
    (
        StreamEvent.EndOfTurn(**TURN, trigger="manual", confirmed=False),
        {"type": "end_of_turn", **PLAIN_TURN, "trigger": "manual", "confirmed": False},
    ),
    (StreamEvent.Configured(), {"type": "configured"}),
    (
        StreamEvent.ConfigureFailed(code="BAD", description="No."),
        {"type": "configure_failed", "code": "BAD", "description": "No."},
    ),
    (
        StreamEvent.Warning(code="ODD", description="Hm."),
        {"type": "warning", "code": "ODD", "description": "Hm."},
    ),
    (
        StreamEvent.Error(code="BAD", description="No."),
        {"type": "error", "code": "BAD", "description": "No."},
    ),
    (StreamEvent.Audio(data=b"\x00\xff\x10"), {"type": "audio", "data": "AP8Q"}),
    (
        StreamEvent.Reconnecting(attempt=2, cause=ConnectionLost("gone", code=1006), delay=0.5000001),
        {
            "type": "reconnecting",
            "attempt": 2,
            "cause": {"type": "ConnectionLost", "text": "gone"},
            "delay": 0.5,
        },
    ),
    (
        StreamEvent.Reconnected(attempt=2, replayed_seconds=1.5),
        {"type": "reconnected", "attempt": 2, "replayed_seconds": 1.5},
    ),
    (StreamEvent.AudioGap(start=1.0), {"type": "audio_gap", "start": 1.0, "end": None}),
    (StreamEvent.Unknown(name="Sentiment"), {"type": "unknown", "name": "Sentiment"}),
    (
        Utterance(text="Hello.", words=(WORD,), start=0.5, end=0.9, channel_index=0, confirmed=True),
        {
            "text": "Hello.",
            "words": [PLAIN_WORD],
            "start": 0.5,
            "end": 0.9,
            "channel_index": 0,
            "turn_index": None,
            "confirmed": True,
        },
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbers:
    """A count by kind, and a time, in the way that stats have them."""

    events_by_kind: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    seconds_to_connect: float | None = None


def names_of(holder: Any) -> list[str]:
    """Return the fields that come out, apart from `type`."""
    return [field.name for field in dataclasses.fields(holder) if field.init and field.name != "raw"]


def read(holder: Any, mapping: Any) -> Any:
    """Read a mapping as who reads a holder would: an event by its `type`."""
    return (StreamEvent if issubclass(holder, StreamEvent) else holder).from_dict(mapping)


def is_plain(value: object) -> bool:
    """Return whether something is of JSON types alone, exactly."""
    if type(value) is dict:
        return all(type(name) is str and is_plain(each) for name, each in value.items())
    if type(value) is list:
        return all(map(is_plain, value))
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (str, int, bool)


@each_holder
@given(data=st.data())
def test_there_and_back(holder: Any, data: st.DataObject) -> None:
    """What comes out is of JSON types, survives JSON, and reads back as what it was; so does what comes out of that."""
    hints = typing.get_type_hints(holder)
    there = holder(**{name: data.draw(VALUES[hints[name]], label=name) for name in names_of(holder)})
    plain = there.to_dict()
    assert is_plain(plain)
    assert json.loads(json.dumps(plain)) == plain
    back = read(holder, plain)
    assert type(back) is holder
    assert back == there
    assert back.to_dict() == plain


@each_holder
@given(data=st.data())
def test_any_json_reads(holder: Any, data: st.DataObject) -> None:
    """Any value in any field reads as the value or as the default, and what it reads as is valid JSON again."""
    odd = st.none() | JSON | ODD_WORDS | ODD_CAUSES
    fields = st.fixed_dictionaries({}, optional=dict.fromkeys([*names_of(holder), "raw", "other"], odd))
    mapping = data.draw(fields)
    if issubclass(holder, StreamEvent):
        mapping["type"] = holder.type
    back = read(holder, mapping)
    assert type(back) is holder
    plain = back.to_dict()
    assert is_plain(plain)
    assert read(holder, plain).to_dict() == plain
    for name, kind in typing.get_type_hints(holder).items():
        if name in names_of(holder) and kind in (str, bool, int, float):
            assert type(getattr(back, name)) is kind


@given(mapping=st.dictionaries(st.text() | st.integers(), JSON) | st.fixed_dictionaries({"type": JSON}))
def test_any_mapping_reads(mapping: dict[Any, object]) -> None:
    """Any mapping is an event, an utterance, and stats."""
    assert isinstance(StreamEvent.from_dict(mapping), KINDS)
    assert isinstance(StreamEvent.from_dict(types.MappingProxyType(mapping)), KINDS)
    assert isinstance(Utterance.from_dict(mapping), Utterance)
    assert isinstance(StreamStats.from_dict(mapping), StreamStats)


@pytest.mark.parametrize(("holder", "plain"), GOLDEN, ids=lambda each: type(each).__name__)
def test_the_form_is_stable(holder: Any, plain: dict[str, Any]) -> None:
    """The form is documented: who stores it or reads it elsewhere relies on each name and type here."""
    assert holder.to_dict() == plain
    assert list(holder.to_dict()) == list(plain)
    assert read(type(holder), plain).to_dict() == plain


def test_the_form_of_every_kind_is_written_down() -> None:
    """There is a form here for each kind."""
    assert [type(event) for event, _ in GOLDEN] == [*KINDS, Utterance]


@each_kind
def test_a_kind_alone(kind: type[AnyStreamEvent]) -> None:
    """A mapping with nothing but its `type` is the event with its defaults, and unknown fields do not matter."""
    assert StreamEvent.from_dict({"type": kind.type, "new_field": 1, "raw": 2}) == kind()
    assert StreamEvent.from_dict({"type": kind.type, "raw": 2}).raw is None


def test_an_empty_mapping() -> None:
    """Without anything an utterance is empty and unconfirmed, stats are of nothing, and an event is unknown."""
    assert Utterance.from_dict({}) == Utterance(text="", words=(), start=None, end=None, confirmed=False)
    assert StreamStats.from_dict({}) == StreamStats()
    assert StreamStats().audio_seconds_sent is None
    assert StreamEvent.from_dict({}) == StreamEvent.Unknown()


def test_a_kind_of_a_newer_version() -> None:
    """A `type` that nobody knows here is the name of an Unknown, which has the mapping."""
    mapping = {"type": "sentiment", "score": 1}
    event = StreamEvent.from_dict(mapping)
    assert event == StreamEvent.Unknown(name="sentiment")
    assert event.raw is mapping
    assert event.to_dict() == {"type": "unknown", "name": "sentiment"}


@pytest.mark.parametrize("wrong", ['{"type": "transcript"}', b"{}", None, 1, ["type"], StreamEvent.Unknown()])
@pytest.mark.parametrize("holder", [StreamEvent, Utterance, StreamStats])
def test_what_is_no_mapping(holder: Any, wrong: Any) -> None:
    """Anything else than a mapping is a TypeError that says what is wanted and what came."""
    with pytest.raises(TypeError, match=rf"^{holder.__name__}.from_dict\(\) reads a mapping") as caught:
        holder.from_dict(wrong)
    assert str(caught.value).endswith(f"not {type(wrong).__name__}")


@given(seconds=st.floats(-1e8, 1e8), confidence=st.floats(0, 1))
def test_times_are_rounded_and_confidences_are_not(seconds: float, confidence: float) -> None:
    """Of a time six decimals come out, and never `-0.0`; a confidence comes out as it is."""
    word = Word("a", start=seconds, end=seconds, confidence=confidence)
    plain = StreamEvent.Transcript(start=seconds, confidence=confidence, words=(word,)).to_dict()
    for each in (plain, *plain["words"]):
        assert each["start"] == round(seconds, 6)
        assert math.copysign(1, each["start"]) == (-1 if each["start"] < 0 else 1)
        assert each["confidence"] == confidence


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_no_number(odd: float) -> None:
    """NaN and infinity, which JSON does not have, come out as None and read back as the default."""
    word = Word("a", start=odd, end=odd, confidence=odd)
    for event in (
        StreamEvent.Transcript(start=odd, duration=odd, confidence=odd, words=(word,)),
        StreamEvent.Reconnecting(delay=odd),
        StreamEvent.AudioGap(start=odd, end=odd),
    ):
        text = json.dumps(event.to_dict(), allow_nan=False)
        assert StreamEvent.from_dict(json.loads(text)).type == event.type
    assert StreamEvent.from_dict(StreamEvent.AudioGap(start=odd).to_dict()) == StreamEvent.AudioGap()


def test_numbers_that_are_floats_of_another_class() -> None:
    """A number of a class that derives from float, as numpy's, comes out as a plain float."""

    class Float(float):
        """A float of another class."""

    plain = StreamEvent.Transcript(start=Float(1.5), confidence=Float(0.5)).to_dict()
    assert (type(plain["start"]), type(plain["confidence"])) == (float, float)
    assert (plain["start"], plain["confidence"]) == (1.5, 0.5)
    assert StreamEvent.Transcript(start=Float("nan")).to_dict()["start"] is None


@pytest.mark.parametrize(
    "message", [messages.results("one two", start=1.0), messages.turn_info("Update", "one two")]
)
@pytest.mark.parametrize("offset_seconds", [0.0, 10.1])
def test_words_that_nobody_has_read(message: dict[str, Any], offset_seconds: float) -> None:
    """An event out of a message has its words with it, after it was moved to the session's clock too."""
    timeline = Timeline()
    timeline.begin(offset_seconds)
    event = timeline.place(decode(message))
    assert "words" not in vars(event)
    plain = event.to_dict()
    assert [word["word"] for word in plain["words"]] == ["one", "two"]
    assert plain["words"][0]["start"] >= offset_seconds
    assert StreamEvent.from_dict(json.loads(json.dumps(plain))) == event


@pytest.mark.parametrize(
    ("cause", "type_name"),
    [
        pytest.param({"type": "ConnectionLost", "text": "gone"}, "ConnectionLost", id="named"),
        pytest.param({"type": "Exception", "text": "gone"}, "Exception", id="plain"),
        pytest.param({"type": "no identifier", "text": "gone"}, "Exception", id="no name"),
        pytest.param({"type": "", "text": "gone"}, "Exception", id="empty name"),
        pytest.param({"type": 1, "text": "gone"}, "Exception", id="not a name"),
    ],
)
def test_a_cause(cause: dict[str, object], type_name: str) -> None:
    """A cause is an exception that is called and says the same, and travels by `copy` and `pickle` as any other."""
    event: Any = StreamEvent.from_dict({"type": "reconnecting", "cause": cause})
    duplicates = [event, copy.deepcopy(event), pickle.loads(pickle.dumps(event))]  # noqa: S301  (its own)
    for duplicate in duplicates:
        assert isinstance(duplicate.cause, Exception)
        assert (type(duplicate.cause).__name__, str(duplicate.cause)) == (type_name, "gone")
        assert duplicate.to_dict()["cause"] == {"type": type_name, "text": "gone"}


@given(events_by_kind=st.dictionaries(st.text(), st.integers()))
def test_counts_by_kind(events_by_kind: dict[str, int]) -> None:
    """A mapping of counts is a dict; a name that says seconds is a time."""
    numbers = Numbers(events_by_kind=types.MappingProxyType(events_by_kind), seconds_to_connect=0.1 + 0.2)
    plain = to_plain(numbers)
    assert plain == {"events_by_kind": events_by_kind, "seconds_to_connect": 0.3}
    assert is_plain(plain)
    assert Numbers(**from_plain(Numbers, plain)) == Numbers(
        events_by_kind=events_by_kind, seconds_to_connect=0.3
    )


def test_counts_that_are_none() -> None:
    """Of a mapping of counts only the counts are read, and anything else is no mapping."""
    odd = {"events_by_kind": {"transcript": 1, "other": "many", 3: 4, "turn_update": True, "sixth": 2.0}}
    assert from_plain(Numbers, odd) == {"events_by_kind": {"transcript": 1, "sixth": 2}}
    assert from_plain(Numbers, {"events_by_kind": [1]}) == {}
    assert to_plain(Numbers(events_by_kind=typing.cast("Any", {"a": math.nan, "b": 1})))[
        "events_by_kind"
    ] == {"b": 1}


@pytest.mark.parametrize("data", ["AP8Q!", "AP8", "\u00e9", 1, None, ["AP8Q"]])
def test_data_that_is_no_base64(data: object) -> None:
    """What is not base64 throughout is no data, rather than the half of it that can be read."""
    assert StreamEvent.from_dict({"type": "audio", "data": data}) == StreamEvent.Audio()
