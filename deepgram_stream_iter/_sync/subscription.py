"""What `subscribe()` of a sync session returns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from deepgram_stream_iter._sync.consumer import CrossingConsumer, CrossingSubscription
from deepgram_stream_iter._sync.loop_thread import LoopReleased
from deepgram_stream_iter._sync.running import Running
from deepgram_stream_iter._transcript import Utterance

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


class Subscription(Generic[T]):
    """An iterator of the events since `subscribe()`, and a context manager that ends it; see the async one.

    One thread iterates at a time.
    """

    def __init__(self, running: Running, subscribed: CrossingSubscription) -> None:
        self._running, self._subscribed = running, subscribed
        self._consumer: CrossingConsumer[T] = subscribed.consumer(running)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """Hand out the next event; see the async `Subscription`."""
        try:
            return self._consumer.next_here()
        except StopAsyncIteration:
            raise StopIteration from None

    def utterances(self) -> Iterator[Utterance]:
        """Iterate whole utterances or turns instead of events; see `StreamSession.utterances`."""
        self._subscribed.utterances()  # keeps the words from now on
        return Utterances(self._next_utterance)

    @property
    def accumulated_transcript(self) -> str:
        """The text of the utterance or turn that this consumer is at; see `StreamSession`."""
        return self._subscribed.accumulated_transcript

    def close(self) -> None:
        """Get no more events; those that wait can still be iterated. May be called again."""
        with contextlib.suppress(LoopReleased):  # then there are no more events
            self._running.lease.call_soon(self._subscribed.close)

    def _next_utterance(self) -> Utterance:
        return self._consumer.next_utterance_here()  # keeps the subscription alive as long as the iterator


class Utterances:
    """A class, since a generator would have ended with the first error."""

    def __init__(self, advance: Callable[[], Utterance]) -> None:
        self._advance = advance

    def __iter__(self) -> Iterator[Utterance]:
        return self

    def __next__(self) -> Utterance:
        try:
            return self._advance()
        except StopAsyncIteration:
            raise StopIteration from None
