"""Whatever connections are lost, utterances come out as if there had been but one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent, TranscriptEvent
from deepgram_stream_iter._events.words import Word
from deepgram_stream_iter._recovery.back_off import BackOff
from deepgram_stream_iter._recovery.recovery import Recovery
from deepgram_stream_iter._settings import Reconnect
from deepgram_stream_iter._transcript import UtteranceAssembler

RATE = 10
"""Samples in a second: all that follows is counted in them."""
SAMPLES = 300
PAUSE = 6
"""What ends an utterance."""


class Spoken(NamedTuple):
    """A word, and the samples that it lasts."""

    text: str
    begin: int
    end: int


def spoken(pattern: Sequence[tuple[int, int]]) -> list[Spoken]:
    """Say words, each after a gap, until the audio ends; the pattern is gone through over and over."""
    words: list[Spoken] = []
    at = 0
    while True:
        gap, length = pattern[len(words) % len(pattern)]
        if at + gap + length > SAMPLES:
            return words
        at += gap + length
        words.append(Spoken(f"w{len(words)}", at - length, at))


def utterances_of(words: Sequence[Spoken]) -> list[str]:
    """Return the utterances that the pauses make of words."""
    texts: list[list[str]] = []
    end = -SAMPLES
    for word in words:
        if word.begin - end >= PAUSE:
            texts.append([])
        texts[-1].append(word.text)
        end = word.end
    return [" ".join(text) for text in texts]


class Server:
    """One connection to a server, which ends an utterance by `speech_final` or by UtteranceEnd, and knows only what it hears."""

    def __init__(
        self, speech: Sequence[Sequence[Spoken]], begin: int, jitter: int, *, by_endpoint: bool
    ) -> None:
        self._begin, self._by_endpoint = begin, by_endpoint
        self._speech = [
            [word._replace(end=word.end + jitter) for word in words if word.begin >= begin]
            for words in speech
        ]
        self._silent = [
            {
                place
                for place in range(SAMPLES + 1)
                if not any(word.begin < place < word.end for word in words)
            }
            for words in speech
        ]
        self.heard = [begin for _ in speech]
        self._closed = [begin for _ in speech]
        self._open: list[Spoken | None] = [
            None for _ in speech
        ]  # the last final word, until its utterance has ended
        self._is_end_due = [False for _ in speech]

    def say(self, channel: int, *, is_final: bool) -> AnyStreamEvent | None:
        """Say what was heard of a channel, or that an utterance has ended there."""
        closed, last = self._closed[channel], self._open[channel]
        if self._is_end_due[channel] and last is not None:
            self._is_end_due[channel], self._open[channel] = False, None
            return StreamEvent.UtteranceEnd(last_word_end=self._seconds(last.end), channel_index=channel)
        until = max(
            (place for place in self._silent[channel] if closed < place <= self.heard[channel]), default=0
        )
        if until <= closed:
            return None
        words: list[Spoken] = []
        is_over = False
        for word in (*self._speech[channel], Spoken("", SAMPLES * 2, SAMPLES * 2)):
            if word.begin >= closed:
                if last is not None and min(word.begin, until) >= last.end + PAUSE:
                    is_over, until = True, max(last.end + PAUSE, closed + 1)
                    break
                if word.end > until + 1:
                    break
                words.append(word)
                last = word
        if is_final:
            self._closed[channel] = until
            self._open[channel] = None if is_over and self._by_endpoint else last
            self._is_end_due[channel] = is_over and not self._by_endpoint
        return StreamEvent.Transcript(
            transcript=" ".join(word.text for word in words),
            words=tuple(
                Word(word.text, start=self._seconds(word.begin), end=self._seconds(word.end))
                for word in words
            ),
            is_final=is_final,
            speech_final=is_final and is_over and self._by_endpoint,
            start=self._seconds(closed),
            duration=(until - closed) / RATE,
            channel_index=channel,
            channel_count=len(self.heard),
        )

    def _seconds(self, place: int) -> float:
        return (place - self._begin) / RATE


class Session:
    """What a session makes of one server after another."""

    def __init__(self, speech: Sequence[Sequence[Spoken]], *, by_endpoint: bool) -> None:
        end = {"endpointing": "600"} if by_endpoint else {"endpointing": "false", "utterance_end_ms": "600"}
        query = {"encoding": "linear16", "sample_rate": str(RATE), **end}
        self.recovery, self.assembler = Recovery(BackOff(Reconnect()), query), UtteranceAssembler()
        self.recovery.memory.add(bytes(2 * SAMPLES))
        self.events: list[AnyStreamEvent] = []
        self.texts: list[list[str]] = [[] for _ in speech]
        self._speech, self._by_endpoint = speech, by_endpoint
        self._until = [0 for _ in speech]  # of the finals
        self.connect(0)

    def connect(self, jitter: int) -> None:
        """Lose the connection, if there is one, and make another."""
        self.recovery.resume()
        self.recovery.memory.take(2 * SAMPLES)
        begin = min(self._until)
        self.server = Server(self._speech, begin, jitter, by_endpoint=self._by_endpoint)

    def hear(self, channel: int, samples: int, *, is_final: bool) -> bool:
        """Let the server hear more of a channel, and say what it has heard; return whether it said anything."""
        heard = self.server.heard
        heard[channel] = min(SAMPLES, heard[channel] + samples)
        event = self.server.say(channel, is_final=is_final)
        if event is None:
            return False
        for taken in self.recovery.take(event):
            self.events.append(taken)
            utterance = self.assembler.add(taken)
            if utterance is not None:
                assert utterance.channel_index == channel
                self.texts[channel].append(utterance.text)
            if isinstance(taken, TranscriptEvent) and taken.is_final and taken.end is not None:
                self._until[channel] = round(taken.end * RATE)
        return True


MOVES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 25), st.sampled_from(["interim", "final", "final", "lost"])),
    max_size=60,
)
GAPS = st.sampled_from([0, 1, 2, 9, 15])
"""Within an utterance, and between two; none is near enough to a pause for a server to change its mind about it."""
PATTERN = st.lists(st.tuples(GAPS, st.integers(4, 9)), min_size=1, max_size=6)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("by_endpoint", [True, False], ids=["speech_final", "UtteranceEnd"])
@given(moves=MOVES, patterns=st.tuples(PATTERN, PATTERN), data=st.data())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_utterances_as_if_nothing_had_happened(
    moves: Sequence[tuple[int, int, str]],
    patterns: Sequence[Sequence[tuple[int, int]]],
    data: st.DataObject,
    channels: int,
    *,
    by_endpoint: bool,
) -> None:
    """Utterances are those that the pauses make, each ends once, and no text comes again that was final."""
    speech = [spoken(pattern) for pattern in patterns[:channels]]
    session = Session(speech, by_endpoint=by_endpoint)
    for channel, samples, what in moves:
        if what == "lost":
            session.connect(data.draw(st.integers(-1, 1), label="jitter"))
        else:
            session.hear(channel % channels, samples, is_final=what == "final")
    for channel in range(channels):
        while session.hear(channel, SAMPLES, is_final=True):
            pass
    for utterance in session.assembler.end():
        assert utterance.channel_index is not None
        session.texts[utterance.channel_index].append(utterance.text)
    assert session.texts == [utterances_of(words) for words in speech]
    for channel in range(channels):
        check_channel([event for event in session.events if getattr(event, "channel_index", 0) == channel])


def check_channel(events: Sequence[AnyStreamEvent]) -> None:
    """Check that nothing is said again that was final, and that no UtteranceEnd comes where nothing is open.

    An endpoint may: of the silence that follows the words a server may tell a little later the second time.
    """
    said: set[str] = set()
    is_open = False
    for event in events:
        if isinstance(event, TranscriptEvent):
            words = {word.word for word in event.words}
            assert not words & said
            if event.is_final:
                said |= words
                is_open = (is_open or bool(words)) and not event.speech_final
        if isinstance(event, StreamEvent.UtteranceEnd):
            assert is_open
            is_open = False
