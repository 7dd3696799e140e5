"""The async session as a sync one runs it: in the loop of another thread, with consumers there that take all that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepgram_stream_iter._audio.sources import AudioSource, is_plain_iterable
from deepgram_stream_iter._errors import DeepgramStreamError, SessionClosed
from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent
from deepgram_stream_iter._life.life import Over
from deepgram_stream_iter._life.sources import OnError
from deepgram_stream_iter._session.entered import Entered
from deepgram_stream_iter._session.feed import Feed
from deepgram_stream_iter._session.session import StreamSession
from deepgram_stream_iter._settings import Overflow
from deepgram_stream_iter._sync.consumer import CrossingConsumer, CrossingSubscription
from deepgram_stream_iter._sync.handlers import is_handler_of

if TYPE_CHECKING:
    from deepgram_stream_iter._sync.running import Running

NOT_ENTERED = "the session has not been entered: use `with stream(...) as session`"


class Engine(StreamSession):
    """What a sync session needs of the async one beyond its public methods."""

    _not_entered = NOT_ENTERED

    @classmethod
    def of(cls, session: StreamSession) -> Engine:
        """Return an engine with the settings of a session that was not entered."""
        return cls(session._connector, session._settings)  # noqa: SLF001  (of its own base class)

    # From any thread

    def consumer(self, running: Running) -> CrossingConsumer[AnyStreamEvent] | None:
        """Return the consumer of the session's events in another thread; None where the entering was not begun."""
        entered = self._entered_as
        if entered is None:
            return None
        return CrossingConsumer(running, entered, entered.life.inbox.buffer, self._position)

    def is_called_by_the_sdk(self) -> bool:
        """Return whether the caller is in a handler of the session's connection."""
        connection = self._life.connection if self._life is not None else None
        return connection is not None and is_handler_of(connection.adapter.connection)

    def ended(self) -> Exception:
        """Return why nothing can be asked of the session any more."""
        if self._life is not None:
            try:
                self._life.outbox.check_open()
            except DeepgramStreamError as error:
                return error
        return SessionClosed("the session was left, or belongs to the process that this one was forked from")

    def over(self) -> Over:
        """Return how a session ended that was left.

        :raises SessionClosed: where it has not.
        """
        if self._life is None or self._life.over is None:
            raise self.ended()
        return self._life.over

    def subscribe_to_the_end(
        self,
        kinds: tuple[type[StreamEvent], ...],
        max_buffer_size: int,
        overflow: Overflow,
        overflow_timeout_seconds: float,
    ) -> CrossingSubscription:
        """Return a subscription to a session that was left, which comes to its end at once.

        :raises SessionClosed: where it has not ended.
        """
        self.over()
        subscriber = self._new_subscriber(kinds, max_buffer_size, overflow, overflow_timeout_seconds)
        return CrossingSubscription(self._entered, subscriber)

    def _entered_here(self) -> Entered:
        # Once it has ended, nothing of it runs in the loop, which may be gone.
        return self._entered if self.close_info is not None else super()._entered_here()

    # In the loop

    async def close_at_once(self) -> None:
        """Close without waiting for what is still to come, where there is something open."""
        if self._life is not None:
            await self._leave(is_orderly=False)

    async def start_feed(
        self, source: AudioSource, *, pace: float | None, finish: bool, on_error: OnError
    ) -> Feed:
        """Feed, see `feed()`; a plain iterable may block."""
        in_thread = is_plain_iterable(source)
        return self.feed(source, pace=pace, finish=finish, in_thread=in_thread, on_error=on_error)

    async def start_subscription(
        self,
        kinds: tuple[type[StreamEvent], ...],
        max_buffer_size: int,
        overflow: Overflow,
        overflow_timeout_seconds: float,
    ) -> CrossingSubscription:
        """Subscribe, see `subscribe()`."""
        subscriber = self._new_subscriber(kinds, max_buffer_size, overflow, overflow_timeout_seconds)
        return CrossingSubscription(self._entered, subscriber)
