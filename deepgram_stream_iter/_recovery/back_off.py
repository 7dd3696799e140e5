"""When to try again, and when not to. Pure: the caller may bring the randomness."""

from __future__ import annotations

import random
from collections.abc import Callable

from deepgram_stream_iter._errors import ConnectError, ConnectionLost
from deepgram_stream_iter._settings import DAY_SECONDS, Reconnect, ReconnectAttempt


def _full_jitter(bound_seconds: float) -> float:
    return random.uniform(0, bound_seconds)  # noqa: S311  (it spreads clients out and guards nothing)


def _clear_tracebacks(error: BaseException) -> None:
    """Clear the tracebacks of an error and of all behind it, because they keep each lost connection in memory."""
    links, seen = [error], set[int]()
    while links:
        link = links.pop()
        if id(link) not in seen:
            seen.add(id(link))
            link.__traceback__ = None
            links += [further for further in (link.__cause__, link.__context__) if further is not None]


class BackOff:
    """Grants attempts, each after a longer delay, until all are used up; progress makes them all available again."""

    def __init__(self, reconnect: Reconnect, jitter: Callable[[float], float] = _full_jitter) -> None:
        self.reconnect, self._jitter = reconnect, jitter
        self._causes: list[Exception] = []

    @property
    def failures(self) -> int:
        """How many attempts have failed since the last progress."""
        return len(self._causes)

    def failed(self, cause: Exception) -> None:
        """Record that a connection, or the attempt to make one, has failed."""
        _clear_tracebacks(cause)
        self._causes.append(cause)

    def next(self) -> ReconnectAttempt | None:
        """Return the attempt that follows the last failure; None when all are used up."""
        cause, number = self._causes[-1], len(self._causes)
        if number > self.reconnect.max_attempts:
            return None
        # The exponent has a bound of its own, because a float overflows after a thousand attempts.
        growing = self.reconnect.initial_delay_seconds * 2.0 ** min(number - 1, 30)
        delay = self._jitter(min(self.reconnect.max_delay_seconds, growing))
        if isinstance(cause, ConnectError) and cause.retry_after_seconds is not None:
            # It is added, because else all clients would come back at the same moment.
            delay = min(delay + cause.retry_after_seconds, DAY_SECONDS)
        return ReconnectAttempt(number=number, cause=cause, delay=delay)

    def progress(self) -> None:
        """Record that the stream goes on, so that the attempts are counted anew."""
        self._causes.clear()

    def gave_up(self, why: str) -> ConnectionLost:
        """Return the error that ends the session, with the cause of every attempt."""
        last = self._causes[-1]
        lost = ConnectionLost(
            f"{last} ({why})",
            code=last.code if isinstance(last, ConnectionLost) else None,
            reason=last.reason if isinstance(last, (ConnectError, ConnectionLost)) else "",
            request_id=last.request_id if isinstance(last, (ConnectError, ConnectionLost)) else "",
            causes=tuple(self._causes),
        )
        lost.__cause__ = last
        return lost
