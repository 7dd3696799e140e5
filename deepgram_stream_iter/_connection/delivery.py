"""The way of a connection's events into an inbox, as soon as there is one."""

from __future__ import annotations

from deepgram_stream_iter._events.kinds import AnyStreamEvent
from deepgram_stream_iter._inbound.inbox import Inbox
from deepgram_stream_iter._loop.signal import Signal


class Delivery:
    """Keeps what comes before there is an inbox; pauses whoever brings events until there is one with room."""

    def __init__(self) -> None:
        self._inbox: Inbox | None = None
        self._early: list[AnyStreamEvent] = []
        self._released = Signal()  # there is an inbox, or there will be none
        self.is_paused = False
        """Somebody waits for room, and brings nothing meanwhile."""

    @property
    def is_consumer_due(self) -> bool:
        """Whether whoever brings events has to wait before bringing more."""
        return self._inbox is None or self._inbox.is_consumer_due

    def put(self, event: AnyStreamEvent) -> None:
        """Deliver an event, or keep it."""
        if self._inbox is None:
            self._early.append(event)
        else:
            self._inbox.put(event)

    def attach(self, inbox: Inbox) -> None:
        """Deliver what is kept, and all that comes from now on."""
        self._inbox = inbox
        self._released.set()
        for event in self._early:
            inbox.put(event)

    def close(self) -> None:
        """Let go of whoever waits for an inbox."""
        self._released.set()

    async def wait_for_room(self) -> None:
        """Wait until there is an inbox with room.

        :raises BufferOverflow: as `EventBuffer.wait_for_room` does.
        """
        self.is_paused = True
        try:
            if self._inbox is None:
                await self._released.wait()
            if self._inbox is not None:
                await self._inbox.buffer.wait_for_room()
        finally:
            self.is_paused = False
