"""How a call gets into the SDK and a callback gets out of it: on the event loop, or across threads.

The SDK has each dialect twice, async and sync. An adapter says what to call; a boundary says how. For a sync client every
blocking call runs in one worker thread of the session, the listener in another, and callbacks cross into the loop in the
order in which they came, however many threads they came from.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import inspect
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

_LOOK_SECONDS = 0.25
"""How often a thread that is held back looks whether the session still wants it."""


class Boundary(Protocol):
    """Calls into the SDK, and callbacks out of it."""

    is_threaded: bool

    def bind(self) -> None:
        """Take callbacks on the running loop from now on."""
        ...

    async def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a function of the SDK and give what it returns; raises what it raises."""
        ...

    async def enter(self, context: Any) -> Any:
        """Enter a context of the SDK; cancelling leaves none entered."""
        ...

    async def leave(self, context: Any) -> None:
        """Leave it again."""
        ...

    async def run(self, function: Callable[[], Any]) -> None:
        """Run the SDK's listener to its end; raises what it raises."""
        ...

    def deliver(self, take: Callable[[], Awaitable[None] | None]) -> Awaitable[None] | None:
        """Have a callback's message taken on the loop; the SDK is held back by what this returns, or by its wait."""
        ...

    def close(self) -> None:
        """Let go of everybody who is held back, and take nothing more."""
        ...


class OnLoop:
    """An async client: calls are awaited, callbacks are on the loop already."""

    is_threaded = False

    async def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call, and await a coroutine."""
        result = function(*arguments)
        return await result if inspect.isawaitable(result) else result

    async def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter the SDK's context."""
        return await context.__aenter__()

    async def leave(self, context: AbstractAsyncContextManager[object]) -> None:
        """Leave the SDK's context."""
        await context.__aexit__(None, None, None)

    async def run(self, function: Callable[[], Any]) -> None:
        """Await the SDK's listener."""
        await function()

    def deliver(self, take: Callable[[], Awaitable[None] | None]) -> Awaitable[None] | None:
        """Take it at once."""
        return take()

    def bind(self) -> None:
        """Callbacks are on the loop already."""

    def close(self) -> None:
        """Nobody is held here."""


class AcrossThreads:
    """A sync client: calls run in a worker thread, callbacks come from the SDK's threads."""

    is_threaded = True

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="deepgram_stream_iter")
        # One callback is on its way at a time, so that a full buffer holds the SDK's threads back at the next one.
        self._crossing = threading.Semaphore()
        self._is_open = True
        self._calls: list[concurrent.futures.Future[Any]] = []
        self._holding: set[asyncio.Task[None]] = set()

    async def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call in the worker thread. Cancelling does not stop the thread: the socket has to be dropped."""
        # Nor does it take a call back that has not begun yet: a frame that was handed over goes out.
        called = asyncio.wrap_future(self._submit(function, *arguments))
        called.add_done_callback(_seen)
        return await asyncio.shield(called)

    async def enter(self, context: AbstractContextManager[T]) -> T:
        """Enter in the worker thread; a context that comes after the cancellation is left there again."""
        entering = self._submit(context.__enter__)
        try:
            return await asyncio.wrap_future(entering)
        except asyncio.CancelledError:
            self._submit(_leave_late, entering, context)
            raise

    async def leave(self, context: AbstractContextManager[object]) -> None:
        """Leave in the worker thread."""
        await self.call(context.__exit__, None, None, None)

    async def run(self, function: Callable[[], Any]) -> None:
        """Run the listener in a thread of its own, for it blocks to its end."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def end(error: BaseException | None) -> None:
            if ended.cancelled():
                return
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        def target() -> None:
            error: BaseException | None = None
            try:
                function()
            except BaseException as raised:  # noqa: BLE001  (it is told on the loop)
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                loop.call_soon_threadsafe(end, error)

        thread = threading.Thread(target=target, name="deepgram_stream_iter-listener", daemon=True)
        thread.start()
        await ended
        thread.join()

    def deliver(self, take: Callable[[], Awaitable[None] | None]) -> None:
        """Cross into the loop, and hold the calling thread back while the callback before is on its way."""
        while not self._crossing.acquire(timeout=_LOOK_SECONDS):
            if not self._is_open:
                return
        is_crossing = False
        if self._loop is not None and self._is_open:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._land, take)
                is_crossing = True
        if not is_crossing:
            self._crossing.release()

    def bind(self) -> None:
        """Have callbacks cross into the running loop."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Let the SDK's threads go, and end the worker: at once, unless the SDK still has it."""
        self._is_open = False
        self._worker.shutdown(wait=all(call.done() for call in self._calls))

    def _submit(self, function: Callable[..., T], *arguments: object) -> concurrent.futures.Future[T]:
        call = self._worker.submit(function, *arguments)
        self._calls = [*(earlier for earlier in self._calls if not earlier.done()), call]
        return call

    def _land(self, take: Callable[[], Awaitable[None] | None]) -> None:
        wait = None
        try:
            wait = take()
        finally:  # else, should that raise after all, no other callback would ever get in
            if wait is None:
                self._crossing.release()
        if wait is None:
            return
        holding = asyncio.ensure_future(_awaited(wait))
        self._holding.add(holding)
        holding.add_done_callback(self._let_go)

    def _let_go(self, holding: asyncio.Task[None]) -> None:
        self._holding.discard(holding)
        self._crossing.release()


def _seen(called: asyncio.Future[Any]) -> None:
    """Have asyncio not log the exception of a call that nobody waits for any more."""
    if not called.cancelled():
        called.exception()


async def _awaited(wait: Awaitable[None]) -> None:
    await wait


def _leave_late(entering: concurrent.futures.Future[Any], context: AbstractContextManager[object]) -> None:
    if not entering.cancelled() and entering.exception() is None:
        context.__exit__(None, None, None)
