"""A time limit for a coroutine that mostly has nothing to wait for."""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from deepgram_stream_iter._loop.bounded import ends_within

AT_ONCE = 0.0
"""Late as soon as the coroutine waits."""
LATER = 60.0
"""Never late in a test."""


class Waiting:
    """A coroutine that waits for a future, and remembers how that went."""

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.log: list[str] = []

    async def run(self) -> None:
        """Wait for the future."""
        self.log.append("waits")
        try:
            await self.future
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        self.log.append("done")


async def nothing() -> None:
    """Have nothing to wait for."""


async def test_what_has_nothing_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends in time, and no timer is made."""
    timers: list[float] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_at", lambda when, *_, **__: timers.append(when))
    assert await ends_within(AT_ONCE, nothing())
    assert timers == []


async def test_what_waits_and_ends_in_time() -> None:
    """It is waited for, turn by turn and future by future."""
    first, second = Waiting(), Waiting()
    loop = asyncio.get_running_loop()

    async def run() -> None:
        await asyncio.sleep(0)
        await first.run()
        await second.run()

    loop.call_soon(first.future.set_result, None)
    loop.call_later(0.01, second.future.set_result, None)
    assert await ends_within(LATER, run())
    assert first.log == second.log == ["waits", "done"]


@pytest.mark.parametrize("waits", [False, True])
async def test_what_it_raises(*, waits: bool) -> None:
    """It comes out as itself, before there was anything to wait for and after; a time-out of its own too."""
    error = TimeoutError("its own")

    async def fail() -> None:
        if waits:
            await asyncio.sleep(0)
        raise error

    with pytest.raises(TimeoutError) as caught:
        await ends_within(LATER, fail())
    assert caught.value is error


async def test_what_comes_too_late() -> None:
    """It is cancelled where it waits."""
    waiting = Waiting()
    assert not await ends_within(AT_ONCE, waiting.run())
    assert waiting.log == ["waits", "cancelled"]
    assert waiting.future.cancelled()


async def test_what_is_late_and_goes_on() -> None:
    """Whatever else it waits for is cancelled too."""
    first, second = Waiting(), Waiting()

    async def stubborn() -> None:
        try:
            await first.run()
        except asyncio.CancelledError:
            await second.run()

    assert not await ends_within(AT_ONCE, stubborn())
    assert first.log == second.log == ["waits", "cancelled"]


async def test_what_only_takes_turns() -> None:
    """It is cancelled, though there is no future that it waits for."""

    async def spin() -> None:
        while True:  # noqa: ASYNC110  (there is nothing to wait for)
            await asyncio.sleep(0)

    assert not await ends_within(0.01, spin())


async def test_what_ends_when_it_is_late() -> None:
    """What is done is done: in the very moment in which the time is up, that counts as in time."""
    waiting = Waiting()
    asyncio.get_running_loop().call_soon(waiting.future.set_result, None)
    assert await ends_within(AT_ONCE, waiting.run())
    assert waiting.log == ["waits", "done"]


async def test_a_cancelled_scope_around_it() -> None:
    """The coroutine is cancelled, and so is what comes after it."""
    waiting = Waiting()
    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().call_soon(scope.cancel)
        await ends_within(LATER, waiting.run())
        raise AssertionError("not cancelled")
    assert scope.cancelled_caught
    assert waiting.log == ["waits", "cancelled"]


async def test_a_deadline_around_it() -> None:
    """The shorter of two limits counts, and each is known by its own result."""
    with anyio.move_on_after(AT_ONCE) as scope:
        await ends_within(LATER, Waiting().run())
    assert scope.cancelled_caught
    with anyio.move_on_after(LATER) as scope:
        assert not await ends_within(AT_ONCE, Waiting().run())
    assert not scope.cancelled_caught


async def test_a_cancelled_task() -> None:
    """A native cancellation reaches the coroutine, and goes on."""
    waiting = Waiting()
    task = asyncio.ensure_future(ends_within(LATER, waiting.run()))
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert waiting.log == ["waits", "cancelled"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 does not count what cancels a task")
@pytest.mark.parametrize("order", ["before", "after"])
async def test_a_task_that_is_cancelled_when_it_is_late(order: str) -> None:
    """The cancellation is not taken for the end of the time, whichever comes first in that moment."""
    waiting = Waiting()

    async def run() -> None:
        if order == "before":
            asyncio.get_running_loop().call_later(AT_ONCE, task.cancel)
        else:
            waiting.future.add_done_callback(lambda _: task.cancel())
        await waiting.run()

    task = asyncio.ensure_future(ends_within(AT_ONCE, run()))
    await asyncio.wait([task])
    assert task.cancelled()
    assert waiting.log == ["waits", "cancelled"]


@pytest.mark.parametrize("seconds", [AT_ONCE, LATER])
async def test_scopes_of_its_own(seconds: float) -> None:
    """A scope that the coroutine has entered is left in order, late or not, and holds nothing up afterwards."""
    waiting = Waiting()

    async def scoped() -> None:
        with anyio.fail_after(LATER):
            await waiting.run()

    if seconds:
        asyncio.get_running_loop().call_soon(waiting.future.set_result, None)
    with anyio.CancelScope() as scope:
        assert await ends_within(seconds, scoped()) is (seconds == LATER)
        await checkpoint()
    assert not scope.cancelled_caught


async def test_its_own_deadline() -> None:
    """A limit that the coroutine sets itself works inside."""
    waiting = Waiting()

    async def scoped() -> None:
        with anyio.move_on_after(AT_ONCE):
            await waiting.run()

    assert await ends_within(LATER, scoped())
    assert waiting.log == ["waits", "cancelled"]


async def test_what_is_closed_while_it_waits() -> None:
    """Closing closes the coroutine, whose clean-up runs."""
    cleaned: list[str] = []

    async def clean() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cleaned.append("up")

    async def bounded() -> None:
        await ends_within(LATER, clean())

    running = bounded()
    running.send(None)
    running.close()
    assert cleaned == ["up"]


async def test_a_future_of_another_thread() -> None:
    """So a sync client sends; the thread is not stopped, and its result is nobody's."""
    in_thread: concurrent.futures.Future[None] = concurrent.futures.Future()
    in_thread.set_running_or_notify_cancel()

    async def wrapped() -> None:
        await asyncio.wrap_future(in_thread)

    assert not await ends_within(AT_ONCE, wrapped())
    in_thread.set_result(None)
    assert await ends_within(LATER, wrapped())


@pytest.mark.parametrize(
    "test",
    [
        test_what_waits_and_ends_in_time,
        test_what_comes_too_late,
        test_what_is_late_and_goes_on,
        test_a_cancelled_scope_around_it,
        test_a_cancelled_task,
        test_a_future_of_another_thread,
    ],
)
async def test_under_uvloop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """The same holds in another event loop."""
    uvloop = pytest.importorskip("uvloop")
    await anyio.to_thread.run_sync(lambda: uvloop.run(test()))
