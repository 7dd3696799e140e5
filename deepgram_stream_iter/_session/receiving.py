"""The receiving half of a session: its events, its utterances, its text, its subscriptions.

Connection -> Inbox -> EventBuffer -> Consumer -> the application
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, overload

from deepgram_stream_iter._adapters._protocol import Connector
from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent
from deepgram_stream_iter._inbound.subscriber import Subscriber
from deepgram_stream_iter._session.base import SessionBase
from deepgram_stream_iter._session.consumer import Consumer, Position, Utterances
from deepgram_stream_iter._session.subscription import Subscription
from deepgram_stream_iter._settings import BufferSettings, Overflow, Settings
from deepgram_stream_iter._transcript import Utterance

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

E = TypeVar("E", bound=StreamEvent)
F = TypeVar("F", bound=StreamEvent)
G = TypeVar("G", bound=StreamEvent)


class Receiving(SessionBase):
    """An async iterator of events, and what follows the consumer's position."""

    def __init__(self, connector: Connector, settings: Settings) -> None:
        super().__init__(connector, settings)
        self._position = Position()
        self._consumer: Consumer[AnyStreamEvent] | None = None

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[Any, Any, AnyStreamEvent]:
        """Hand out the next event. Cancelling loses none.

        :raises StopAsyncIteration: when the stream has ended as agreed.
        :raises DeepgramStreamError: when it has not; an exception of a source given to `feed()`, as itself.
        :raises RuntimeError: when another task is iterating, before the session is entered, in another event loop, and
            with `max_buffer_size=0`.
        """
        return self._entered_consumer.next()

    def utterances(self) -> AsyncIterator[Utterance]:
        """Iterate whole utterances (Nova, by channel) or turns (Flux) instead of events.

        Deepgram's rule: an utterance ends with `speech_final`, else with `UtteranceEnd`, else with the stream
        (`confirmed=False`). Ends, raises and is cancelled as iterating the session does, which it is. Words of finals are
        kept from the first call on: an utterance that was open then has its whole text, and the words since.
        """
        self._position.assembler.keeps_words = True
        return Utterances(self._next_utterance)

    @overload
    def subscribe(self, **settings: Unpack[BufferSettings]) -> Subscription[AnyStreamEvent]: ...

    @overload
    def subscribe(self, kind: type[E], /, **settings: Unpack[BufferSettings]) -> Subscription[E]: ...

    @overload
    def subscribe(
        self, kind: type[E], second: type[F], /, **settings: Unpack[BufferSettings]
    ) -> Subscription[E | F]: ...

    @overload
    def subscribe(
        self, kind: type[E], second: type[F], third: type[G], /, **settings: Unpack[BufferSettings]
    ) -> Subscription[E | F | G]: ...

    @overload
    def subscribe(
        self,
        kind: type[StreamEvent],
        second: type[StreamEvent],
        third: type[StreamEvent],
        fourth: type[StreamEvent],
        /,
        *kinds: type[StreamEvent],
        **settings: Unpack[BufferSettings],
    ) -> Subscription[AnyStreamEvent]: ...

    def subscribe(
        self,
        *kinds: type[StreamEvent],
        max_buffer_size: int = 256,
        overflow: Overflow = "coalesce",
        overflow_timeout_seconds: float = 10.0,
    ) -> Subscription[Any]:
        """Return an independent consumer of the events from now on: of these kinds, or of all where none is named.

        It has a buffer of its own, and delays nobody, because it never pauses the SDK: what `overflow` cannot take out
        of a full buffer goes past its bound, until that has lasted for `overflow_timeout_seconds`. Then, and at once with
        `overflow="error"`, the subscription ends with `BufferOverflow`, and the stream goes on. So `"wait"` only means that
        nothing is taken out. The session's own buffer fills too: where nobody iterates the session itself, give `stream()` a
        `max_buffer_size` of 0. A type checker knows what is iterated of up to three kinds; of more it is any event.

        :raises TypeError: for what is no kind of event.
        :raises ValueError: for a setting out of its range.
        :raises RuntimeError: before the session is entered, and in another event loop.
        """
        subscriber = self._new_subscriber(kinds, max_buffer_size, overflow, overflow_timeout_seconds)
        return Subscription(self._entered, subscriber)

    @property
    def accumulated_transcript(self) -> str:
        """The text of the utterance or turn that the consumer is at, by the events handed out so far.

        Complete when its `UtteranceEnd`, `speech_final` transcript or `EndOfTurn` is handed out; the first final text
        of the next utterance starts it anew. With several channels, that of the channel of the event handed out last.
        """
        return self._position.assembler.text

    @property
    def transcript(self) -> str:
        """All final text that has arrived, of all channels, handed out or not."""
        return self._life.inbox.ledger.transcript if self._life is not None else ""

    def _new_subscriber(
        self,
        kinds: tuple[type[StreamEvent], ...],
        max_buffer_size: int,
        overflow: Overflow,
        overflow_timeout_seconds: float,
    ) -> Subscriber:
        life = self._entered_here().life
        subscriber = Subscriber(kinds, max_buffer_size, overflow, overflow_timeout_seconds, life.log)
        life.inbox.subscribe(subscriber)
        return subscriber

    async def _next_utterance(self) -> Utterance:
        return await self._entered_consumer.next_utterance()

    @property
    def _entered_consumer(self) -> Consumer[AnyStreamEvent]:
        if self._consumer is None:
            entered = self._entered
            self._consumer = Consumer(entered, entered.life.inbox.buffer, self._position)
        return self._consumer
