from __future__ import annotations

import dataclasses

import pytest
from websockets.exceptions import ConcurrencyError, ConnectionClosedError
from websockets.frames import Close

from deepgram_stream_iter._options import Endpoint
from deepgram_stream_iter._outcome import CloseInfo, connection_lost, is_clean


@pytest.mark.parametrize(
    ("code", "endpoint", "asked", "expected"),
    [
        (1000, "v1", True, True),
        (1000, "v1", False, True),
        (1000, "v2", False, True),
        (1005, "v2", True, True),
        (1005, "v2", False, False),
        (1005, "v1", True, False),
        (1001, "v1", True, False),
        (1006, "v2", True, False),
        (1011, "v1", True, False),
        (None, "v1", True, False),
    ],
)
def test_the_agreed_end(code: int | None, endpoint: Endpoint, asked: bool, expected: bool) -> None:  # noqa: FBT001
    """1000 is an agreed end, and for Flux so is the missing status that answers CloseStream; nothing else is."""
    assert is_clean(code, endpoint, asked=asked) is expected


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
    assert str(lost) == str(lost).strip()
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
