"""A flag that can be waited for."""

from __future__ import annotations

import asyncio
import sys

import anyio
import pytest

from deepgram_stream_iter._loop.clock import now
from deepgram_stream_iter._loop.signal import Signal


async def test_all_who_wait_are_woken() -> None:
    """Also by a callback; and who waits once it is set does not wait at all."""
    signal = Signal()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(signal.wait)
        await anyio.wait_all_tasks_blocked()
        asyncio.get_running_loop().call_soon(signal.set)
    assert signal.is_set
    await signal.wait()


async def test_until() -> None:
    """Whoever waits until a time goes on then, though it is not set."""
    signal, until = Signal(), now() + 0.01
    await signal.wait(until=until)
    assert now() >= until - 0.001  # loops wake up by as much too early
    assert not signal.is_set


@pytest.mark.parametrize("how", ["native", "anyio"])
async def test_cancelling_one_leaves_the_others(how: str) -> None:
    """Who is cancelled, in the very moment in which it is set too, costs nobody else the wake-up."""
    signal, scope = Signal(), anyio.CancelScope()

    async def wait() -> None:
        with scope:
            await signal.wait()

    cancelled, waiting = asyncio.create_task(wait()), asyncio.create_task(signal.wait())
    await anyio.wait_all_tasks_blocked()
    cancelled.cancel() if how == "native" else scope.cancel()
    signal.set()
    with anyio.fail_after(1):
        await waiting
        await asyncio.wait({cancelled})


async def test_it_weighs_nothing() -> None:
    """Before and after somebody waits it is the flag alone, and not the 900 bytes of an `anyio.Event`."""
    signal = Signal()
    await signal.wait(until=now())
    assert not hasattr(signal, "__dict__")
    assert sys.getsizeof(signal) <= 64
    assert not signal
