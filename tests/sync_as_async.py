"""A sync session behind the names of the async one, so that the tests of the async session run it as well.

Whatever may block is called in a worker thread, as programs without an event loop call it; the test, and the server, are in
the event loop meanwhile. What a test gives to the session, and what belongs to its own loop, is run there.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Generator, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

import anyio
import anyio.to_thread

from deepgram_stream_iter import Reconnect, Utterance, sync

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


class Session(Blocking[Any]):
    """The sync session as an async one; what cannot block is its own: `close_info`, `stats`, `send_nowait()`."""

    def __init__(self, target: Any, *args: Any, **settings: Any) -> None:
        self._session = sync.stream(target, *args, **in_this_loop(settings))
        super().__init__(self._session)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def __repr__(self) -> str:
        return repr(self._session)

    async def __aenter__(self) -> Session:
        return await self.open()

    async def open(self) -> Session:
        """Open it."""
        await blocking(self._session.open)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=exc is not None):
            await blocking(self._session.__exit__, exc_type, exc, tb)

    async def aclose(self) -> None:
        """Close it in order."""
        await blocking(self._session.close)

    async def send(self, audio: Any, **settings: Any) -> None:
        """Send audio."""
        await blocking(self._session.send, as_iterable(audio), **settings)

    def feed(self, source: Any, **settings: Any) -> Feed:
        """Feed a source; that of the sync session runs in a thread anyway."""
        settings.pop("in_thread", None)
        return Feed(self._session.feed(as_iterable(source), **settings))

    def subscribe(self, *kinds: Any, **settings: Any) -> Subscription:
        """Subscribe."""
        return Subscription(self._session.subscribe(*kinds, **settings))

    def utterances(self) -> Blocking[Utterance]:
        """Iterate utterances."""
        return Blocking(self._session.utterances())

    async def skip(self, seconds: float) -> None:
        """Leave audio out."""
        await blocking(self._session.skip, seconds)

    async def finalize(self, *timeout_seconds: float) -> Any:
        """Flush."""
        return await blocking(self._session.finalize, *timeout_seconds)

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


class Subscription(Blocking[Any]):
    """A subscription to a sync session as one to an async one."""

    def __init__(self, subscription: sync.Subscription[Any]) -> None:
        super().__init__(subscription)
        self._subscription = subscription

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subscription, name)

    async def __aenter__(self) -> Subscription:
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


async def blocking(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call in a thread what blocks. A test that is cancelled leaves it there, for the end of the session to end."""
    return await anyio.to_thread.run_sync(functools.partial(function, *args, **kwargs), abandon_on_cancel=True)


def as_iterable(source: Any) -> Any:
    """Return an async source as one that blocks, which waits for the test's loop; anything else as it is."""
    if not isinstance(source, AsyncIterable):
        return source
    loop, iterator = asyncio.get_running_loop(), aiter(source)
    nothing = object()

    def iterate() -> Iterator[Any]:
        while True:
            piece = asyncio.run_coroutine_threadsafe(next_of(iterator, nothing), loop).result()
            if piece is nothing:
                return
            yield piece

    return iterate()


async def next_of(iterator: AsyncIterator[Any], otherwise: object) -> Any:
    """Return the next item, or what is given at the end."""
    return await anext(iterator, otherwise)


def in_this_loop(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings whose async functions run in the test's loop, where the events that they wait for are."""
    reconnect = settings.get("reconnect")
    if isinstance(reconnect, Reconnect) and reconnect.on_attempt is not None:
        settings = {**settings, "reconnect": replace(reconnect, on_attempt=there(reconnect.on_attempt))}
    return {name: there(value) for name, value in settings.items()}


def there(value: Any) -> Any:
    """Return an async function that runs one in the loop of here; anything else as it is."""
    if not inspect.iscoroutinefunction(value):
        return value
    loop = asyncio.get_running_loop()

    @functools.wraps(value)
    async def call(*args: Any, **kwargs: Any) -> Any:
        called: Coroutine[Any, Any, Any] = value(*args, **kwargs)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(called, loop))

    return call
