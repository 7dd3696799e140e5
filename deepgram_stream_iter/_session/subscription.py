"""What `subscribe()` returns: a consumer of its own beside that of the session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from deepgram_stream_iter._errors import SessionClosed
from deepgram_stream_iter._inbound.subscriber import Subscriber
from deepgram_stream_iter._session.consumer import Consumer, Position, Utterances
from deepgram_stream_iter._session.entered import Entered
from deepgram_stream_iter._transcript import Utterance

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


class Subscription(Generic[T]):
    """An async iterator of the events since `subscribe()`, and a context manager that ends it.

    Iterating ends, raises and is cancelled as iterating the session does, also after it; one task iterates at a time. A
    subscription that is dropped, or left, gets no more events.
    """

    def __init__(self, entered: Entered, subscriber: Subscriber) -> None:
        self._entered, self._subscriber = entered, subscriber
        self._position = Position()
        self._consumer: Consumer[T] = Consumer(entered, subscriber.buffer, self._position)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # An `async for` over it may be left by `break`. The garbage collector runs in any thread, and may do so in the middle
        # of an event, so the event loop is told.
        unsubscribe = partial(self._entered.life.inbox.unsubscribe, self._subscriber)
        try:
            self._entered.call_soon(unsubscribe)
        except SessionClosed:  # then there are no more events
            unsubscribe()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """Hand out the next event. Cancelling loses none.

        :raises StopAsyncIteration: when the stream has ended as agreed, or the subscription was closed.
        :raises BufferOverflow: when this consumer was too slow.
        :raises DeepgramStreamError: when the stream has not ended as agreed; an exception of a source, as itself.
        :raises RuntimeError: when another task is iterating, and in another event loop than the session's.
        """
        return (
            await self._consumer.next()
        )  # keeps this one alive, which `anext(session.subscribe())` does not

    def utterances(self) -> AsyncIterator[Utterance]:
        """Iterate whole utterances or turns instead of events; see `StreamSession.utterances`.

        :raises ValueError: for a subscription to some kinds only, because an utterance takes them all.
        """
        if self._subscriber.kinds:
            raise ValueError("utterances() takes all events: call subscribe() without kinds")
        self._position.assembler.keeps_words = True
        return Utterances(self._next_utterance)

    @property
    def accumulated_transcript(self) -> str:
        """The text of the utterance or turn that this consumer is at; see `StreamSession`."""
        return self._position.assembler.text

    def close(self) -> None:
        """Get no more events; those that wait can still be iterated. May be called again."""
        self._entered.life.inbox.unsubscribe(self._subscriber)

    async def _next_utterance(self) -> Utterance:
        return await self._consumer.next_utterance()  # keeps this one alive as long as the iterator
