"""What a thread waits for, and another one brings: a queue in C.

A Ctrl-C may leave the lock of a Future, an Event or a Condition held, because these are written in Python; the loop, which
sets them, would wait for that lock for ever.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

_INTERRUPTIBLE_SECONDS = 0.5
"""How often the main thread looks up: Python does not notice a Ctrl-C that comes just before a wait begins, and on Windows
none that comes during it."""


def wait_for(brought: SimpleQueue[T]) -> T:
    """Return what another thread puts into a queue."""
    if threading.current_thread() is threading.main_thread():
        while True:
            with contextlib.suppress(queue.Empty):
                return brought.get(timeout=_INTERRUPTIBLE_SECONDS)
    return brought.get()


class Mark:
    """Is set once, and waited for by any number of threads."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: list[SimpleQueue[None]] = []

    def set(self) -> None:
        """Release all that wait."""
        self._is_set = True
        for each in tuple(self._waiting):
            each.put(None)

    def wait(self, timeout_seconds: float) -> None:
        """Wait until it is set, but not for ever."""
        is_set = SimpleQueue[None]()
        self._waiting.append(is_set)  # before the look, so that `set()` finds it
        if not self._is_set:
            with contextlib.suppress(queue.Empty):
                is_set.get(timeout=timeout_seconds)
