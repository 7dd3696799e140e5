"""Who takes the events out of a buffer: the session itself, and each of its subscriptions.

the buffer -> `next` -> the application; `position` follows what was handed out
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar, cast

from deepgram_stream_iter._events.kinds import AnyStreamEvent
from deepgram_stream_iter._inbound.buffer import EndOfEvents, EventBuffer
from deepgram_stream_iter._session.entered import Entered
from deepgram_stream_iter._transcript import Utterance, UtteranceAssembler

E = TypeVar("E")


class Position:
    """Where a consumer is: the utterance or turn of the event that was handed out last. Pure."""

    def __init__(self) -> None:
        self.assembler = UtteranceAssembler()
        self.completed: Utterance | None = None
        """By the event handed out last."""
        self._waiting: list[Utterance] = []  # completed by the end of the stream, and not handed out yet

    def advance(self, event: AnyStreamEvent) -> None:
        """Record that an event is handed out."""
        self.completed = self.assembler.add(event)

    def end(self) -> Utterance | None:
        """Record the end of the stream; return what it cuts off, one utterance a call."""
        self._waiting += self.assembler.end()
        return self._waiting.pop(0) if self._waiting else None


class Consumer(Generic[E]):
    """Takes the events out of one buffer, for one task at a time."""

    def __init__(self, entered: Entered, buffer: EventBuffer, position: Position) -> None:
        self._entered, self._buffer, self._position = entered, buffer, position
        self._is_taking = False

    async def next(self) -> E:
        """Return the next event; see `StreamSession.__anext__`."""
        try:
            event = await self._wait_for_event()
        except Exception as error:
            self._entered.note(error)
            raise
        self._position.advance(event)
        return cast("E", event)  # of the kinds that were asked for

    async def take_all(self, into: deque[E]) -> None:
        """Wait for an event, and move all that wait into a queue, whose owner follows the position.

        Cancelling loses none: they are moved in one step, and not returned.
        """
        first = await self._wait_for_event()
        into.extend(cast("list[E]", [first, *self._buffer.take_waiting()]))

    async def next_utterance(self) -> Utterance:
        """Return the next utterance that an event, or the end of the stream, completes."""
        while True:
            try:
                self._position.advance(await self._wait_for_event())
                utterance = self._position.completed
            except Exception as error:
                utterance = self._end(error)
                if utterance is None:
                    self._entered.note(error)
                    raise
            if utterance is not None:
                return utterance

    async def _wait_for_event(self) -> AnyStreamEvent:
        self._entered.check_loop()
        if self._is_taking:
            raise RuntimeError("another task is iterating this already: subscribe() for one consumer more")
        self._is_taking = True
        try:
            return await self._buffer.get()
        except EndOfEvents:
            raise StopAsyncIteration from None
        finally:
            self._is_taking = False

    def _end(self, error: Exception) -> Utterance | None:
        """Return an utterance that the end of the stream cuts off; None where there is none, or the error is no end."""
        is_end = isinstance(error, StopAsyncIteration) or error is self._buffer.error
        return self._position.end() if is_end else None


class Utterances:
    """A class, since an async generator that is left by `break` would need a task of its own to be closed."""

    def __init__(self, advance: Callable[[], Awaitable[Utterance]]) -> None:
        self._advance = advance

    def __aiter__(self) -> AsyncIterator[Utterance]:
        return self

    async def __anext__(self) -> Utterance:
        return await self._advance()
