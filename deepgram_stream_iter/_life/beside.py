"""Runs functions of the application beside the life of the session, so that none of them can hold it up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import anyio
import anyio.abc

T = TypeVar("T")


async def run_beside(call: Awaitable[T], beside: anyio.abc.TaskGroup) -> T:
    """Await a function of the application in a task of its own, and return or raise what it does.

    Cancelling cancels that task but does not wait for it, because a wait in a thread cannot be cancelled. None of its
    exceptions is taken for a cancellation of the session or for an end.

    :raises RuntimeError: when somebody else cancelled the function, or it raised StopAsyncIteration.
    """
    scope, done = anyio.CancelScope(), anyio.Event()
    results: list[T] = []
    failure: Exception | None = None

    async def run() -> None:
        nonlocal failure
        with scope:
            try:
                results.append(await call)
            except asyncio.CancelledError as error:  # when it is by us, nobody waits any more
                failure = RuntimeError("a function that was given to stream() was cancelled by somebody else")
                failure.__cause__ = error
            except StopAsyncIteration as error:  # Python does the same about one that leaves a generator
                failure = RuntimeError("a function that was given to stream() raised StopAsyncIteration")
                failure.__cause__ = error
            except Exception as error:  # noqa: BLE001  (it is raised below)
                failure = error
        done.set()

    beside.start_soon(run)
    try:
        await done.wait()
    finally:
        scope.cancel()
    if failure is not None:
        raise failure
    return results[0]
