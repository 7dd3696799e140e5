"""Many sessions in one process: run as a process of its own, with what to do as JSON, prints what it saw as JSON.

The server puts the time at which it sends into each message, and the consumer compares it with the time at which it is
handed the message: both processes read the same clock of the system.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import statistics
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import anyio

from .consumers import plain
from .dialects import FRAME, Sdk, Send, installed
from .messages import STAMP
from .resources import resident_kib

CONNECTING = 20
"""At a time."""
FRAME_SECONDS = 0.1
_LONG_FRAME = bytes(3200)
_WARM_SECONDS = 1.5
"""What comes before is not counted."""
LATE_SECONDS = 1.0
_PATIENCE_SECONDS = 30.0
"""What has not come then, after all has been sent, is lost."""


@dataclass(frozen=True)
class Task:
    """What to do."""

    url: str
    way: str
    sessions: int
    seconds: float
    rate: int
    """Messages a second."""
    has_audio: bool


class Record:
    """What the consumers of all sessions saw."""

    def __init__(self, expected: int) -> None:
        self.done = asyncio.Event()
        self.left = expected
        self.lags = array("d")
        self.counts_from = math.inf

    def text(self, text: str) -> None:
        """Record a message that is handed out, by its text."""
        now = time.monotonic()
        if now > self.counts_from:
            self.lags.append(now - float(text[: len(STAMP)]))
        self.left -= 1
        if not self.left:
            self.done.set()

    def message(self, message: Any) -> None:
        """Record a message of the SDK's."""
        self.text(message.channel.alternatives[0].transcript)


Started: TypeAlias = Callable[[Send], None]
Way: TypeAlias = Callable[[Sdk, str, Record, Started], Awaitable[None]]


async def _own(sdk: Sdk, model: str, record: Record, started: Started) -> None:
    async with sdk.connect(model) as connection:
        started(connection.send_media)
        async for message in connection:
            record.message(message)


async def _callback(sdk: Sdk, model: str, record: Record, started: Started) -> None:
    async with sdk.listen(model, record.message) as send:
        started(send)
        await asyncio.Event().wait()


async def _queue(sdk: Sdk, model: str, record: Record, started: Started) -> None:
    waiting: asyncio.Queue[object] = asyncio.Queue()
    async with sdk.listen(model, waiting.put_nowait) as send:
        started(send)
        while True:
            record.message(await waiting.get())


async def _anyio(sdk: Sdk, model: str, record: Record, started: Started) -> None:
    filled, waiting = anyio.create_memory_object_stream[object](math.inf)
    async with sdk.listen(model, filled.send_nowait) as send:
        started(send)
        async for message in waiting:
            record.message(message)


async def _session(sdk: Sdk, model: str, record: Record, started: Started) -> None:
    async with plain(keepalive_seconds=None)(sdk, model) as session:  # the SDK sends none either
        started(session.send)
        async for event in session:
            if event.type == "transcript":
                record.text(event.transcript)


WAYS: dict[str, Way] = {
    "own": _own,
    "callback": _callback,
    "queue": _queue,
    "anyio": _anyio,
    "session": _session,
}


class Pauses:
    """The longest pause of the garbage collector, and how often it ran."""

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        self._began = 0.0
        self._before = [generation["collections"] for generation in gc.get_stats()]
        gc.callbacks.append(self._note)

    def collections(self) -> list[int]:
        """Return how often each generation was collected."""
        stats = gc.get_stats()
        return [now["collections"] - before for now, before in zip(stats, self._before, strict=True)]

    def _note(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.longest_seconds = max(self.longest_seconds, time.perf_counter() - self._began)


async def measure(task: Task) -> dict[str, Any]:
    """Open the sessions, have them busy, and return what was seen."""
    sdk = installed(task.url)
    way = WAYS[task.way]
    count = int(task.seconds * task.rate)
    await _connect(
        sdk, way, Record(1), 1, "nova-quiet"
    )  # so that what is loaded once is no part of a session
    gc.collect()
    kib_before, tasks_before = resident_kib(), len(asyncio.all_tasks())
    record = Record(count * task.sessions)
    sends = await _connect(sdk, way, record, task.sessions, f"nova-paced.{count}.{task.rate}")
    gc.collect()
    kib_idle, tasks = resident_kib(), len(asyncio.all_tasks()) - tasks_before
    pauses, began = Pauses(), time.monotonic()
    record.counts_from = began + _WARM_SECONDS
    for send in sends:
        await send(FRAME)
    audio = asyncio.create_task(_send_audio(sends, task.seconds)) if task.has_audio else None
    kib_busy = asyncio.create_task(_median_kib(task.seconds))
    cpu = asyncio.create_task(_cpu(began, task.seconds))
    await asyncio.wait({asyncio.create_task(record.done.wait())}, timeout=task.seconds + _PATIENCE_SECONDS)
    lags = sorted(record.lags)
    return {
        "p50_ms": lags[len(lags) // 2] * 1e3 if lags else math.inf,
        "p99_ms": lags[int(len(lags) * 0.99)] * 1e3 if lags else math.inf,
        "late": sum(lag > LATE_SECONDS for lag in lags),
        "missing": record.left,
        "cpu_percent": await cpu * 100,
        "idle_kib": (kib_idle - kib_before) / task.sessions,
        "busy_kib": (await kib_busy - kib_before) / task.sessions,
        "gc_ms": pauses.longest_seconds * 1e3,
        "collections": pauses.collections(),
        "tasks": tasks / task.sessions,
        "audio_share": await audio if audio else 1.0,
    }


async def _connect(sdk: Sdk, way: Way, record: Record, sessions: int, model: str) -> list[Send]:
    sends: list[Send] = []
    running: list[asyncio.Task[None]] = []
    for begin in range(0, sessions, CONNECTING):
        are_open = asyncio.Event()
        wanted = min(begin + CONNECTING, sessions)

        def started(send: Send, wanted: int = wanted, are_open: asyncio.Event = are_open) -> None:
            sends.append(send)
            if len(sends) == wanted:
                are_open.set()

        running += [asyncio.create_task(_run(way(sdk, model, record, started))) for _ in range(begin, wanted)]
        await are_open.wait()
    _kept.extend(running)
    return sends


_kept: list[asyncio.Task[None]] = []


async def _run(consuming: Awaitable[None]) -> None:
    try:
        await consuming
    except Exception as error:  # noqa: BLE001  (whatever it is, the measurement is void)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)


async def _send_audio(sends: list[Send], seconds: float) -> float:
    """Send every session a frame each 100 ms; return the share of the frames that went out in time."""
    began, sent = time.monotonic(), 0
    while (now := time.monotonic()) < began + seconds:
        due = int((now - began) / FRAME_SECONDS * len(sends))
        while sent < due:
            await sends[sent % len(sends)](_LONG_FRAME)
            sent += 1
        await asyncio.sleep(0.002)
    return sent / (seconds / FRAME_SECONDS * len(sends))


async def _cpu(began: float, seconds: float) -> float:
    """Return the share of a core that is taken while messages come."""
    cpu_began = time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - cpu_began) / (time.monotonic() - began)


async def _median_kib(seconds: float) -> float:
    """Return what the process has in memory in the second half of the time."""
    await asyncio.sleep(seconds / 2)
    seen: list[float] = []
    for _ in range(5):
        await asyncio.sleep(seconds / 12)
        seen.append(resident_kib())
    return statistics.median(seen)


async def main() -> None:
    """Run the task that is given as JSON."""
    print(json.dumps(await measure(Task(**json.loads(sys.argv[1])))), flush=True)
    os._exit(0)  # closing a thousand sessions would take as long as the measurement


if __name__ == "__main__":
    asyncio.run(main())
