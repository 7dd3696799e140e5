"""Every error that this package raises of its own.

::

    DeepgramStreamError
    ├── ConnectError         the connection was refused or could not be made (also a ConnectionError)
    ├── ConnectionLost       the stream ended otherwise than by its agreed end (also a ConnectionError)
    │   └── StalledError     audio went out, and the server said nothing for `stall_timeout_seconds`
    ├── ServerError          Deepgram ended the stream with a fatal `Error` message (Flux)
    ├── ConfigureError       Deepgram refused a `Configure`, or did not answer it
    ├── BufferOverflow       the consumer was too slow for the buffer it had
    ├── SessionClosed        the session has ended, or has been told to
    └── CallbackError        a handler of the application raised, and the SDK stopped listening

Wrong arguments are plain `TypeError`, `ValueError` and `RuntimeError`, as everywhere in Python. What the
application itself raises (in the body of its `async with`, in the source it feeds) comes out as itself.
No text here ever holds an API key or a token: the SDK's errors about connecting, which may, are not chained.
"""

from __future__ import annotations


class DeepgramStreamError(Exception):
    """The base of every error of this package."""


class ConnectError(DeepgramStreamError, ConnectionError):
    """The connection was refused or could not be made."""

    status: int | None
    """The HTTP status of the refused handshake; None when it did not come to an answer."""
    reason: str
    """Deepgram's `dg-error` header, or what went wrong on the way there."""
    request_id: str
    """Deepgram's `dg-request-id` header, which its support asks for; may be empty."""
    retry_after_seconds: float | None
    """The `Retry-After` header: how long Deepgram wants to be left alone."""
    is_transient: bool
    """Another try may succeed: HTTP 408, 429 and 5xx, time-outs, and what the network does."""

    def __init__(  # noqa: PLR0913  (each is a fact of its own)
        self,
        message: str,
        *,
        status: int | None = None,
        reason: str = "",
        request_id: str = "",
        retry_after_seconds: float | None = None,
        is_transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.reason, self.request_id = status, reason, request_id
        self.retry_after_seconds, self.is_transient = retry_after_seconds, is_transient


class ConnectionLost(DeepgramStreamError, ConnectionError):
    """The stream ended otherwise than by its agreed end; what had arrived has been handed out."""

    code: int | None
    """The WebSocket close code; 1006 when the connection broke, None when the socket was still open."""
    reason: str
    """The reason in the close frame (such as `NET-0001`), or what went wrong on our side."""
    request_id: str
    """Deepgram's id of the stream, which its support asks for; may be empty."""
    causes: tuple[Exception, ...]
    """Where `reconnect` gave up: the loss, and why each attempt after it failed; else empty."""

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        reason: str = "",
        request_id: str = "",
        causes: tuple[Exception, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.request_id, self.causes = code, reason, request_id, causes


class StalledError(ConnectionLost):
    """Audio went out, and the server said nothing for `stall_timeout_seconds`."""


class ServerError(DeepgramStreamError):
    """Deepgram ended the stream with a fatal `Error` message (Flux)."""

    code: str
    description: str

    def __init__(self, message: str, *, code: str = "", description: str = "") -> None:
        super().__init__(message)
        self.code, self.description = code, description


class ConfigureError(DeepgramStreamError):
    """Deepgram refused a `Configure`, or did not answer it in time; the old settings hold."""

    code: str
    """Deepgram's code, such as `CONFIGURE_KEYTERMS_NOT_SUPPORTED`; empty when there was no answer."""
    description: str

    def __init__(self, message: str, *, code: str = "", description: str = "") -> None:
        super().__init__(message)
        self.code, self.description = code, description


class BufferOverflow(DeepgramStreamError):
    """The consumer was too slow for the buffer it had; what was in the buffer has been handed out."""


class SessionClosed(DeepgramStreamError):
    """The session has ended, or `finish()` was called and no more audio is taken."""


class CallbackError(DeepgramStreamError):
    """A handler of the application raised and the SDK stopped listening; `__cause__` is its exception."""
