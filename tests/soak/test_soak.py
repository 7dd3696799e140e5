"""Many sessions at once, for long, over connections that are lost again and again.

    SOAK_SESSIONS=200 SOAK_SECONDS=60 python -m pytest tests/soak -s

`SOAK_SEED=...` repeats the faults of a run. Without any of these it is short.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import inspect
import math
import os
import secrets
import statistics
import threading
import time
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import deepgram
import pytest
from conftest import emitter_only, flux, nova
from faulty_server import Remote, Report, faulty_server
from marked_audio import SAMPLE_BYTES, SAMPLE_RATE, expected_words, marked

from deepgram_stream_iter import (
    AnyStreamEvent,
    ConnectionLost,
    DeepgramStreamError,
    StalledError,
    StreamEvent,
    StreamSession,
    stream,
)

PROCESS = Path("/proc/self")
pytestmark = pytest.mark.skipif(not PROCESS.exists(), reason="what the process holds is read from /proc")

SESSIONS = int(os.environ.get("SOAK_SESSIONS", "20"))
SECONDS = int(os.environ.get("SOAK_SECONDS", "6"))
SEED = os.environ.get("SOAK_SEED") or secrets.token_hex(4)

RAMP_SECONDS = SESSIONS * 0.02
QUIET_SECONDS = 1.0
"""Without faults, at the beginning."""
FAULT_SECONDS = SECONDS * 2 / 3 - QUIET_SECONDS
"""The last third is for catching up, at a rate of 1.25."""
PAUSE_AT_SECONDS = SECONDS - 0.03
"""Here the sessions wait for each other: the server has just heard a word, so that its silence is no stall."""
TAIL_SECONDS = 0.73
"""Three words of an open segment, which only `finish()` brings out."""
STALL_SECONDS = 1.5
PATIENCE_SECONDS = 30.0

IS_TRACED = SESSIONS <= 50
"""Measure memory to the byte; that takes more of the CPU than all the rest, so many sessions go by the resident size."""
GROWTH_LIMIT_SECONDS = 2.0 if IS_TRACED else SECONDS / 4
"""Memory that a session may gain while its connections are lost, as so much of its audio.

A session that kept its audio would gain all of it, at least 5 s in the shortest run. What it may gain is the text that
it has heard (`transcript`: 30 bytes a second), and its share of what the process needs for its first reconnection. The
resident size also has the gaps that are left of what has been freed since: at the worst moment, all that was replayed.
"""


def resident_bytes(which: str) -> int:
    """Give the resident size of this process: now (VmRSS), or at its peak (VmHWM)."""
    lines = (PROCESS / "status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{which}:"))


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What the process holds at a moment."""

    memory_bytes: int
    tasks: int
    threads: int
    files: int

    @classmethod
    def now(cls) -> Footprint:
        """Measure. The one thing that is left out is the threads with which the test waits for the server."""
        gc.collect()
        if not IS_TRACED:
            # What is free, but between what is not, does not count: glibc keeps it until it is told to give it back.
            getattr(ctypes.CDLL(None), "malloc_trim", bool)(0)
        return cls(
            memory_bytes=tracemalloc.get_traced_memory()[0] if IS_TRACED else resident_bytes("VmRSS"),
            tasks=len(asyncio.all_tasks()),
            threads=sum("AnyIO" not in thread.name for thread in threading.enumerate()),
            files=len(list((PROCESS / "fd").iterdir())),
        )

    def is_within(self, other: Footprint) -> bool:
        """Tell whether there are no more tasks, threads and files than there."""
        return self.tasks <= other.tasks and self.threads <= other.threads and self.files <= other.files

    def __str__(self) -> str:
        return (
            f"{self.memory_bytes / 1e6:.1f} MB, {self.tasks} tasks, {self.threads} threads,"
            f" {self.files} files"
        )


@dataclass
class Soak:
    """What the sessions share, and what is counted over all of them."""

    clients: tuple[Any, Any]
    words: list[tuple[str, float, float]]
    """Those that everybody has to hear."""
    words_before_tail: int
    fed: int = 0
    """So many sessions are fed."""
    caught_up: int = 0
    """So many sessions have heard all but the tail."""
    changed: anyio.Event = field(default_factory=anyio.Event)
    tail: anyio.Event = field(default_factory=anyio.Event)
    """The sessions may go on to the tail."""
    has_begun: bool = False
    """There are faults, or were."""
    heard: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)
    connections_lost: int = 0
    stalls: int = 0
    refusals: int = 0
    reconnects: int = 0
    replayed_seconds: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=lambda: {"before": [], "since": []})
    """Of finals, by whether they came before the first fault or since."""
    sessions: weakref.WeakSet[StreamSession] = field(default_factory=weakref.WeakSet)

    def notify(self) -> None:
        """Have those look again who wait in `until`."""
        self.changed.set()
        self.changed = anyio.Event()

    async def until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until something holds, but not longer than that: what is missing shows in the end."""
        with anyio.move_on_after(seconds):
            while not holds():
                await self.changed.wait()


class Speaker:
    """One session: what it says, and what it hears."""

    def __init__(self, number: int, soak: Soak) -> None:
        self._soak = soak
        is_flux, self._is_sync = number % 2 == 1, number % 20 < 2
        self._frame_seconds = 0.08 if is_flux else 0.1
        self._options = (flux if is_flux else nova)(tag=f"s{number}")
        self._name = f"session {number} ({'Flux' if is_flux else 'Nova'}{', sync' if self._is_sync else ''})"
        self._times_heard = bytearray(len(soak.words))
        self._turns = 0
        self._next_word = 0
        self._began_at = 0.0

    async def run(self) -> None:
        """Speak and listen, from the entry to the exit; an error is one complaint of many, and does not end the others."""
        try:
            await self._run()
        except DeepgramStreamError as error:
            causes = getattr(error, "causes", ())
            self._complain("; ".join([repr(error), *map(repr, causes)]))
        soak, times_heard = self._soak, self._times_heard
        soak.heard += len(times_heard) - times_heard.count(0)
        soak.lost += times_heard.count(0)
        soak.doubled += sum(times - 1 for times in times_heard if times)

    async def _run(self) -> None:
        soak = self._soak
        async with stream(
            soak.clients[self._is_sync],
            self._options,
            reconnect=True,
            stall_timeout_seconds=STALL_SECONDS,
        ) as session:
            soak.sessions.add(session)
            self._began_at = anyio.current_time()
            session.feed(self._audio(), pace=1.0)
            soak.fed += 1
            soak.notify()
            async for event in session:
                self._take(event)
        soak.reconnects += session.stats.reconnects
        soak.replayed_seconds += session.stats.audio_seconds_replayed
        if session.close_info is None or not session.close_info.drained or session.stats.audio_seconds_lost:
            self._complain(f"{session.close_info}, {session.stats}")

    async def _audio(self) -> AsyncIterator[bytes]:
        # Made anew for each session: audio that all share would not show in the memory when a session keeps it.
        frame_blocks = round(self._frame_seconds * 100)
        pause = round(PAUSE_AT_SECONDS * 100)
        for block in range(0, pause, frame_blocks):
            yield marked(min(frame_blocks, pause - block) / 100, block)
        await self._soak.tail.wait()
        yield marked(TAIL_SECONDS, pause)

    def _take(self, event: AnyStreamEvent) -> None:
        match event:
            case StreamEvent.Transcript(is_final=True) | StreamEvent.EndOfTurn():
                for word in event.words:
                    self._hear((word.word, word.start or 0.0, word.end or 0.0))
                self._time(event.words[-1].end if event.words else None)
                if isinstance(event, StreamEvent.EndOfTurn):
                    if event.turn_index != self._turns:
                        self._complain(f"turn {event.turn_index} in place of {self._turns}")
                    self._turns += 1
            case StreamEvent.Reconnecting(cause=ConnectionLost() as cause):
                self._soak.connections_lost += 1
                self._soak.stalls += isinstance(cause, StalledError)
            case StreamEvent.Reconnecting():
                self._soak.refusals += 1
            case StreamEvent.AudioGap() | StreamEvent.Unknown() | StreamEvent.Error():
                self._complain(str(event))
            case _:
                pass

    def _hear(self, word: tuple[str, float, float]) -> None:
        soak, text = self._soak, word[0]
        number = int(text.lstrip("w")) if text.lstrip("w").isdecimal() else -1
        if not 0 <= number < len(soak.words) or word != soak.words[number]:
            self._complain(f"heard {word}")
            return
        if number != self._next_word:
            self._complain(f"heard {text} in place of w{self._next_word}")
        self._next_word = number + 1
        self._times_heard[number] += 1
        if number == soak.words_before_tail - 1:
            soak.caught_up += 1
            soak.notify()

    def _time(self, end: float | None) -> None:
        """Take how long after its audio was due to be sent a word came."""
        if end is not None and end <= PAUSE_AT_SECONDS:
            frame = math.ceil(round(end / self._frame_seconds, 6)) - 1
            due = self._began_at + frame * self._frame_seconds
            latencies = self._soak.latencies["since" if self._soak.has_begun else "before"]
            latencies.append(anyio.current_time() - due)

    def _complain(self, what: str) -> None:
        self._soak.wrong.append(f"{self._name}: {what}")


@pytest.fixture
async def server() -> AsyncIterator[Remote]:
    """Give a faulty server in a process of its own: what it keeps is not what is measured here."""
    entering = faulty_server(SEED, FAULT_SECONDS)
    remote = await anyio.to_thread.run_sync(entering.__enter__)
    try:
        yield remote
    finally:
        await anyio.to_thread.run_sync(entering.__exit__, None, None, None)


@pytest.fixture
def traced() -> Iterator[None]:
    """Have memory traced meanwhile, where it is to be."""
    if IS_TRACED:
        tracemalloc.start(1)
    yield
    tracemalloc.stop()


@pytest.mark.slow
@emitter_only
@pytest.mark.soak
@pytest.mark.timeout(3 * SECONDS + 4 * PATIENCE_SECONDS)
@pytest.mark.usefixtures("traced")
async def test_every_word_once_and_nothing_left(server: Remote) -> None:
    """Every word comes out exactly once and at its time, and the sessions hold no more in the end than before the faults."""
    assert SECONDS in range(6, 652, 2), "turns are 2 s long, and there are marks for 655 s of audio"
    words = expected_words(PAUSE_AT_SECONDS + TAIL_SECONDS)
    soak = Soak(
        clients=_clients(server.url), words=words, words_before_tail=len(expected_words(PAUSE_AT_SECONDS))
    )
    before = Footprint.now()
    began, began_cpu = time.monotonic(), time.process_time()
    async with anyio.create_task_group() as tasks:
        for number in range(SESSIONS):
            tasks.start_soon(Speaker(number, soak).run)
            await anyio.sleep(RAMP_SECONDS / SESSIONS)
        await soak.until(lambda: soak.fed == SESSIONS, PATIENCE_SECONDS)
        await anyio.sleep(QUIET_SECONDS)
        quiet = Footprint.now()
        soak.has_begun = True
        server.begin()
        await soak.until(lambda: soak.caught_up == SESSIONS, SECONDS + PATIENCE_SECONDS)
        caught_up = await _settled(quiet)
        soak.tail.set()
    seconds, cpu_seconds = time.monotonic() - began, time.process_time() - began_cpu
    after = await _settled(before)
    report = await anyio.to_thread.run_sync(server.report)
    growth = (caught_up.memory_bytes - quiet.memory_bytes) / SESSIONS
    _print(soak, report, growth, seconds, cpu_seconds)
    for moment, footprint in {
        "before": before,
        "live": quiet,
        "live, after the faults": caught_up,
        "after": after,
    }.items():
        print(f"{moment + ':':24}{footprint}")

    assert not soak.wrong, "\n".join(soak.wrong)
    assert (soak.heard, soak.lost, soak.doubled) == (SESSIONS * len(words), 0, 0)
    assert soak.caught_up == SESSIONS
    assert soak.connections_lost >= SESSIONS, "too few faults to prove anything"
    assert soak.connections_lost == soak.reconnects
    assert growth < GROWTH_LIMIT_SECONDS * SAMPLE_RATE * SAMPLE_BYTES
    assert caught_up.is_within(quiet)
    assert after.is_within(before)
    assert not soak.sessions, "sessions that have ended and are kept all the same"


def _clients(url: str) -> tuple[Any, Any]:
    """Give an async and a sync client for a server that runs elsewhere."""
    environment_of = importlib.import_module("deepgram.environment").DeepgramClientEnvironment
    environment = environment_of(**dict.fromkeys(inspect.signature(environment_of).parameters, url))
    settings: dict[str, Any] = {"api_key": "local-key", "environment": environment}
    return deepgram.AsyncDeepgramClient(**settings), deepgram.DeepgramClient(**settings)


async def _settled(expected: Footprint) -> Footprint:
    """Measure as soon as there is no more than expected, or after 3 s: what is on its way out is no leak."""
    footprint = Footprint.now()
    for _ in range(30):
        if footprint.is_within(expected):
            break
        await anyio.sleep(0.1)
        footprint = Footprint.now()
    return footprint


def _print(soak: Soak, report: Report, growth: float, seconds: float, cpu_seconds: float) -> None:
    """Print the figures."""
    faults = ", ".join(f"{fault} {count}" for fault, count in sorted(report.faults.items()))
    before, since = soak.latencies["before"], soak.latencies["since"]
    print(f"""
SOAK_SEED={SEED}: {SESSIONS} sessions, {PAUSE_AT_SECONDS + TAIL_SECONDS:g} s of audio each, in {seconds:.1f} s
words:                  {soak.heard} heard, {soak.lost} lost, {soak.doubled} doubled, {len(soak.wrong)} complaints
connections lost:       {soak.connections_lost} ({soak.stalls} stalled), made again {soak.reconnects}
handshakes refused:     {report.refused}, seen {soak.refusals}
faults of the server:   {faults}
audio sent again:       {soak.replayed_seconds:.1f} s
final after its audio:  before the faults, median {_percentile(before, 50):.3f} s, 99 % {_percentile(before, 99):.3f} s
                        since the first fault, median {_percentile(since, 50):.2f} s, 99 % {_percentile(since, 99):.2f} s
CPU:                    {cpu_seconds / seconds:.2f} of a core, the server {report.cpu_seconds / seconds:.2f}
memory:                 {growth / 1e3:+.1f} kB a session, {"traced" if IS_TRACED else "resident"}; the peak {resident_bytes("VmHWM") / 1e6:.0f} MB""")


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else math.nan
