"""What an exception out of the SDK means: a refused handshake, an application's handler that raised, a lost socket."""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import Awaitable, Iterator, Mapping
from datetime import datetime, timezone
from types import TracebackType

from deepgram_stream_iter._errors import ConnectError, DeepgramStreamError
from deepgram_stream_iter._settings import DAY_SECONDS

EMITTERS = frozenset({"_emit", "_emit_async"})
"""The functions of the SDK that call handlers."""

_NETWORK_ERRORS = (OSError, asyncio.TimeoutError)
"""On Python 3.10 asyncio's TimeoutError is not the built-in one."""

_PYTHONS_OWN = frozenset({"builtins", "socket", "ssl"})
_TRANSIENT, _SERVER_ERRORS = frozenset({408, 429}), 500

_WRONG_HEADER = "the API key or authorization has a character that a header may not have, such as a newline"
_WRONG_HEADER_ERRORS = ("Header", "LocalProtocolError")
"""In the names of what websockets and requests, and httpx, raise about that."""

_HINTS = {
    400: "an option is wrong for this model or endpoint",
    401: "check the API key (DEEPGRAM_API_KEY) or whether the token has expired",
    402: "the project has no credit left",
    403: "this key may not use this model or feature",
    404: "there is no such model or endpoint",
    429: "too many connections at once for this project: try again later",
}


async def without_secrets(step: Awaitable[None]) -> None:
    """Await a step of connecting. What the SDK raises is not chained, because it may show the key.

    :raises Exception: a ConnectError, where the failure is known to be one; else the failure itself.
    """
    failure: Exception | None = None
    try:
        await step
    except Exception as error:  # noqa: BLE001  (it is raised below)
        failure = error if isinstance(error, DeepgramStreamError) else connect_error(error) or error
    if failure is not None:
        raise failure


def connect_error(failure: BaseException) -> ConnectError | None:
    """Return the ConnectError for what the SDK raised when connecting; None when it is something else.

    Only what is known to hold no secret is copied: up to SDK 7.0 the text of `ApiError` holds the API key.
    """
    status = _status_of(failure)
    # The headers of an ApiError are the request's; those of the answer are on websockets' error, which caused it.
    answer = failure.__context__
    if answer is None or not _is_of_websockets(answer) or _status_of(answer) != status:
        answer = failure
    headers = getattr(getattr(answer, "response", answer), "headers", None)
    reason, request_id = _header(headers, "dg-error"), _header(headers, "dg-request-id")
    if status is None:
        if not _is_of_the_network(failure):
            return None
        # A library that refuses to send a header quotes it, and that may be the one with the key.
        is_wrong_header = any(name in type(failure).__name__ for name in _WRONG_HEADER_ERRORS)
        detail = _WRONG_HEADER if is_wrong_header else str(failure) if _is_quotable(failure) else ""
        reason = f"{type(failure).__name__}: {detail}" if detail else type(failure).__name__
        return ConnectError(
            f"Could not connect to Deepgram: {reason}", reason=reason, is_transient=not is_wrong_header
        )
    parts = [f"Deepgram refused the connection: HTTP {status}", reason]
    if status in _HINTS:
        parts.append(f"({_HINTS[status]})")
    if request_id:
        parts.append(f"[request id {request_id}]")
    text = " ".join(part for part in parts if part)
    return ConnectError(
        text,
        status=status,
        reason=reason,
        request_id=request_id,
        retry_after_seconds=_seconds(_header(headers, "retry-after")),
        is_transient=_is_transient(status),
    )


def authorization_error(failure: Exception) -> ConnectError | None:
    """Return the ConnectError for what the function for the authorization raised; None when it is the application's own error.

    What the SDK raises is not the application's own, because the function may ask the SDK for a token; nor is what may
    succeed when it is tried again.
    """
    status = _status_of(failure)
    if status is None or type(failure).__module__.startswith("deepgram."):
        return connect_error(failure)
    if not _is_transient(status):
        return None
    headers = getattr(getattr(failure, "response", None), "headers", None)
    reason = f"the function that gives the authorization raised {type(failure).__name__}: HTTP {status}"
    return ConnectError(
        f"Could not connect to Deepgram: {reason}",
        status=status,
        reason=reason,
        retry_after_seconds=_seconds(_header(headers, "retry-after")),
        is_transient=True,
    )


def came_from_a_handler(failure: BaseException) -> bool:
    """Return whether an exception out of the SDK's listener was raised by a callback that the SDK called."""
    return any(name in EMITTERS for name in _functions(failure.__traceback__))


def _functions(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_name
        traceback = traceback.tb_next


def _status_of(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", getattr(response, "status_code", None))
    return status if isinstance(status, int) else None


def _is_transient(status: int) -> bool:
    return status in _TRANSIENT or status >= _SERVER_ERRORS


def _is_of_the_network(error: BaseException) -> bool:
    """Return whether it is about the network, on the way to Deepgram or, by httpx, to where a token is made."""
    names = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    is_of_a_file = getattr(error, "filename", None) is not None  # these are OSErrors as well
    is_network_error = isinstance(error, _NETWORK_ERRORS) and not is_of_a_file
    return is_network_error or _is_of_websockets(error) or "httpx.TransportError" in names


def _is_quotable(error: BaseException) -> bool:
    """Return whether the text is Python's own; that of another library may show a URL, and the URL a key."""
    return isinstance(error, OSError) and type(error).__module__ in _PYTHONS_OWN


def _is_of_websockets(error: BaseException) -> bool:
    return type(error).__module__.startswith("websockets.")


def _seconds(retry_after: str) -> float | None:
    """Return a `Retry-After` in seconds; it is a number of seconds or a date."""
    try:
        if retry_after[:1].isdecimal():
            seconds = float(retry_after)
        else:
            until = email.utils.parsedate_to_datetime(retry_after)
            seconds = (until - datetime.now(timezone.utc)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a time zone
        return None
    return min(max(0.0, seconds), DAY_SECONDS)


def _header(headers: Mapping[str, str] | None, name: str) -> str:
    try:
        return str((headers or {}).get(name) or "")
    except LookupError:  # websockets' headers do not choose between two of a name
        return ""
