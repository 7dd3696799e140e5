"""The tasks of a session, beside the one of its life."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


class Scope:
    """Cancels a task. The scope of anyio is made in the task, because with the lowest anyio a callback can make none."""

    def __init__(self) -> None:
        self._scope: anyio.CancelScope | None = None
        self._is_cancelled = False

    def cancel(self) -> None:
        """Cancel the task, also before its first step."""
        self._is_cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    def entered(self) -> anyio.CancelScope:
        """Return what the task runs in."""
        self._scope = anyio.CancelScope()
        if self._is_cancelled:
            self._scope.cancel()
        return self._scope


class Tasks:
    """Tasks that are cancelled together. Nobody has to wait for them, because the application's may not be cancellable.

    They are plain ones of asyncio, because one in a task group of anyio takes twice the memory (3.6 KiB). Each has a
    scope of its own, so that it is cancelled until it ends, whatever the application does with a CancelledError.
    """

    def __init__(self) -> None:
        self._scopes: dict[asyncio.Task[None], Scope] = {}

    @property
    def running(self) -> set[asyncio.Task[None]]:
        """Those that have not ended."""
        return set(self._scopes)

    def start(self, function: Callable[[], Awaitable[None]]) -> Scope:
        """Run a function, which must not raise, in a task of its own; return the scope that cancels it."""
        scope = Scope()
        task = asyncio.create_task(_run(function, scope), name="deepgram_stream_iter-task")
        self._scopes[task] = scope
        task.add_done_callback(self._scopes.pop)
        return scope

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Call a function of the application in a task of its own, and return or raise what it does.

        Cancelling cancels that task but does not wait for it, because a wait in a thread cannot be cancelled. None of
        the function's exceptions is taken for a cancellation of the session or for an end.

        :raises RuntimeError: when somebody else cancelled the function, or it raised StopAsyncIteration.
        """
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                returned = await function()
            except asyncio.CancelledError as error:  # when it is by us, nobody waits any more
                fail(_failure("was cancelled by somebody else", error))
            except StopAsyncIteration as error:  # Python does the same about one that leaves a generator
                fail(_failure("raised StopAsyncIteration", error))
            except Exception as error:  # noqa: BLE001  (it is raised where the result is awaited)
                fail(error)
            else:
                if not result.done():
                    result.set_result(returned)

        def fail(error: Exception) -> None:
            if not result.done():
                result.set_exception(error)

        scope = self.start(run)
        try:
            return await result
        finally:
            scope.cancel()

    def cancel(self) -> None:
        """Cancel all that run."""
        for scope in self._scopes.values():
            scope.cancel()

    async def wait(self) -> None:
        """Wait until all have ended; cancelling cancels them, and waits for none."""
        try:
            while self._scopes:
                await asyncio.wait(self._scopes)
        except asyncio.CancelledError:
            self.cancel()
            raise


async def call_either(function: Callable[..., object], *arguments: object) -> None:
    """Call a function that may be plain or async."""
    answer = function(*arguments)
    if inspect.isawaitable(answer):
        await answer


async def _run(function: Callable[[], Awaitable[None]], scope: Scope) -> None:
    with scope.entered():
        await function()


def _failure(how: str, cause: BaseException) -> RuntimeError:
    failure = RuntimeError(f"a function that was given to stream() {how}")
    failure.__cause__ = cause
    return failure
