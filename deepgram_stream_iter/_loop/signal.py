"""What can be waited for, and weighs nothing until somebody does."""

from __future__ import annotations

import asyncio
import math


class Waiters:
    """Those who wait until they are woken: each has a future of its own, because cancelling who awaits one cancels it."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: tuple[asyncio.Future[None], ...] = ()

    def __bool__(self) -> bool:
        return bool(self._futures)

    def wake(self) -> None:
        """Wake all who wait; callbacks may do so too."""
        for future in self._futures:
            _wake(future)

    async def wait(self, until: float = math.inf) -> None:
        """Wait until woken, or until a time of the event loop's clock."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        timer = loop.call_at(until, _wake, woken) if until < math.inf else None
        self._futures = (*self._futures, woken)
        try:
            await woken
        finally:
            self._futures = tuple([each for each in self._futures if each is not woken])
            if timer is not None:
                timer.cancel()


class Signal(Waiters):
    """What an `anyio.Event` is, at 60 bytes and not 900: only who waits needs more than the flag, and most never do."""

    __slots__ = ("is_set",)

    def __init__(self) -> None:
        super().__init__()
        self.is_set = False

    def set(self) -> None:
        """Set it for good, and wake all who wait; callbacks may do so too."""
        self.is_set = True
        self.wake()

    async def wait(self, until: float = math.inf) -> None:
        """Wait until it is set, or until a time of the event loop's clock."""
        if not self.is_set:
            await super().wait(until)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():  # who waits may have been woken already, or cancelled
        future.set_result(None)
