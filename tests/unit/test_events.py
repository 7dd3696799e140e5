from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from collections.abc import Callable
from typing import Any, get_args

import pytest

from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent, TurnEvent, TurnStateEvent
from deepgram_stream_iter._events.words import Word

KINDS: tuple[type[AnyStreamEvent], ...] = get_args(AnyStreamEvent)
WORDS = (Word("hello", "Hello", 0.5, 0.9, 0.99), Word("world", "world.", 1.0, 1.4, 0.98))
HELLO = StreamEvent.Transcript(
    transcript="Hello world.",
    confidence=0.98,
    words=WORDS,
    start=0.5,
    duration=1.0,
    languages=("en",),
    is_final=True,
)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@each_kind
def test_kinds_are_found_on_the_base(kind: type[AnyStreamEvent]) -> None:
    """A kind is an attribute of StreamEvent under the name that its repr shows, and derives from it."""
    name = kind.__name__.removesuffix("Event")
    assert getattr(StreamEvent, name) is kind
    assert isinstance(kind(), StreamEvent)
    assert repr(kind()).startswith(f"StreamEvent.{name}(")


@each_kind
def test_the_type_is_the_name_in_snake_case(kind: type[AnyStreamEvent]) -> None:
    """`type` follows from the name of the kind, cannot be given, and is not in the way in a repr."""
    name = kind.__name__.removesuffix("Event")
    assert kind().type == re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    assert "type=" not in repr(kind())
    with pytest.raises(TypeError, match="type"):
        kind(type="other")  # type: ignore[call-arg]


def test_types_are_unique() -> None:
    """No two kinds share a `type`."""
    assert len({kind().type for kind in KINDS}) == len(KINDS) == 19


@each_kind
def test_events_are_immutable(kind: type[AnyStreamEvent]) -> None:
    """Neither a field nor something new can be set on an event, and none is given by position."""
    event: Any = kind()
    for name in ("raw", "type", "something_new"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(event, name, 1)
    positional: Any = kind
    with pytest.raises(TypeError, match="positional"):
        positional("text")


@each_kind
def test_what_is_left_out_is_empty(kind: type[AnyStreamEvent]) -> None:
    """Every field has an empty default, but `confirmed` (true until the stream says otherwise) and a `cause`."""
    said = {"type", "confirmed", "cause"}
    values = {name: value for name, value in vars(kind()).items() if name not in said}
    assert set(values.values()) <= {None, "", b"", (), False}
    assert getattr(kind(), "confirmed", True) is True


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda event: pickle.loads(pickle.dumps(event))],  # noqa: S301  (its own)
    ids=["copy", "deepcopy", "pickle"],
)
@each_kind
def test_events_travel(kind: type[AnyStreamEvent], duplicate: Callable[[object], object]) -> None:
    """An event is equal to its copy, and to what comes out of a pickle of it."""
    event = kind(raw={"type": "anything"})
    twin = duplicate(event)
    assert twin == event
    assert type(twin) is kind
    assert hash(twin) == hash(event)


def test_raw_is_no_part_of_the_value() -> None:
    """Events that differ in `raw` alone are equal, also when it cannot be hashed; it is not in a repr."""
    other = dataclasses.replace(HELLO, raw={"not": ["hashable"]})
    assert {HELLO, other} == {HELLO}
    assert "hashable" not in repr(other)
    assert dataclasses.replace(HELLO, is_final=False) != HELLO


def test_kinds_are_not_equal() -> None:
    """Events of two kinds differ even where all their fields agree."""
    warning: AnyStreamEvent = StreamEvent.Warning(code="1")
    error: AnyStreamEvent = StreamEvent.Error(code="1")
    assert warning != error


def test_matching_by_keyword() -> None:
    """A class pattern under StreamEvent takes fields out by keyword and tells finals from interims."""

    def read(event: AnyStreamEvent) -> str:
        match event:
            case StreamEvent.Transcript(transcript=text, is_final=True):
                return text
            case StreamEvent.EndOfTurn(transcript=text, trigger="manual"):
                return text
            case _:
                return ""

    assert read(HELLO) == "Hello world."
    assert read(dataclasses.replace(HELLO, is_final=False)) == ""
    assert read(StreamEvent.EndOfTurn(transcript="Bye.", trigger="manual")) == "Bye."


def test_the_shape_of_the_message() -> None:
    """`channel.alternatives[0]` reads as in a callback of the SDK, and is there without any text."""
    (alternative,) = HELLO.channel.alternatives
    assert (alternative.transcript, alternative.confidence) == ("Hello world.", 0.98)
    assert (alternative.words[1].punctuated_word, alternative.languages) == ("world.", ("en",))
    assert StreamEvent.Transcript().channel.alternatives[0].transcript == ""


@pytest.mark.parametrize(
    ("start", "duration", "end"), [(0.5, 1.0, 1.5), (0.0, 0.0, 0.0), (None, 1.0, None), (1.0, None, None)]
)
def test_the_end_of_a_segment(start: float | None, duration: float | None, end: float | None) -> None:
    """`end` is start plus duration, and None when either is unknown."""
    assert StreamEvent.Transcript(start=start, duration=duration).end == end


def test_turn_events_share_a_base() -> None:
    """The five kinds of a turn, and no others, carry the state of the turn."""
    assert {kind for kind in KINDS if issubclass(kind, TurnStateEvent)} == set(get_args(TurnEvent))
