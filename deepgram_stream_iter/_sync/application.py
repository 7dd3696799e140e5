"""Functions of the application that may block: they run in threads, and the loop awaits them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from deepgram_stream_iter._sync.loop_thread import in_thread

T = TypeVar("T")


def off_the_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls a plain one in a thread, because it may block; an async one is returned as it is."""
    if inspect.iscoroutinefunction(function):
        return function

    @functools.wraps(function)
    async def call(*arguments: object) -> object:
        called = in_thread(_in_context(function), *arguments)
        with contextlib.suppress(Exception):
            await asyncio.wrap_future(called)
        # Not what is awaited: asyncio would raise a copy of a TimeoutError, without the application's traceback.
        answer = called.result()
        return await answer if inspect.isawaitable(answer) else answer

    return call


def _in_context(function: Callable[..., T]) -> Callable[..., T]:
    """Return a function to be called in a thread, with the context variables of here, that raises what a task may raise."""
    context = contextvars.copy_context()

    def call(*arguments: object) -> T:
        try:
            return context.run(function, *arguments)
        except asyncio.CancelledError:  # of a task that it waited for; the session tells it from its own
            raise
        except Exception as error:
            if not isinstance(error, StopIteration):
                raise
            failure: BaseException = error
        except BaseException as error:  # noqa: BLE001  (SystemExit would end the loop of all sessions)
            failure = error
        raise RuntimeError(f"a function of the application raised {type(failure).__name__}") from failure

    return call
