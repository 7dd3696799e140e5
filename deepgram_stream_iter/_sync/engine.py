"""The async session as a sync one runs it: in the loop of another thread, with one consumer there that takes all that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepgram_stream_iter._audio import AudioSource, Pacer
from deepgram_stream_iter._errors import DeepgramStreamError, SessionClosed
from deepgram_stream_iter._events.kinds import AnyStreamEvent
from deepgram_stream_iter._life.life import Life, Over
from deepgram_stream_iter._life.sources import OnError
from deepgram_stream_iter._session.feed import Feed
from deepgram_stream_iter._session.session import StreamSession
from deepgram_stream_iter._sync.consumer import CrossingConsumer

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from deepgram_stream_iter._sync.entered import Entered

NOT_ENTERED = "the session has not been entered: use `with stream(...) as session`"


class Engine(StreamSession):
    """What a sync session needs of the async one beyond its public methods."""

    @classmethod
    def of(cls, session: StreamSession) -> Engine:
        """Return an engine with the settings of a session that was not entered."""
        return cls(session._connector, session._settings)  # noqa: SLF001  (of its own base class)

    def _entered(self) -> Life:
        if self._life is None:
            raise RuntimeError(NOT_ENTERED)
        return self._life

    # From any thread

    def consumer(self, entered: Entered) -> CrossingConsumer[AnyStreamEvent]:
        """Return the consumer of the session's events in another thread."""
        life = self._entered()
        return CrossingConsumer(
            entered, life, life.inbox.buffer, self._position, self._settings.max_buffer_size
        )

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

    # In the loop

    async def close_at_once(self) -> None:
        """Close without waiting for what is still to come, where there is something open."""
        if self._life is not None:
            await self._leave(is_orderly=False)

    async def pacer(self, pace: float | None) -> Pacer | None:
        """Return what spaces out the pieces of a source, for `send_piece`; raises as `send()` does."""
        life = self._entered_here()
        with life.noting_errors():
            life.outbox.check_open()
            return self._sender.pacer(pace)

    async def send_piece(self, piece: Buffer, pacer: Pacer | None) -> None:
        """Send a piece of a source; raises as `send()` does."""
        life = self._entered_here()
        with life.noting_errors():
            life.outbox.check_open()
            await self._sender.send_all([piece], pacer)

    async def start_feed(
        self, source: AudioSource, *, pace: float | None, finish: bool, on_error: OnError
    ) -> Feed:
        """Feed, see `feed()`."""
        return self.feed(source, pace=pace, finish=finish, on_error=on_error)
