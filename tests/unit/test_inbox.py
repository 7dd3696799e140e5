"""What every event passes on its way in."""

from __future__ import annotations

import pytest

from deepgram_stream_iter import StreamEvent
from deepgram_stream_iter._events.kinds import AnyStreamEvent
from deepgram_stream_iter._inbound.buffer import EndOfEvents, EventBuffer
from deepgram_stream_iter._inbound.inbox import Inbox
from deepgram_stream_iter._log import Log


async def test_what_the_end_adds_pushes_nothing_out() -> None:
    """The audio that was lost, or the end of a turn, goes into a full buffer on top of what is there."""
    events: list[AnyStreamEvent] = [StreamEvent.StartOfTurn(transcript="hey"), StreamEvent.TurnUpdate()]
    gap = StreamEvent.AudioGap(start=0.0, end=1.0)
    inbox = Inbox(EventBuffer(2, "drop_oldest", 1, Log("test")), Log("test"))
    for event in events:
        inbox.put(event)
    inbox.close(None, lost=gap)
    assert [await inbox.buffer.get() for _ in range(3)] == [*events, gap]
    assert isinstance(await inbox.buffer.get(), StreamEvent.EndOfTurn)
    with pytest.raises(EndOfEvents):
        await inbox.buffer.get()
