"""A thread that makes blocking calls and does not hold up the interpreter's exit."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class WorkerThread:
    """A daemon thread that makes calls, one after another.

    An executor does not do, because Python joins its threads at exit, and a call may hang: one into the SDK for 10 s,
    and one that reads a microphone for ever.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def ident(self) -> int | None:
        """The thread's identifier; None before `start()`."""
        return self._thread.ident

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, function: Callable[..., T], *arguments: object) -> concurrent.futures.Future[T]:
        """Have the thread call a function; nobody can take the call back, because a frame that was sent goes out."""
        called: concurrent.futures.Future[T] = concurrent.futures.Future()
        called.set_running_or_notify_cancel()
        self._calls.put(partial(_call, called, function, *arguments))
        return called

    def end(self) -> None:
        """End the thread after the calls that were submitted."""
        self._calls.put(None)

    def _run(self) -> None:
        for call in iter(self._calls.get, None):
            call()


def _call(called: concurrent.futures.Future[T], function: Callable[..., T], *arguments: object) -> None:
    try:
        result = function(*arguments)
    except StopIteration as error:  # no future of asyncio takes it, and who awaits one would wait for ever
        told = RuntimeError(f"{function!r} raised StopIteration")
        told.__cause__ = error
        called.set_exception(told)
    except BaseException as error:  # noqa: BLE001  (it is raised where the result is awaited)
        called.set_exception(error)
    else:
        called.set_result(result)
