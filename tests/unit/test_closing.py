"""Which end a connection comes to, by what both sides said before."""

from __future__ import annotations

from test_connection import some_settings

from deepgram_stream_iter import Reconnect, StreamEvent
from deepgram_stream_iter._connection.closing import Closing
from deepgram_stream_iter._log import Log

FLUSHED = StreamEvent.Transcript(is_final=True, from_finalize=True)


def test_an_answer_to_a_finalize_of_the_applications() -> None:
    """It does not answer the one at the end: a server that restarts then has not said all."""
    closing = Closing(some_settings(reconnect=Reconnect()), Log("test"))
    closing.record(FLUSHED)
    closing.asked = True
    assert not closing.is_agreed(1000, "v1")
    closing.record(FLUSHED)
    assert closing.is_agreed(1000, "v1")


def test_a_failure_of_the_sdk_under_an_ordinary_close() -> None:
    """It may have cost words, so it is no clean end; that the socket is lost after Metadata has cost none."""
    closing = Closing(some_settings(), Log("test"))
    closing.asked = True
    assert closing.end((1000, ""), ValueError("no JSON"), "v1", "").error is not None
    closing.record(StreamEvent.Metadata())
    assert closing.end((1000, ""), ValueError("no JSON"), "v1", "").error is not None
    assert closing.end((1006, ""), ValueError("the socket"), "v1", "").drained
