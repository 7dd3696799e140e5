from __future__ import annotations

from collections.abc import Sequence

import pytest

from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent
from deepgram_stream_iter._inbound.audio_clock import AudioClock
from deepgram_stream_iter._inbound.ledger import Ledger

START, UPDATE, RESUMED = StreamEvent.StartOfTurn, StreamEvent.TurnUpdate, StreamEvent.TurnResumed
EAGER, END = StreamEvent.EagerEndOfTurn, StreamEvent.EndOfTurn


def kept(events: Sequence[AnyStreamEvent]) -> Ledger:
    """Make a ledger of these events."""
    ledger = Ledger(AudioClock())
    for event in events:
        ledger.record(event)
    return ledger


def final(text: str, start: float | None = None, *, channel: int = 0) -> AnyStreamEvent:
    """Make a final of one second."""
    return StreamEvent.Transcript(
        transcript=text, start=start, duration=1.0, is_final=True, channel_index=channel
    )


def test_a_new_ledger_is_empty() -> None:
    """Before anything has arrived everything is empty."""
    ledger = Ledger(AudioClock())
    assert (ledger.events, ledger.transcript, ledger.request_id, ledger.metadata) == (0, "", "", None)
    assert (ledger.audio_seconds_finalized, ledger.end_of_open_turn()) == (0.0, None)


@pytest.mark.parametrize(
    ("events", "transcript"),
    [
        ([final("one"), StreamEvent.Transcript(transcript="tw"), final("two")], "one two"),
        ([final("one"), final(""), final("two", channel=1)], "one two"),
        ([UPDATE(transcript="one"), END(transcript="One."), UPDATE(transcript="two")], "One."),
        ([END(transcript="One."), END(), END(transcript="Two.", confirmed=False)], "One. Two."),
        ([StreamEvent.UtteranceEnd(), StreamEvent.Unknown(), StreamEvent.Error()], ""),
    ],
)
def test_the_whole_text(events: list[AnyStreamEvent], transcript: str) -> None:
    """The transcript is all final text in the order of arrival, of all channels, without the empty ones."""
    ledger = kept(events)
    assert (ledger.transcript, ledger.events) == (transcript, len(events))


@pytest.mark.parametrize(
    ("events", "seconds"),
    [
        ([final("one", 0.0), final("two", 3.0)], 4.0),
        ([final("two", 3.0), final("one", 0.0, channel=1)], 4.0),
        ([final("one", 2.0), final("", 3.0)], 4.0),
        ([final("one")], 0.0),
        ([StreamEvent.Transcript(start=5.0, duration=1.0)], 0.0),
        ([END(end=2.5), UPDATE(end=4.0)], 2.5),
    ],
)
def test_how_far_the_final_text_reaches(events: list[AnyStreamEvent], seconds: float) -> None:
    """The finalised audio never goes back, and silence that is final counts."""
    assert kept(events).audio_seconds_finalized == seconds


@pytest.mark.parametrize(
    ("events", "request_id"),
    [
        ([StreamEvent.Connected(request_id="a")], "a"),
        ([StreamEvent.Connected(request_id="a"), StreamEvent.Metadata()], "a"),
        ([StreamEvent.Metadata(request_id="b")], "b"),
    ],
)
def test_the_request_id(events: list[AnyStreamEvent], request_id: str) -> None:
    """Either message may tell the id; one that does not say takes nothing away."""
    assert kept(events).request_id == request_id


def test_the_last_message() -> None:
    """Nova's Metadata is kept as it came."""
    metadata = StreamEvent.Metadata(request_id="b", duration=3.0)
    assert kept([metadata]).metadata is metadata


@pytest.mark.parametrize(
    ("events", "open_text"),
    [
        pytest.param([START(transcript="a"), UPDATE(transcript="a b")], "a b", id="the last update"),
        pytest.param([START(transcript="a"), UPDATE()], "", id="taken back"),
        pytest.param([UPDATE(transcript="a")], "a", id="attached inside a turn"),
        pytest.param([START()], "", id="begun without text"),
        pytest.param([START(), EAGER(transcript="a"), RESUMED(transcript="a")], "a", id="resumed"),
        pytest.param([UPDATE()], None, id="nobody speaks"),
        pytest.param([START(transcript="a"), END(transcript="A.")], None, id="ended"),
        pytest.param([END(transcript="A."), UPDATE()], None, id="silence after a turn"),
        pytest.param([END(transcript="A."), UPDATE(transcript="b")], "b", id="the next turn"),
        pytest.param([final("a")], None, id="Nova"),
    ],
)
def test_the_open_turn(events: list[AnyStreamEvent], open_text: str | None) -> None:
    """A turn that has begun and not ended is ended by the end of the stream, unconfirmed, with its last text."""
    end = kept(events).end_of_open_turn()
    assert (end and (end.transcript, end.confirmed)) == (None if open_text is None else (open_text, False))


def clock_at(seconds: float) -> AudioClock:
    """Make a clock that so much audio has gone past."""
    clock = AudioClock()
    clock.format = RawFormat(sample_rate=1000, block_size=2)
    clock.bytes_sent = round(seconds * 2000)
    return clock


def test_latency_is_of_audio_that_was_sent() -> None:
    """What was left out is nothing that Deepgram is behind with, whether its results come before or after."""
    clock = clock_at(2.0)
    ledger = Ledger(clock)
    clock.skip(10.0)
    ledger.record(clock.place(final("one", 0.5)))
    assert ledger.latency_seconds == pytest.approx(0.5)
    assert ledger.latency_seconds_max == pytest.approx(0.5)
    ledger.record(clock.place(final("two", 1.0)))
    assert ledger.latency_seconds == 0.0
    clock.bytes_sent += 2000
    assert ledger.latency_seconds == pytest.approx(1.0)
    ledger.record(clock.place(final("three", 1.5)))
    assert ledger.latency_seconds == pytest.approx(0.5)
    assert ledger.latency_seconds_max == pytest.approx(0.5)
    assert ledger.audio_seconds_finalized == 12.5


def test_what_was_left_out_is_not_lost() -> None:
    """Lost is the audio of a gap, whatever was left out in it; and what was lost in it before counts once."""
    clock = clock_at(2.0)
    ledger = Ledger(clock)
    clock.skip(10.0)
    clock.bytes_sent += 2000
    lost = clock.lose(0.5)
    assert lost == StreamEvent.AudioGap(start=13.0, end=13.5)
    ledger.record(lost)
    assert ledger.audio_seconds_lost == pytest.approx(0.5)
    clock.bytes_sent += 2000
    ledger.record(clock.place(StreamEvent.AudioGap(start=1.5, end=3.5)))
    assert ledger.audio_seconds_lost == pytest.approx(2.5)
    ledger.record(StreamEvent.AudioGap(start=14.5))
    assert ledger.audio_seconds_lost == pytest.approx(2.5)
