"""What is counted over all connections of a session."""

from __future__ import annotations

from deepgram_stream_iter._connection.connection import Connection
from deepgram_stream_iter._inbound.ledger import Ledger


class Tally:
    """Counts the connections, and what was done on them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._connection: Connection | None = None  # the last one
        self._keepalives_before = 0  # on the connections before that one
        self._request_ids_before: tuple[str, ...] = ()
        self.connects = 0
        self.connect_seconds = 0.0
        """How long it took to make the last connection."""

    @property
    def keepalives_sent(self) -> int:
        """The KeepAlives that were sent."""
        return self._keepalives_before + (self._connection.keepalives_sent if self._connection else 0)

    @property
    def request_ids(self) -> tuple[str, ...]:
        """Deepgram's ids of the stream, one a connection; those that nobody knows are missing."""
        before = self._request_ids_before
        if self._connection is None:
            return before
        last = (
            self._connection.request_id or self._ledger.request_id
        )  # Flux says it in its first message, too
        return before if last in ("", *before[-1:]) else (*before, last)

    def connected(self, connection: Connection, connect_seconds: float) -> None:
        """Record a connection."""
        self._keepalives_before, self._request_ids_before = self.keepalives_sent, self.request_ids
        self._connection, self.connect_seconds = connection, connect_seconds
        self.connects += 1
