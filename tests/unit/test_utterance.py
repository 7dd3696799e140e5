from __future__ import annotations

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
    assert utterances.end(event) is None
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
    assert utterances.end(final("", 1.0, 0.9 + silence_seconds - 0.001)) is None
    over = utterances.end(final("", 1.0, 0.9 + silence_seconds))
    assert over == StreamEvent.UtteranceEnd(last_word_end=0.9, channel_index=0)
    assert utterances.end(final("", 1.0, 9.0)) is None


def test_nothing_is_ended_that_nobody_asked_for() -> None:
    """Without endpoints and utterance ends, a cut utterance has none either."""
    utterances = cut(final("yes", 0.0, 1.0), endpointing="false")
    assert utterances.end(final("", 1.0, 60.0)) is None


def test_what_goes_on_is_ended_by_the_server() -> None:
    """Text after the cut makes it the new connection's own; so does an interim."""
    utterances = cut(final("yes", 0.0, 1.0))
    assert (
        utterances.end(StreamEvent.Transcript(transcript="and", start=1.0, duration=0.5, channel_index=0))
        is None
    )
    assert utterances.end(final("", 1.0, 9.0)) is None


def test_what_has_ended_is_not_ended_again() -> None:
    """An endpoint or an utterance end before the cut, or after it, is the end."""
    assert cut(final("yes", 0.0, 1.0, speech_final=True)).end(final("", 1.0, 9.0)) is None
    utterances = CutUtterances({})
    utterances.end(final("yes", 0.0, 1.0))
    utterances.end(StreamEvent.UtteranceEnd(last_word_end=0.9, channel_index=0))
    utterances.resume()
    assert utterances.end(final("", 1.0, 9.0)) is None
    assert cut(final("yes", 0.0, 1.0)).end(final("", 1.0, 9.0, speech_final=True)) is None


def test_an_interim_without_text_is_no_silence() -> None:
    """It may get some yet."""
    utterances = cut(final("yes", 0.0, 1.0))
    assert utterances.end(StreamEvent.Transcript(start=1.0, duration=8.0, channel_index=0)) is None


def test_without_a_cut_the_server_tells() -> None:
    """On the connection that heard the words nothing is made up."""
    utterances = CutUtterances({})
    assert utterances.end(final("yes", 0.0, 1.0)) is None
    assert utterances.end(final("", 1.0, 9.0)) is None


def test_each_channel_by_itself() -> None:
    """Silence on one channel says nothing of another."""
    utterances = CutUtterances({})
    utterances.end(final("left", 0.0, 1.0, channel=0))
    utterances.end(final("right", 0.0, 2.0, channel=1))
    utterances.resume()
    over = utterances.end(final("", 2.0, 4.0, channel=1))
    assert over == StreamEvent.UtteranceEnd(last_word_end=1.9, channel_index=1)
    assert utterances.end(final("more", 2.0, 4.0, channel=0)) is None
