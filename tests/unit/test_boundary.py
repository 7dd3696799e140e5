"""Calls into a sync client and callbacks out of it, without the SDK."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from deepgram_stream_iter._adapters.boundary import AcrossThreads


@pytest.fixture
async def boundary() -> AsyncIterator[AcrossThreads]:
    """Return a boundary that is bound to the loop of the test."""
    boundary = AcrossThreads()
    boundary.bind()
    yield boundary
    boundary.close()


async def test_a_call_that_was_handed_over_is_made(boundary: AcrossThreads) -> None:
    """Cancelling a call that waits for its turn does not take it back, and the next call comes after it."""
    is_free, made = threading.Event(), list[str]()
    tasks = [
        asyncio.create_task(boundary.call(call))
        for call in (is_free.wait, lambda: made.append("cancelled"), lambda: made.append("awaited"))
    ]
    await checkpoint()
    tasks[1].cancel()
    is_free.set()
    await tasks[2]
    assert made == ["cancelled", "awaited"]


async def test_an_exit_in_a_thread(boundary: AcrossThreads) -> None:
    """What is no Exception comes out of the call as well, instead of ending the thread under those that wait."""
    with pytest.raises(SystemExit):
        await boundary.call(sys.exit)
    assert await boundary.call(lambda: "goes on") == "goes on"


async def test_calls_are_made_before_the_thread_ends() -> None:
    """Closing ends the worker, after the calls that it was given."""
    boundary, is_free = AcrossThreads(), threading.Event()
    boundary.bind()
    calls = [asyncio.ensure_future(boundary.call(call)) for call in (is_free.wait, threading.current_thread)]
    await checkpoint()
    boundary.close()
    is_free.set()
    worker = await calls[1]
    await anyio.to_thread.run_sync(worker.join, 2)
    assert not worker.is_alive()


async def test_a_callback_that_fails_does_not_stop_the_next(boundary: AcrossThreads) -> None:
    """Should handling a message raise, against its contract, the messages after it are handled all the same."""
    handled = anyio.Event()
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def fail() -> None:
        raise ZeroDivisionError

    for handle in (fail, handled.set):
        await boundary.call(boundary.deliver, handle)
    with anyio.fail_after(2):
        await handled.wait()
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


async def runs_to_its_end(target: Callable[[], object]) -> bool:
    """Run in a thread that does not hold up the tests, and return whether it ends."""
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    await anyio.to_thread.run_sync(thread.join, 2)
    return not thread.is_alive()


async def test_callbacks_after_the_loop_has_been_closed() -> None:
    """When the loop is closed under a session, the SDK's threads are not held up."""
    boundary = AcrossThreads()

    async def bind() -> None:
        boundary.bind()

    def deliver_twice() -> None:
        boundary.deliver(lambda: None)
        boundary.deliver(lambda: None)

    await anyio.to_thread.run_sync(asyncio.run, bind())
    assert await runs_to_its_end(deliver_twice)
    boundary.close()


async def test_closing_releases_the_threads(boundary: AcrossThreads) -> None:
    """A thread that waits for the callback before its own goes on once the boundary is closed."""

    def deliver_behind_one_that_never_ends() -> None:
        boundary.deliver(anyio.sleep_forever)
        loop.call_soon_threadsafe(boundary.close)
        boundary.deliver(lambda: None)

    loop = asyncio.get_running_loop()
    assert await runs_to_its_end(deliver_behind_one_that_never_ends)
    assert boundary._waiting is not None
    boundary._waiting.cancel()
