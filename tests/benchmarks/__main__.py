"""What this package costs above the SDK, measured in alternation with it.

A server in a process of its own, on another core, sends messages that it has made before. Costs are CPU time of the
process that measures, ratios are those within a round, and a row says their median and their range. Whatever else the
machine does disturbs the hand-over times, so keep it idle for those.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from . import details, flood, generations, memory, scale
from .chart import chart
from .dialects import IS_SLOW, VERSION
from .report import Row, table, to_json, too_slow
from .resources import allow_many_sockets
from .server import Server, pin, running, two_cores

QUICK_SECONDS = 28.0
_QUICK_ROUNDS = 100
_LAST_LEGACY = 4
_SCALE_ROUNDS_SHARE = 3
"""A third of the rounds, and two at least: theirs take much longer."""


def parts(given: argparse.Namespace) -> dict[str, Callable[[Server], list[Row]]]:
    """Return what `--only` can name."""
    scale_rounds = max(2, given.rounds // _SCALE_ROUNDS_SHARE)
    return {
        "flood": lambda server: flood.measure(server, given.rounds),
        "timers": details.measure_timers,
        "full": details.measure_full_buffer,
        "garbage": memory.measure_garbage,
        "import": lambda _: details.measure_import(),
        "memory": lambda server: memory.measure_growth(server, given.events // (20 if IS_SLOW else 1)),
        "scale": lambda server: scale.measure(server, scale_rounds, given.seconds),
        "audio": lambda server: scale.measure_audio(server, given.seconds),
    }


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="the main floods only, in less than 40 s")
    add("--check", action="store_true", help="exit with 1 where a ratio exceeds its limit")
    add("--sdk", action="append", default=[], metavar="VERSION", help="measure on it; may be repeated")
    add("--only", action="append", default=[], metavar="PART", help="one of " + ", ".join(PARTS))
    add("--rounds", type=int, default=5, help="of the floods; a third as many of many sessions")
    add("--seconds", type=float, default=5.0, help="how long many sessions are busy")
    add("--events", type=int, default=1_000_000, help="how many events memory is watched over")
    add("--json", type=Path, metavar="FILE")
    add("--chart", type=Path, metavar="FILE", help="an SVG")
    given = parser.parse_args()
    if unknown := set(given.only) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if given.sdk:
        rows = [row for version in given.sdk for row in generations.run_on(version, _same(given))]
    else:
        rows = _measure(given)
    print(table(rows))
    measured_on = {
        "machine": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d"),
    }
    if given.json:
        given.json.write_text(to_json(rows, measured_on), encoding="utf-8")
    if given.chart:
        given.chart.write_text(_drawn(rows, measured_on), encoding="utf-8")
    slow = too_slow(rows) if given.check else []
    for row in slow:
        print(f"too slow: SDK {row.sdk}: {row.group}: {row.name}: {row.ratio:.3f}", file=sys.stderr)
    return 1 if slow else 0


PARTS = ("flood", "timers", "full", "garbage", "import", "memory", "scale", "audio")


def _same(given: argparse.Namespace) -> list[str]:
    """Return the arguments for the run on another version."""
    numbers = [f"--{name}={getattr(given, name)}" for name in ("rounds", "seconds", "events")]
    return [*numbers, *(f"--only={part}" for part in given.only), *(["--quick"] if given.quick else [])]


def _measure(given: argparse.Namespace) -> list[Row]:
    """Measure on the installed SDK."""
    allow_many_sockets()
    here, there = two_cores()
    pin(here)
    with running(there) as server:
        if given.quick:
            return flood.measure(server, _QUICK_ROUNDS, seconds=QUICK_SECONDS, is_quick=True)
        rows: list[Row] = []
        for name, part in parts(given).items():
            if given.only and name not in given.only:
                continue
            began = time.monotonic()
            rows += part(server)
            print(f"SDK {VERSION}: {name} took {time.monotonic() - began:.0f} s", file=sys.stderr)
        return rows


def _drawn(rows: list[Row], measured_on: dict[str, str]) -> str:
    """Return the chart of the floods: all of the newest SDK that was measured, and the plain session on each."""
    versions = sorted({row.sdk for row in rows}, key=lambda version: int(version.partition(".")[0]))
    newest = versions[-1]
    sections = [
        (group, [row for row in rows if (row.group, row.sdk) == (group, newest)])
        for group in (flood.NOVA, flood.FLUX)
    ]
    if versions[1:]:
        plain = [row for row in rows if (row.group, row.name) == (flood.NOVA, flood.PLAIN)]
        on_each = [replace(row, name=f"{flood.PLAIN}, SDK {row.sdk}") for row in plain]
        sections.append((f"{flood.NOVA}, on older SDKs too", on_each))
    subtitle = [
        f"a flood, in alternation with deepgram-sdk {newest} itself; medians and ranges of the rounds; shorter is better",
        f"{measured_on['python']}, {measured_on['machine']}, the server in a process of its own",
    ]
    if int(versions[0].partition(".")[0]) <= _LAST_LEGACY:
        subtitle.append("SDK 4 has no async for: there the measure is its callback that keeps nothing")
    return chart(sections, subtitle)


if __name__ == "__main__":
    sys.exit(main())
