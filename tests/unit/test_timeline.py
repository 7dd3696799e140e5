from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent
from deepgram_stream_iter._events.words import Word
from deepgram_stream_iter._recovery.timeline import Timeline

TIMES = st.none() | st.just(0.0) | st.integers(0, 10**9).map(lambda microseconds: microseconds / 10**6)
OFFSETS = st.integers(0, 10**10).map(lambda microseconds: microseconds / 10**6)
WORDS = st.lists(st.builds(Word, word=st.just("a"), start=TIMES, end=TIMES), max_size=3).map(tuple)
TIMED: dict[str, tuple[str, ...]] = {
    "transcript": ("start",),
    "speech_started": ("timestamp",),
    "utterance_end": ("last_word_end",),
    "metadata": ("duration",),
    **dict.fromkeys(
        ("start_of_turn", "turn_update", "eager_end_of_turn", "turn_resumed", "end_of_turn"), ("start", "end")
    ),
}
"""The fields of each kind that are places in the audio."""
KINDS: tuple[Any, ...] = get_args(AnyStreamEvent)


def made(kind: Any, times: dict[str, float | None], words: tuple[Word, ...] = ()) -> Any:
    """Make an event of a kind, with values for all its fields of interest that it has."""
    names = {field.name for field in fields(kind)}
    given_words = {"words": words} if "words" in names else {}
    more = {"turn_index": 3} if "turn_index" in names else {}
    return kind(raw=object(), **times, **given_words, **more)


def placed(event: AnyStreamEvent, offset: float) -> Any:
    """Place an event of a connection that begins there."""
    timeline = Timeline()
    timeline.begin(offset)
    return timeline.place(event)


def moved(seconds: float | None, offset: float) -> Any:
    """Move a time, with a tolerance far below a sample."""
    return seconds if seconds is None else pytest.approx(offset + seconds, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__qualname__)
@given(data=st.data(), offset=OFFSETS, words=WORDS)
def test_every_kind_of_event(kind: Any, data: st.DataObject, offset: float, words: tuple[Word, ...]) -> None:
    """Each time, of words too, is moved by the place where the connection begins; all else, and None, stays."""
    names = TIMED.get(made(kind, {}).type, ())
    times = {name: data.draw(TIMES, label=name) for name in names}
    event = made(kind, times, words)
    at = placed(event, offset)
    assert type(at) is kind
    assert at.raw is event.raw
    assert {name: getattr(at, name) for name in names} == {
        name: moved(seconds, offset) for name, seconds in times.items()
    }
    if hasattr(event, "words"):
        assert [(word.start, word.end) for word in at.words] == [
            (moved(word.start, offset), moved(word.end, offset)) for word in words
        ]
        assert [word._replace(start=None, end=None) for word in at.words] == [
            word._replace(start=None, end=None) for word in words
        ]
        at, event = replace(at, words=()), replace(event, words=())
    assert replace(at, **dict.fromkeys(names)) == replace(event, **dict.fromkeys(names))


def test_the_kinds_with_times_are_known() -> None:
    """A new kind, or a new field for seconds, is to be thought of here."""
    seconds = {
        kind(raw=None).type: tuple(
            field.name for field in fields(kind) if field.type in ("Seconds", "Seconds | None")
        )
        for kind in KINDS
    }
    # Of a transcript's length, and of what the session itself tells on its own clock, nothing is moved.
    seconds["transcript"] = tuple(name for name in seconds["transcript"] if name != "duration")
    ours = ("reconnecting", "reconnected", "audio_gap")
    assert {kind: names for kind, names in seconds.items() if names and kind not in ours} == TIMED


@given(start=TIMES, duration=TIMES, offset=OFFSETS)
def test_the_length_of_a_segment_stays(start: float | None, duration: float | None, offset: float) -> None:
    """`duration` of a transcript is a length, and its end moves with its start."""
    at = placed(StreamEvent.Transcript(start=start, duration=duration), offset)
    assert at.duration == duration
    if start is not None and duration is not None:
        assert at.end == pytest.approx(offset + start + duration, abs=2e-6)


@pytest.mark.parametrize("offset", [0.0, 12.5])
def test_no_word_before(offset: float) -> None:
    """Deepgram's -1, for no word, is no time."""
    event = StreamEvent.UtteranceEnd(last_word_end=-1.0)
    assert placed(event, offset) == event
    assert placed(StreamEvent.Transcript(words=(Word(start=-1, end=-1),)), offset).words[0].end == -1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__qualname__)
def test_the_first_connection(kind: Any) -> None:
    """Where the session's clock is the connection's, the event is the very same."""
    event = made(kind, {})
    assert placed(event, 0.0) is event


@given(
    rate=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000]),
    begin=st.integers(0, 10**10),
    sample=st.integers(0, 10**10),
)
def test_to_the_sample(rate: int, begin: int, sample: int) -> None:
    """The sample that a time means is exact at any rate, hours into the audio."""
    at = placed(StreamEvent.SpeechStarted(timestamp=sample / rate), begin / rate)
    assert round(at.timestamp * rate) == begin + sample


def test_one_connection_after_another() -> None:
    """The place is that of the connection that is open, not a sum of all."""
    timeline = Timeline()
    times: list[float | None] = []
    for begin in (0.0, 4.0, 4.0, 6.5):
        timeline.begin(begin)
        event = timeline.place(StreamEvent.SpeechStarted(timestamp=1.0))
        assert isinstance(event, StreamEvent.SpeechStarted)
        times.append(event.timestamp)
    assert times == [1.0, 5.0, 5.0, 7.5]


def test_how_far_the_server_has_heard() -> None:
    """The furthest end of a transcript, interims included, or of a turn; a connection that begins earlier takes nothing back."""
    timeline = Timeline()
    heard = [timeline.heard_seconds]
    events: list[tuple[float, AnyStreamEvent]] = [
        (0.0, StreamEvent.Transcript(start=0.0, duration=3.0)),
        (0.0, StreamEvent.Transcript(start=0.0, duration=2.0, is_final=True)),
        (0.0, StreamEvent.Transcript(start=1.0)),
        (2.0, StreamEvent.TurnUpdate(start=0.0, end=0.5)),
        (2.0, StreamEvent.TurnUpdate(start=0.0, end=1.5)),
        (2.0, StreamEvent.TurnUpdate()),
        (2.0, StreamEvent.UtteranceEnd(last_word_end=7.0)),
    ]
    for begin, event in events:
        timeline.begin(begin)
        timeline.place(event)
        heard.append(timeline.heard_seconds)
    assert heard == [0.0, 3.0, 3.0, 3.0, 3.0, 3.5, 3.5, 3.5]
