"""The tasks in which sources that are fed run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine

import anyio
import anyio.abc


class Sources:
    """Runs sources, until they are all stopped.

    Nobody waits for a stopped source, because one that reads in a thread cannot be cancelled and must not hold up the end.
    """

    def __init__(self) -> None:
        self._tasks: anyio.abc.TaskGroup | None = None

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Run what `start` is given, until `stop`."""
        async with anyio.create_task_group() as self._tasks:
            task_status.started()
            await anyio.sleep_forever()

    def start(self, source: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run a source; it must not raise."""
        assert self._tasks is not None  # noqa: S101  (the session is entered)
        self._tasks.start_soon(source)

    def stop(self) -> None:
        """Cancel all sources."""
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
