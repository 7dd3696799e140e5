"""A sync session that is entered, from any thread: how it is opened, called and left.

It is what the loop and the threads hold. The `StreamSession` of the application they do not, so that one that is dropped
can be seen to be.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from deepgram_stream_iter._sync.engine import Engine
from deepgram_stream_iter._sync.loop_thread import LoopLease, LoopReleased

P = ParamSpec("P")
T = TypeVar("T")

_AT_ONCE_SECONDS = 2.0
"""The longest that leaving waits for a session that is closed at once; that goes on all the same."""
_RELEASE_SECONDS = 1.0
"""The longest that leaving waits for the thread of the loop to end: the application's own tasks may hold it up."""


class Running:
    """A session and its lease of the loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._opening: asyncio.Task[Any] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed = threading.Event()
        self._releasing: threading.Thread | None = None
        self.is_left = False
        self._lease = LoopLease.acquire(self._note_closed)

    def open(self) -> None:
        """Open the session; whatever interrupts that closes it."""
        try:
            self._lease.call(self._open)
        except BaseException:
            self._leave_at_once()
            raise
        _open.add(self)

    def call(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call in the loop, see `LoopLease.call`."""
        return self._lease.call(function, *args, **kwargs)

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Call in the loop, see `LoopLease.call_soon`."""
        self._lease.call_soon(function, *arguments)

    def ended(self) -> Exception:
        """Return why nothing can be asked any more."""
        return self._engine.ended()

    def leave(self, *, is_orderly: bool) -> None:
        """Close the session, in order or at once, and release the loop; does nothing when that was done before."""
        try:
            if is_orderly:
                self._lease.call(self._engine.aclose)
        except LoopReleased:
            pass  # another thread has left it meanwhile
        finally:
            self._leave_at_once()

    def drop(self) -> None:
        """Close the session at once, and wait for nothing. Takes no lock, see `LoopLease.call_soon`."""
        self.is_left = True
        with contextlib.suppress(LoopReleased):
            self._lease.call_soon(self._begin_closing)

    def wait_closed(self, timeout_seconds: float) -> None:
        """Wait until nothing is open any more, but not for ever."""
        self._closed.wait(timeout_seconds)

    def disown(self) -> None:
        """Leave the session to the process that it belongs to."""
        self.is_left = True
        self._lease.abandon()

    def _leave_at_once(self) -> None:
        self.drop()
        if self._lease.is_own_thread:
            return
        self._closed.wait(_AT_ONCE_SECONDS)
        if self._releasing is not None:
            self._releasing.join(_RELEASE_SECONDS)

    # In the loop

    async def _open(self) -> None:
        self._opening = asyncio.current_task()
        await self._engine.open()

    def _begin_closing(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="deepgram_stream_iter-close")
            self._closing.add_done_callback(self._release)

    async def _close(self) -> None:
        if self._opening is not None:  # one that was interrupted closes what it has opened
            await asyncio.wait({self._opening})
        await self._engine.close_at_once()
        await self._lease.settle()

    def _release(self, closing: asyncio.Task[None]) -> None:
        with contextlib.suppress(RuntimeError):  # no thread can be started any more: Python is exiting
            self._releasing = self._lease.release()
        self._note_closed()
        if not closing.cancelled():
            closing.result()  # a bug of ours, for the loop to report

    def _note_closed(self) -> None:
        _open.discard(self)
        self._closed.set()


_open: set[Running] = set()


@atexit.register
def _close_all() -> None:
    """Close what is open when Python exits: the main thread has ended, and daemon threads are about to be stopped."""
    deadline = time.monotonic() + _AT_ONCE_SECONDS
    left = tuple(_open)
    for running in left:
        running.drop()
    for running in left:
        running.wait_closed(max(0.0, deadline - time.monotonic()))


def _forget_all() -> None:
    for running in tuple(_open):
        running.disown()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
