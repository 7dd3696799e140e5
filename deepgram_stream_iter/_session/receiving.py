"""The receiving half of a session: its events, its utterances, its text.

Connection -> Inbox -> EventBuffer -> `__anext__` -> the application
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from deepgram_stream_iter._adapters._protocol import Connector
from deepgram_stream_iter._events.kinds import AnyStreamEvent
from deepgram_stream_iter._inbound.buffer import EndOfEvents
from deepgram_stream_iter._options import Settings
from deepgram_stream_iter._session.base import SessionBase
from deepgram_stream_iter._transcript import Utterance, UtteranceAssembler

if TYPE_CHECKING:
    from typing_extensions import Self


class Receiving(SessionBase):
    """An async iterator of events, and what follows the consumer's position."""

    def __init__(self, connector: Connector, settings: Settings) -> None:
        super().__init__(connector, settings)
        self._assembler = UtteranceAssembler()
        self._utterance: Utterance | None = None  # completed by the event handed out last
        self._completed: list[Utterance] = []  # by the end of the stream, and not handed out yet
        self._is_iterating = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyStreamEvent:
        """Hand out the next event. Cancelling loses none.

        :raises StopAsyncIteration: when the stream has ended as agreed.
        :raises DeepgramStreamError: when it has not; an exception of a source given to `feed()`, as itself.
        :raises RuntimeError: when another task is iterating, before the session is entered, and in another event loop.
        """
        life = self._entered_here()
        if self._is_iterating:
            raise RuntimeError("another task is iterating this session; one consumer at a time")
        self._is_iterating = True
        try:
            event = await life.inbox.buffer.get()
        except EndOfEvents:
            raise StopAsyncIteration from None
        except Exception as error:
            self._note(error, life)
            raise
        finally:
            self._is_iterating = False
        self._utterance = self._assembler.add(event)
        return event

    def utterances(self) -> AsyncIterator[Utterance]:
        """Iterate whole utterances (Nova, by channel) or turns (Flux) instead of events.

        Deepgram's rule: an utterance ends with `speech_final`, else with `UtteranceEnd`, else with the stream
        (`confirmed=False`). Ends, raises and is cancelled as iterating the session does, which it is. Words of finals are
        kept from the first call on: an utterance that was open then has its whole text, and the words since.
        """
        self._assembler.keeps_words = True
        return _Utterances(self._next_utterance)

    @property
    def accumulated_transcript(self) -> str:
        """The text of the utterance or turn that the consumer is at, by the events handed out so far.

        Complete when its `UtteranceEnd`, `speech_final` transcript or `EndOfTurn` is handed out; the first final text
        of the next utterance starts it anew. With several channels, that of the channel of the event handed out last.
        """
        return self._assembler.text

    @property
    def transcript(self) -> str:
        """All final text that has arrived, of all channels, handed out or not."""
        return self._life.inbox.ledger.transcript if self._life is not None else ""

    async def _next_utterance(self) -> Utterance:
        """Return the next utterance that an event, or the end of the stream, completes."""
        while not self._completed:
            try:
                await anext(self)
            except Exception as error:
                over = self._life.over if self._life is not None else None
                if isinstance(error, StopAsyncIteration) or (over is not None and error is over.error):
                    self._completed.extend(self._assembler.end())
                if not self._completed:
                    raise
                self._was_error_seen = False  # it comes out after these
            else:
                if self._utterance is not None:
                    self._completed.append(self._utterance)
        return self._completed.pop(0)


class _Utterances:
    """A class, since an async generator that is left by `break` would need a task of its own to be closed."""

    def __init__(self, advance: Callable[[], Awaitable[Utterance]]) -> None:
        self._advance = advance

    def __aiter__(self) -> _Utterances:
        return self

    async def __anext__(self) -> Utterance:
        return await self._advance()
