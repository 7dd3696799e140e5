"""What happens in the buffers of a session, counted over all of them. Pure."""

from __future__ import annotations

from deepgram_stream_iter._inbound.waits import Waits


class Counts:
    """What the buffers that share it have counted."""

    def __init__(self) -> None:
        self.waits = Waits()
        self.interims_coalesced = self.dropped = 0
        self.size_max = 0
        """The most events that one of them has had."""
