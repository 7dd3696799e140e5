"""Whatever breaks, alone or in random sequences: every word once, at its time, as if nothing had happened.

The audio is marked (see marked_audio.py): a word that is lost, doubled or out of its time shows.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeGuard

import pytest
from conftest import IS_LEGACY, Connect, flux, nova
from marked_audio import SAMPLE_RATE, UTTERANCE, MarkedRecognizer, expected_words, marked

from deepgram_stream_iter import (
    AnyStreamEvent,
    Reconnect,
    ReconnectAttempt,
    StreamEvent,
    StreamingOptions,
    StreamSession,
)
from deepgram_stream_iter._adapters import private
from deepgram_stream_iter._adapters.decode import decode
from deepgram_stream_iter._events.kinds import TurnStateEvent
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection

SECONDS = 2.6
"""13 words: two segments and three words, one utterance (or turn) and three words that no pause follows."""
HALF_A_SAMPLE = 0.5 / SAMPLE_RATE
SEEDS = range(*map(int, os.environ.get("FAULT_SEEDS", "0-3" if IS_LEGACY else "0-6").split("-")))
"""`FAULT_SEEDS=100-400` has others drawn, and more of them. SDK 3 and 4 take 0.5 s to close a connection: fewer there."""

Script: TypeAlias = Callable[[ServerConnection], Awaitable[None]]


# What goes wrong with a connection that was made


def ends(code: int, at: float) -> Script:
    """End it when so much audio has come: the piece that completes it is not transcribed."""

    async def script(connection: ServerConnection) -> None:
        connection.faults = Faults(drop_at_audio_seconds=at, drop_code=code)

    return script


def turns(faults: Faults, at: float) -> Script:
    """Have it go wrong from there on."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(at)
        connection.faults = faults

    return script


def ends_at_once(code: int) -> Script:
    """End it before anything has come."""

    async def script(connection: ServerConnection) -> None:
        await connection.close(code)

    return script


def ends_while_finishing(code: int) -> Script:
    """End it when CloseStream has come, in place of the last finals."""

    async def script(connection: ServerConnection) -> None:
        connection.faults = Faults(late_final_seconds=30, no_finalize_answer=True)
        await connection.received("CloseStream")
        await connection.close(code)

    return script


async def mute_while_finishing(connection: ServerConnection) -> None:
    """Say nothing more when CloseStream has come."""
    connection.faults = Faults(late_final_seconds=30, no_finalize_answer=True)
    await connection.received("CloseStream")
    connection.faults = Faults(mute=True)


async def behaves(_: ServerConnection) -> None:
    """Do nothing wrong."""


def always(faults: Faults) -> Script:
    """Have it go wrong from the beginning."""

    async def script(connection: ServerConnection) -> None:
        connection.faults = faults

    return script


# Attempts and what becomes of them


@dataclass(frozen=True, kw_only=True)
class Step:
    """What an attempt at a connection comes to."""

    handshake: Faults = field(default_factory=Faults)
    script: Script = behaves


REFUSED = Step(handshake=Faults(refuse_status=503))
LIMITED = Step(handshake=Faults(refuse_status=429, retry_after=1))
MUTE = Step(script=always(Faults(mute=True)))
FROZEN = Step(script=always(Faults(frozen=True)))
HANGING = Step(handshake=Faults(hang_handshake=True))
NOT_CONNECTED = Step(handshake=Faults(no_connected=True))


class Plan:
    """Has one attempt after another go as planned, and those that follow go well."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = iter(steps)
        self._script: Script = behaves
        self.faults = Faults()
        """The server's, which handshakes go by."""
        self.delays: list[float] = []
        self._advance()

    def on_attempt(self, attempt: ReconnectAttempt) -> None:
        """Prepare the server for an attempt, and wait for none of what `Retry-After` asks for."""
        self.delays.append(attempt.delay)
        attempt.delay = min(attempt.delay, 0.02)
        self._advance()

    async def script(self, connection: ServerConnection) -> None:
        """Do what is planned to the connection that was made last; it is its own affair from here on."""
        script = self._script
        connection.faults = Faults()
        await script(connection)

    def _advance(self) -> None:
        step = next(self._steps, Step())
        self._script = step.script
        for name, value in vars(step.handshake).items():
            setattr(self.faults, name, value)


def pieces(audio: bytes, size: int = 640) -> list[bytes]:
    """Cut audio into pieces, of 20 ms."""
    return [audio[start : start + size] for start in range(0, len(audio), size)]


@asynccontextmanager
async def running(
    connect: Connect, options: StreamingOptions, plan: Plan, **settings: Any
) -> AsyncIterator[StreamSession]:
    """Run a session that reconnects, on a server that goes by the plan."""
    reconnect = Reconnect(
        max_attempts=30,
        initial_delay_seconds=0.01,
        max_delay_seconds=0.02,
        catch_up_rate=50,
        on_attempt=plan.on_attempt,
    )
    async with (
        DeepgramServer(script=plan.script, recognizer=MarkedRecognizer, faults=plan.faults) as server,
        connect(server, options, reconnect=reconnect, **settings) as session,
    ):
        yield session


# What has to come out


def check(session: StreamSession, events: Sequence[AnyStreamEvent], seconds: float = SECONDS) -> None:
    """Check all that a session has handed out against the audio."""
    finals = [event for event in events if is_final(event)]
    expected = expected_words(seconds)
    assert [word.word for event in finals for word in event.words] == [text for text, _, _ in expected]
    assert " ".join(event.transcript for event in finals if event.transcript) == said(expected)
    assert session.transcript == said(expected)
    words = [word for event in finals for word in event.words]
    if any(word.start is not None for word in words):
        for word, (_, start, end) in zip(words, expected, strict=True):
            assert word.start == pytest.approx(start, abs=HALF_A_SAMPLE), word
            assert word.end == pytest.approx(end, abs=HALF_A_SAMPLE), word
    else:
        assert all(isinstance(event, TurnStateEvent) for event in finals), "Nova's words have times"
    until = 0.0
    for event in finals:
        assert event.start is not None
        assert event.end is not None
        assert until - HALF_A_SAMPLE <= event.start <= event.end
        until = event.end
    check_turns(events)
    check_raw(events)
    assert not [event for event in events if isinstance(event, StreamEvent.AudioGap)]
    assert session.stats.audio_seconds_lost == 0
    assert session.close_info is not None
    assert session.close_info.drained


def check_turns(events: Sequence[AnyStreamEvent]) -> None:
    """Check that each turn begins once and ends once, one after another."""
    index, is_open = 0, False
    for event in events:
        if not isinstance(event, TurnStateEvent):
            continue
        assert event.turn_index == index
        assert isinstance(event, StreamEvent.StartOfTurn) != is_open
        is_open = not isinstance(event, StreamEvent.EndOfTurn)
        index += not is_open
    assert not is_open


def check_raw(events: Sequence[AnyStreamEvent]) -> None:
    """Check that the SDK's own object is on the clock of its connection, which begins where the replay does."""
    begin = finalized = 0.0
    for event in events:
        if isinstance(event, StreamEvent.Reconnected):
            begin = finalized
        if not isinstance(event, (StreamEvent.Transcript, TurnStateEvent)):
            continue
        sent = decode(event.raw)
        assert isinstance(sent, (StreamEvent.Transcript, TurnStateEvent))
        assert sent.transcript == event.transcript
        assert sent.end is not None
        assert event.end == pytest.approx(begin + sent.end, abs=HALF_A_SAMPLE)
        if is_final(event):
            finalized = event.end or finalized


def is_final(event: AnyStreamEvent) -> TypeGuard[StreamEvent.Transcript | StreamEvent.EndOfTurn]:
    """Tell whether the text of an event is final."""
    return isinstance(event, StreamEvent.EndOfTurn) or (
        isinstance(event, StreamEvent.Transcript) and event.is_final
    )


def said(words: Sequence[tuple[str, float, float]]) -> str:
    """Give the text of words."""
    return " ".join(text for text, _, _ in words)


# One fault


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A plan for a session that is fed at `pace`, and with what settings it gets over it."""

    steps: tuple[Step, ...]
    settings: dict[str, float] = field(default_factory=dict[str, float])
    pace: float | None = 50.0
    only_for: str = ""
    """The endpoint, where the other does not have it."""
    is_survived_at_once: bool = False
    """It takes no other connection."""


AT = 1.3
"""In the middle: behind the first segment, in the second, in the first turn."""
LOST = Step(script=ends(1006, AT))
SOON = {"connect_timeout_seconds": 0.15}
STALLED = {"stall_timeout_seconds": 0.15}
CODES = (1006, 1011) if IS_LEGACY else (1001, 1006, 1011, 1012, 1013, 4321)
AGREED_CODES = (1000, 1005)
"""The agreed ends, which nobody has asked for here."""
PLACES = (0.02, 0.98, 2.6) if IS_LEGACY else (0.02, 0.5, 0.98, 1.98, 2.3, 2.6)
"""Before the first word, in one, where a segment ends, where a turn does, in the next one, at the end."""

FAULTS: dict[str, Fault] = {
    **{f"ends with {code}": Fault(steps=(Step(script=ends(code, AT)),)) for code in CODES},
    # Slower, so that it comes before CloseStream: after it, Flux has no way to tell such an end from the agreed one.
    **{f"ends with {code}": Fault(steps=(Step(script=ends(code, AT)),), pace=10.0) for code in AGREED_CODES},
    **{f"dropped at {at} s": Fault(steps=(Step(script=ends(1006, at)),)) for at in PLACES},
    "dropped, and all had been sent": Fault(steps=(LOST,), pace=None),
    "refused at first": Fault(steps=(REFUSED, LOST)),
    "refused twice": Fault(steps=(LOST, REFUSED, REFUSED)),
    "refused, to come later": Fault(steps=(LOST, LIMITED)),
    "hanging handshake": Fault(steps=(LOST, HANGING), settings=SOON),
    "no Connected": Fault(steps=(LOST, NOT_CONNECTED), settings=SOON, only_for="v2"),
    "mute": Fault(steps=(Step(script=turns(Faults(mute=True), AT)),), settings=STALLED),
    "mute from the beginning": Fault(steps=(Step(script=always(Faults(mute=True))),), settings=STALLED),
    "frozen": Fault(steps=(Step(script=turns(Faults(frozen=True), AT)),), settings=STALLED),
    "bad JSON": Fault(steps=(Step(script=turns(Faults(bad_json=True), AT)),)),
    "late finals": Fault(
        steps=(Step(script=always(Faults(late_final_seconds=0.1))),), is_survived_at_once=True
    ),
    "dropped while finishing": Fault(steps=(Step(script=ends_while_finishing(1006)),)),
    "closed while finishing": Fault(steps=(Step(script=ends_while_finishing(1011)),)),
    "closed with 1000 while finishing": Fault(
        steps=(Step(script=ends_while_finishing(1000)),), only_for="v1"
    ),
    "closed with 1000, and all had been sent": Fault(
        steps=(Step(script=ends(1000, AT)),), pace=None, only_for="v1"
    ),
    "mute while finishing": Fault(steps=(Step(script=mute_while_finishing),), settings=STALLED),
    "dropped while finishing, over and over": Fault(steps=(Step(script=ends_while_finishing(1006)),) * 4),
    "dropped in the replay": Fault(steps=(LOST, Step(script=ends(1006, 0.2)))),
    "dropped in the replay, over and over": Fault(steps=(LOST, *(Step(script=ends(1006, 0.2)),) * 4)),
    "bad JSON at the end of the replay": Fault(
        steps=(Step(script=ends(1006, 2.4)), Step(script=turns(Faults(bad_json=True), 0.5))), pace=None
    ),
    "dropped after the handshake": Fault(steps=(LOST, Step(script=ends_at_once(1006)))),
    "closed after the handshake": Fault(steps=(LOST, *(Step(script=ends_at_once(1012)),) * 3)),
    "dropped after the first handshake": Fault(steps=(Step(script=ends_at_once(1006)),)),
}


@pytest.mark.slow
@pytest.mark.parametrize("options_for", [nova, flux])
@pytest.mark.parametrize("name", FAULTS)
async def test_one_fault(connect: Connect, name: str, options_for: Callable[[], StreamingOptions]) -> None:
    """After any fault every word is handed out once, at its time, and turns go on as they were."""
    options, fault = options_for(), FAULTS[name]
    if fault.only_for not in ("", options.endpoint):
        pytest.skip("Nova says nothing first, and Flux nothing last, so neither can be missed")
    plan = Plan(fault.steps)
    async with running(connect, options, plan, **fault.settings) as session:
        session.feed(pieces(marked(SECONDS)), pace=fault.pace)
        events = [event async for event in session]
    check(session, events)
    if fault.is_survived_at_once:
        assert plan.delays == []
    else:
        assert len(plan.delays) >= len(fault.steps)
    if LIMITED in fault.steps and not IS_LEGACY:  # which does not tell
        assert max(plan.delays) >= 1


@pytest.mark.parametrize("options_for", [nova, flux])
@pytest.mark.parametrize("name", ["ends with 1011", "bad JSON", "dropped while finishing", "refused twice"])
async def test_utterances(connect: Connect, name: str, options_for: Callable[[], StreamingOptions]) -> None:
    """Utterances and turns go across a reconnection as if it had not been."""
    options, fault = options_for(), FAULTS[name]
    words = expected_words(SECONDS)
    async with running(connect, options, Plan(fault.steps), **fault.settings) as session:
        session.feed(pieces(marked(SECONDS)), pace=fault.pace)
        first, second = [utterance async for utterance in session.utterances()]
    assert first.text == said(words[:UTTERANCE])
    assert second.text == said(words[UTTERANCE:])
    assert (first.confirmed, second.confirmed) == (True, False)
    is_turn = options.endpoint == "v2"
    assert (first.turn_index, second.turn_index) == ((0, 1) if is_turn else (None, None))
    # Without a fault they begin and end there.
    times = [time for utterance in (first, second) for time in (utterance.start, utterance.end)]
    begin, middle, end = 0.0, words[UTTERANCE - 1][2], words[-1][2]
    assert times == [pytest.approx(time, abs=HALF_A_SAMPLE) for time in (begin, middle, middle, end)]


@pytest.mark.slow
async def test_frozen_and_the_socket_is_full(connect: Connect) -> None:
    """A peer that has stopped reading is noticed by sending too, and what it was sent is sent again."""
    seconds = 12.0
    fault = Fault(steps=(Step(script=turns(Faults(frozen=True), AT)),))
    plan = Plan(fault.steps)
    async with running(connect, nova(), plan, send_timeout_seconds=0.2) as session:
        shrink_send_buffer(session)
        session.feed(pieces(marked(seconds)), pace=50)
        events = [event async for event in session]
    check(session, events, seconds)
    causes = [event.cause for event in events if isinstance(event, StreamEvent.Reconnecting)]
    assert "send_timeout_seconds" in str(causes[0])


def shrink_send_buffer(session: StreamSession) -> None:
    """Have the session's socket take no more than a few seconds of audio that nobody reads."""
    websocket: Any = private.websocket_of(session.connection)
    transport = getattr(websocket, "transport", None)
    raw_socket = transport.get_extra_info("socket") if transport else websocket.socket
    raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)


# Many


def random_step(dice: random.Random, codes: Sequence[int]) -> Step:
    """Draw what an attempt comes to."""
    code = dice.choice(codes)
    at = dice.uniform(0, dice.choice([0.3, 1.0, SECONDS]))
    return dice.choice(
        [
            Step(script=ends(code, at)),
            Step(script=ends(1006, at)),
            Step(script=turns(Faults(bad_json=True), at)),
            Step(script=ends_while_finishing(code)),
            Step(script=ends_at_once(code)),
            Step(script=always(Faults(late_final_seconds=dice.uniform(0, 0.1)))),
            MUTE,
            FROZEN,
            REFUSED,
            LIMITED,
            HANGING,
            NOT_CONNECTED,
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("options_for", [nova, flux])
@pytest.mark.parametrize("seed", SEEDS)
async def test_random_faults(
    connect: Connect, seed: int, options_for: Callable[[], StreamingOptions]
) -> None:
    """In any sequence of faults, too, every word is handed out once, at its time."""
    options = options_for()
    dice = random.Random(seed)  # noqa: S311  (what it draws can be drawn again)
    # See FAULTS: it is left to chance when these ends come here.
    codes = CODES if options.endpoint == "v2" else CODES + AGREED_CODES
    plan = Plan([random_step(dice, codes) for _ in range(5)])
    size = dice.choice([640, 640, 321, 3200, dice.randrange(1, 5000)])
    pace = dice.choice([10.0, 20.0, 50.0, None])
    async with running(connect, options, plan, **SOON, **STALLED) as session:
        session.feed(pieces(marked(SECONDS), size), pace=pace)
        events = [event async for event in session]
    check(session, events)
