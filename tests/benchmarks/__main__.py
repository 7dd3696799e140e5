"""python -m tests.benchmarks: what this package costs above the SDK."""

from __future__ import annotations

import argparse
import sys

from . import flood
from .report import table, too_slow
from .server import pin, running, two_cores


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="floods only, in less than 40 s")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bound", type=float, help="fail if a ratio that has a target exceeds this one")
    given = parser.parse_args()
    here, there = two_cores()
    pin(here)
    with running(there) as server:
        rows = (
            flood.measure(server, 100, seconds=30.0, is_quick=True)
            if given.quick
            else flood.measure(server, given.rounds)
        )
    print(table(rows))
    slow = too_slow(rows, given.bound) if given.bound else []
    for row in slow:
        print(f"too slow: {row.group}: {row.name}: {row.ratio:.3f}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
