"""A flag that can be waited for."""

from __future__ import annotations

import asyncio
import math


class Signal:
    """What an `anyio.Event` is, at 60 bytes and not 900: only who waits needs more than the flag, and most never do."""

    __slots__ = ("_waiting", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._waiting: tuple[asyncio.Future[None], ...] = ()

    def set(self) -> None:
        """Set it for good, and wake all who wait; callbacks may do so too."""
        self.is_set = True
        for waiting in self._waiting:
            _wake(waiting)

    async def wait(self, until: float = math.inf) -> None:
        """Wait until it is set, or until a time of the event loop's clock."""
        if self.is_set:
            return
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        timer = loop.call_at(until, _wake, woken) if until < math.inf else None
        self._waiting = (*self._waiting, woken)
        try:
            await woken
        finally:
            self._waiting = tuple(each for each in self._waiting if each is not woken)
            if timer is not None:
                timer.cancel()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():  # who waits may have been cancelled
        waiting.set_result(None)
