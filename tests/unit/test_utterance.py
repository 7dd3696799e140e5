from __future__ import annotations

from dataclasses import replace

import pytest

from deepgram_stream_iter import StreamEvent, Word
from deepgram_stream_iter._recovery.utterance import CutUtterances


def final(
    text: str, start: float, end: float, *, channel: int = 0, speech_final: bool = False
) -> StreamEvent.Transcript:
    """Make a final whose last word ends a tenth before its segment."""
    words = (Word(word=text, start=start, end=end - 0.1),) if text else ()
    return StreamEvent.Transcript(
        transcript=text,
        words=words,
        is_final=True,
        speech_final=speech_final,
        start=start,
        duration=end - start,
        channel_index=channel,
    )


def cut(event: StreamEvent.Transcript, **query: str) -> CutUtterances:
    """Lose the connection right after an event."""
    utterances = CutUtterances(query)
    assert utterances.end_before(event) is None
    utterances.resume()
    return utterances


@pytest.mark.parametrize(
    ("query", "silence_seconds"),
    [
        ({"utterance_end_ms": "1500", "endpointing": "300"}, 1.5),
        ({"endpointing": "300"}, 0.3),
        ({"endpointing": "true"}, 0.01),
        ({}, 0.01),
    ],
)
def test_silence_ends_an_utterance_that_was_cut(query: dict[str, str], silence_seconds: float) -> None:
    """A pause as long as the application asked for ends it, once, where its last word ended."""
    utterances = cut(final("yes", 0.0, 1.0), **query)
    assert utterances.end_before(final("", 0.9, 0.9 + silence_seconds - 0.001)) is None
    over = utterances.end_before(final("", 0.9, 0.9 + silence_seconds + 0.001))
    assert over == StreamEvent.UtteranceEnd(last_word_end=0.9, channel_index=0)
    assert utterances.end_before(final("", 1.0, 9.0)) is None


def test_nothing_is_ended_that_nobody_asked_for() -> None:
    """Without endpoints and utterance ends, a cut utterance has none either."""
    utterances = cut(final("yes", 0.0, 1.0), endpointing="false")
    assert utterances.end_before(final("", 1.0, 60.0)) is None


@pytest.mark.parametrize(
    ("query", "pause_seconds"),
    [
        ({"utterance_end_ms": "1000", "endpointing": "false"}, 1.0),
        ({"endpointing": "500"}, 0.5),
        ({"endpointing": "0"}, 0.3),
        ({}, 0.3),
    ],
)
def test_a_pause_before_the_next_words(query: dict[str, str], pause_seconds: float) -> None:
    """The first words of the next connection show the pause too, where no silent final came before them."""
    yes = final("yes", 0.0, 1.0)
    assert cut(yes, **query).end_before(final("please", 0.9 + pause_seconds - 0.01, 4.0)) is None
    for speech_final in (False, True):
        utterances = cut(yes, **query)
        please = final("please", 0.9 + pause_seconds + 0.01, 4.0, speech_final=speech_final)
        over = utterances.end_before(please)
        assert over == StreamEvent.UtteranceEnd(last_word_end=0.9, channel_index=0)
        assert utterances.end_before(final("", 4.0, 9.0)) is None, "what the connection heard it ends itself"


def test_words_after_a_pause_are_an_utterance_that_may_be_cut() -> None:
    """Where the connection is lost again, the words after the pause are what is open."""
    utterances = cut(final("yes", 0.0, 1.0))
    assert utterances.end_before(final("please", 3.0, 4.0))
    utterances.resume()
    over = utterances.end_before(final("", 4.0, 9.0))
    assert over == StreamEvent.UtteranceEnd(last_word_end=3.9, channel_index=0)


def test_words_without_times_show_no_pause() -> None:
    """Nobody knows where in its segment a word without times lies."""
    utterances = cut(final("yes", 0.0, 1.0))
    event = StreamEvent.Transcript(
        transcript="please",
        words=(Word(word="please"),),
        is_final=True,
        start=3.0,
        duration=1.0,
        channel_index=0,
    )
    assert utterances.end_before(replace(event, words=())) is None
    assert cut(final("yes", 0.0, 1.0)).end_before(event) is None


def test_an_utterance_whose_words_have_no_times() -> None:
    """Its last segment ends where the silence begins."""
    for words in ((), (Word(word="yes"),)):
        utterances = cut(replace(final("yes", 0.0, 1.0), words=words))
        assert utterances.end_before(final("", 1.0, 1.009)) is None
        over = utterances.end_before(final("", 1.009, 1.011))
        assert over == StreamEvent.UtteranceEnd(last_word_end=1.0, channel_index=0)


def test_a_final_without_times_shows_nothing() -> None:
    """A final that has no place ends nothing, and says nothing about where an utterance ends."""
    utterances = cut(final("yes", 0.0, 1.0))
    for event in (
        StreamEvent.Transcript(is_final=True, channel_index=0),
        StreamEvent.Transcript(is_final=True, channel_index=0, duration=9.0),
    ):
        assert utterances.end_before(event) is None
    event = StreamEvent.Transcript(transcript="yes", is_final=True, channel_index=0)
    assert cut(event).end_before(final("", 1.0, 9.0)) is None


def test_an_answer_to_a_finalize_is_no_silence() -> None:
    """It may come at once, and then brings no audio: the utterance goes on."""
    utterances = cut(final("yes", 0.0, 1.0))
    assert utterances.end_before(replace(final("", 1.0, 1.0), from_finalize=True)) is None
    assert utterances.end_before(final("", 1.0, 1.1)) == StreamEvent.UtteranceEnd(
        last_word_end=0.9, channel_index=0
    )


@pytest.mark.parametrize(
    ("start", "end", "is_same"),
    [(0.0, 1.0, True), (0.1, 0.8, True), (0.2, 1.2, True), (0.0, 0.4, False), (0.9, 2.0, False)],
)
def test_words_that_are_heard_again(start: float, end: float, *, is_same: bool) -> None:
    """A connection that hears the last word of the utterance again, if at other times, ends the utterance itself."""
    for text in ("yes", ""):
        utterances = cut(final("yes", 0.0, 1.0))
        utterances.heard(StreamEvent.UtteranceEnd(last_word_end=0.9, channel_index=0))
        utterances.heard(final("", 0.0, 1.0))
        utterances.heard(final("yes", start, end + 0.1, channel=1))
        utterances.heard(final("yes", start, end + 0.1))
        over = utterances.end_before(final(text, 2.0, 5.0))
        assert (over is None) is is_same


def test_an_interim_hears_nothing_again() -> None:
    """The words may be gone from its final, and then nobody else ends the utterance."""
    utterances = cut(final("yes", 0.0, 1.0))
    utterances.heard(replace(final("yes", 0.0, 1.0), is_final=False))
    assert utterances.end_before(final("", 2.0, 5.0)) is not None


def test_words_without_times_are_not_heard_again() -> None:
    """Nobody knows which they are."""
    utterances = cut(final("yes", 0.0, 1.0))
    utterances.heard(replace(final("yes", 0.0, 1.0), words=(Word(word="yes"), Word(word="yes", end=0.9))))
    assert utterances.end_before(final("", 2.0, 5.0)) is not None


def test_what_goes_on_is_ended_by_the_server() -> None:
    """Final words right after the cut make the utterance the new connection's own."""
    utterances = cut(final("yes", 0.0, 1.0))
    assert utterances.end_before(final("and", 1.0, 2.0)) is None
    assert utterances.end_before(final("", 2.0, 9.0)) is None


@pytest.mark.parametrize("start", [1.0, 3.0])
def test_an_interim_decides_nothing(start: float) -> None:
    """Its words may still change, also to more words that leave no pause, or to none; the final tells."""
    utterances = cut(final("yes", 0.0, 1.0))
    interim = replace(final("please", start, 4.0), is_final=False)
    assert utterances.end_before(interim) is None
    utterances.resume()
    assert utterances.end_before(interim) is None
    assert utterances.end_before(final("and please", 1.0, 4.0)) is None
    utterances = cut(final("yes", 0.0, 1.0))
    utterances.end_before(interim)
    assert utterances.end_before(final("", 1.0, 9.0)) == StreamEvent.UtteranceEnd(
        last_word_end=0.9, channel_index=0
    )


def test_what_has_ended_is_not_ended_again() -> None:
    """An endpoint or an utterance end before the cut, or after it, is the end."""
    assert cut(final("yes", 0.0, 1.0, speech_final=True)).end_before(final("", 1.0, 9.0)) is None
    utterances = CutUtterances({})
    utterances.end_before(final("yes", 0.0, 1.0))
    utterances.end_before(StreamEvent.UtteranceEnd(last_word_end=0.9, channel_index=0))
    utterances.resume()
    assert utterances.end_before(final("", 1.0, 9.0)) is None
    utterances = cut(final("yes", 0.0, 1.0))
    assert utterances.end_before(final("", 1.0, 1.001, speech_final=True)) is None
    assert utterances.end_before(final("", 1.001, 9.0)) is None


def test_an_interim_without_text_is_no_silence() -> None:
    """It may get some yet."""
    utterances = cut(final("yes", 0.0, 1.0))
    assert utterances.end_before(StreamEvent.Transcript(start=1.0, duration=8.0, channel_index=0)) is None


def test_without_a_cut_the_server_tells() -> None:
    """On the connection that heard the words nothing is made up."""
    utterances = CutUtterances({})
    assert utterances.end_before(final("yes", 0.0, 1.0)) is None
    assert utterances.end_before(final("", 1.0, 9.0)) is None


def test_each_channel_by_itself() -> None:
    """Silence on one channel says nothing of another."""
    utterances = CutUtterances({})
    utterances.end_before(final("left", 0.0, 1.0, channel=0))
    utterances.end_before(final("right", 0.0, 2.0, channel=1))
    utterances.resume()
    over = utterances.end_before(final("", 2.0, 4.0, channel=1))
    assert over == StreamEvent.UtteranceEnd(last_word_end=1.9, channel_index=1)
    assert utterances.end_before(final("more", 1.0, 4.0, channel=0)) is None
