"""Functions and sources of the application that may block: they run in threads, and the loop awaits them."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from deepgram_stream_iter._adapters.boundary import WorkerThread
from deepgram_stream_iter._sync.loop_thread import in_thread

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T")

_END = object()


def off_the_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls a plain one in a thread, because it may block; an async one is returned as it is."""
    if inspect.iscoroutinefunction(function):
        return function

    @functools.wraps(function)
    async def call(*arguments: object) -> object:
        answer = await asyncio.wrap_future(in_thread(_in_context(function), *arguments))
        return await answer if inspect.isawaitable(answer) else answer

    return call


async def pieces_off_the_loop(source: Iterable[Buffer]) -> AsyncGenerator[Buffer, None]:
    """Yield the pieces of an iterable that may block, which runs in a thread.

    A piece that is being waited for when this is closed holds up nobody; a generator is closed after it.
    """
    # To be replaced by the `feed(..., in_thread=True)` of the async session.
    worker = WorkerThread("deepgram_stream_iter-source")
    worker.start()
    iterator: Iterator[Buffer] | None = None
    try:
        iterator = await asyncio.wrap_future(worker.submit(_in_context(iter), source))
        while True:
            piece = await asyncio.wrap_future(worker.submit(_in_context(next), iterator, _END))
            if piece is _END:
                return
            yield piece
    finally:
        close = getattr(iterator, "close", None)
        if inspect.isgenerator(iterator) and close is not None:
            worker.submit(close)
        worker.end()


def _in_context(function: Callable[..., T]) -> Callable[..., T]:
    """Return a function to be called in a thread, with the context variables of here, that raises what a task may raise."""
    context = contextvars.copy_context()

    def call(*arguments: object) -> T:
        try:
            return context.run(function, *arguments)
        except Exception as error:
            if not isinstance(error, StopIteration):
                raise
            failure: BaseException = error
        except BaseException as error:  # noqa: BLE001  (SystemExit would end the loop of all sessions)
            failure = error
        raise RuntimeError(
            f"a function or source of the application raised {type(failure).__name__}"
        ) from failure

    return call
