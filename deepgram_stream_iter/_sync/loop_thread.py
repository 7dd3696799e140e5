"""One event loop in a thread of its own, for all sync sessions of the process; it ends with the last of them.

the calling thread -> `LoopLease.call` -> a task in the loop -> its result or exception -> the calling thread
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from anyio.from_thread import BlockingPortalProvider

from deepgram_stream_iter._loop.worker import WorkerThread
from deepgram_stream_iter._sync.handlers import INSTEAD
from deepgram_stream_iter._sync.waiting import wait_for

P = ParamSpec("P")
T = TypeVar("T")

_GRACE_SECONDS = 0.2
"""For calls that are under way at the end to get their answer."""


class LoopReleased(Exception):
    """The lease has ended before a call, or while it was under way."""


class LoopLease:
    """The right to use the loop, which runs for as long as there is one; `acquire()` makes it."""

    def __init__(self, provider: BlockingPortalProvider, on_loop_end: Callable[[], None]) -> None:
        self._provider, self._on_loop_end = provider, on_loop_end
        self._loop = asyncio.get_running_loop()
        _here.runs_a_loop = True
        # Into each goes the task of a call when it has ended, for the thread that waits; or None, when the lease has.
        self._calls: set[SimpleQueue[Any]] = set()
        self._tasks: dict[SimpleQueue[Any], asyncio.Task[Any]] = {}
        self._is_ended = False
        self._guard = self._loop.create_task(asyncio.Event().wait(), name="deepgram_stream_iter-guard")
        self._guard.add_done_callback(self._guard_ended)

    @classmethod
    def acquire(cls, on_loop_end: Callable[[], None]) -> LoopLease:
        """Return a lease; the first one starts the thread. `on_loop_end` is called should the loop end before the lease.

        To be called in a thread of its own, because interrupting anyio here would leave it waiting for ever.
        """
        provider = _provider
        return provider.__enter__().call(cls, provider, on_loop_end)

    def call(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a coroutine function in the loop and return what it returns; raises what it raises.

        Whatever interrupts the waiting thread, such as a Ctrl-C, cancels it.

        :raises LoopReleased: when the lease has ended, or ends meanwhile.
        :raises RuntimeError: in the thread of the loop, which would wait for itself.
        """
        check_thread()
        ended = SimpleQueue[asyncio.Task[T] | None]()
        try:
            self._calls.add(ended)  # before the lease is looked at: its end releases all that are here
            self.call_soon(self._begin, ended, partial(function, *args, **kwargs))
            task = wait_for(ended)
        except BaseException:
            with contextlib.suppress(LoopReleased):
                self.call_soon(self._cancel, ended)
            raise
        finally:
            self._calls.discard(ended)
        if task is None or task.cancelled():
            raise LoopReleased
        try:
            return task.result()
        finally:
            del task  # it has the exception, which has this frame

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Have the loop call a function. Takes no lock, so that a garbage collection may do it anywhere.

        :raises LoopReleased: when the lease has ended.
        """
        if self._is_ended:
            raise LoopReleased
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is closed, see `_guard_ended`
            raise LoopReleased from None

    async def settle(self) -> None:
        """Take no more calls; let those that are under way get their answer, where there is one by now."""
        self._is_ended = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=_GRACE_SECONDS)
            for task in late:
                task.cancel()

    def release(self) -> threading.Thread:
        """End the lease, once; in a thread, because anyio waits for the end of the loop, and that for the application's tasks."""
        self._is_ended = True
        releasing = threading.Thread(target=self._release, name="deepgram_stream_iter-release", daemon=True)
        releasing.start()
        return releasing

    def abandon(self) -> None:
        """End the lease in a process that was forked off, in which nobody runs the loop."""
        self._is_ended = True
        _abandoned.append(self)

    def _release(self) -> None:
        self._release_calls()
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._guard.cancel)
        self._provider.__exit__(None, None, None)

    def _guard_ended(self, _: asyncio.Task[bool]) -> None:
        """Notice that the loop ends: a function of the application has raised SystemExit in it, which ends its thread."""
        if self._is_ended:
            return
        self._is_ended = True
        _renew(instead_of=self._provider)
        self._release_calls()
        self._on_loop_end()

    def _release_calls(self) -> None:
        """Release the threads that wait for a call, for the loop may end before it has even begun."""
        for ended in tuple(self._calls):
            ended.put(None)

    def _begin(
        self, ended: SimpleQueue[asyncio.Task[T] | None], function: Callable[[], Coroutine[Any, Any, T]]
    ) -> None:
        if self._is_ended:
            ended.put(None)
            return
        task = self._tasks[ended] = self._loop.create_task(function(), name="deepgram_stream_iter-call")
        task.add_done_callback(partial(self._ended, ended))

    def _ended(self, ended: SimpleQueue[asyncio.Task[T] | None], task: asyncio.Task[T]) -> None:
        del self._tasks[ended]
        if not task.cancelled():
            task.exception()  # it is raised where somebody still waits for it
        ended.put(task)

    def _cancel(self, ended: SimpleQueue[Any]) -> None:
        if ended in self._tasks:
            self._tasks[ended].cancel()


def runs_a_loop() -> bool:
    """Return whether the calling thread is that of a loop."""
    return getattr(_here, "runs_a_loop", False)


def check_thread() -> None:
    """Refuse to wait for the loop in its own thread.

    :raises RuntimeError: with what to do instead.
    """
    if runs_a_loop():
        raise RuntimeError(
            "this thread runs the event loop of all sync sessions, so waiting here would be for ever: handlers of an async"
            f" client are called in it. {INSTEAD}"
        )


def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Call a function in a thread of its own, for which Python does not wait when it exits."""
    worker = WorkerThread("deepgram_stream_iter-sync")
    called = worker.submit(partial(function, *args, **kwargs))
    worker.end()
    worker.start()  # last, so that a Ctrl-C here leaves no thread that waits for a call
    return called


_abandoned: list[LoopLease] = []
"""Kept, because a loop of anyio that is garbage waits for its thread, which is not in this process."""
_here = threading.local()
_provider = BlockingPortalProvider()


def _renew(*, instead_of: BlockingPortalProvider) -> None:
    """Have the next lease start another thread, because this one's has ended."""
    global _provider  # noqa: PLW0603  (there is one for the process)
    if _provider is instead_of:
        _provider = BlockingPortalProvider()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        after_in_child=lambda: _renew(instead_of=_provider)
    )  # the thread stays behind in the parent
