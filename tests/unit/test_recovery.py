from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepgram_stream_iter._events.kinds import (
    EndOfTurnEvent,
    StartOfTurnEvent,
    StreamEvent,
    TranscriptEvent,
    TurnEvent,
    TurnStateEvent,
    UtteranceEndEvent,
)
from deepgram_stream_iter._events.words import Word
from deepgram_stream_iter._recovery.back_off import BackOff
from deepgram_stream_iter._recovery.memory import RawMemory
from deepgram_stream_iter._recovery.recovery import Recovery
from deepgram_stream_iter._settings import Reconnect
from deepgram_stream_iter._transcript import UtteranceAssembler

BLOCK_SIZE = 4
AUDIO = b"".join(struct.pack("<I", number) for number in range(2500))
"""Each sample of the session's audio holds its own number, from which the server derives what it hears."""


class Spoken(NamedTuple):
    """A word, and the samples of the session's audio that it lasts."""

    word: str
    begin: int
    end: int


def spoken(pattern: Sequence[tuple[int, int]]) -> list[Spoken]:
    """Say words, each after some silence, until the audio ends; the pattern is gone through over and over."""
    words: list[Spoken] = []
    begin = pattern[0][0]
    while begin + pattern[len(words) % len(pattern)][1] <= len(AUDIO) // BLOCK_SIZE:
        words.append(Spoken(f"w{len(words)}", begin, begin + pattern[len(words) % len(pattern)][1]))
        begin = words[-1].end + pattern[len(words) % len(pattern)][0]
    return words


class Hearing:
    """One connection's server: it knows of the audio what is in the bytes, and counts time from its first sample."""

    def __init__(self, speech: Sequence[Sequence[Spoken]], rate: int) -> None:
        self._rate = rate
        self._by_begin = [{word.begin: word for word in words} for words in speech]
        self._inside = [
            {sample for word in words for sample in range(word.begin + 1, word.end)} for words in speech
        ]
        self._bytes = bytearray()
        self.samples: tuple[int, ...] = ()
        self.closed = [0 for _ in speech]  # until where a channel's segments, or turns, are closed
        self.turn_index, self.turn_place = 0, 0  # until where the turn was told that is open
        self.is_open = self.is_eager = False

    def hear(self, audio: bytes) -> None:
        """Take audio; a frame may end inside a sample."""
        self._bytes += audio
        count = len(self._bytes) // BLOCK_SIZE
        self.samples = struct.unpack(f"<{count}I", self._bytes[: count * BLOCK_SIZE])

    def boundary(self, fraction: float, channel: int = 0) -> int:
        """Choose a place in what was heard and is not closed, between words; -1 where there is none."""
        edges = (*self.samples, self.samples[-1] + 1) if self.samples else ()
        places = [
            place
            for place in range(self.closed[channel] + 1, len(edges))
            if edges[place] not in self._inside[channel]
        ]
        return places[round(fraction * (len(places) - 1))] if places else -1

    def until(self, place: int) -> int:
        """Return the number of the sample at which a place in what was heard lies."""
        return self.samples[place - 1] + 1

    def words(self, begin: int, end: int, channel: int = 0) -> tuple[Word, ...]:
        """Recognise the words that were heard whole, and in one piece."""
        found: list[Word] = []
        for place in range(begin, end):
            word = self._by_begin[channel].get(self.samples[place])
            if word is not None:
                last = place + word.end - word.begin
                if last <= end and self.samples[place:last] == tuple(range(word.begin, word.end)):
                    found.append(Word(word.word, start=place / self._rate, end=last / self._rate))
        return tuple(found)

    def transcript(self, end: int, channel: int, **flags: Any) -> TranscriptEvent:
        """Say what was heard of the open segment up to a place."""
        begin = self.closed[channel]
        words = self.words(begin, end, channel)
        return StreamEvent.Transcript(
            transcript=" ".join(word.word for word in words),
            words=words,
            start=begin / self._rate,
            duration=(end - begin) / self._rate,
            channel_index=channel,
            channel_count=len(self.closed),
            **flags,
        )

    def turn(self, kind: Any, fraction: float) -> TurnEvent | None:
        """Go on with a turn, or with the silence before it, up to some place."""
        place = max(self.boundary(fraction), self.turn_place)
        words = self.words(self.closed[0], place)
        if not self.is_open:
            kind = StreamEvent.StartOfTurn if words else StreamEvent.TurnUpdate
            if not words and self.words(self.closed[0], len(self.samples)) == ():
                place = len(self.samples)  # in the middle of a word, perhaps, of which nothing is said yet
        elif self.is_eager and kind is not StreamEvent.EndOfTurn:
            kind = StreamEvent.TurnResumed
        if place <= self.closed[0]:
            return None
        event: TurnEvent = kind(
            transcript=" ".join(word.word for word in words),
            words=words,
            turn_index=self.turn_index,
            start=self.closed[0] / self._rate,
            end=place / self._rate,
        )
        self.turn_place = place
        self.is_open = bool(words)
        self.is_eager = kind is StreamEvent.EagerEndOfTurn
        if kind is StreamEvent.EndOfTurn:
            self.is_open, self.closed[0] = False, place
            self.turn_index += 1
        return event


class Life:
    """A session's audio from the caller to one server after another, and what is handed out."""

    def __init__(self, speech: Sequence[Sequence[Spoken]], rate: int, replay_samples: int) -> None:
        reconnect = Reconnect(replay_seconds=replay_samples / rate)
        query = {"encoding": "linear32", "sample_rate": str(rate)}
        self.recovery = Recovery(BackOff(reconnect), query)
        assert isinstance(self.recovery.memory, RawMemory)
        self.memory = self.recovery.memory
        self.limit = max(replay_samples, round(0.1 * rate)) * BLOCK_SIZE
        self.speech, self.rate = speech, rate
        self.server: Hearing | None = None
        self.is_live = False
        self.added = self.sent = self.place = (
            0  # bytes: all, those sent once, those sent to the connection or before
        )
        self.begin = 0  # samples from here on: of the connection
        self.until = [0 for _ in speech]  # ... of the finals of each channel
        self.gaps: list[tuple[int, int]] = []
        self.replayed = 0  # bytes

    @property
    def finalized(self) -> int:
        """The sample until which all channels have their finals, or a gap."""
        return max(self.begin, min(self.until))

    def exact(self, seconds: float | None) -> int:
        """Return the sample at a time; a time that is not at a sample is wrong."""
        assert seconds is not None
        sample = round(seconds * self.rate)
        assert abs(sample - seconds * self.rate) < 0.05
        return sample

    def send(self, size: int) -> None:
        """Add a frame, and send it if the connection is live; wait (do nothing) where a connection has no room for it."""
        if self.server is not None and not self.memory.has_room_beside_unsent(size):
            return
        frame = AUDIO[self.added : self.added + size]
        self.memory.add(frame)
        self.added += size
        if self.is_live:
            assert self.catch_up(size) == frame

    def catch_up(self, size: int) -> bytes:
        """Send of what waits."""
        if self.server is None:
            return b""
        frame = self.memory.take(size)
        self.server.hear(frame)
        self.is_live = self.is_live or frame == b""
        self.place += len(frame)
        self.sent = max(self.sent, self.place)
        return frame

    def drop(self) -> None:
        """Lose the connection."""
        self.server, self.is_live = None, False

    def live(self) -> None:
        """Make a connection, if there is none, and send it what waits."""
        self.resume()
        while self.catch_up(len(AUDIO)):
            pass

    def cut(self) -> None:
        """Lose the connection, and make another at once."""
        self.drop()
        self.resume()

    def resume(self) -> None:
        """Make a connection, if there is none: it begins at the oldest audio that has no final, as far as kept."""
        if self.server is not None:
            return
        wanted = self.finalized
        self.begin = max(wanted, (self.added - self.limit) // BLOCK_SIZE)
        replayed = max(0, self.sent - self.begin * BLOCK_SIZE)
        gap = None
        if self.begin > wanted:
            self.gaps.append((wanted, self.begin))
            gap = self.gaps[-1]
        self.place = self.begin * BLOCK_SIZE
        self.sent = max(self.sent, self.place)
        self.replayed += replayed
        seconds, told = self.recovery.resume()
        assert seconds * self.rate * BLOCK_SIZE == pytest.approx(replayed)
        assert (told and (self.exact(told.start), self.exact(told.end))) == gap
        self.server = Hearing(self.speech, self.rate)

    def check_memory(self) -> None:
        """Check that all that has no final is kept, up to the limit, and not more."""
        kept = self.memory.kept_seconds * self.rate * BLOCK_SIZE
        most = min(self.limit, self.added - self.finalized * BLOCK_SIZE)
        assert most - 0.5 < kept < most + BLOCK_SIZE - 0.5
        room = self.limit - round(kept)
        assert self.memory.has_room(room)
        assert not self.memory.has_room(room + 1)
        waiting = self.added - max(self.place, self.added - round(kept))
        assert self.memory.has_room_beside_unsent(self.limit - waiting)
        assert not self.memory.has_room_beside_unsent(self.limit - waiting + 1)

    def check_sums(self) -> None:
        """Check that what was replayed adds up, and that the end of the session tells what has no final."""
        assert self.recovery.audio_seconds_replayed * self.rate * BLOCK_SIZE == pytest.approx(self.replayed)
        rest = self.recovery.end()
        if self.added > self.finalized * BLOCK_SIZE:
            assert rest is not None
            assert rest.end is not None
            assert self.exact(rest.start) == self.finalized
            assert rest.end * self.rate * BLOCK_SIZE == pytest.approx(self.added)
        else:
            assert rest is None

    def is_cut(self, word: Spoken, gaps: Sequence[tuple[int, int]]) -> bool:
        """Return whether some of a word lies in a gap."""
        return any(begin < word.end and word.begin < end for begin, end in gaps)

    def placed(self, words: Sequence[Word], channel: int = 0) -> list[Spoken]:
        """Return words by their samples, once it is clear that they are where they were spoken."""
        found = [Spoken(word.word, self.exact(word.start), self.exact(word.end)) for word in words]
        assert set(found) <= set(self.speech[channel])
        return found


class NovaLife(Life):
    """... with finals and interims, of one channel or several."""

    def __init__(self, speech: Sequence[Sequence[Spoken]], rate: int, replay_samples: int) -> None:
        super().__init__(speech, rate, replay_samples)
        self.finals: list[list[TranscriptEvent]] = [[] for _ in speech]
        self.until_before = list(self.until)  # of the finals before the connection
        self.is_ended = [True for _ in speech]  # no words are without an end

    def resume(self) -> None:
        """Make a connection, if there is none."""
        if self.server is None:
            self.until_before = list(self.until)
        super().resume()

    def say(self, fraction: float, channel: int, **flags: bool) -> None:
        """Let the server say what it has heard up to some place between words."""
        place = -1 if self.server is None else self.server.boundary(fraction, channel)
        if self.server is None or place < 0:
            return
        begin, until = self.server.until(self.server.closed[channel] + 1) - 1, self.server.until(place)
        event = self.server.transcript(place, channel, **flags)
        is_final = event.is_final
        if is_final:
            self.server.closed[channel] = place
        told = self.recovery.take(event)
        if not told:
            new = [word.begin for word in self.speech[channel] if begin <= word.begin and word.end <= until]
            assert all(place < self.until_before[channel] for place in new), "a word is left out"
            assert not event.from_finalize
            assert not is_final or until <= self.until_before[channel]
            return
        *ended, taken = told
        assert isinstance(taken, TranscriptEvent)
        before = [word for final in self.finals[channel] for word in final.words]
        for utterance_end in ended:  # of an utterance that was cut
            assert isinstance(utterance_end, UtteranceEndEvent)
            assert utterance_end.last_word_end == before[-1].end
            assert not self.is_ended[channel]
            self.is_ended[channel] = True
        assert (taken.is_final, taken.from_finalize) == (is_final, event.from_finalize)
        if begin >= self.until_before[channel]:
            assert taken.speech_final == event.speech_final
        elif not taken.words:
            assert taken.is_final
            assert not taken.speech_final or not self.is_ended[channel], "an old endpoint is reported again"
            assert (
                taken.speech_final
                or not event.speech_final
                or self.is_ended[channel]
                or (before and until <= self.exact(before[-1].end))
            )
        assert not set(self.placed(taken.words, channel)) & set(self.placed(before, channel))
        assert taken.transcript == " ".join(word.word for word in taken.words)
        if is_final:
            self.finals[channel].append(taken)
            self.until[channel] = max(self.until[channel], until)
            self.is_ended[channel] = (self.is_ended[channel] and not taken.words) or taken.speech_final

    def check(self) -> None:
        """Check that each word came once, in its place, and that finals and gaps are all of the audio."""
        for channel, finals in enumerate(self.finals):
            spans = [(self.exact(final.start), self.exact(final.end)) for final in finals]
            lost: list[tuple[int, int]] = []
            at = 0
            for begin, end in spans:
                if begin > at:
                    lost.append((at, begin))
                assert at <= begin <= end
                at = end
            told = {sample for gap in self.gaps for sample in range(*gap)}
            silent = {sample for gap in lost for sample in range(*gap)}
            assert silent <= told
            if len(self.finals) == 1:
                assert silent == {sample for sample in told if sample < at}
            words = self.placed([word for final in finals for word in final.words], channel)
            heard = [word for word in self.speech[channel] if word.end <= at]
            assert words == [word for word in heard if not self.is_cut(word, lost)]


class FluxLife(Life):
    """... with turns."""

    def __init__(self, speech: Sequence[Sequence[Spoken]], rate: int, replay_samples: int) -> None:
        super().__init__(speech, rate, replay_samples)
        self.events: list[TurnEvent] = []
        self.start: int | None = None  # of the turn that was told to have started, and not to have ended

    def say(self, kind: Any, fraction: float) -> None:
        """Let the server go on with its turn."""
        event = None if self.server is None else self.server.turn(kind, fraction)
        if self.server is None or event is None:
            return
        until = self.server.until(self.server.turn_place)
        told = self.recovery.take(event)
        if self.start is not None and not event.words:
            open_turn = self.events[-1]
            assert open_turn.end is not None
            if until < self.exact(open_turn.end) + 3 * self.rate:
                assert told == []  # the replay has not come to the turn yet that is open
                return
            (ended,) = told  # ... or has come past it: what it was heard in is lost
            assert isinstance(ended, EndOfTurnEvent)
            assert (ended.words, ended.confirmed) == (open_turn.words, False)
            self.until[0] = max(self.until[0], self.exact(open_turn.end))
            self.start = None
            self.events.append(ended)
            return
        (taken,) = told
        assert isinstance(taken, TurnStateEvent)
        assert self.exact(taken.end) == until
        if isinstance(taken, EndOfTurnEvent):
            self.until[0] = max(self.until[0], until)
        elif not event.words:
            self.until[0] = max(self.until[0], until - 3 * self.rate)
        if isinstance(taken, StartOfTurnEvent):
            assert self.start is None
            self.start = self.exact(taken.start)
        assert self.start is None or self.exact(taken.start) == self.start
        if isinstance(taken, EndOfTurnEvent):
            self.start = None
        self.placed(taken.words)
        assert taken.transcript == " ".join(word.word for word in taken.words)
        self.events.append(taken)

    def check(self) -> None:
        """Check that each turn starts and ends once, and that all words are in the ends, each once."""
        codes = {"start_of_turn": "S", "eager_end_of_turn": "e", "turn_resumed": "r", "end_of_turn": "E"}
        told = ""
        at = 0
        words: list[Spoken] = []
        for event in self.events:
            assert event.turn_index == told.count("E")
            told += codes.get(event.type, "u" if event.words else "_")
            if told[-1] == "E":
                words += self.placed(event.words)
                at = self.exact(event.end)
        if told[-1:] not in ("", "_", "E"):  # what was replayed of it was silence
            words += self.placed(self.events[-1].words)
        assert re.fullmatch(r"(_*S(u|er|er?(?=E|$))*(E|$))*_*", told), told
        heard = [word for word in self.speech[0] if word.end <= at]
        assert len(set(words)) == len(words)
        assert words == sorted(words, key=lambda word: word.begin)
        assert set(words) >= {word for word in heard if not self.is_cut(word, self.gaps)}


THOROUGH = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
RATES = st.sampled_from([7, 100, 300, 44100])
FRACTIONS = st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0])
SIZES = st.integers(1, 30 * BLOCK_SIZE) | st.integers(1, 30).map(lambda count: count * BLOCK_SIZE)
PATTERNS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9)), min_size=1, max_size=5)
MOVES: list[st.SearchStrategy[tuple[Any, ...]]] = [
    *[st.tuples(st.just("send"), SIZES)] * 3,
    st.tuples(st.just("catch_up"), SIZES),
    *[st.just(("live",))] * 2,
    st.just(("drop",)),
    st.just(("resume",)),
    *[st.just(("cut",))] * 2,
]


def replays(rate: int) -> st.SearchStrategy[int]:
    """Draw the samples that a memory holds: few, so that some is lost, or enough for all."""
    return st.integers(1, 30).map(lambda extra: round(0.1 * rate) + extra) | st.just(len(AUDIO))


def act(life: Life, action: tuple[Any, ...]) -> None:
    """Do an action, and look at the memory after it."""
    name, *arguments = action
    getattr(life, name)(*arguments)
    life.check_memory()


def say_finals(channels: int) -> st.SearchStrategy[tuple[Any, ...]]:
    """Draw what a server of Nova says."""
    channel = st.integers(0, channels - 1)
    flags = st.sampled_from([{}, {"speech_final": True}, {"from_finalize": True}])
    return st.tuples(st.just("final"), FRACTIONS, channel, flags) | st.tuples(
        st.just("interim"), FRACTIONS, channel
    )


TURNS: list[st.SearchStrategy[tuple[Any, ...]]] = [
    st.tuples(st.just(kind), FRACTIONS)
    for kind in (*[StreamEvent.TurnUpdate] * 3, StreamEvent.EagerEndOfTurn, StreamEvent.EndOfTurn)
]


def live_flux(data: st.DataObject, rate: int, pattern: Sequence[tuple[int, int]]) -> FluxLife:
    """Draw a life, and live it to its end."""
    life = FluxLife([spoken(pattern)], rate, data.draw(replays(rate)))
    for action in data.draw(st.lists(st.one_of(*MOVES, *TURNS), min_size=20, max_size=50)):
        if isinstance(action[0], str):
            act(life, action)
        else:
            life.say(*action)
            life.check_memory()
    life.live()
    life.say(StreamEvent.TurnUpdate, 1.0)
    if life.server is not None and life.server.is_open:
        life.say(StreamEvent.EndOfTurn, 1.0)
    return life


def live_nova(
    data: st.DataObject, channels: int, rate: int, patterns: Sequence[Sequence[tuple[int, int]]]
) -> NovaLife:
    """Draw a life, and live it to its end."""
    life = NovaLife([spoken(pattern) for pattern in patterns], rate, data.draw(replays(rate)))
    said = say_finals(channels)
    for action in data.draw(st.lists(st.one_of(*MOVES, said, said, said), min_size=20, max_size=50)):
        match action:
            case ("final", fraction, channel, flags):
                life.say(fraction, channel, is_final=True, **flags)
                life.check_memory()
            case ("interim", fraction, channel):
                life.say(fraction, channel, is_final=False)
            case _:
                act(life, action)
    life.live()
    for channel in range(channels):
        life.say(1.0, channel, is_final=True)
    return life


@pytest.mark.slow
@pytest.mark.timeout(240)  # it computes, and how long that takes is the machine's affair
@pytest.mark.parametrize("channels", [1, 2])
@given(data=st.data(), rate=RATES, patterns=st.tuples(PATTERNS, PATTERNS))
@settings(THOROUGH, max_examples=300)
def test_any_life_of_nova(channels: int, data: st.DataObject, rate: int, patterns: Any) -> None:
    """However a session is cut: no word is lost but in a gap that is told, none comes twice, all are in their places."""
    life = live_nova(data, channels, rate, patterns[:channels])
    life.check()
    life.check_sums()


@pytest.mark.slow
@pytest.mark.timeout(240)  # it computes, and how long that takes is the machine's affair
@given(
    data=st.data(),
    rate=st.sampled_from([4, 7, 300]),
    pattern=PATTERNS | st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), min_size=1, max_size=5),
)
@settings(THOROUGH, max_examples=400)
def test_any_life_of_flux(data: st.DataObject, rate: int, pattern: Any) -> None:
    """However a session is cut: each turn starts and ends once, with the words that were spoken, in their places."""
    life = live_flux(data, rate, pattern)
    life.check()
    life.check_sums()


def test_packets_go_out_once() -> None:
    """Of packets whose bytes are not time a new connection gets what waits alone, and what was on its way is a gap."""
    recovery = Recovery(BackOff(Reconnect()), {"encoding": "opus", "sample_rate": "48000"})
    recovery.resume()
    for packet in (b"packet0", b"packet1"):
        recovery.memory.add(packet)
        assert recovery.memory.take(1) == packet
    recovery.take(StreamEvent.Transcript(transcript="0", is_final=True, start=0.0, duration=0.02))
    assert recovery.resume() == (0.0, StreamEvent.AudioGap(start=0.02, end=None))
    recovery.memory.add(b"packet2")
    assert recovery.memory.take(1) == b"packet2"
    assert recovery.end() == StreamEvent.AudioGap(start=0.02, end=None)


def test_a_pause_across_a_lost_connection() -> None:
    """Two utterances with a pause between them stay two where the connection is lost in the pause."""
    query = {
        "encoding": "linear16",
        "sample_rate": "16000",
        "utterance_end_ms": "1000",
        "endpointing": "false",
    }
    recovery, assembler = Recovery(BackOff(Reconnect()), query), UtteranceAssembler()
    recovery.resume()
    recovery.memory.add(bytes(32_000 * 5))
    recovery.memory.take(32_000 * 5)
    much = Word("much", start=0.7, end=1.5)
    yes = Word("yes", start=2.0, end=2.6)
    first = StreamEvent.Transcript(transcript="much", words=(much,), is_final=True, start=0.0, duration=1.6)
    second = StreamEvent.Transcript(transcript="yes", words=(yes,), is_final=True, start=0.0, duration=3.7)
    taken = recovery.take(first)
    recovery.resume()
    taken += recovery.take(second)
    utterances = [assembler.add(event) for event in taken] + assembler.end()
    assert [utterance.text for utterance in utterances if utterance] == ["much", "yes"]


def test_a_channel_that_is_heard_twice() -> None:
    """Where another channel is behind, an old endpoint splits no utterance, and interims say nothing that was final."""

    def said(channel: int, start: float, end: float, text: str, **flags: bool) -> TranscriptEvent:
        words = (Word(text, start=start, end=end),) if text else ()
        given: dict[str, Any] = {"is_final": True, **flags}
        return StreamEvent.Transcript(
            transcript=text,
            words=words,
            start=start,
            duration=end - start,
            channel_index=channel,
            channel_count=2,
            **given,
        )

    query = {"encoding": "linear16", "sample_rate": "16000", "channels": "2"}
    recovery, assembler = Recovery(BackOff(Reconnect()), query), UtteranceAssembler()
    recovery.resume()
    recovery.memory.add(bytes(64_000 * 5))
    recovery.memory.take(64_000 * 5)
    taken = recovery.take(said(1, 0, 1, ""))
    taken += recovery.take(said(0, 0, 2, "goodbye", speech_final=True))
    taken += recovery.take(said(0, 3, 4, "hello"))
    recovery.resume()  # the clock of the next connection begins at 1.0
    for event in (
        said(0, 0, 0.5, "goodbye", is_final=False),
        said(0, 0, 1, "goodbye", speech_final=True),
        said(0, 2, 3, "hello"),
    ):
        assert recovery.take(event) == []
    taken += recovery.take(said(0, 3, 4, "world", speech_final=True))
    utterances = [assembler.add(event) for event in taken]
    assert [utterance.text for utterance in utterances if utterance] == ["goodbye", "hello world"]
