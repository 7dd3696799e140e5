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
import warnings
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from deepgram_stream_iter._sync.engine import NOT_ENTERED, Engine
from deepgram_stream_iter._sync.handlers import INSTEAD
from deepgram_stream_iter._sync.loop_thread import (
    LoopLease,
    LoopReleased,
    check_thread,
    in_thread,
    runs_a_loop,
)
from deepgram_stream_iter._sync.waiting import Mark, wait_for

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
        self._closed = Mark()
        self._releasing: threading.Thread | None = None
        self.is_left = False
        self._lease: LoopLease | None = None

    @property
    def lease(self) -> LoopLease:
        """The lease of the loop, by which the session is called.

        :raises RuntimeError: before there is one.
        """
        if self._lease is None:
            raise RuntimeError(NOT_ENTERED)
        return self._lease

    def open(self) -> None:
        """Open the session; whatever interrupts that closes it."""
        try:
            self._wait_for_lease()
            self.lease.call(self._open)
        except BaseException as error:
            self._leave_at_once()
            if isinstance(error, LoopReleased):  # by another thread, or by a function that has ended the loop
                raise self.ended() from None
            raise

    def ask(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call in the loop what only a session that was not left can answer, see `LoopLease.call`."""
        try:
            return self.lease.call(function, *args, **kwargs)
        except LoopReleased:
            raise self.ended() from None

    def check_not_left(self) -> None:
        """Refuse what no loop would be asked about: a process that was forked off has the session, and not its loop.

        :raises Exception: what `ended()` returns.
        """
        if self.is_left:
            raise self.ended()

    def check_waiting(self) -> None:
        """Refuse to wait for the server where that is for ever.

        :raises RuntimeError: in a handler of the SDK, which waits for its handlers.
        """
        check_thread()
        if self._engine.is_called_by_the_sdk():
            raise RuntimeError(
                "this is called by a handler, for which the SDK waits before it reads on, so waiting for the server here would"
                f" be for ever. {INSTEAD}"
            )

    def ended(self) -> Exception:
        """Return why nothing can be asked any more."""
        return self._engine.ended()

    def leave(self, *, is_orderly: bool) -> None:
        """Close the session, in order or at once, and release the loop; does nothing when that was done before.

        :raises RuntimeError: in a handler of the SDK, before anything is done.
        """
        if is_orderly:
            self.check_waiting()
        try:
            if is_orderly and self._lease is not None:
                self._lease.call(self._engine.aclose)
        except LoopReleased:
            pass  # another thread has left it meanwhile
        finally:
            self._leave_at_once()

    def warn(self, *, source: object) -> None:
        """Warn that nobody has left the session, see `warnings.warn`."""
        text = f"unclosed {self._engine!r}: use `with`, or close() it"
        warnings.warn(text, ResourceWarning, source=source, stacklevel=2)

    def drop(self) -> None:
        """Close the session at once, and wait for nothing. Takes no lock, see `LoopLease.call_soon`."""
        self.is_left = True
        if self._lease is not None:  # else `_acquire` sees that it is left
            with contextlib.suppress(LoopReleased):
                self._lease.call_soon(self._begin_closing)

    def wait_closed(self, timeout_seconds: float) -> None:
        """Wait until nothing is open any more, but not for ever."""
        self._closed.wait(timeout_seconds)

    def disown(self) -> None:
        """Leave the session to the process that it belongs to."""
        self.is_left = True
        if self._lease is not None:
            self._lease.abandon()

    def _wait_for_lease(self) -> None:
        acquired = SimpleQueue[BaseException | None]()
        in_thread(self._acquire, acquired)
        error = wait_for(acquired)
        if error is not None:
            raise error

    def _acquire(self, acquired: SimpleQueue[BaseException | None]) -> None:
        _open.add(self)
        try:
            self._lease = LoopLease.acquire(self._note_closed)
        except BaseException as error:  # noqa: BLE001  (it is raised by whoever waits)
            self._note_closed()
            acquired.put(error)
            return
        if self.is_left:  # whoever waited was interrupted
            self.drop()
        acquired.put(None)

    def _leave_at_once(self) -> None:
        self.drop()
        if runs_a_loop():
            return
        if self in _open:
            self._closed.wait(_AT_ONCE_SECONDS)
        if self._releasing is not None:
            self._releasing.join(_RELEASE_SECONDS)

    # In the loop

    async def _open(self) -> None:
        if self.is_left:
            raise LoopReleased
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
        await self.lease.settle()

    def _release(self, closing: asyncio.Task[None]) -> None:
        with contextlib.suppress(RuntimeError):  # no thread can be started any more: Python is exiting
            self._releasing = self.lease.release()
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
    unclosed = [running for running in left if not running.is_left]
    try:
        for running in unclosed:
            running.warn(source=running)
    finally:
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
