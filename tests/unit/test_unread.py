from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from deepgram.core.unchecked_base_model import construct_type
from deepgram.listen.v1.socket_client import V1SocketClientResponse
from deepgram.listen.v2.socket_client import V2SocketClientResponse

from deepgram_stream_iter._adapters.decode import decode
from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent, TranscriptEvent, TurnStateEvent
from deepgram_stream_iter._events.unread import changed, last_word, without_message
from deepgram_stream_iter._events.words import Word
from deepgram_stream_iter._recovery.timeline import Timeline
from deepgram_stream_iter.testing import messages

NOVA = messages.results("one two", start=1.0, is_final=True)
FLUX = messages.turn_info("EndOfTurn", "one two")


def nova() -> TranscriptEvent:
    """Make an event of Nova with two words that nobody has read."""
    event = decode(construct_type(type_=V1SocketClientResponse, object_=NOVA))  # type: ignore[arg-type]
    assert isinstance(event, TranscriptEvent)
    return event


def flux() -> TurnStateEvent:
    """Make an event of Flux with two words that nobody has read."""
    event = decode(construct_type(type_=V2SocketClientResponse, object_=FLUX))  # type: ignore[arg-type]
    assert isinstance(event, TurnStateEvent)
    return event


def moved() -> AnyStreamEvent:
    """Make an event of a connection that began at 10 s."""
    timeline = Timeline()
    timeline.begin(10.0)
    return timeline.place(nova())


def is_read(event: object) -> bool:
    """Tell whether somebody has asked for the words."""
    return "words" in vars(event)


def plain(event: Any) -> Any:
    """Make the same event by its constructor."""
    names = [field.name for field in dataclasses.fields(event) if field.init]
    return type(event)(**{name: getattr(event, name) for name in names})


each_event = pytest.mark.parametrize("make", [nova, flux, moved])


@each_event
@pytest.mark.parametrize(
    "ask",
    [
        lambda event: event.words,
        repr,
        hash,
        dataclasses.asdict,
        lambda event: event == plain(copy.copy(event)),
    ],
    ids=["words", "repr", "hash", "asdict", "equal"],
)
def test_whoever_asks_gets_the_words(make: Callable[[], Any], ask: Callable[[Any], object]) -> None:
    """Words stay unread until somebody asks; then they are kept, and the answer is that of any other event."""
    event = make()
    assert not is_read(event)
    answer = ask(event)
    assert is_read(event)
    assert answer == ask(event) == ask(plain(event))
    assert event.words is event.words
    assert [word.word for word in event.words] == ["one", "two"]


@each_event
def test_a_pattern(make: Callable[[], Any]) -> None:
    """A pattern that names the words takes them out, and one that does not leaves them unread."""
    event = make()
    match event:
        case StreamEvent.Transcript(transcript="one two") | StreamEvent.EndOfTurn(transcript="one two"):
            assert not is_read(event)
        case _:
            pytest.fail("the text is what was said")
    match event:
        case StreamEvent.Transcript(words=(first, _)) | StreamEvent.EndOfTurn(words=(first, _)):
            assert first.word == "one"
        case _:
            pytest.fail("there are two words")


@each_event
@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda event: pickle.loads(pickle.dumps(event)), changed],  # noqa: S301  (its own)
    ids=["copy", "deepcopy", "pickle", "changed"],
)
def test_an_unread_event_travels(make: Callable[[], Any], duplicate: Callable[[Any], Any]) -> None:
    """A duplicate of an event whose words nobody has read has them all the same, with their times."""
    twin = duplicate(make())
    assert not is_read(twin)
    assert twin == make()
    assert twin.words == make().words


@each_event
def test_the_last_word_alone(make: Callable[[], Any]) -> None:
    """The last word is the same whether the others are read or not."""
    event = make()
    word = last_word(event)
    assert not is_read(event)
    assert word == event.words[-1] == last_word(event)
    assert last_word(without_message(event)) is None


@each_event
def test_without_its_message(make: Callable[[], Any]) -> None:
    """What is kept of an event without its message has the text and the times."""
    event = make()
    assert without_message(event) == dataclasses.replace(event, words=())
    assert without_message(event).raw is None
    assert event.raw not in vars(without_message(event)).values()


def test_moved_words() -> None:
    """Words are moved whether they were read before or after."""
    read = nova()
    assert [word.start for word in read.words] == [word.start for word in nova().words]
    timeline = Timeline()
    timeline.begin(10.0)
    at = timeline.place(read)
    assert at == moved()
    assert isinstance(at, TranscriptEvent)
    assert [word.end for word in at.words] == [word.end + 10.0 for word in read.words if word.end is not None]


def test_a_word_that_is_null() -> None:
    """What is no word is left out, at the end of the list too, where the last word is looked for."""
    message = {"type": "Results", "channel": {"alternatives": [{"words": [{"word": "one"}, None]}]}}
    event = decode(message)
    assert isinstance(event, TranscriptEvent)
    assert last_word(event) == event.words[-1] == Word("one")


@pytest.mark.parametrize("read", [False, True])
def test_moving_adds_up(*, read: bool) -> None:
    """An event that is moved twice, read or not, is where both moves have brought it."""
    event = nova()
    expected = [word.end + 12.0 for word in nova().words if word.end is not None]
    for seconds in (10.0, 2.0):
        if read:
            assert event.words
        timeline = Timeline()
        timeline.begin(seconds)
        placed = timeline.place(event)
        assert isinstance(placed, TranscriptEvent)
        event = placed
    assert [word.end for word in event.words] == pytest.approx(expected)


@pytest.mark.parametrize("make", [nova, flux])
def test_all_but_the_words_is_there(make: Callable[[], Any]) -> None:
    """Who reads the dictionary of an unread event finds everything but its words, the defaults too."""
    names = {field.name for field in dataclasses.fields(make())}
    assert names - vars(make()).keys() == {"words"}
