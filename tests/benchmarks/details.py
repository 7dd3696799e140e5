"""What else is to be cheap: a paced frame, a message that finds the buffer full, the import."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from deepgram_stream_iter import Overflow

from .consumers import plain
from .dialects import FRAME, IS_LEGACY, IS_SLOW, VERSION, Sdk, installed
from .memory import until
from .report import Row
from .server import Server

_PACED_FRAMES = 100
_SIZES = (256, 10_000) if IS_SLOW else (256, 10_000, 100_000)
_BATCH = 20
_FULL_SECONDS = 0.3
_CONSTANT = 1.5
"""Times the cost at the smallest size; a cost in proportion would be 39 times that at the next one."""
_IMPORTS = 7
_IMPORT_MS_BOUND = 30.0
_IMPORT = f"""
import asyncio, json, sys, time
import anyio
from deepgram import {"DeepgramClient" if IS_LEGACY else "AsyncDeepgramClient"}
before, began = set(sys.modules), time.process_time()
import deepgram_stream_iter
taken = time.process_time() - began
print(json.dumps([taken, sorted(set(sys.modules) - before)]))
"""


def measure_timers(server: Server) -> list[Row]:
    """Count the timers that a paced frame takes."""
    timers = asyncio.run(_timers(installed(server.url)))
    return [
        Row(
            sdk=VERSION,
            group=f"feed(pace=1.0) with frames of 20 ms, {_PACED_FRAMES} of them",
            name="timers a frame",
            value=timers,
            unit="timers",
            bound=1.0,
        )
    ]


async def _timers(sdk: Sdk) -> float:
    loop: Any = asyncio.get_running_loop()
    taken, done = 0, asyncio.Event()
    call_at = loop.call_at

    def counting(*arguments: Any, **named: Any) -> object:
        nonlocal taken
        taken += 1
        handle: object = call_at(*arguments, **named)
        return handle

    def frames() -> Iterator[bytes]:
        for _ in range(_PACED_FRAMES):
            yield FRAME
        done.set()

    async with plain()(sdk, "nova-quiet") as session:
        loop.call_at = counting  # which call_later() calls, too
        try:
            session.feed(frames(), pace=1.0, finish=False)
            await done.wait()
        finally:
            loop.call_at = call_at
    return taken / _PACED_FRAMES


def measure_full_buffer(server: Server) -> list[Row]:
    """Measure what a message costs that finds the buffer full, with a consumer that sleeps.

    Of short interims, each of another segment, because a buffer full of finals pauses the SDK under `coalesce` as it does
    under `wait`: then there is no further message that could cost anything. Under `error` it ends the session.
    """
    rows: list[Row] = []
    policies: tuple[Overflow, ...] = ("coalesce", "drop_oldest")
    for overflow in policies:
        first = None
        for size in _SIZES:
            once, cost = asyncio.run(_full(installed(server.url), overflow, size))
            first = first or cost
            name = f"overflow='{overflow}', max_buffer_size={size:,}"
            rows += [
                Row(
                    sdk=VERSION,
                    group="a message that finds the buffer full (the ratio is to the smallest buffer)",
                    name=name,
                    value=cost * 1e6,
                    unit="us",
                    ratio=cost / first,
                    bound=_CONSTANT if size > _SIZES[0] else None,
                ),
                Row(
                    sdk=VERSION,
                    group=f"the first {_BATCH} messages that find it full, once, by the events that had filled it",
                    name=name,
                    value=once / size * 1e6,
                    unit="us",
                ),
            ]
            print(f"  {name}: {cost * 1e6:.0f} us, {once * 1e3:.1f} ms once", file=sys.stderr)
    return sorted(rows, key=lambda row: row.group)


async def _full(sdk: Sdk, overflow: Overflow, size: int) -> tuple[float, float]:
    """Return the CPU seconds of the first messages that find the buffer full, and those of each later one."""
    session_of = plain(overflow=overflow, max_buffer_size=size)
    async with session_of(sdk, f"nova-burst.{size}.{_BATCH}") as session:

        async def overfill() -> float:
            came = session.stats.events + _BATCH
            began = time.process_time()
            await session.send(FRAME)
            await until(lambda: session.stats.events >= came)
            return time.process_time() - began

        await session.send(FRAME)
        await until(lambda: session.stats.events >= size)
        once, taken, batches = await overfill(), 0.0, 0
        while taken < _FULL_SECONDS:
            taken += await overfill()
            batches += 1
        return once, taken / batches / _BATCH


def measure_import() -> list[Row]:
    """Measure what the import costs an application that has imported the SDK's client and anyio."""
    seconds: list[float] = []
    modules: list[str] = []
    with tempfile.TemporaryDirectory() as directory:  # where the first run leaves the bytecode for the others
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": directory, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(_IMPORTS + 1):
            command = [sys.executable, "-W", "ignore", "-c", _IMPORT]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603
            taken, modules = json.loads(done.stdout)
            seconds.append(taken)
    of_sdk = [module for module in modules if module.startswith("deepgram.")]
    group = "import deepgram_stream_iter, after the SDK's client and anyio"
    return [
        Row(
            sdk=VERSION,
            group=group,
            name="CPU time",
            value=statistics.median(seconds[1:]) * 1e3,
            unit="ms",
            bound=_IMPORT_MS_BOUND,
            note=f"{len(modules)} modules",
        ),
        Row(
            sdk=VERSION,
            group=group,
            name="modules of the SDK that nobody else has imported",
            value=len(of_sdk),
            unit="modules",
            bound=0,
            note=" ".join(of_sdk[:5]) + (" ..." if of_sdk[5:] else ""),
        ),
    ]
