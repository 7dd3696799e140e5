"""How long the end of the stream is waited for, once it was asked for."""

from __future__ import annotations

import math

import anyio

from deepgram_stream_iter._loop.clock import now


class Patience:
    """A scope without a deadline, until `begin`; from then on it bounds each wait, and all of them together."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self.scope = anyio.CancelScope()
        self._ends_at = math.inf
        self.is_cut_short = False
        """The end is not waited for, whatever time is left."""

    def begin(self, further_seconds: float, *, is_replay: bool) -> None:
        """Wait no longer than the time-out, and as many seconds more for what else has to be done."""
        self._ends_at = now() + self._timeout_seconds + further_seconds
        self.renew(is_replay=is_replay)

    def renew(self, *, is_replay: bool = False) -> None:
        """Wait anew: for a connection, or for the server. A replay may take all of the time there is."""
        if self._ends_at < math.inf:
            self.scope.deadline = (
                self._ends_at if is_replay else min(self._ends_at, now() + self._timeout_seconds)
            )

    def cut_short(self) -> None:
        """Wait no longer; when the time is up already, it stays a time-out."""
        if not self.scope.cancel_called:
            self.is_cut_short = True
            self.scope.cancel()
