"""A sync session behind the names of the async one, so that the tests of the async session run it as well.

Whatever may block is called in a worker thread, as programs without an event loop call it; the test, and the server, are in
the event loop meanwhile. What a test gives to the session, and what belongs to its own loop, is run there.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterator
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

import anyio
import anyio.to_thread

from deepgram_stream_iter import Reconnect, Utterance, sync

if TYPE_CHECKING:
    from typing_extensions import Self

P = ParamSpec("P")
T = TypeVar("T")


class Blocking(Generic[T]):
    """Iterates in threads what blocks."""

    def __init__(self, iterator: Iterator[T]) -> None:
        self._iterator = iterator

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        return await blocking(self._next)

    def _next(self) -> T:
        try:
            return next(self._iterator)
        except StopIteration:  # which no task can raise
            raise StopAsyncIteration from None


class Done:
    """What may be awaited, and need not be."""

    def __await__(self) -> Generator[None]:
        yield from ()


class Session(Blocking[Any]):
    """The sync session as an async one; what cannot block is its own: `close_info`, `stats`, `send_nowait()`."""

    def __init__(self, target: Any, *args: Any, **settings: Any) -> None:
        self._session = sync.stream(there(target), *args, **in_this_loop(settings))
        super().__init__(self._session)
        self._sources: list[AsyncSource] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def __repr__(self) -> str:
        return repr(self._session)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def open(self) -> Self:
        """Open it."""
        await blocking(self._session.open)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            with anyio.CancelScope(shield=exc is not None):
                await blocking(self._session.__exit__, exc_type, exc, tb)
        finally:
            for source in self._sources:
                await source.stop()

    async def aclose(self) -> None:
        """Close it in order."""
        await self.__aexit__(None, None, None)

    async def send(self, audio: Any, **settings: Any) -> None:
        """Send audio."""
        await blocking(self._session.send, self._as_iterable(audio), **settings)

    def feed(self, source: Any, **settings: Any) -> Feed:
        """Feed a source; that of the sync session runs in a thread anyway."""
        settings.pop("in_thread", None)
        return Feed(self._session.feed(self._as_iterable(source), **settings))

    def subscribe(self, *kinds: Any, **settings: Any) -> Subscription:
        """Subscribe."""
        return Subscription(self._session.subscribe(*kinds, **settings))

    def utterances(self) -> Blocking[Utterance]:
        """Iterate utterances."""
        return Blocking(self._session.utterances())

    def skip(self, seconds: float) -> Done:
        """Leave audio out, which waits for nothing."""
        self._session.skip(seconds)
        return Done()

    async def finalize(self, *args: Any, **settings: Any) -> Any:
        """Flush."""
        return await blocking(self._session.finalize, *args, **settings)

    async def configure(self, **changes: Any) -> Any:
        """Change settings."""
        return await blocking(self._session.configure, **changes)

    async def keep_alive(self) -> None:
        """Send a KeepAlive."""
        await blocking(self._session.keep_alive)

    async def force_end_turn(self) -> None:
        """End the turn."""
        await blocking(self._session.force_end_turn)

    async def finish(self) -> Any:
        """End the stream in order."""
        return await blocking(self._session.finish)

    async def wait_closed(self) -> Any:
        """Wait for its end."""
        return await blocking(self._session.wait_closed)

    def _as_iterable(self, source: Any) -> Any:
        """Return an async iterable as one that blocks; anything else as it is."""
        if inspect.isasyncgenfunction(source) or not hasattr(source, "__aiter__") or hasattr(source, "read"):
            return source
        self._sources.append(AsyncSource(source))
        return iter(self._sources[-1])


class Subscription(Blocking[Any]):
    """A subscription to a sync session as one to an async one."""

    def __init__(self, subscription: sync.Subscription[Any]) -> None:
        super().__init__(subscription)
        self._subscription = subscription

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subscription, name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._subscription.close()

    def utterances(self) -> Blocking[Utterance]:
        """Iterate utterances."""
        return Blocking(self._subscription.utterances())


class Feed:
    """What `feed()` of a sync session returns, to be awaited."""

    def __init__(self, fed: sync.Feed) -> None:
        self._fed = fed

    def __await__(self) -> Generator[Any, Any, None]:
        return self.wait().__await__()

    @property
    def is_running(self) -> bool:
        """Whether there may be more to send."""
        return self._fed.is_running

    async def wait(self) -> None:
        """Wait until it is through."""
        await blocking(self._fed.wait)


class AsyncSource:
    """An async iterable as one that blocks, and waits for the test's loop. The end of the session ends it there."""

    def __init__(self, source: AsyncIterable[Any]) -> None:
        self._loop, self._iterator = asyncio.get_running_loop(), aiter(source)
        self._task: asyncio.Task[Any] | None = None
        self._is_stopped = False

    def __iter__(self) -> Iterator[Any]:
        while True:
            waiting = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            item, is_end, error = waiting.result()
            if error is not None:
                raise error
            if is_end:
                return
            yield item

    async def stop(self) -> None:
        """Cancel it, and close it where it is a generator."""
        self._is_stopped = True
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
        if isinstance(self._iterator, AsyncGenerator):
            await self._iterator.aclose()

    async def _next(self) -> tuple[Any, bool, BaseException | None]:
        self._task = asyncio.current_task()
        try:
            if not self._is_stopped:
                return await anext(self._iterator), False, None
        except StopAsyncIteration:
            pass
        except BaseException as error:  # noqa: BLE001  (it is raised in the thread)
            return None, True, error
        return None, True, None


async def blocking(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call in a thread what blocks. A test that is cancelled leaves it there, for the end of the session to end."""
    return await anyio.to_thread.run_sync(
        functools.partial(function, *args, **kwargs), abandon_on_cancel=True
    )


def in_this_loop(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings whose async functions run in the test's loop, where the events that they wait for are."""
    reconnect = settings.get("reconnect")
    if isinstance(reconnect, Reconnect) and reconnect.on_attempt is not None:
        settings = {**settings, "reconnect": replace(reconnect, on_attempt=there(reconnect.on_attempt))}
    return {name: there(value) for name, value in settings.items()}


def there(value: Any) -> Any:
    """Return an async function that runs one in the loop of here; anything else as it is."""
    if not any(inspect.iscoroutinefunction(each) for each in (value, vars(type(value)).get("__call__"))):
        return value
    loop = asyncio.get_running_loop()

    async def call(*args: Any) -> Any:
        called = asyncio.run_coroutine_threadsafe(outcome(value, *args), loop)
        result, error = await asyncio.wrap_future(called)
        if error is not None:
            raise error
        return result

    return call


async def outcome(function: Callable[..., Any], *args: Any) -> tuple[Any, BaseException | None]:
    """Return what a function returns and raises, because a future changes some exceptions."""
    try:
        return await function(*args), None
    except BaseException as error:  # noqa: BLE001  (it is raised in the other loop)
        return None, error
