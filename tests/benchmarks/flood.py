"""Floods: messages as fast as they are taken, and audio as fast as it goes out."""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections import deque
from dataclasses import dataclass

from . import consumers
from .consumers import Way, attached, iterated, overflowing, plain, read, reconnected, reconnecting
from .dialects import IS_LEGACY, VERSION, Sdk, installed
from .messages import UTTERANCE
from .report import Row, ratios
from .server import Server

_RUN_SECONDS, _QUICK_RUN_SECONDS = 0.3, 0.25
"""A run of the baseline takes so long: the older the SDK, the fewer messages are that."""
_MOST_MESSAGES = 3000
_TRIAL_MESSAGES = 100
_HANGING_SECONDS = 60.0
"""A run that takes longer hangs."""
_LEAST_ROUNDS = 3
_SERVER_BOUND_US = 15.0
"""A message: the fastest consumer, `raw`, takes more."""


@dataclass(frozen=True)
class Entry:
    """A way that is measured, and what it is compared with."""

    group: str
    name: str
    way: Way
    bound: float | None = None
    """The ratio to the first of the group that is to be reached."""
    is_quick: bool = False


NOVA, FLUX, SEND = "20-word Results", "20-word TurnInfo (Flux)", "20 ms frames sent"
SEND_TURNS = "20 ms frames sent, one a turn of the event loop"
PLAIN = "session: plain"
_LIMITS = {NOVA: 1.4, FLUX: 1.4, SEND: 3.5, SEND_TURNS: 3.5}
"""Of ratios, for `--check`: far from the targets, because the machine may be busy, and a frame takes the SDK but 6 us."""
MODELS = {NOVA: "nova-flood", FLUX: "flux-flood", SEND: "nova-quiet", SEND_TURNS: "nova-quiet"}


def entries(sdk: Sdk) -> list[Entry]:
    """Return what is measured on the installed SDK; the first of each group is what the others are compared with."""
    every = [
        Entry(NOVA, sdk.baseline, consumers.BASELINE, None, is_quick=True),
        Entry(NOVA, "raw websockets and json.loads", consumers.raw),
        Entry(NOVA, "SDK callback that keeps nothing", consumers.callback),
        Entry(NOVA, "naive anyio stream from the callback", consumers.naive_anyio),
        Entry(NOVA, "naive asyncio.Queue from the callback", consumers.naive_queue),
        Entry(NOVA, PLAIN, iterated(plain()), 1.05, is_quick=True),
        Entry(NOVA, "session: attached", iterated(attached), 1.05, is_quick=True),
        Entry(NOVA, "session: reconnecting", iterated(reconnecting), 1.05, is_quick=True),
        Entry(NOVA, "session: after a reconnection", iterated(reconnected), 1.05),
        Entry(NOVA, "session: every word read", read(plain()), 1.08, is_quick=True),
        Entry(NOVA, "session: every word read after a reconnection", read(reconnected), 1.08),
        Entry(NOVA, "session: utterances()", consumers.utterances, 1.08, is_quick=True),
        Entry(NOVA, "session: overflow='wait'", iterated(overflowing("wait")), 1.05),
        Entry(NOVA, "session: overflow='drop_oldest'", iterated(overflowing("drop_oldest")), 1.05),
        Entry(NOVA, "session: overflow='error'", iterated(overflowing("error")), 1.05),
        Entry(FLUX, sdk.baseline, consumers.BASELINE, None, is_quick=True),
        Entry(FLUX, "raw websockets and json.loads", consumers.raw),
        Entry(FLUX, "SDK callback that keeps nothing", consumers.callback),
        Entry(FLUX, "naive asyncio.Queue from the callback", consumers.naive_queue),
        Entry(FLUX, PLAIN, iterated(plain()), 1.05, is_quick=True),
        Entry(FLUX, "session: attached", iterated(attached), 1.05),
        Entry(FLUX, "session: reconnecting", iterated(reconnecting), 1.05),
        Entry(FLUX, "session: every word read", read(plain()), 1.08),
        Entry(FLUX, "session: utterances()", consumers.utterances, 1.08),
        Entry(SEND, "SDK's send_media()", consumers.sdk_send(), None, is_quick=True),
        Entry(SEND, "session: send()", consumers.session_send(plain()), 1.05, is_quick=True),
        Entry(
            SEND, "session: send(), audio kept to be sent again", consumers.session_send(consumers.keeping)
        ),
        Entry(SEND_TURNS, "SDK's send_media()", consumers.sdk_send(pausing=True)),
        Entry(SEND_TURNS, "session: send()", consumers.session_send(plain(), pausing=True)),
    ]
    distinct: dict[tuple[str, str], Entry] = {}
    for entry in every:
        if not IS_LEGACY or entry.group != FLUX:
            distinct.setdefault((entry.group, entry.name), entry)  # a baseline may be a row of its own
    return list(distinct.values())


class Costs:
    """The CPU seconds a message of each entry, round by round."""

    def __init__(self, server: Server, measured: list[Entry], sdk: Sdk, run_seconds: float) -> None:
        self._server, self._sdk, self._run_seconds = server, sdk, run_seconds
        self._server_seconds, self._server_messages = 0.0, 0
        self.seconds: dict[Entry, list[float]] = {entry: [] for entry in measured}
        self._first: dict[str, Entry] = {}  # of each group
        for entry in measured:
            self._first.setdefault(entry.group, entry)
        self._counts: dict[str, int] = {}  # messages a run, by group

    async def warm_up(self) -> None:
        """Find out how many messages make a run, and run every entry once."""
        for group, entry in self._first.items():
            await self._run(entry, _TRIAL_MESSAGES)
            fitting = int(self._run_seconds / await self._run(entry, _TRIAL_MESSAGES))
            self._counts[group] = min(fitting, _MOST_MESSAGES) // UTTERANCE * UTTERANCE
        for entry in self.seconds:
            await self._run(entry, self._counts[entry.group])

    async def add_round(self) -> None:
        """Run every entry once, each time in another order; what the others are compared with twice."""
        order = deque([*self.seconds, *self._first.values()])
        order.rotate(len(self.seconds[order[0]]) * 3)
        taken: dict[Entry, list[float]] = {entry: [] for entry in self.seconds}
        for entry in order:
            taken[entry].append(await self._run(entry, self._counts[entry.group]))
        for entry, seconds in taken.items():
            self.seconds[entry].append(statistics.mean(seconds))

    async def _run(self, entry: Entry, count: int) -> float:
        gc.collect()
        server_began = self._server.cpu_seconds
        taking = entry.way(self._sdk, f"{MODELS[entry.group]}.{count}", count)
        seconds = await asyncio.wait_for(taking, _HANGING_SECONDS)
        if entry.group == NOVA:
            self._server_seconds += self._server.cpu_seconds - server_began
            self._server_messages += count
        return seconds / count

    def rows(self) -> list[Row]:
        """Return what came out, and what the server took, which has to wait for every consumer."""
        server = Row(
            sdk=VERSION,
            group="the server, in its own process, of the floods of Results",
            name="CPU time, with all that a connection takes",
            value=self._server_seconds / self._server_messages * 1e6,
            unit="us",
            bound=_SERVER_BOUND_US,
        )
        floods = [
            Row.of_ratios(
                entry.group,
                entry.name,
                [seconds * 1e6 for seconds in costs],
                ratios(costs, self.seconds[self._first[entry.group]]),
                unit="us",
                bound=entry.bound,
                limit=_LIMITS[entry.group] if entry.bound is not None else None,
                sdk=VERSION,
            )
            for entry, costs in self.seconds.items()
        ]
        return [*floods, server]


def measure(
    server: Server, rounds: int, *, seconds: float | None = None, is_quick: bool = False
) -> list[Row]:
    """Run so many rounds, or as many as fit into so many seconds."""
    began = time.monotonic()

    async def run() -> list[Row]:
        sdk = installed(server.url)
        measured = [entry for entry in entries(sdk) if entry.is_quick or not is_quick]
        costs = Costs(server, measured, sdk, _QUICK_RUN_SECONDS if is_quick else _RUN_SECONDS)
        await costs.warm_up()
        took = 0.0
        for number in range(rounds):
            if seconds is not None and number >= _LEAST_ROUNDS and time.monotonic() - began + took > seconds:
                break
            round_began = time.monotonic()
            await costs.add_round()
            took = time.monotonic() - round_began
            print(f"  round {number + 1}: {took:.1f} s", file=sys.stderr)
        return costs.rows()

    return asyncio.run(run())
