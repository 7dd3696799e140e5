"""What is fed: each source in a task of its own, whose end may be that of the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

from deepgram_stream_iter._errors import DeepgramStreamError
from deepgram_stream_iter._loop.signal import Signal
from deepgram_stream_iter._loop.tasks import Tasks

OnError: TypeAlias = Literal["raise", "finish"]
"""What the failure of a source does to the stream: ends it at once, or in order."""


@dataclass(eq=False, kw_only=True)
class Source:
    """A source on its way."""

    send: Callable[[], Awaitable[DeepgramStreamError | None]]
    """Sends it all; returns the error of a stream that took no more, and raises what the source raises."""
    finishes: bool
    on_error: OnError
    ended: Signal = field(default_factory=Signal)
    is_through: bool = False
    """All of it is sent."""
    error: Exception | None = None
    """What kept it from that; None where the stream was told to end."""


class Sources:
    """Runs sources; nobody waits for them at the end, because they may read in a thread."""

    def __init__(self, finish: Callable[[], None], abort: Callable[[], None]) -> None:
        self._finish, self._abort = finish, abort
        self._tasks = Tasks()
        self._sources: set[Source] = set()  # that run
        self._is_stopped = False
        self.error: Exception | None = None
        """Of the first source that failed, which is the error of the stream."""

    @property
    def running(self) -> set[asyncio.Task[None]]:
        """The tasks that have not ended."""
        return self._tasks.running

    def start(self, source: Source) -> None:
        """Run a source."""
        self._sources.add(source)
        self._tasks.start(partial(self._run, source))

    def run(self, function: Callable[[], Awaitable[object]]) -> Signal:
        """Run what sends and must not raise; return what is set when it has ended. It is cancelled like a source."""
        ended = Signal()

        async def run() -> None:
            try:
                await function()
            finally:
                ended.set()

        self._tasks.start(run)
        return ended

    def stop(self) -> None:
        """Cancel all; what they raise from now on does not cost the tail."""
        self._is_stopped = True
        for source in self._sources:  # nobody waits for one that cannot be cancelled
            source.ended.set()
        self._tasks.cancel()

    async def _run(self, source: Source) -> None:
        try:
            source.error = await source.send()
        except asyncio.CancelledError:
            if self._is_stopped:
                raise
            self._failed(
                source, RuntimeError("the source that was given to feed() was cancelled by somebody else")
            )
        except Exception as error:  # noqa: BLE001  (it is the application's, and comes out as itself)
            self._failed(source, error)
        else:
            source.is_through = source.error is None
            if source.is_through and source.finishes:
                self._finish()
        finally:
            source.ended.set()
            self._sources.discard(source)

    def _failed(self, source: Source, error: Exception) -> None:
        source.error = error
        self.error = self.error or error
        if self._is_stopped:
            return
        if source.on_error == "finish":
            self._finish()
        else:
            self._abort()
