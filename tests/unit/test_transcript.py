from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._adapters.decode import decode
from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent, TranscriptEvent, TurnEvent
from deepgram_stream_iter._events.words import Word
from deepgram_stream_iter._transcript import Utterance, UtteranceAssembler, unconfirmed_end

END = None  # of an utterance, in the history of a channel
CHANNELS = st.integers(0, 1)
TEXTS = st.sampled_from(["", "a", "b c", "d"])
NOVA = st.lists(
    st.builds(StreamEvent.Transcript, transcript=TEXTS, channel_index=CHANNELS)
    | st.builds(
        StreamEvent.Transcript,
        transcript=TEXTS,
        channel_index=CHANNELS,
        is_final=st.just(value=True),
        speech_final=st.booleans(),
    )
    | st.builds(StreamEvent.UtteranceEnd, channel_index=CHANNELS)
    | st.builds(StreamEvent.SpeechStarted, channel_index=CHANNELS),
    max_size=30,
)
TURN_KINDS: tuple[Any, ...] = (
    StreamEvent.StartOfTurn,
    StreamEvent.TurnUpdate,
    StreamEvent.EagerEndOfTurn,
    StreamEvent.TurnResumed,
    StreamEvent.EndOfTurn,
)
FLUX = st.lists(st.one_of([st.builds(kind, transcript=TEXTS) for kind in TURN_KINDS]), max_size=20)


def interim(text: str, channel: int = 0) -> AnyStreamEvent:
    """Make an interim."""
    return StreamEvent.Transcript(transcript=text, channel_index=channel)


def final(text: str, start: float = 0.0, *, speech_final: bool = False, channel: int = 0) -> AnyStreamEvent:
    """Make a final of one second."""
    return StreamEvent.Transcript(
        transcript=text,
        start=start,
        duration=1.0,
        words=tuple(Word(word) for word in text.split()),
        is_final=True,
        speech_final=speech_final,
        channel_index=channel,
    )


class Message:
    """A message as the SDK hands it out: an object, which tells when it is gone."""

    def __init__(self, fields: dict[str, object]) -> None:
        self.__dict__.update(fields)


def result(text: str, start: float, *, speech_final: bool = False) -> dict[str, object]:
    """Make the message of a final of one second."""
    words = [{"word": word} for word in text.split()]
    channel = {"alternatives": [{"transcript": text, "words": words}]}
    flags = {"is_final": True, "speech_final": speech_final}
    return {"type": "Results", "start": start, "duration": 1.0, "channel": channel, **flags}


def decoded(text: str, start: float, *, speech_final: bool = False) -> TranscriptEvent:
    """Make a final as a message brings it."""
    event = decode(Message(result(text, start, speech_final=speech_final)))
    assert isinstance(event, TranscriptEvent)
    return event


def utterance_end(channel: int = 0) -> AnyStreamEvent:
    """Make an UtteranceEnd."""
    return StreamEvent.UtteranceEnd(channel_index=channel)


def fed(events: Sequence[AnyStreamEvent]) -> tuple[UtteranceAssembler, list[Utterance]]:
    """Feed a new assembler; give it, and what the events complete."""
    assembler = UtteranceAssembler()
    assembler.keeps_words = True
    return assembler, [utterance for event in events if (utterance := assembler.add(event)) is not None]


def history(events: Sequence[AnyStreamEvent], channel: int) -> list[str | None]:
    """Write down a channel's final texts, and where its utterances end."""
    written: list[str | None] = []
    for event in events:
        match event:
            case StreamEvent.Transcript(channel_index=index, is_final=True) if index == channel:
                written += [event.transcript] * bool(event.transcript) + [END] * event.speech_final
            case StreamEvent.UtteranceEnd(channel_index=index) if index == channel:
                written.append(END)
            case _:
                pass
    return written


def split(written: Sequence[str | None]) -> list[str]:
    """Cut a history at the ends; empty texts are utterances without any final."""
    groups: list[list[str]] = [[]]
    for text in written:
        if text is END:
            groups.append([])
        else:
            groups[-1].append(text)
    return [" ".join(group) for group in groups]


@given(events=NOVA)
def test_no_final_is_lost_or_doubled(events: list[AnyStreamEvent]) -> None:
    """A channel's utterances are its final texts between its ends; what no end follows comes unconfirmed with end()."""
    assembler, completed = fed(events)
    left = assembler.end()
    assert assembler.end() == []
    for channel in (0, 1):
        *ended, unended = split(history(events, channel))
        assert [it.text for it in completed if it.channel_index == channel] == list(filter(None, ended))
        assert [it.text for it in left if it.channel_index == channel] == list(filter(None, [unended]))
    assert all(it.confirmed for it in completed)
    assert not any(it.confirmed for it in left)


@given(events=NOVA.filter(bool))
def test_the_text_is_of_the_channel_of_the_last_event(events: list[AnyStreamEvent]) -> None:
    """`text` is the utterance that the last event's channel is at: an ended one until the next has a final text."""
    assembler, _ = fed(events)
    channel: int = getattr(events[-1], "channel_index")  # noqa: B009  (not all kinds have one; these do)
    texts = list(filter(None, split(history(events, channel))))
    assert assembler.text == (texts[-1] if texts else "")


@pytest.mark.parametrize(
    ("events", "completed", "text"),
    [
        pytest.param([], [], "", id="nothing"),
        pytest.param([interim("one tw")], [], "", id="an interim is no text yet"),
        pytest.param([final("one"), interim("tw"), final("two")], [], "one two", id="finals are joined"),
        pytest.param(
            [final("one"), final("two", speech_final=True)], ["one two"], "one two", id="speech_final"
        ),
        pytest.param([final("one"), utterance_end()], ["one"], "one", id="UtteranceEnd alone"),
        pytest.param(
            [final("one", speech_final=True), utterance_end()], ["one"], "one", id="UtteranceEnd is ignored"
        ),
        pytest.param([final("one"), final("", speech_final=True)], ["one"], "one", id="empty speech_final"),
        pytest.param([final("", speech_final=True), utterance_end()], [], "", id="silence is no utterance"),
        pytest.param(
            [final("one", speech_final=True), interim("two"), utterance_end(), final("two")],
            ["one"],
            "two",
            id="the next final starts anew",
        ),
        pytest.param(
            [final("one"), final("two", channel=1), utterance_end(1), interim("", 0)],
            ["two"],
            "one",
            id="channels",
        ),
        pytest.param(
            [final("one"), StreamEvent.Metadata(), StreamEvent.Unknown()], [], "one", id="other kinds"
        ),
        pytest.param([final("one"), StreamEvent.SpeechStarted(channel_index=1)], [], "", id="SpeechStarted"),
    ],
)
def test_deepgrams_rule(events: list[AnyStreamEvent], completed: list[str], text: str) -> None:
    """Final texts are joined until `speech_final`, else until UtteranceEnd."""
    assembler, utterances = fed(events)
    assert ([utterance.text for utterance in utterances], assembler.text) == (completed, text)


def test_an_utterance_spans_its_segments() -> None:
    """Words and times run from the first segment to the last."""
    _, (utterance,) = fed([final("one two", 1.0), final("three", 2.5, speech_final=True)])
    assert [word.word for word in utterance.words] == ["one", "two", "three"]
    assert (utterance.start, utterance.end) == (1.0, 3.5)
    assert (utterance.channel_index, utterance.turn_index, utterance.confirmed) == (0, None, True)


def test_words_that_nobody_asks_for() -> None:
    """Words are read only for utterances, from where they are asked for on; the text is always the whole."""
    first, second = decoded("one", 0.0), decoded("two", 1.0, speech_final=True)
    assembler = UtteranceAssembler()
    assert assembler.add(first) is None
    assembler.keeps_words = True
    utterance = assembler.add(second)
    assert utterance is not None
    assert (utterance.text, utterance.words) == ("one two", second.words)
    assert "words" not in vars(first)


def test_words_of_a_turn_that_nobody_asks_for() -> None:
    """The words of a turn are read only where somebody asks for utterances."""
    turn = {"type": "TurnInfo", "event": "EndOfTurn", "transcript": "one", "words": [{"word": "one"}]}
    for keeps_words in (False, True):
        assembler = UtteranceAssembler()
        assembler.keeps_words = keeps_words
        event = decode(turn)
        assert assembler.add(event) is not None
        assert ("words" in vars(event)) == keeps_words


@pytest.mark.parametrize("keeps_words", [False, True])
@pytest.mark.parametrize("kind", ["Results", "TurnInfo"])
def test_no_message_is_kept(kind: str, keeps_words: bool) -> None:  # noqa: FBT001  (a parameter of the test)
    """Of finals, in an utterance that is open, and of a turn that has ended, nothing of the SDK stays alive."""
    turn: dict[str, object] = {
        "type": "TurnInfo",
        "event": "EndOfTurn",
        "transcript": "one",
        "words": [{"word": "one"}],
    }
    message = Message(turn if kind == "TurnInfo" else result("one", 0.0))
    gone = weakref.ref(message)
    assembler = UtteranceAssembler()
    assembler.keeps_words = keeps_words
    assembler.add(decode(message))
    del message
    assert gone() is None
    assert assembler.text == "one"


@given(turns=FLUX)
def test_turns(turns: list[TurnEvent]) -> None:
    """Each EndOfTurn with text is an utterance; `text` is always the last event's; end() gives an open turn that has text."""
    assembler = UtteranceAssembler()
    last = ""
    for event in turns:
        utterance = assembler.add(event)
        last = event.transcript
        assert assembler.text == last
        assert (utterance and utterance.text) == (last or None if event.type == "end_of_turn" else None)
    is_open = bool(turns) and turns[-1].type != "end_of_turn"
    assert [(it.text, it.confirmed) for it in assembler.end()] == [(last, False)] * (is_open and last != "")
    assert assembler.end() == []
    assert assembler.text == last


def test_the_end_of_a_turn_that_did_not_come() -> None:
    """It has all that the turn's last event had, `raw` included, and says that it is not confirmed."""
    state: dict[str, Any] = {
        "transcript": "Hello.",
        "words": (Word("Hello."),),
        "turn_index": 3,
        "start": 1.0,
        "end": 2.0,
        "end_of_turn_confidence": 0.4,
        "languages": ("en",),
    }
    raw = object()
    made = unconfirmed_end(StreamEvent.TurnUpdate(**state, raw=raw))
    assert made == StreamEvent.EndOfTurn(**state, confirmed=False)
    assert made.raw is raw
    (utterance,) = fed([made])[1]
    assert (utterance.text, utterance.start, utterance.end) == ("Hello.", 1.0, 2.0)
    assert (utterance.channel_index, utterance.turn_index, utterance.confirmed) == (None, 3, False)


def spoken(*speakers: int | None) -> Utterance:
    """Make an utterance of one word a second, by these speakers."""
    words = tuple(
        Word(f"w{index}", f"W{index}.", float(index), index + 0.5, speaker=speaker)
        for index, speaker in enumerate(speakers)
    )
    return Utterance(text="as a whole", words=words, start=-1.0, end=99.0, channel_index=1, confirmed=True)


@pytest.mark.parametrize(
    ("speakers", "speaker"),
    [((), None), ((None, None), None), ((0, 0), 0), ((None, 2, None), 2), ((0, 1), None)],
)
def test_the_speaker(speakers: tuple[int | None, ...], speaker: int | None) -> None:
    """The speaker is the one that all words with a speaker have."""
    assert spoken(*speakers).speaker == speaker


@pytest.mark.parametrize(
    ("speakers", "runs"),
    [
        pytest.param((0, 0), [(0, "W0. W1.", 0.0, 1.5)], id="one"),
        pytest.param(
            (0, 1, 1, 0), [(0, "W0.", 0, 0.5), (1, "W1. W2.", 1, 2.5), (0, "W3.", 3, 3.5)], id="two"
        ),
        pytest.param((0, None, 1), [(0, "W0. W1.", 0.0, 1.5), (1, "W2.", 2.0, 2.5)], id="none in the middle"),
        pytest.param((0, None, 0), [(0, "W0. W1. W2.", 0.0, 2.5)], id="none between the same"),
        pytest.param(
            (None, 0, 1), [(0, "W0. W1.", 0.0, 1.5), (1, "W2.", 2.0, 2.5)], id="none at the beginning"
        ),
        pytest.param((0, 1, None), [(0, "W0.", 0.0, 0.5), (1, "W1. W2.", 1.0, 2.5)], id="none at the end"),
    ],
)
def test_by_speaker(speakers: tuple[int | None, ...], runs: list[tuple[Any, ...]]) -> None:
    """An utterance is cut where the speaker changes; a word without a speaker goes with the one before."""
    cut = spoken(*speakers).by_speaker()
    assert [(each.speaker, each.text, each.start, each.end) for each in cut] == runs


@pytest.mark.parametrize("speakers", [(), (None, None)])
def test_by_speaker_without_speakers(speakers: tuple[int | None, ...]) -> None:
    """Without words or without speakers there is nothing to cut."""
    utterance = spoken(*speakers)
    assert utterance.by_speaker() == (utterance,)


@given(speakers=st.lists(st.none() | st.integers(0, 2), max_size=10))
def test_by_speaker_loses_nothing(speakers: list[int | None]) -> None:
    """The parts have all words in their order; each has one speaker, another one than the part before."""
    utterance = spoken(*speakers)
    cut = utterance.by_speaker()
    assert tuple(word for part in cut for word in part.words) == utterance.words
    assert all((part.channel_index, part.turn_index, part.confirmed) == (1, None, True) for part in cut)
    spoke = [part.speaker for part in cut]
    assert all(one != other for one, other in itertools.pairwise(spoke))
    assert (None in spoke) == all(speaker is None for speaker in speakers)


def test_the_text_of_words_without_punctuation() -> None:
    """A word that has no punctuated form stands as it is."""
    words = (Word("hello", "Hello,", speaker=0), Word("there", speaker=0), Word("hi", "Hi.", speaker=1))
    utterance = Utterance(text="", words=words, start=None, end=None, turn_index=2, confirmed=False)
    cut = utterance.by_speaker()
    assert [part.text for part in cut] == ["Hello, there", "Hi."]
    assert [(part.start, part.turn_index, part.confirmed) for part in cut] == [(None, 2, False)] * 2
