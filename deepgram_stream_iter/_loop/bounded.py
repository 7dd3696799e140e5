"""A time limit that costs nothing where there is nothing to wait for."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Coroutine, Generator
from typing import Any


@types.coroutine
def ends_within(seconds: float, coroutine: Coroutine[Any, Any, object]) -> Generator[Any, Any, bool]:
    """Run a coroutine in the calling task; return whether it ended in time, and cancel it if it did not.

    What it raises is raised. The coroutine is stepped here because most sends have nothing to wait for: then there is
    no timer. (A send takes the SDK 8 us of CPU, and a cancel scope with a deadline takes 5.)
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return True
    return (yield from _bounded(seconds, coroutine, waits_for))


def _bounded(
    seconds: float, coroutine: Coroutine[Any, Any, object], waits_for: asyncio.Future[Any] | None
) -> Generator[Any, Any, bool]:
    """Run the rest of a coroutine, which waits for a future or (None) for its next turn.

    Not in a cancel scope, because those that the coroutine has entered by now would be left in the wrong order.
    """
    limit, cancel_requests = _Limit(), _cancel_requests()
    timer = asyncio.get_running_loop().call_later(seconds, limit.expire)
    try:
        while True:
            limit.apply_to(waits_for)
            try:
                yield waits_for
                if limit.is_over and waits_for is None:
                    raise asyncio.CancelledError  # noqa: TRY301  (there was no future to cancel)
            except BaseException as error:  # noqa: BLE001  (whatever it is, it is the coroutine's)
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(None)
    except StopIteration:
        return True
    except asyncio.CancelledError:
        # Whoever has cancelled the task in the same moment must not wait in vain.
        if limit.is_over and _cancel_requests() == cancel_requests:
            return False
        raise
    finally:
        timer.cancel()


class _Limit:
    """Cancels what a coroutine waits for when the time is up, and whatever it waits for after that."""

    def __init__(self) -> None:
        self.is_over = False
        self._waits_for: asyncio.Future[Any] | None = None

    def apply_to(self, waits_for: asyncio.Future[Any] | None) -> None:
        """Cancel this future when the time is up, and no other any more."""
        self._waits_for = waits_for
        if self.is_over:
            self.expire()

    def expire(self) -> None:
        """Record that the time is up."""
        self.is_over = True
        if self._waits_for is not None:
            self._waits_for.cancel()


def _cancel_requests() -> int:
    """Return how often the task was asked to end; Python 3.10 does not count."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None and sys.version_info >= (3, 11) else 0
