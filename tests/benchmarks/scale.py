"""Many sessions in a process: how late a message is handed out, and what a session takes of CPU and memory.

Each way of consuming has a process of its own, because what one leaves in memory would slow the next one's collections.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from .dialects import IS_LEGACY, IS_SLOW, VERSION
from .many import Task
from .report import Row, ratios
from .server import Server

SIZES = (1, 50) if IS_LEGACY else (1, 100) if IS_SLOW else (1, 200, 1000)
"""What the SDK itself can sustain, about."""
AUDIO_SIZES = (100, 75, 50, 25) if IS_SLOW else (1000, 800, 600, 400, 200, 100)
_RATE = 4
_ONE_RATE = 40
"""Messages a second of a single session: with fewer there would be too few for a p99."""
_OWN = "callback" if IS_LEGACY else "own"
_NAMES = {
    "own": "SDK's own async for",
    "callback": "SDK callback",
    "queue": "naive asyncio.Queue",
    "anyio": "naive anyio stream",
    "session": "session",
}
_CONNECTING_SECONDS = 120.0
_COLUMNS = {
    "p50_ms": ("hand-over p50", "ms"),
    "p99_ms": ("hand-over p99", "ms"),
    "cpu_percent": ("CPU of a core", "%"),
    "idle_kib": ("memory a session, idle", "KiB"),
    "busy_kib": ("memory a session, busy", "KiB"),
    "gc_ms": ("longest garbage collection", "ms"),
}
_RATIO_BOUND = 1.1
_KIB_BOUND = 12.0
_TASKS_BOUND = 3.0


def run(
    server: Server, way: str, sessions: int, seconds: float, *, has_audio: bool = False
) -> dict[str, Any]:
    """Run one way in a process of its own."""
    task = Task(server.url, way, sessions, seconds, _rate(sessions), has_audio)
    module = f"{__package__}.many"
    command = [sys.executable, "-m", module, json.dumps(asdict(task))]
    done = subprocess.run(  # noqa: S603  (a file of this package)
        command, check=True, stdout=subprocess.PIPE, text=True, timeout=seconds * 2 + _CONNECTING_SECONDS
    )
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def _rate(sessions: int) -> int:
    return _RATE if sessions > 1 else _ONE_RATE


def measure(server: Server, rounds: int, seconds: float) -> list[Row]:
    """Measure each number of sessions, each way of consuming, in turn."""
    rows: list[Row] = []
    for size in SIZES:
        ways = [_OWN, "queue", "anyio", "session"] if size == SIZES[1] else [_OWN, "session"]
        seen: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
        for number in range(rounds):
            for way in ways[:: 1 if number % 2 else -1]:
                seen[way].append(run(server, way, size, seconds))
                print(f"  {size} x {way}: {seen[way][-1]}", file=sys.stderr)
        many = f"{size} sessions" if size > 1 else "1 session"
        rows += _rows(f"{many}, {_rate(size)} messages a second each", seen, has_memory=size > 1)
    return rows


def _rows(group: str, seen: dict[str, list[dict[str, Any]]], *, has_memory: bool) -> list[Row]:
    rows: list[Row] = []
    for column, (name, unit) in _COLUMNS.items():
        if column.endswith("_kib") and not has_memory:  # of one session it is a matter of pages
            continue
        theirs = [one[column] for one in seen[_OWN]]
        for way, those in seen.items():
            values = [one[column] for one in those]
            is_lag = column.startswith("p")
            has_ratio = is_lag or unit == "%"
            rows.append(
                Row.of_ratios(
                    group,
                    f"{name}: {_NAMES[way]}",
                    values,
                    ratios(values, theirs),
                    unit=unit,
                    sdk=VERSION,
                    bound=_RATIO_BOUND if is_lag and way == "session" else None,
                )
                if has_ratio
                else _row(group, f"{name}: {_NAMES[way]}", statistics.median(values), unit)
            )
            if column == "gc_ms":
                counts = " ".join(str(one) for one in those[-1]["collections"])
                total = sum(those[-1]["collections"])
                rows.append(_row(group, f"garbage collections: {_NAMES[way]}", total, "", note=counts))
    ours, theirs = seen["session"], seen[_OWN]
    for column in ("idle_kib", "busy_kib") if has_memory else ():
        above = [mine[column] - other[column] for mine, other in zip(ours, theirs, strict=True)]
        name = f"{_COLUMNS[column][0]}: above the SDK's own"
        rows.append(_row(group, name, statistics.median(above), "KiB", bound=_KIB_BOUND))
    tasks = ours[-1]["tasks"] - theirs[-1]["tasks"]
    rows.append(_row(group, "tasks a session: above the SDK's own", tasks, "tasks", bound=_TASKS_BOUND))
    missing = max(one["missing"] for one in ours)
    rows.append(_row(group, "messages lost: session", missing, "", bound=0))
    return rows


def measure_audio(server: Server, seconds: float) -> list[Row]:
    """Find how many sessions with audio the SDK sustains in a process, and have as many of ours."""
    group = "sessions with 4 messages and 10 frames of audio a second each, in one process"
    rows: list[Row] = []
    for size in AUDIO_SIZES:
        theirs = run(server, _OWN, size, seconds, has_audio=True)
        rows.append(_sustained(group, size, _OWN, theirs, None))
        if is_sustained(theirs):
            ours = run(server, "session", size, seconds, has_audio=True)
            rows.append(_sustained(group, size, "session", ours, 0))
            break
    return rows


def is_sustained(seen: dict[str, Any]) -> bool:
    """Return whether everything came, in time, and the audio went out in time."""
    return not seen["missing"] and not seen["late"] and seen["audio_share"] > 0.98


def _sustained(group: str, size: int, way: str, seen: dict[str, Any], bound: float | None) -> Row:
    verdict = "sustained" if is_sustained(seen) else "not sustained"
    note = f"{verdict}: {seen['cpu_percent']:.0f} % of a core, p99 {seen['p99_ms']:.1f} ms, {seen['audio_share']:.0%} of the audio"
    failed = seen["missing"] + seen["late"]
    return _row(group, f"{size} x {_NAMES[way]}: messages late or lost", failed, "", bound=bound, note=note)


def _row(  # noqa: PLR0913  (the fields of a row)
    group: str, name: str, value: float, unit: str, *, bound: float | None = None, note: str = ""
) -> Row:
    return Row(sdk=VERSION, group=group, name=name, value=value, unit=unit, bound=bound, note=note)
