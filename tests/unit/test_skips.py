"""Audio that was left out: where the times of the audio that was sent are among all of it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter import AnyStreamEvent, StreamEvent
from deepgram_stream_iter._adapters.decode import decode
from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._events.kinds import TranscriptEvent
from deepgram_stream_iter._events.skips import Skips
from deepgram_stream_iter._events.unread import changed, last_word
from deepgram_stream_iter._events.words import Word
from deepgram_stream_iter._inbound.audio_clock import AudioClock
from deepgram_stream_iter.testing import SpokenWord, messages

RATE = 100
"""A sample of 10 ms is far longer than what Deepgram rounds its times by."""
STEPS = st.lists(st.tuples(st.sampled_from(["send", "skip"]), st.integers(1, 30)), max_size=12)
ROUNDING = st.sampled_from([-0.0009, 0.0, 0.0009])


def clock_of(steps: list[tuple[str, int]]) -> tuple[AudioClock, list[int]]:
    """Make a clock of samples that were sent or left out; return with it where the source had each that was sent."""
    clock = AudioClock()
    clock.format = RawFormat(sample_rate=RATE, block_size=2)
    place, places = 0, list[int]()
    for what, samples in steps:
        if what == "send":
            places += range(place, place + samples)
            clock.bytes_sent += 2 * samples
        else:
            clock.skip(samples / RATE)
        place += samples
    assert clock.seconds == pytest.approx(place / RATE)
    return clock, places


@given(steps=STEPS, rounding=ROUNDING)
def test_every_sample_is_where_the_source_had_it(steps: list[tuple[str, int]], rounding: float) -> None:
    """What begins with a sample begins where the source had that sample, and what ends with it ends there."""
    clock, places = clock_of(steps)
    for sample, place in enumerate(places):
        begin, end = sample / RATE + rounding, (sample + 1) / RATE + rounding
        assert clock.skips.begin(begin) == pytest.approx(place / RATE + rounding, abs=1e-6)
        assert clock.skips.end(end) == pytest.approx((place + 1) / RATE + rounding, abs=1e-6)


TIMES = st.floats(0, 4) | st.integers(0, 400).map(lambda sample: sample / RATE)


@given(steps=STEPS, times=st.lists(TIMES, min_size=2, max_size=8))
def test_times_keep_their_order(steps: list[tuple[str, int]], times: list[float]) -> None:
    """What begins or ends later does so afterwards, and nothing ends before it begins, however short it is."""
    clock, _ = clock_of(steps)
    skips, times = clock.skips, sorted(times)
    assert [skips.begin(each) for each in times] == sorted(skips.begin(each) for each in times)
    assert [skips.end(each) for each in times] == sorted(skips.end(each) for each in times)
    windows = [(start, end) for start in times for end in times if start <= end]
    words = tuple(Word("w", "w", start, end) for start, end in windows)
    event = clock.place(StreamEvent.Transcript(words=words, start=times[0], duration=times[-1] - times[0]))
    assert all(
        word.start <= word.end for word in event.words if word.start is not None and word.end is not None
    )
    assert event.duration is not None
    assert event.duration >= 0
    for start, end in windows:
        turn = clock.place(StreamEvent.TurnUpdate(start=start, end=end))
        assert turn.start is not None
        assert turn.end is not None
        assert turn.start <= turn.end


@given(steps=STEPS, rounding=ROUNDING)
def test_the_way_back(steps: list[tuple[str, int]], rounding: float) -> None:
    """From where the source had it each time leads back to the audio that was sent; what was left out, to its place."""
    clock, places = clock_of(steps)
    for sample in range(len(places) + 1):
        seconds = max(sample / RATE + rounding, 0.0)
        assert clock.skips.sent(clock.skips.end(seconds)) == pytest.approx(seconds, abs=2e-3)
        assert clock.skips.sent(clock.skips.begin(seconds)) == pytest.approx(seconds, abs=2e-3)
    for place in range(round((clock.seconds or 0.0) * RATE)):
        assert clock.skips.sent((place + 0.5) / RATE) == pytest.approx(
            bisect_left(places, place) / RATE + (0.5 / RATE if place in places else 0.0), abs=2e-6
        )


def test_skips_at_one_place_are_one() -> None:
    """A gate that leaves out one piece after another takes no more room than one that leaves them out at once."""
    skips = Skips().with_one_more(1.0, 0.5).with_one_more(1.0, 0.25).with_one_more(2.0, 1.0)
    assert skips == Skips((1.0, 2.0), (0.0, 0.75, 1.75))


SKIPPED = [("send", 100), ("skip", 1000), ("send", 100), ("skip", 50)]
"""1 s was sent, 10 s left out, 1 s sent, and 0.5 s left out."""


@pytest.mark.parametrize(
    ("event", "placed"),
    [
        (StreamEvent.SpeechStarted(timestamp=0.5), StreamEvent.SpeechStarted(timestamp=0.5)),
        (StreamEvent.SpeechStarted(timestamp=1.0), StreamEvent.SpeechStarted(timestamp=11.0)),
        (StreamEvent.SpeechStarted(), StreamEvent.SpeechStarted()),
        (StreamEvent.UtteranceEnd(last_word_end=1.0), StreamEvent.UtteranceEnd(last_word_end=1.0)),
        (StreamEvent.UtteranceEnd(last_word_end=1.5), StreamEvent.UtteranceEnd(last_word_end=11.5)),
        (StreamEvent.UtteranceEnd(last_word_end=-1.0), StreamEvent.UtteranceEnd(last_word_end=-1.0)),
        (StreamEvent.UtteranceEnd(), StreamEvent.UtteranceEnd()),
        (StreamEvent.Metadata(duration=2.0), StreamEvent.Metadata(duration=12.5)),
        (StreamEvent.Metadata(), StreamEvent.Metadata()),
        (StreamEvent.AudioGap(start=0.5, end=1.5), StreamEvent.AudioGap(start=0.5, end=11.5)),
        (StreamEvent.AudioGap(start=1.5), StreamEvent.AudioGap(start=11.5)),
        (StreamEvent.Transcript(start=0.5, duration=1.0), StreamEvent.Transcript(start=0.5, duration=11.0)),
        (StreamEvent.Transcript(start=0.0, duration=1.0), StreamEvent.Transcript(start=0.0, duration=1.0)),
        (StreamEvent.Transcript(start=1.0, duration=1.0), StreamEvent.Transcript(start=11.0, duration=1.0)),
        (StreamEvent.Transcript(start=1.0, duration=0.0), StreamEvent.Transcript(start=11.0, duration=0.0)),
        (StreamEvent.Transcript(start=1.5), StreamEvent.Transcript(start=11.5)),
        (StreamEvent.Transcript(duration=1.0), StreamEvent.Transcript(duration=1.0)),
        (StreamEvent.EndOfTurn(start=0.5, end=1.0), StreamEvent.EndOfTurn(start=0.5, end=1.0)),
        (StreamEvent.TurnUpdate(start=1.0), StreamEvent.TurnUpdate(start=11.0)),
        (StreamEvent.Warning(code="x"), StreamEvent.Warning(code="x")),
    ],
    ids=repr,
)
def test_each_kind_of_event(event: AnyStreamEvent, placed: AnyStreamEvent) -> None:
    """All times of an event are where the source has them; what Deepgram did not say stays so."""
    assert clock_of(SKIPPED)[0].place(event) == placed


def test_words_without_times() -> None:
    """A word that has no time, or one alone, keeps what it has."""
    words = (Word("a"), Word("b", start=1.5), Word("c", end=1.5), Word("d", start=-1.0, end=-1.0))
    event = clock_of(SKIPPED)[0].place(StreamEvent.Transcript(words=words))
    assert event.words == (Word("a"), Word("b", start=11.5), Word("c", end=11.5), words[3])


def unread() -> TranscriptEvent:
    """Make an event behind a skip, whose words nobody has read: one ends where that is, one begins there."""
    words = [SpokenWord("one", 0.5, 1.0), SpokenWord("two", 1.0, 1.5)]
    event = clock_of(SKIPPED)[0].place(decode(messages.results(start=0.5, duration=1.0, words=words)))
    assert isinstance(event, TranscriptEvent)
    assert "words" not in vars(event)
    return event


@pytest.mark.parametrize(
    "duplicate",
    [
        lambda event: event,
        copy.copy,
        copy.deepcopy,
        lambda event: pickle.loads(pickle.dumps(event)),  # noqa: S301  (its own)
        changed,
        lambda event: dataclasses.replace(event, speech_final=True),
        lambda event: dataclasses.replace(dataclasses.replace(copy.copy(event)), is_final=True),
        lambda event: StreamEvent.from_dict(event.to_dict()),
    ],
    ids=["itself", "copy", "deepcopy", "pickle", "changed", "replace", "replace twice", "plain"],
)
@pytest.mark.parametrize("is_read", [False, True])
def test_words_that_are_read_later(duplicate: Callable[[Any], Any], *, is_read: bool) -> None:
    """Whoever reads the words when, and of which copy, finds them where the source has them, and moved once."""
    event = unread()
    assert not is_read or event.words
    twin = duplicate(event)
    assert [(word.start, word.end) for word in twin.words] == [(0.5, 1.0), (11.0, 11.5)]
    assert (twin.start, twin.end) == (0.5, 11.5)
    assert last_word(twin) == last_word(event) == event.words[-1]


def test_later_skips_change_nothing() -> None:
    """An event is placed when it comes: what is left out afterwards is nothing to it, though its words are read later."""
    clock, _ = clock_of([("send", 100)])
    event = clock.place(decode(messages.results("one two", start=0.0, duration=1.0)))
    clock.skip(5.0)
    assert isinstance(event, TranscriptEvent)
    assert [(word.start, word.end) for word in event.words] == [(0.0, 0.5), (0.5, 1.0)]
