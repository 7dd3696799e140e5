"""Calls into the SDK and callbacks out of it: on the event loop, or across threads.

The SDK has each dialect twice, async and sync. An adapter says what to call; a boundary says how. For a sync client every
blocking call runs in one worker thread of the session and the listener in another. Callbacks cross into the loop in the
order in which they came, however many threads they came from.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from deepgram_stream_iter._adapters import private
from deepgram_stream_iter._loop.worker import WorkerThread

_CLOSED_CHECK_SECONDS = 0.25
"""How often a thread that waits for the callback before its own checks whether the boundary was closed."""
_DROP_INTERVAL_SECONDS = 0.05
"""How often to drop what a cancelled call connects with: a host may have several addresses, which are tried in turn."""


class Boundary(Protocol):
    """Calls into the SDK, and callbacks out of it."""

    is_threaded: bool

    def bind(self) -> None:
        """Deliver callbacks on the running loop from now on."""
        ...

    async def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a function of the SDK and return what it returns; raises what it raises."""
        ...

    async def connect(self, function: Callable[[], Any], *, undo: Callable[[Any], object]) -> Any:
        """Call a function of the SDK that connects and return what it returns; raises what it raises.

        Cancelling drops the socket. Should the function succeed all the same, `undo` is called with what it returned.
        """
        ...

    def run(self, function: Callable[[], Any]) -> Awaitable[None]:
        """Run the SDK's listener to its end; raises what it raises."""
        ...

    def deliver(self, handle: Callable[..., Awaitable[None] | None], *what: object) -> Awaitable[None] | None:
        """Call `handle` with what a callback brings, on the loop; the SDK pauses until what `handle` returns has been awaited."""
        ...

    def close(self) -> None:
        """Release every thread that waits in `deliver()`, and end the worker."""
        ...


class OnLoop:
    """An async client: calls are awaited, callbacks are on the loop already."""

    is_threaded = False

    def bind(self) -> None:
        """Do nothing: callbacks are on the loop already."""

    async def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call, and await a coroutine."""
        result = function(*arguments)
        return await result if inspect.isawaitable(result) else result

    async def connect(self, function: Callable[[], Any], *, undo: Callable[[Any], object]) -> Any:
        """Call the same way: cancelling reaches the SDK itself, which then closes its socket."""
        del undo
        return await self.call(function)

    def run(self, function: Callable[[], Awaitable[None]]) -> Awaitable[None]:
        """Run it where it is awaited."""
        return function()

    def deliver(self, handle: Callable[..., Awaitable[None] | None], *what: object) -> Awaitable[None] | None:
        """Call it at once."""
        return handle(*what)

    def close(self) -> None:
        """Do nothing: no thread waits here."""


class AcrossThreads:
    """A sync client: calls run in a worker thread, callbacks come from the SDK's threads."""

    is_threaded = True

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop
        self._worker = WorkerThread("deepgram_stream_iter")
        # One callback at a time is on its way, so that a full buffer makes the SDK's threads wait with the next one.
        self._crossing = threading.Semaphore()
        self._is_open = True
        self._waiting: asyncio.Task[None] | None = None

    def bind(self) -> None:
        """Deliver callbacks on the running loop, and start the worker."""
        self._loop = asyncio.get_running_loop()
        self._worker.start()

    async def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call in the worker. Cancelling does not stop the thread: only dropping the socket does."""
        return await asyncio.wrap_future(self._worker.submit(function, *arguments))

    async def connect(self, function: Callable[[], Any], *, undo: Callable[[Any], object]) -> Any:
        """Call in the worker, which a cancellation sets free by dropping the socket."""
        connecting = self._worker.submit(function)
        try:
            return await asyncio.wrap_future(connecting)
        except asyncio.CancelledError:
            self._worker.submit(lambda: undo(connecting.result()))
            dropper = WorkerThread("deepgram_stream_iter-drop")
            dropper.start()
            dropper.submit(self._drop, connecting)
            dropper.end()
            raise

    async def run(self, function: Callable[[], Any]) -> None:
        """Run the listener in a thread of its own, because it blocks to its end."""
        listener = WorkerThread("deepgram_stream_iter-listener")
        listener.start()
        listening = listener.submit(function)
        listener.end()
        await asyncio.wrap_future(listening)

    def deliver(self, handle: Callable[..., Awaitable[None] | None], *what: object) -> None:
        """Cross into the loop; the calling thread waits while the callback before is still on its way."""
        while not self._crossing.acquire(timeout=_CLOSED_CHECK_SECONDS):
            if not self._is_open:
                return
        try:
            self._loop.call_soon_threadsafe(self._handle, handle, *what)
        except RuntimeError:  # the loop is closed, so nobody is left to wait for
            self._crossing.release()

    def close(self) -> None:
        """Release the SDK's threads, and end the worker after the calls that it was given."""
        self._is_open = False
        self._worker.end()

    def _handle(self, handle: Callable[..., Awaitable[None] | None], *what: object) -> None:
        wait = None
        try:
            wait = handle(*what)
        finally:  # else, should that raise after all, every later callback would wait for ever
            if wait is None:
                self._crossing.release()
        if wait is not None:
            # Kept here, because the loop has but a weak reference to its tasks.
            self._waiting = asyncio.ensure_future(wait)
            self._waiting.add_done_callback(lambda _: self._crossing.release())

    def _drop(self, connecting: concurrent.futures.Future[Any]) -> None:
        while not connecting.done():
            private.drop_connecting_socket(self._worker.ident)
            concurrent.futures.wait([connecting], _DROP_INTERVAL_SECONDS)
