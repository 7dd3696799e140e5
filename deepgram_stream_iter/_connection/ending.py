"""How a connection ended: the agreed end, or a loss and what to say of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from deepgram_stream_iter._errors import CallbackError, ConnectError, ConnectionLost
from deepgram_stream_iter._events.kinds import MetadataEvent
from deepgram_stream_iter._options import Endpoint

NORMAL, _NO_STATUS, _BROKEN = 1000, 1005, 1006
_FATAL_CODES = frozenset({1002, 1003, 1007, 1008})
"""Another connection would end with these too, because the protocol or the audio is wrong."""

_REASONS = {
    "DATA0000": "the audio could not be decoded: check `encoding`, `sample_rate` and `channels`",
    "NET0000": "Deepgram had nothing to transcribe in time",
    "NET0001": "neither audio nor KeepAlive reached Deepgram for 10 s",
}

Answer: TypeAlias = Literal["none", "finalize", "metadata"]
"""What Nova has said to the end: nothing; the answer to Finalize, so all words are there; or Metadata, its last message."""


@dataclass(frozen=True)
class End:
    """How a connection ended; the end of the last one is that of the session."""

    error: Exception | None = None
    by_server: bool = False
    drained: bool = False


@dataclass(frozen=True, kw_only=True)
class CloseInfo:
    """How a stream ended."""

    code: int | None
    """The WebSocket close code; 1006 when there was no close frame, None when nobody can tell."""
    reason: str
    initiator: Literal["client", "server"]
    """`server` when the server ended the stream without being asked, else `client`."""
    drained: bool
    """The server closed as agreed, or has sent its Metadata, so everything that it had to say has arrived.

    A server that closes of its own accord with 1000, or Flux without a status (1005), counts as one that was asked: nobody
    can see whether the application has sent CloseStream itself. With `reconnect` that is a loss.
    """
    metadata: MetadataEvent | None
    """Nova's last message; None when it did not come, and for Flux."""


def is_agreed(
    code: int | None, endpoint: Endpoint, *, asked: bool, answer: Answer = "none", reconnects: bool = False
) -> bool:
    """Return whether the end of a connection is the agreed end of the stream.

    :param code: the close code; None where the end came without one, as from a custom transport.
    :param asked: CloseStream was sent.
    """
    if answer == "metadata":
        return True
    if code is None and not asked:
        return False
    if code not in ({NORMAL, _NO_STATUS, None} if endpoint == "v2" else {NORMAL, None}):
        return False
    if not reconnects:
        # Flux answers CloseStream without a status, and nobody can see whether the application has sent one itself.
        return True
    # A server that restarts closes like this too, even while it is being asked: then Nova's last words are missing. Of
    # Flux nobody can tell.
    return asked and (endpoint != "v1" or answer == "finalize")


def is_retryable(error: Exception | None) -> bool:
    """Return whether a connection that ended with this error is worth making again."""
    if isinstance(error, ConnectionLost):
        return error.code not in _FATAL_CODES
    return isinstance(error, ConnectError) and error.is_transient


def is_failure(cause: Exception | None) -> bool:
    """Return whether the SDK reported more than that the socket was closed, which the close code tells too."""
    return cause is not None and not type(cause).__module__.startswith("websockets.")


def connection_lost(
    code: int | None, reason: str, cause: Exception | None, request_id: str
) -> ConnectionLost:
    """Return the error for any other end, made from the close frame and what the SDK reported."""
    sent = getattr(cause, "sent", None)  # where our side broke off, as over a message that is too big
    if code == _BROKEN and sent is not None:
        code, reason = int(sent.code), str(sent.reason)
    elif code == NORMAL and is_failure(cause):  # the SDK has closed after a failure of its own
        code, reason = None, ""
    if code is not None:
        hint = _hint(reason) if reason else str(cause or "") if code == _BROKEN or sent else ""
        parts = [f"the stream ended with close code {code}", reason, f"({hint})" if hint else ""]
        text = " ".join(part for part in parts if part)
    elif isinstance(cause, RuntimeError) and "recv" in str(cause):
        reason = text = (
            "start_listening() is running already on this connection; to observe it, use"
            " stream(connection, listen=False)"
        )
    elif cause is not None:
        reason = f"{type(cause).__name__}: {cause}"
        text = f"the SDK stopped listening: {reason}"
    else:
        reason = text = "the application stopped listening, or the connection ended without a close code"
    if request_id:
        text += f" [request id {request_id}]"
    lost = ConnectionLost(text, code=code, reason=reason, request_id=request_id)
    lost.__cause__ = cause
    return lost


def listener_cancelled(cause: BaseException) -> End:
    """Return the end of a connection whose listener was cancelled, and not by the session."""
    error = CallbackError(
        "the SDK's listener was cancelled: a handler of the application let a CancelledError out, or somebody has"
        " cancelled all tasks"
    )
    error.__cause__ = cause
    return End(error)


def never_ready(code: int | None, error: Exception | None, request_id: str) -> Exception:
    """Return the error of a connection that ended before audio could be sent."""
    if error is not None and not isinstance(error, ConnectionLost):
        return error
    reason = str(error or f"the server closed it with {code}")
    return ConnectError(
        f"Could not connect to Deepgram: the connection ended before it was ready: {reason}",
        reason=reason,
        request_id=request_id,
        is_transient=code not in _FATAL_CODES,
    )


def _hint(reason: str) -> str:
    """Return what a reason means; Deepgram sends the bare code, or a sentence with a link that ends in it."""
    code = reason.upper().replace("-", "")
    return next((hint for known, hint in _REASONS.items() if known in code), "")
