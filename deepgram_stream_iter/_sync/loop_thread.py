"""One event loop in a thread of its own, for all sync sessions of the process; it ends with the last of them.

the calling thread -> `LoopLease.call` -> a task in the loop -> its result or exception -> the calling thread
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

from anyio.from_thread import BlockingPortalProvider

from deepgram_stream_iter._loop.worker import WorkerThread

P = ParamSpec("P")
T = TypeVar("T")

_GRACE_SECONDS = 0.2
"""For calls that are under way at the end to get their answer."""
_INTERRUPTIBLE_SECONDS = 0.5
"""How often the main thread looks up: Python does not notice a Ctrl-C that comes just before a wait begins, and on Windows
none that comes during it."""


class LoopReleased(Exception):
    """The lease has ended before a call, or while it was under way."""


class LoopLease:
    """The right to use the loop, which runs for as long as there is one; `acquire()` makes it."""

    def __init__(self, provider: BlockingPortalProvider, on_loop_end: Callable[[], None]) -> None:
        self._provider, self._on_loop_end = provider, on_loop_end
        self._loop, self._thread_id = asyncio.get_running_loop(), threading.get_ident()
        self._calls: set[Future[Any]] = set()  # for which a thread waits
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_ended = False
        self._guard = self._loop.create_task(asyncio.Event().wait(), name="deepgram_stream_iter-guard")
        self._guard.add_done_callback(self._guard_ended)

    @classmethod
    def acquire(cls, on_loop_end: Callable[[], None]) -> LoopLease:
        """Return a lease; the first one starts the thread. `on_loop_end` is called should the loop end before the lease.

        That happens in another thread, because interrupting anyio there would leave it waiting for ever.
        """
        acquired = in_thread(_acquire, on_loop_end)
        try:
            return _result(acquired)
        except BaseException:
            acquired.add_done_callback(_release_late)
            raise

    @property
    def is_own_thread(self) -> bool:
        """Whether the calling thread is the loop's, which cannot wait for the loop."""
        return threading.get_ident() == self._thread_id

    def call(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a coroutine function in the loop and return what it returns; raises what it raises.

        Whatever interrupts the waiting thread, such as a Ctrl-C, cancels it.

        :raises LoopReleased: when the lease has ended, or ends meanwhile.
        :raises RuntimeError: in the thread of the loop, which would wait for itself.
        """
        if self.is_own_thread:
            raise RuntimeError(
                "this thread runs the event loop of all sync sessions, so waiting here would be for ever: handlers of an"
                " async client are called in it. Use a sync client, whose handlers have threads of their own, or hand the"
                " call to another thread"
            )
        called: Future[T] = Future()
        self._calls.add(called)  # before the lease is looked at: its end cancels all that are here
        try:
            self.call_soon(self._begin, called, partial(function, *args, **kwargs))
            return _result(called)
        except concurrent.futures.CancelledError:
            if called.cancelled():
                raise LoopReleased from None
            raise
        except BaseException:
            called.cancel()
            raise
        finally:
            self._calls.discard(called)
            del called  # it has the exception, which has this frame

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
            _, late = await asyncio.wait(self._tasks, timeout=_GRACE_SECONDS)
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

    def _release(self) -> None:
        self._cancel_calls()
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._guard.cancel)
        self._provider.__exit__(None, None, None)

    def _guard_ended(self, _: asyncio.Task[bool]) -> None:
        """Notice that the loop ends: a function of the application has raised SystemExit in it, which ends its thread."""
        if self._is_ended:
            return
        self._is_ended = True
        _renew(instead_of=self._provider)
        self._cancel_calls()
        self._on_loop_end()

    def _cancel_calls(self) -> None:
        """Release the threads that wait for a call, for the loop may end before it has even begun."""
        for called in tuple(self._calls):
            called.cancel()

    def _begin(self, called: Future[T], function: Callable[[], Coroutine[Any, Any, T]]) -> None:
        if self._is_ended:
            called.cancel()
        if called.cancelled():
            return
        task = self._loop.create_task(function(), name="deepgram_stream_iter-call")
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, called))
        called.add_done_callback(partial(self._cancel, task))

    def _ended(self, called: Future[T], task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            called.cancel()
            return
        error = task.exception()
        if not called.set_running_or_notify_cancel():
            return
        if error is not None:
            called.set_exception(error)
        else:
            called.set_result(task.result())

    def _cancel(self, task: asyncio.Task[Any], called: Future[Any]) -> None:
        if called.cancelled() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(task.cancel)


def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Call a function in a thread of its own, for which Python does not wait when it exits."""
    worker = WorkerThread("deepgram_stream_iter-sync")
    worker.start()
    called = worker.submit(partial(function, *args, **kwargs))
    worker.end()
    return called


def _result(called: Future[T]) -> T:
    if threading.current_thread() is threading.main_thread():
        while not called.done():
            with contextlib.suppress(concurrent.futures.TimeoutError):
                called.exception(_INTERRUPTIBLE_SECONDS)
    return called.result()


_provider = BlockingPortalProvider()


def _acquire(on_loop_end: Callable[[], None]) -> LoopLease:
    provider = _provider
    return provider.__enter__().call(LoopLease, provider, on_loop_end)


def _renew(*, instead_of: BlockingPortalProvider) -> None:
    """Have the next lease start another thread, because this one's has ended."""
    global _provider  # noqa: PLW0603  (there is one for the process)
    if _provider is instead_of:
        _provider = BlockingPortalProvider()


def _release_late(acquired: Future[LoopLease]) -> None:
    if acquired.exception() is None:
        acquired.result().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        after_in_child=lambda: _renew(instead_of=_provider)
    )  # the thread stays behind in the parent
