"""A consumer beside the session's own: its kinds of events, its buffer, and its end when it is too slow."""

from __future__ import annotations

import math
from typing import cast

from deepgram_stream_iter._errors import BufferOverflow
from deepgram_stream_iter._events.kinds import AnyStreamEvent, StreamEvent
from deepgram_stream_iter._inbound.buffer import EventBuffer
from deepgram_stream_iter._log import Log
from deepgram_stream_iter._loop.clock import now
from deepgram_stream_iter._settings import Overflow, check_buffer, check_number


class Subscriber:
    """Gets the events of its kinds. It never pauses the SDK, because a slow one must delay nobody."""

    def __init__(
        self,
        kinds: tuple[type[StreamEvent], ...],
        max_buffer_size: int,
        overflow: Overflow,
        overflow_timeout_seconds: float,
        log: Log,
    ) -> None:
        """Raise TypeError for what is no kind, ValueError for a setting out of its range."""
        for kind in cast("tuple[object, ...]", kinds):
            if not (isinstance(kind, type) and issubclass(kind, StreamEvent)):
                raise TypeError(
                    f"subscribe() takes kinds of events, such as StreamEvent.UtteranceEnd, not {kind!r}"
                )
        check_buffer(max_buffer_size, overflow)
        check_number("overflow_timeout_seconds", overflow_timeout_seconds)
        self._log, self.kinds = log, kinds
        """The kinds it gets; empty for all."""
        self.buffer = EventBuffer(
            max_buffer_size, overflow, overflow_timeout_seconds, log, whose="a subscription's"
        )
        self.buffer.stop_pausing()
        self._max_size: float = max_buffer_size
        self._overflow, self._timeout_seconds = overflow, overflow_timeout_seconds
        self._overflows_at = math.inf  # if the buffer stays past its bound

    def offer(self, event: AnyStreamEvent) -> None:
        """Keep an event of its kinds; end when that was too much. Never raises and never waits."""
        if self.buffer.is_closed or (self.kinds and not isinstance(event, self.kinds)):
            return
        if self._overflows_at < math.inf and self.buffer.size <= self._max_size:
            self._overflows_at = math.inf  # somebody has taken some since
        self.buffer.put(event)
        if self.buffer.size <= self._max_size:
            return
        if self._overflow == "error":
            self._end(f"the buffer of {self._max_size} events was full and overflow is 'error'")
        elif self._overflows_at == math.inf:
            self._overflows_at = now() + self._timeout_seconds
        elif now() >= self._overflows_at:
            self._end(
                f"the buffer of {self._max_size} events was full for {self._timeout_seconds} s"
                " (overflow_timeout_seconds)"
            )

    def unbound(self) -> None:
        """Keep everything from now on, whatever the policy."""
        self._max_size = math.inf
        self.buffer.unbound()

    def _end(self, what: str) -> None:
        self._log.warning("a subscription was too slow and has ended: %s", what)
        self.buffer.close(
            BufferOverflow(
                f"{what}. The subscription was too slow and has ended, the stream goes on: give subscribe() a larger"
                " max_buffer_size, or another overflow."
            )
        )
