from __future__ import annotations

import dataclasses

import pytest
from websockets.exceptions import ConcurrencyError, ConnectionClosedError
from websockets.frames import Close

from deepgram_stream_iter._connection.ending import (
    Answer,
    CloseInfo,
    connection_lost,
    is_agreed,
)
from deepgram_stream_iter._options import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = ("v1", "v2", "other")
ANSWERS: tuple[Answer, ...] = ("none", "finalize", "metadata")
CODES = (1000, 1001, 1002, 1005, 1006, 1008, 1011, 1012, 4000, None)
AGREED = {
    # (code, endpoint, asked, answer, reconnects); where Metadata has come, everything is agreed: see below
    *(
        (1000, endpoint, asked, answer, False)
        for endpoint in ENDPOINTS
        for asked in (True, False)
        for answer in ANSWERS
    ),
    *((1005, "v2", asked, answer, False) for asked in (True, False) for answer in ANSWERS),
    *((None, endpoint, True, answer, False) for endpoint in ENDPOINTS for answer in ANSWERS),
    *((code, "v1", True, "finalize", True) for code in (1000, None)),
    *((code, "v2", True, answer, True) for code in (1000, 1005, None) for answer in ANSWERS),
    *((code, "other", True, answer, True) for code in (1000, None) for answer in ANSWERS),
}


@pytest.mark.parametrize("reconnects", [True, False], ids=["reconnects", "once"])
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "unasked"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("code", CODES)
def test_the_agreed_end(
    code: int | None,
    endpoint: Endpoint,
    asked: bool,  # noqa: FBT001
    answer: Answer,
    reconnects: bool,  # noqa: FBT001
) -> None:
    """The whole table of what is the agreed end; all else is a loss."""
    expected = answer == "metadata" or (code, endpoint, asked, answer, reconnects) in AGREED
    assert is_agreed(code, endpoint, asked=asked, answer=answer, reconnects=reconnects) is expected


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (1008, "DATA-0000", "close code 1008 DATA-0000 (the audio could not be decoded"),
        (1011, "NET-0000", "close code 1011 NET-0000 (Deepgram had nothing to transcribe"),
        (1011, "NET-0001", "close code 1011 NET-0001 (neither audio nor KeepAlive"),
        (1011, "something new", "close code 1011 something new"),
        (1006, "", "close code 1006 (what the socket said)"),
    ],
)
def test_a_close_frame_is_explained(code: int, reason: str, text: str) -> None:
    """The error tells code and reason as they came, and what a known one means."""
    lost = connection_lost(code, reason, OSError("what the socket said"), "r-1")
    assert text in str(lost)
    assert str(lost).endswith(" [request id r-1]")
    assert (lost.code, lost.reason, lost.request_id) == (code, reason, "r-1")


def test_a_code_alone() -> None:
    """A close frame without a reason, of which nobody knows more, is told by its code and nothing else."""
    assert str(connection_lost(1005, "", None, "")) == "the stream ended with close code 1005"


def test_what_our_side_sent() -> None:
    """Where our side broke off, the error has the code and reason that it sent, and not a mere 1006."""
    lost = connection_lost(1006, "", ConnectionClosedError(None, Close(1009, "too big")), "")
    assert (lost.code, lost.reason) == (1009, "too big")
    assert "close code 1009 too big" in str(lost)


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        (
            "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001",
            "KeepAlive",
        ),
        (
            "Deepgram did not provide a response message within the timeout window. See https://dpgr.am/net0000",
            "nothing to transcribe",
        ),
    ],
)
def test_the_reasons_of_the_service_are_explained(reason: str, hint: str) -> None:
    """The reasons as issue trackers quote them (deepgram-python-sdk #319, deepgram-dotnet-sdk #133) are known too."""
    assert hint in str(connection_lost(1011, reason, None, ""))


def test_a_failure_after_which_the_sdk_has_closed() -> None:
    """The code of an ordinary close says nothing then: the failure does."""
    lost = connection_lost(1000, "bye", ValueError("no JSON"), "")
    assert (lost.code, lost.reason) == (None, "ValueError: no JSON")


def test_an_ordinary_close_that_was_not_agreed() -> None:
    """Without a failure it is told by its code, like any other."""
    lost = connection_lost(1000, "bye", None, "")
    assert (lost.code, lost.reason) == (1000, "bye")


CONCURRENT = ConcurrencyError(
    "cannot call recv while another coroutine is already waiting for the next message"
)


@pytest.mark.parametrize(
    ("cause", "text", "reason"),
    [
        (CONCURRENT, "stream(connection, listen=False)", "start_listening() is running already"),
        (RuntimeError("other"), "the SDK stopped listening: RuntimeError: other", "RuntimeError: other"),
        (ValueError("recv"), "the SDK stopped listening: ValueError: recv", "ValueError: recv"),
        (None, "the application stopped listening", "the application stopped listening, or"),
    ],
)
def test_an_end_without_a_close_frame(cause: Exception | None, text: str, reason: str) -> None:
    """With the socket still open the error tells what stopped the listener, which is its cause."""
    lost = connection_lost(None, "", cause, "")
    assert text in str(lost)
    assert lost.reason.startswith(reason)
    assert (lost.code, lost.__cause__) == (None, cause)


def test_how_a_stream_ended_is_a_value() -> None:
    """Two accounts of the same end are equal, and neither can be changed."""
    info = CloseInfo(code=1000, reason="", initiator="server", drained=True, metadata=None)
    assert dataclasses.replace(info) == info
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.code = 1006  # type: ignore[misc]
