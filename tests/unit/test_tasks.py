"""Tasks beside the life of a session, which may be those of the application."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from deepgram_stream_iter._loop.tasks import Tasks


async def test_a_result_and_an_exception_come_out_as_themselves() -> None:
    """What a function returns or raises is what its call does."""
    error = LookupError("mine")

    async def returning() -> int:
        return 7

    async def raising() -> None:
        raise error

    tasks = Tasks()
    assert await tasks.call(returning) == 7
    with pytest.raises(LookupError) as caught:
        await tasks.call(raising)
    assert caught.value is error


@pytest.mark.parametrize("error", [asyncio.CancelledError, StopAsyncIteration])
async def test_what_would_pass_for_something_else(error: type[BaseException]) -> None:
    """Neither is taken for a cancellation of the caller, nor for the end of an iteration."""

    async def raising() -> None:
        raise error

    with pytest.raises(RuntimeError, match="a function that was given to stream") as caught:
        await Tasks().call(raising)
    assert isinstance(caught.value.__cause__, error)


@pytest.mark.parametrize("how", ["native", "anyio"])
async def test_cancelling_a_call_waits_for_nothing(how: str) -> None:
    """The function is cancelled too, again and again, but the caller does not wait until it has ended."""
    release = asyncio.Event()
    cancellations = 0

    async def stubborn() -> None:
        nonlocal cancellations
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancellations += 1
                if cancellations == 3:
                    return

    tasks, scope = Tasks(), anyio.CancelScope()

    async def call() -> None:
        with scope:
            await tasks.call(stubborn)

    calling = asyncio.create_task(call())
    await anyio.wait_all_tasks_blocked()
    (running,) = tasks.running
    calling.cancel() if how == "native" else scope.cancel()
    await asyncio.wait({calling})
    assert not running.done()
    with anyio.fail_after(1):
        await tasks.wait()
    assert cancellations == 3


async def test_cancelling_the_wait_cancels_what_is_waited_for() -> None:
    """So whoever has no patience leaves nothing behind."""
    tasks = Tasks()
    tasks.start(anyio.sleep_forever)
    with anyio.move_on_after(0.01):
        await tasks.wait()
    with anyio.fail_after(1):
        await tasks.wait()
    assert not tasks.running


async def test_a_callback_of_the_loop_starts_one() -> None:
    """A callback is no task, and in one the lowest anyio makes no scope; the task can be cancelled before its first step."""
    tasks, ran, was_cancelled = Tasks(), asyncio.Event(), asyncio.Event()

    async def function() -> None:
        ran.set()
        try:
            await anyio.sleep_forever()
        finally:
            was_cancelled.set()

    asyncio.get_running_loop().call_soon(lambda: tasks.start(function).cancel())
    await ran.wait()
    await tasks.wait()
    assert was_cancelled.is_set()
