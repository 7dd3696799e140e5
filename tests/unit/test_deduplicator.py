from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent, TranscriptEvent, TurnStateEvent
from deepgram_stream_iter._events.words import Word
from deepgram_stream_iter._recovery.deduplicator import Deduplicator


def words(text: str) -> tuple[Word, ...]:
    """Make words such as `a@1-2`, or `a` for one without times."""
    made: list[Word] = []
    for part in text.split():
        word, _, times = part.partition("@")
        start, _, end = times.partition("-")
        made.append(
            Word(word, word.title(), start=float(start) if start else None, end=float(end) if end else None)
        )
    return tuple(made)


def text_of(heard: tuple[Word, ...]) -> str:
    """Write words as a server does."""
    return " ".join(word.punctuated_word for word in heard)


def final(start: float, end: float, text: str = "", **more: Any) -> TranscriptEvent:
    """Make a final; `more` may make it something else."""
    heard = words(text)
    given: dict[str, Any] = {"is_final": True, "transcript": text_of(heard), **more}
    return StreamEvent.Transcript(words=heard, start=start, duration=end - start, **given)


def turn(
    kind: Any, end: float | None, text: str = "", index: int | None = 0, start: float | None = 0.0
) -> Any:
    """Make an event of a turn."""
    heard = words(text)
    return kind(words=heard, transcript=text_of(heard), start=start, end=end, turn_index=index)


START, UPDATE, EAGER, RESUMED, END = (
    StreamEvent.StartOfTurn,
    StreamEvent.TurnUpdate,
    StreamEvent.EagerEndOfTurn,
    StreamEvent.TurnResumed,
    StreamEvent.EndOfTurn,
)


def resumed(deduplicator: Deduplicator, begin_seconds: float | None = None) -> Deduplicator:
    """Lose the connection; the next one is sent the audio from there on, else from what is not finalised."""
    deduplicator.resume(deduplicator.finalized_seconds if begin_seconds is None else begin_seconds)
    return deduplicator


def after(*events: AnyStreamEvent, begin_seconds: float | None = None) -> Deduplicator:
    """Return what follows a session in which these events came before the connection was lost."""
    deduplicator = Deduplicator()
    deduplicator.resume(0.0)
    for event in events:
        assert deduplicator.take(event) is event
    return resumed(deduplicator, begin_seconds)


def heard(event: AnyStreamEvent | None) -> tuple[object, ...]:
    """Return what matters of a transcript."""
    assert isinstance(event, TranscriptEvent)
    return event.start, event.end, " ".join(word.word for word in event.words), event.transcript


# Nova


@given(
    pieces=st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=10),
    channel=st.sampled_from([None, 0]),
)
def test_one_connection_is_left_alone(pieces: list[tuple[float, bool]], channel: int | None) -> None:
    """On one connection every event is the very same, whatever its times are."""
    deduplicator = Deduplicator()
    deduplicator.resume(0.0)
    for start, is_final in pieces:
        for event in (
            final(start, start + 1, "a@0-1", is_final=is_final, channel_index=channel),
            StreamEvent.SpeechStarted(timestamp=start, channel_index=channel),
            StreamEvent.UtteranceEnd(last_word_end=start, channel_index=channel),
        ):
            assert deduplicator.take(event) is event


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(final(2, 3, "c@2-3"), (2, 3, "c", "C"), id="after"),
        pytest.param(final(1, 3, "b@1-2 c@2-3"), (2, 3, "c", "C"), id="words before go"),
        pytest.param(final(0, 3, "a@0-1"), (2, 3, "", ""), id="new silence"),
        pytest.param(final(1.5, 3, "b@1.5-2.6 c@2.6-3"), (2, 3, "b c", "B C"), id="more of the word after"),
        pytest.param(final(1.5, 3, "b@1.5-2.4 c@2.4-3"), (2, 3, "c", "C"), id="more of the word before"),
        pytest.param(final(1.5, 3, "b@1.5-2.5"), (2, 3, "b", "B"), id="just half"),
        pytest.param(
            final(1, 3, "b c", transcript="b, c"), (2, 3, "b c", "b, c"), id="no times: all may be new"
        ),
        pytest.param(final(1, 3, "b@1-2 x"), (2, 3, "x", "X"), id="one without times stays"),
    ],
)
def test_trimming(event: TranscriptEvent, expected: tuple[object, ...]) -> None:
    """Of a final that overlaps what was handed out, the words whose middle lies before go; it begins where that ended."""
    assert heard(after(final(0, 2, "a@0-1 b@1-2")).take(event)) == expected


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(final(0, 2, "a@0-1 b@1-2"), id="the same"),
        pytest.param(final(0, 1, "a@0-1"), id="long before"),
        pytest.param(final(0, 1, speech_final=True), id="an endpoint long before"),
        pytest.param(final(1, 2, "b", transcript="b"), id="words without times"),
        pytest.param(final(0, 2), id="silence"),
        pytest.param(final(0, 2, "a@0-1", is_final=False), id="an interim"),
        pytest.param(final(1, 1.5, "b@1-2", is_final=False), id="an interim of the last word"),
        pytest.param(final(0, 3, "a@0-1 b@1-2", is_final=False), id="an interim that brings silence"),
    ],
)
def test_nothing_new(event: TranscriptEvent) -> None:
    """What lies before the end of the last final is not handed out again."""
    deduplicator = after(final(0, 2, "a@0-1 b@1-2"))
    assert deduplicator.take(event) is None
    assert deduplicator.finalized_seconds == 2


@pytest.mark.parametrize("more", [{}, {"speech_final": True}, {"from_finalize": True, "channel_index": 0}])
def test_what_is_left_is_as_it_was(more: dict[str, Any]) -> None:
    """A final of which words are left still is an endpoint, and all else that it was."""
    raw = object()
    event = final(0, 3, "a@0-1 b@2-3", raw=raw, confidence=0.5, **more)
    taken = after(final(0, 2, "a@0-1", **more)).take(event)
    assert isinstance(taken, TranscriptEvent)
    assert taken.raw is raw
    assert taken == replace(event, words=words("b@2-3"), transcript="B", start=2, duration=1)


@pytest.mark.parametrize(
    ("before", "again", "expected"),
    [
        pytest.param(
            [final(0, 2, "a@0-1", speech_final=True), final(3, 4, "b@3-4")],
            (0, 2),
            False,
            id="the one before",
        ),
        pytest.param(
            [final(0, 2, "a@0-1"), final(3, 4, "b@3-4")], (0, 3.4), False, id="within the last word"
        ),
        pytest.param([final(0, 2, "a@0-1")], (0, 1.1), True, id="after the last word"),
        pytest.param(
            [final(0, 2, "a@0-1")], (0, 0.96), True, id="at the last word, whose end is heard earlier"
        ),
        pytest.param([final(0, 2, "a@0-1", speech_final=True)], (0, 2), False, id="the same"),
        pytest.param(
            [final(0, 2, "a@0-1"), StreamEvent.UtteranceEnd(last_word_end=1.0)],
            (0, 2),
            False,
            id="ended otherwise",
        ),
        pytest.param([final(0, 2, "a")], (0, 0.1), True, id="words without times"),
        pytest.param([final(0, 2), final(2, 4, "a")], (0, 2), False, id="words without times, later"),
        pytest.param([final(0, 2)], (0, 2), False, id="no words"),
    ],
)
def test_an_endpoint_that_is_heard_again(
    before: list[AnyStreamEvent], again: tuple[float, float], *, expected: bool
) -> None:
    """An old endpoint does not end the utterance that is open now; one that was not reported ends it, once."""
    until = max(event.end or 0 for event in before if isinstance(event, TranscriptEvent))
    for from_finalize in (False, True):
        deduplicator = after(*before)
        event = final(*again, "a@0-0.5", speech_final=True, from_finalize=from_finalize)
        taken = deduplicator.take(event)
        if expected or from_finalize:
            assert heard(taken) == (until, until, "", "")
            assert isinstance(taken, TranscriptEvent)
            assert (taken.speech_final, taken.from_finalize) == (expected, from_finalize)
        else:
            assert taken is None
        assert deduplicator.take(replace(event, from_finalize=False)) is None


@pytest.mark.parametrize("is_open", [True, False])
def test_an_endpoint_in_the_silence_after_the_words(*, is_open: bool) -> None:
    """Silence that goes on behind what was final ends an utterance that is open, and no other again."""
    deduplicator = after(final(0, 2, "a@0-1", speech_final=not is_open))
    taken = deduplicator.take(final(0, 3, "a@0-1", speech_final=True))
    assert heard(taken) == (2, 3, "", "")
    assert isinstance(taken, TranscriptEvent)
    assert taken.speech_final is is_open
    later = final(3, 4, speech_final=True)
    assert deduplicator.take(later) is later, "what is heard for the first time stays as it is"


def test_rounded_times() -> None:
    """What begins a microsecond before the last final ended is new, and stays as it is."""
    event = final(1.999999, 3, speech_final=True)
    assert after(final(0, 2)).take(event) is event
    assert heard(after(final(0, 2)).take(final(1.99999, 3))) == (2, 3, "", "")


def test_a_finalize_is_answered() -> None:
    """The answer to a Finalize comes, emptied, also where the replay has not come to anything new."""
    for end in (1.0, 2.0):
        event = final(0, end, "a@0-1", from_finalize=True)
        taken = after(final(0, 2, "a@0-1")).take(event)
        assert heard(taken) == (2, 2, "", "")
        assert isinstance(taken, TranscriptEvent)
        assert taken.from_finalize
        assert taken.raw is event.raw


def test_the_words_are_written_as_they_were() -> None:
    """A trimmed text is of the punctuated words, or of the plain ones where there are none."""
    event = final(1, 3, "b@1-2 c@2-3 d@2-3", confidence=0.5)
    event = replace(event, words=(*event.words[:2], event.words[2]._replace(punctuated_word="")))
    assert heard(after(final(0, 2)).take(event))[-1] == "C d"


def test_interims_bring_only_new_words() -> None:
    """Of an interim the words that are final go, as of a final; what it says moves no place."""
    deduplicator = after(final(0, 2, "a@0-1"))
    event = final(0, 3, "a@0-1 b@2-3", is_final=False)
    for _ in range(2):
        assert deduplicator.take(event) == replace(
            event, start=2, duration=1, words=words("b@2-3"), transcript="B"
        )
    assert deduplicator.finalized_seconds == 2
    later = final(2, 3, is_final=False)
    assert deduplicator.take(later) is later


@pytest.mark.parametrize("start", [None, 0.0])
def test_a_final_without_times(start: float | None) -> None:
    """What has no times is handed out as it is, and says nothing about what is final."""
    event = StreamEvent.Transcript(transcript="a", is_final=True, start=start)
    deduplicator = after(final(0, 2))
    assert deduplicator.take(event) is event
    assert deduplicator.finalized_seconds == 2


def test_the_words_of_a_final_without_times() -> None:
    """An utterance of which nobody knows where it is ends where the server says."""
    deduplicator = after(StreamEvent.Transcript(transcript="a", is_final=True))
    event = StreamEvent.UtteranceEnd(last_word_end=1.0)
    assert deduplicator.take(event) is event


def test_what_is_final() -> None:
    """Finals move the place where a replay begins, interims and earlier finals do not."""
    deduplicator = Deduplicator()
    places = [deduplicator.finalized_seconds]
    for event in (final(0, 2), final(2, 4, is_final=False), final(0, 1), final(2, 3)):
        deduplicator.take(event)
        places.append(deduplicator.finalized_seconds)
    assert places == [0, 2, 2, 2, 3]


def test_after_a_gap() -> None:
    """Audio that is lost is not asked for again, also when the next connection is lost before its first final."""
    deduplicator = after(final(0, 2), begin_seconds=5.0)
    assert deduplicator.finalized_seconds == 5
    assert resumed(deduplicator).finalized_seconds == 5
    assert heard(deduplicator.take(final(5, 6, "a@5-6"))) == (5, 6, "a", "A")


def test_channels() -> None:
    """A replay begins where the slowest channel is; each is trimmed by its own finals."""
    deduplicator = after(
        final(0, 5, "a@0-1", channel_index=0, channel_count=2), final(0, 2, channel_index=1, channel_count=2)
    )
    assert deduplicator.finalized_seconds == 2
    ahead = deduplicator.take(final(2, 6, "b@4-5 c@5-6", channel_index=0, channel_count=2))
    behind = deduplicator.take(final(2, 6, "b@4-5 c@5-6", channel_index=1, channel_count=2))
    assert heard(ahead) == (5, 6, "c", "C")
    assert heard(behind) == (2, 6, "b c", "B C")
    assert deduplicator.finalized_seconds == 6


def test_a_final_that_does_not_say_how_many_channels_there_are() -> None:
    """What other finals have said still holds."""
    deduplicator = after(final(0, 5, channel_index=0, channel_count=2))
    deduplicator.take(final(5, 6, channel_index=0))
    assert deduplicator.finalized_seconds == 0


def test_a_channel_that_has_said_nothing() -> None:
    """Of a channel without any final, nothing is final."""
    assert after(final(0, 5, channel_index=1, channel_count=2)).finalized_seconds == 0
    assert after(final(0, 5, channel_index=0, channel_count=1)).finalized_seconds == 5


def speech_started(seconds: float | None, channel: int) -> AnyStreamEvent:
    """Make the mark of a beginning."""
    return StreamEvent.SpeechStarted(timestamp=seconds, channel_index=channel)


def utterance_end(seconds: float | None, channel: int) -> AnyStreamEvent:
    """Make the mark of an end."""
    return StreamEvent.UtteranceEnd(last_word_end=seconds, channel_index=channel)


@pytest.mark.parametrize("make", [speech_started, utterance_end])
def test_repeated_marks(make: Callable[[float | None, int], AnyStreamEvent]) -> None:
    """What was reported before the connection was lost is not reported again; what is later, or of another channel, is."""
    deduplicator = after(make(1.0, 0), make(3.0, 0))
    assert [deduplicator.take(make(seconds, 0)) for seconds in (1.0, 2.0, 3.0)] == [None] * 3
    deduplicator.take(final(3, 3.5, "a@3.1-3.5", channel_index=0))
    for event in (make(3.5, 0), make(3.5, 0), make(1.0, 1), make(None, 0), make(-1.0, 0)):
        assert deduplicator.take(event) is event
    assert resumed(deduplicator).take(make(3.5, 0)) is None


def test_marks_of_one_kind_say_nothing_of_the_other() -> None:
    """An utterance may end where, as the server tells, speech has started before."""
    event = StreamEvent.UtteranceEnd(last_word_end=1.0)
    assert after(StreamEvent.SpeechStarted(timestamp=1.0), final(0, 2)).take(event) is event


@pytest.mark.parametrize(("seconds", "is_new"), [(1.0, False), (1.99, False), (2.0, True)])
def test_a_speech_that_only_the_second_hearing_reports(seconds: float, *, is_new: bool) -> None:
    """Speech whose words are final is no news; speech after them is."""
    event = StreamEvent.SpeechStarted(timestamp=seconds)
    assert after(final(0, 2, "a@1-2")).take(event) == (event if is_new else None)


@pytest.mark.parametrize(("seconds", "is_new"), [(1.0, False), (3.4, False), (3.6, True), (4.1, True)])
def test_an_utterance_end_that_only_the_second_hearing_reports(seconds: float, *, is_new: bool) -> None:
    """An UtteranceEnd of an earlier word does not end the utterance that is open; one of its last word does."""
    deduplicator = after(final(0, 2, "a@0-1"), final(2, 4, "b@3-4"))
    event = StreamEvent.UtteranceEnd(last_word_end=seconds)
    assert deduplicator.take(event) == (event if is_new else None)
    endpoint = deduplicator.take(final(3, 4, "b@3-4", speech_final=True))
    assert (endpoint is None) is is_new


def test_an_utterance_end_that_is_heard_a_little_later() -> None:
    """A word that was the last, and whose utterance has ended, ends none where the second hearing has it end later."""
    deduplicator = after(final(0, 2, "a@0-1"), StreamEvent.UtteranceEnd(last_word_end=1.0))
    event = StreamEvent.UtteranceEnd(last_word_end=2.1)
    assert deduplicator.take(event) is None
    deduplicator.take(final(2, 3, "b@2-2.1"))
    assert deduplicator.take(event) is event


@pytest.mark.parametrize("seconds", [None, -1.0])
def test_an_utterance_end_without_a_place(seconds: float | None) -> None:
    """It is handed out as it is, and ends what is open."""
    deduplicator = after(final(0, 2, "a@0-1"))
    event = StreamEvent.UtteranceEnd(last_word_end=seconds)
    assert deduplicator.take(event) is event
    assert deduplicator.take(final(0, 2, "a@0-1", speech_final=True)) is None


@pytest.mark.parametrize(
    "event", [StreamEvent.Metadata(), StreamEvent.Connected(), StreamEvent.Error(), StreamEvent.Unknown()]
)
def test_other_events_pass(event: AnyStreamEvent) -> None:
    """What is not about a place in the audio passes, every time."""
    assert after(event, final(0, 2)).take(event) is event


# Flux

CUT = (
    turn(END, 2.0, "a@0-1"),
    turn(START, 3.0, "b@2-3", 1, 2.0),
    turn(UPDATE, 4.0, "b@2-3 c@3-4", 1, 2.0),
)
"""A turn, and another in which the connection is lost."""


def test_turns_are_counted_on() -> None:
    """`turn_index` goes on from connection to connection, whether one was lost in a turn or between two."""
    deduplicator = after(turn(START, 1, "a@0-1"), turn(END, 2, "a@0-1"))
    for index in (1, 2):
        started = deduplicator.take(turn(START, index + 2, "b@2-3"))
        assert (started, type(started)) == (turn(START, index + 2, "b@2-3", index), START)
        assert deduplicator.take(turn(END, index + 2, "b@2-3")) == turn(END, index + 2, "b@2-3", index)
        resumed(deduplicator)
    assert deduplicator.take(turn(UPDATE, 9, "")) == turn(UPDATE, 9, "", 3)
    assert deduplicator.take(turn(START, 9, "c@8-9", 1)) == turn(START, 9, "c@8-9", 4)


def test_a_turn_without_a_number() -> None:
    """A server that counts no turns gets no numbers from us, and each turn starts and ends once all the same."""
    deduplicator = after(turn(START, 1, "a@0-1", None), turn(END, 2, "a@0-1", None))
    assert deduplicator.finalized_seconds == 2
    event = turn(START, 4, "b@2-3", None)
    assert deduplicator.take(event) is event
    resumed(deduplicator)
    kinds = [type(deduplicator.take(turn(kind, 5.0, "b@2-3", None))) for kind in (START, END, START, END)]
    assert kinds == [UPDATE, END, START, END]


def test_no_second_start() -> None:
    """The turn that was cut is replayed as a whole: its start is told as an update, and its end comes once."""
    deduplicator = after(*CUT)
    assert deduplicator.finalized_seconds == 2
    replay = [
        turn(START, 3.1, "b@2-3", 0, 2.0),
        turn(UPDATE, 4.1, "b@2-3 c@3-4", 0, 2.0),
        turn(EAGER, 5.1, "b@2-3 c@3-4", 0, 2.0),
        turn(RESUMED, 5.2, "b@2-3 c@3-4 d@5-5.2", 0, 2.0),
        turn(END, 6.1, "b@2-3 c@3-4 d@5-5.2", 0, 2.0),
        turn(START, 8.0, "e@7-8", 1, 6.1),
    ]
    kinds = (UPDATE, UPDATE, EAGER, RESUMED, END, START)
    taken = [deduplicator.take(event) for event in replay]
    assert [type(event) for event in taken] == list(kinds)
    for event, before in zip(taken, replay, strict=True):
        assert isinstance(event, TurnStateEvent)
        assert (event.transcript, event.words, event.start, event.end, event.turn_index) == (
            before.transcript,
            before.words,
            before.start,
            before.end,
            before.turn_index + 1,
        )
    assert deduplicator.finalized_seconds == 6.1


def test_what_the_replay_keeps_of_an_event() -> None:
    """A start that is told as an update has all that the start had."""
    more: dict[str, Any] = {"end_of_turn_confidence": 0.3, "languages": ("en",), "raw": object()}
    taken = after(*CUT).take(replace(turn(START, 3.1, "b@2-3", 0, 2.0), **more))
    assert taken == replace(turn(UPDATE, 3.1, "b@2-3", 1, 2.0), **more)
    assert taken is not None
    assert taken.raw is more["raw"]


@pytest.mark.parametrize("first", [START, UPDATE], ids=["StartOfTurn", "TurnUpdate"])
def test_an_eager_end_is_taken_back(first: Any) -> None:
    """Where the connection was lost after an EagerEndOfTurn, the turn is resumed, once."""
    deduplicator = after(*CUT, turn(EAGER, 4.0, "b@2-3 c@3-4", 1, 2.0))
    kinds = [
        type(deduplicator.take(turn(kind, 3.0 + number, "b@2-3", 0, 2.0)))
        for number, kind in enumerate((first, UPDATE, EAGER, END))
    ]
    assert kinds == [RESUMED, UPDATE, EAGER, END]


@pytest.mark.parametrize("first", [EAGER, END], ids=["EagerEndOfTurn", "EndOfTurn"])
def test_an_eager_end_that_was_right(first: Any) -> None:
    """A replay that comes to the end at once takes nothing back."""
    deduplicator = after(*CUT, turn(EAGER, 4.0, "b@2-3 c@3-4", 1, 2.0))
    assert type(deduplicator.take(turn(first, 4.0, "b@2-3 c@3-4", 0, 2.0))) is first


def test_an_eager_end_that_was_resumed_is_over() -> None:
    """A turn that had gone on after its EagerEndOfTurn is not resumed again."""
    deduplicator = after(*CUT, turn(EAGER, 4, "b@2-3", 1, 2.0), turn(RESUMED, 5, "b@2-3 c@4-5", 1, 2.0))
    assert type(deduplicator.take(turn(START, 3, "b@2-3", 0, 2.0))) is UPDATE


def test_an_eager_end_that_was_cut_twice() -> None:
    """A connection that brings no word of the turn does not make the EagerEndOfTurn forgotten."""
    deduplicator = resumed(after(*CUT, turn(EAGER, 4.0, "b@2-3 c@3-4", 1, 2.0)))
    assert deduplicator.take(turn(UPDATE, 2.1, "", 0, 2.0)) is None
    resumed(deduplicator)
    assert type(deduplicator.take(turn(START, 3, "b@2-3", 0, 2.0))) is RESUMED


def test_updates_before_the_first_word() -> None:
    """The turn goes on while the replay has not come to its first word: that it is empty is not told, and final is nothing."""
    deduplicator = after(*CUT)
    assert [deduplicator.take(turn(UPDATE, end, "", 0, 2.0)) for end in (2.1, 6.9)] == [None, None]
    assert deduplicator.finalized_seconds == 2


def test_a_turn_that_nobody_hears_again() -> None:
    """Once the replay has gone past the turn in silence, that has ended with what was heard of it; the next is another."""
    deduplicator = after(*CUT)
    ended = deduplicator.take(turn(UPDATE, 7.0, "", 0, 2.0))
    assert isinstance(ended, StreamEvent.EndOfTurn)
    assert (ended.turn_index, ended.transcript, ended.confirmed) == (1, "B C", False)
    assert deduplicator.finalized_seconds == 4
    assert deduplicator.take(turn(UPDATE, 9.0, "", 0, 2.0)) == turn(UPDATE, 9.0, "", 2, 2.0)
    assert deduplicator.finalized_seconds == 6
    assert deduplicator.take(turn(START, 10.0, "d@9-10", 0, 2.0)) == turn(START, 10.0, "d@9-10", 2, 2.0)
    resumed(deduplicator)
    assert deduplicator.take(turn(START, 10.0, "d@9-10", 0, 6.0)) == turn(UPDATE, 10.0, "d@9-10", 2, 2.0)


def test_a_turn_that_was_taken_up_again() -> None:
    """Once the replay has come to words of the turn it is the server's to end it, whatever becomes of the words."""
    deduplicator = after(*CUT)
    deduplicator.take(turn(START, 3.0, "b@2-3", 0, 2.0))
    assert deduplicator.take(turn(UPDATE, 9.0, "", 0, 2.0)) is None
    assert deduplicator.take(turn(END, 9.5, "b@2-3 c@3-4", 0, 2.0)) == turn(END, 9.5, "b@2-3 c@3-4", 1, 2.0)


def test_a_turn_cut_twice_that_nobody_hears_again() -> None:
    """It ends with all that was heard of it, in whichever hearing."""
    deduplicator = after(*CUT)
    deduplicator.take(turn(START, 3.0, "b@2-3", 0, 2.0))
    resumed(deduplicator)
    assert deduplicator.take(turn(UPDATE, 6.9, "", 0, 2.0)) is None
    ended = deduplicator.take(turn(UPDATE, 7.0, "", 0, 2.0))
    assert isinstance(ended, StreamEvent.EndOfTurn)
    assert (ended.transcript, ended.end) == ("B C", 4.0)


def test_an_end_without_words() -> None:
    """An end of the turn is an end, even where the second hearing came to no word."""
    deduplicator = after(*CUT)
    assert deduplicator.take(turn(END, 5.0, "", 0, 2.0)) == turn(END, 5.0, "", 1, 2.0)
    assert deduplicator.finalized_seconds == 5
    assert deduplicator.take(turn(START, 7.0, "d@6-7", 1, 5.0)) == turn(START, 7.0, "d@6-7", 2, 5.0)


def test_words_from_before_the_replay() -> None:
    """Where the beginning of a turn cannot be replayed, what was heard of it before is kept, and so is its start."""
    deduplicator = after(*CUT, begin_seconds=3.0)
    first = deduplicator.take(turn(START, 4.0, "c@3-4", 0, 3.0))
    assert first == turn(UPDATE, 4.0, "b@2-3 c@3-4", 1, 2.0)
    last = deduplicator.take(turn(END, 5.0, "c@3-4 d@4-5", 0, 3.0))
    assert last == turn(END, 5.0, "b@2-3 c@3-4 d@4-5", 1, 2.0)
    assert deduplicator.take(turn(START, 7.0, "e@6-7", 1, 5.0)) == turn(START, 7.0, "e@6-7", 2, 5.0)


@pytest.mark.parametrize(
    ("begin", "kept"), [(2.4, ""), (2.5, ""), (2.6, "b "), (3.5, "b "), (3.6, "b c "), (9.0, "b c ")]
)
def test_which_words_are_kept(begin: float, kept: str) -> None:
    """A word is kept when its middle lies before the replay."""
    taken = after(*CUT, begin_seconds=begin).take(turn(START, 10.0, "x@9-10", 0, begin))
    assert isinstance(taken, TurnStateEvent)
    assert " ".join(word.word for word in taken.words) == f"{kept}x"
    assert taken.transcript == f"{kept}x".title()


def test_words_without_times_are_not_kept() -> None:
    """Nobody knows whether the replay holds a word that has no times."""
    deduplicator = after(turn(START, 1, "a b"), begin_seconds=1.0)
    assert deduplicator.take(turn(START, 2, "c", 0, 1.0)) == turn(UPDATE, 2, "c", 0, 0.0)
    resumed(deduplicator, 2.0)
    assert deduplicator.take(turn(START, 3, "d", 0, 2.0)) == turn(UPDATE, 3, "d", 0, 0.0)


@pytest.mark.parametrize(
    "middle",
    [
        pytest.param([], id="at its beginning"),
        pytest.param([turn(UPDATE, 2.1, "", 0, 2.0)], id="before its first word"),
        pytest.param([turn(START, 3.0, "b@2-3", 0, 2.0)], id="in its middle"),
        pytest.param([turn(START, 4.0, "b@2-3 c@3-4", 0, 2.0)], id="at its end"),
        pytest.param([turn(START, 5.0, "b@2-3 c@3-4 d@4-5", 0, 2.0)], id="after it"),
    ],
)
def test_a_turn_that_is_cut_twice(middle: list[AnyStreamEvent]) -> None:
    """A replay that is cut too changes nothing: it is one turn, and no word is forgotten that only the first hearing had."""
    deduplicator = after(*CUT)
    for event in middle:
        deduplicator.take(event)
    resumed(deduplicator, 4.0)
    assert deduplicator.take(turn(START, 6.0, "e@5-6", 0, 4.0)) == turn(
        UPDATE, 6.0, "b@2-3 c@3-4 e@5-6", 1, 2.0
    )
    assert deduplicator.take(turn(END, 6.0, "e@5-6", 0, 4.0)) == turn(END, 6.0, "b@2-3 c@3-4 e@5-6", 1, 2.0)
    assert deduplicator.finalized_seconds == 6


def test_a_turn_that_ends_earlier_the_second_time() -> None:
    """Where the replay makes two turns of the one that was cut, the second is a turn of its own."""
    deduplicator = after(*CUT)
    taken = [
        deduplicator.take(event)
        for event in (
            turn(START, 3.0, "b@2-3", 0, 2.0),
            turn(END, 3.0, "b@2-3", 0, 2.0),
            turn(START, 4.0, "c@3-4", 1, 3.0),
        )
    ]
    assert taken == [
        turn(UPDATE, 3.0, "b@2-3", 1, 2.0),
        turn(END, 3.0, "b@2-3", 1, 2.0),
        turn(START, 4.0, "c@3-4", 2, 3.0),
    ]


def test_silence_is_final() -> None:
    """While nobody speaks, all but the last 3 s is final; while somebody does, nothing of the turn is."""
    deduplicator = Deduplicator()
    places: list[float] = []
    for event in (
        turn(UPDATE, 2.0),
        turn(UPDATE, 10.0),
        turn(UPDATE, 9.0),
        turn(UPDATE, None),
        turn(START, 12.0, "a@11-12"),
        turn(UPDATE, 20.0, "a@11-12"),
        turn(END, 21.0, "a@11-12"),
        turn(UPDATE, 22.0, "", 1),
        turn(UPDATE, 25.0, "", 1),
    ):
        assert deduplicator.take(event) is event
        places.append(deduplicator.finalized_seconds)
    assert places == [0, 7, 7, 7, 7, 7, 21, 21, 22]
