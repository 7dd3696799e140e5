"""What stays in memory: over many events with a consumer that is too slow, and of an event that waits."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Callable

from deepgram_stream_iter import Overflow, StreamSession

from .consumers import BASELINE, Way, iterated, naive_queue, plain
from .dialects import FRAME, IS_SLOW, VERSION, Sdk, installed
from .report import Row
from .resources import resident_kib
from .server import Server

_STEPS = 10
_FLAT_KIB = 1024.0
_OBJECTS_BOUND = 3.0
_WAITING = 1000
_GARBAGE_MESSAGES = 500 if IS_SLOW else 3000
_POLL_SECONDS = 0.001


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that nobody tells."""
    while not condition():  # noqa: ASYNC110  (an event for it would cost what is measured)
        await asyncio.sleep(_POLL_SECONDS)


# Over many events


def measure_growth(server: Server, events: int) -> list[Row]:
    """Run each policy in a process of its own; `wait` over all the events, which it hands out, the others over a tenth."""
    rows: list[Row] = []
    for overflow, count in (("wait", events), ("coalesce", events // 10), ("drop_oldest", events // 10)):
        command = [sys.executable, "-m", __spec__.name, server.url, overflow, str(count)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603  (this file)
        kib: list[float] = json.loads(done.stdout)
        print(f"  {overflow}: {kib}", file=sys.stderr)
        rows.append(
            Row(
                sdk=VERSION,
                group="memory over many events, the consumer slower than the server",
                name=f"overflow='{overflow}', {count:,} events: growth after a tenth",
                value=kib[-1] - kib[1],
                unit="KiB",
                bound=_FLAT_KIB,
                note="MiB: " + " ".join(f"{one / 1024:.1f}" for one in kib),
            )
        )
    return rows


async def _grow(url: str, overflow: Overflow, count: int) -> list[float]:
    """Return what the process has in memory at the start, after each tenth, and at the end."""
    kib: list[float] = []
    async with plain(overflow=overflow)(installed(url), f"nova-long.{count}") as session:
        kib.append(resident_kib())
        await session.send(FRAME)
        consuming = asyncio.create_task(_consume_slowly(session, is_complete=overflow == "wait"))
        for step in range(1, _STEPS + 1):
            due = count * step // _STEPS
            await until(lambda due=due: session.stats.events >= due)  # type: ignore[misc]
            kib.append(resident_kib())
        consuming.cancel()
    return kib


async def _consume_slowly(session: StreamSession, *, is_complete: bool) -> None:
    async for _ in session:
        # The SDK brings many messages in a turn of the loop, and this takes one; or next to none, where some may be lost.
        await asyncio.sleep(0 if is_complete else 10 * _POLL_SECONDS)


# Of an event that waits


async def _objects_of_sdk(sdk: Sdk) -> float:
    kept: list[object] = []
    async with sdk.listen(f"nova-flood.{_WAITING}", kept.append) as send:
        before = _tracked()
        await send(FRAME)
        await until(lambda: len(kept) == _WAITING)
        return (_tracked() - before) / _WAITING


async def _objects_of_session(sdk: Sdk) -> float:
    async with plain(max_buffer_size=2 * _WAITING)(sdk, f"nova-flood.{_WAITING}") as session:
        before = _tracked()
        await session.send(FRAME)
        await until(lambda: session.stats.buffered == _WAITING)
        return (_tracked() - before) / _WAITING


def _tracked() -> int:
    gc.collect()
    return len(gc.get_objects())


async def _collections(sdk: Sdk, way: Way) -> list[float]:
    """Return the collections of each generation for 10,000 events, without what connecting takes."""
    few, many = [await _counted(sdk, way, count) for count in (100, _GARBAGE_MESSAGES + 100)]
    return [(last - first) / _GARBAGE_MESSAGES * 10_000 for first, last in zip(few, many, strict=True)]


async def _counted(sdk: Sdk, way: Way, count: int) -> list[int]:
    gc.collect()
    before = gc.get_stats()
    await way(sdk, f"nova-flood.{count}", count)
    return [
        now["collections"] - then["collections"] for now, then in zip(gc.get_stats(), before, strict=True)
    ]


def measure_garbage(server: Server) -> list[Row]:
    """Count what the collector has to do with an event."""

    async def run() -> list[Row]:
        sdk = installed(server.url)
        for way in (BASELINE, iterated(plain())):
            await way(sdk, "nova-flood.100", 100)
        group = "objects that the garbage collector tracks, a waiting event of 20 words"
        theirs, ours = await _objects_of_sdk(sdk), await _objects_of_session(sdk)
        rows = [
            Row(
                sdk=VERSION,
                group=group,
                name="the SDK's model, kept by a callback",
                value=theirs,
                unit="objects",
            ),
            Row(sdk=VERSION, group=group, name="session, with the SDK's model", value=ours, unit="objects"),
            Row(
                sdk=VERSION,
                group=group,
                name="session, without it",
                value=ours - theirs,
                unit="objects",
                bound=_OBJECTS_BOUND,
            ),
        ]
        # Where several events wait at a time they are more than one collection's worth, in a naive queue too.
        ways = (
            (sdk.baseline, BASELINE),
            ("naive asyncio.Queue", naive_queue),
            ("session: plain", iterated(plain())),
        )
        counts = {name: await _collections(sdk, way) for name, way in ways}
        for generation, bound in enumerate(counts[sdk.baseline]):
            for name, count in counts.items():
                rows.append(
                    Row(
                        sdk=VERSION,
                        group="collections for 10,000 events",
                        name=f"generation {generation}: {name}",
                        value=count[generation],
                        unit="",
                        bound=bound if name.startswith("session") else None,
                    )
                )
        return rows

    return asyncio.run(run())


if __name__ == "__main__":
    _url, _overflow, _count = sys.argv[1:]
    print(json.dumps(asyncio.run(_grow(_url, _overflow, int(_count)))))  # type: ignore[arg-type]
