"""Makes the connections of a session, one after another, and decides when to try again."""

from __future__ import annotations

from functools import partial

import anyio

from deepgram_stream_iter._adapters._protocol import Connector
from deepgram_stream_iter._connection.connection import Connection
from deepgram_stream_iter._connection.ending import is_retryable
from deepgram_stream_iter._errors import ConnectError, ConnectionLost
from deepgram_stream_iter._log import Log
from deepgram_stream_iter._loop.tasks import Tasks, call_either
from deepgram_stream_iter._recovery.back_off import BackOff
from deepgram_stream_iter._settings import DAY_SECONDS, ReconnectAttempt, Settings, check_number


class Dialer:
    """Connects, and again where that is allowed and worth it."""

    def __init__(self, connector: Connector, settings: Settings, log: Log) -> None:
        self._connector, self._settings, self._log = connector, settings, log
        self.back_off = BackOff(settings.reconnect) if settings.reconnect else None
        """None where the session does not reconnect."""

    async def connect(self, beside: Tasks, closing: Tasks) -> Connection:
        """Make a connection; return it when audio may be sent.

        :raises Exception: when that does not come within `connect_timeout_seconds`.
        """
        with anyio.move_on_after(self._settings.connect_timeout_seconds):
            connection = Connection(await beside.call(self._connector), self._settings, self._log)
            await connection.open(beside, closing)
            return connection
        reason = f"no answer within {self._settings.connect_timeout_seconds} s (connect_timeout_seconds)"
        raise ConnectError(f"Could not connect to Deepgram: {reason}", reason=reason, is_transient=True)

    async def next_attempt(self, failure: Exception | None, beside: Tasks) -> ReconnectAttempt | None:
        """Return the attempt that follows on a failure; None where none does.

        :raises Exception: when the attempts are used up, with the causes of all; and what `on_attempt` raises.
        """
        if self.back_off is None or failure is None or not is_retryable(failure):
            return None
        self.back_off.failed(failure)
        attempt = self.back_off.next()
        if attempt is None:
            raise self.gave_up(f"gave up after {self.back_off.reconnect.max_attempts} attempts: max_attempts")
        if self.back_off.reconnect.on_attempt is not None:
            await beside.call(partial(call_either, self.back_off.reconnect.on_attempt, attempt))
            check_number("the delay of an attempt", attempt.delay, least=0, most=DAY_SECONDS)
        if attempt.is_stopped:
            raise self.gave_up("on_attempt stopped it")
        return attempt

    def gave_up(self, why: str) -> Exception:
        """Return the error that ends the session: the last failure itself, where there never was a connection."""
        assert self.back_off is not None  # noqa: S101  (there was an attempt)
        lost = self.back_off.gave_up(why)
        was_connected = any(isinstance(cause, ConnectionLost) for cause in lost.causes)
        return lost if was_connected else lost.causes[-1]
