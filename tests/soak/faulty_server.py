"""A local Deepgram in a process of its own that loses its connections again and again, until it has had enough.

What happens to which connection, and when, follows from the seed alone: the sessions are told apart by their `tag`,
and each has its own sequence of faults. How long the faults go on is the clock's.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import anyio
import anyio.to_thread
from marked_audio import MarkedRecognizer

from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection

CLOSE_CODES = (1000, 1001, 1005, 1011, 1012, 1013)
"""Worth another try, all of them, when nobody has asked for the end."""
LIVES_SECONDS = ((0.2, 2.0), (0.2, 2.0), (4.0, 8.0))
"""How long connections live, in turn. Each third brings a final transcript for sure, so no session runs out of attempts."""
REFUSING_SECONDS = 0.3
PAUSES_SECONDS = (0.5, 3.0)
"""How long handshakes are refused, and how long they are welcome before that."""


@dataclass(kw_only=True)
class Report:
    """What the server did, by the name of the fault."""

    connections: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    cpu_seconds: float = 0.0


class Remote:
    """The server, seen from the process that tests."""

    def __init__(self, url: str, pipe: Connection) -> None:
        self.url, self._pipe = url, pipe

    def begin(self) -> None:
        """Have the faults begin."""
        self._pipe.send("begin")

    def report(self) -> Report:
        """End the server. Blocks until it has ended.

        :raises EOFError: it has failed, and printed why.
        """
        self._pipe.send("end")
        report: Report = self._pipe.recv()
        return report


@contextmanager
def faulty_server(seed: str, fault_seconds: float) -> Iterator[Remote]:
    """Run the server. Blocks until it is there, and until it has gone."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(theirs, seed, fault_seconds), daemon=True
    )
    process.start()
    theirs.close()
    try:
        yield Remote(ours.recv(), ours)
    finally:
        ours.close()  # which ends it, if nothing else did
        process.join(10)
        process.kill()


def _serve(pipe: Connection, seed: str, fault_seconds: float) -> None:
    asyncio.run(_run(pipe, _Trouble(seed, fault_seconds)))


async def _run(pipe: Connection, trouble: _Trouble) -> None:
    async with DeepgramServer(recognizer=MarkedRecognizer, script=trouble.script) as server:
        pipe.send(server.url)
        if not await _told(pipe):
            return
        trouble.begin()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(trouble.refuse, server.faults)
            is_wanted = await _told(pipe)
            tasks.cancel_scope.cancel()
        report = Report(
            connections=len(server.connections), refused=len(server.refused), faults=trouble.faults
        )
    report.cpu_seconds = time.process_time()
    if is_wanted:
        pipe.send(report)


async def _told(pipe: Connection) -> bool:
    """Wait to be told to go on; False: the test has ended before its time."""
    try:
        await anyio.to_thread.run_sync(pipe.recv)
    except EOFError:
        return False
    return True


class _Trouble:
    """Ends connections, from `begin()` on and for so long."""

    def __init__(self, seed: str, fault_seconds: float) -> None:
        self._seed, self._fault_seconds = seed, fault_seconds
        self._begun = anyio.Event()
        self._ends_at = 0.0
        self._sequences: dict[str, Iterator[tuple[float, str]]] = {}
        self.faults: Counter[str] = Counter()

    def begin(self) -> None:
        self._ends_at = anyio.current_time() + self._fault_seconds
        self._begun.set()

    async def script(self, connection: ServerConnection) -> None:
        """Let a connection live for a while, then spoil it."""
        await self._begun.wait()
        (tag,) = connection.query["tag"]
        sequence = self._sequences.setdefault(tag, _sequence(random.Random(f"{self._seed} {tag}")))
        life_seconds, fault = next(sequence)
        with anyio.move_on_after(life_seconds):
            await connection.wait_closed()
            return
        if anyio.current_time() >= self._ends_at:
            return
        self.faults[fault] += 1
        match fault:
            case "dropped":
                connection.abort()
            case "mute":
                connection.faults = Faults(mute=True)
            case "frozen":
                connection.faults = Faults(frozen=True)
            case code:
                await connection.close(int(code))

    async def refuse(self, faults: Faults) -> None:
        """Refuse all handshakes now and then, for a moment."""
        rng = random.Random(self._seed)
        while anyio.current_time() < self._ends_at:
            await anyio.sleep(rng.uniform(*PAUSES_SECONDS))
            faults.refuse_status = 503
            await anyio.sleep(REFUSING_SECONDS)
            faults.refuse_status = None


def _sequence(rng: random.Random) -> Iterator[tuple[float, str]]:
    """Yield how long each connection of a session lives, and what ends it."""
    number = rng.randrange(2)  # the first life is a short one
    while True:
        fault = rng.choice(["dropped", "dropped", "mute", "frozen", *map(str, rng.sample(CLOSE_CODES, 2))])
        yield rng.uniform(*LIVES_SECONDS[number % len(LIVES_SECONDS)]), fault
        number += 1
