from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable
from typing import NoReturn

import httpx
import pytest
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventEmitterMixin, EventType
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.http11 import Response
from websockets.legacy.exceptions import InvalidStatusCode

from deepgram_stream_iter._adapters.failures import (
    authorization_error,
    came_from_a_handler,
    connect_error,
)
from deepgram_stream_iter._errors import ConnectError

ANSWER = {"dg-error": "Bad key.", "DG-Request-ID": "r-1"}


def raised_within(failure: BaseException, handled: BaseException) -> BaseException:
    """Raise the first while the second is being handled, as `except ...: raise failure` does."""
    try:
        try:
            raise handled
        except type(handled):
            raise failure  # noqa: B904  (the context is the point)
    except BaseException as error:  # noqa: BLE001  (it is what was given)
        return error


def refused(status: int, headers: dict[str, str]) -> BaseException:
    """Refuse a handshake as the SDK does, and let the error tell the key, as it did up to SDK 7.0."""
    error = ApiError(status_code=status, body="Token secret-key was refused")
    error.headers = {"Authorization": "Token secret-key"}
    return raised_within(error, InvalidStatusCode(status, Headers(headers)))


def told(failure: BaseException) -> ConnectError:
    """Give what is made of a failure to connect."""
    error = connect_error(failure)
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (400, "an option is wrong"),
        (401, "DEEPGRAM_API_KEY"),
        (402, "credit"),
        (403, "may not use"),
        (404, "no such model"),
        (429, "too many connections"),
        (500, ""),
        (503, ""),
        (418, ""),
    ],
)
@pytest.mark.parametrize("headers", [ANSWER, {"dg-error": "Bad key."}, {}], ids=["whole", "reason", "bare"])
def test_a_refused_handshake(status: int, hint: str, headers: dict[str, str]) -> None:
    """The error has the status, and reason and request id of the response; nowhere has it the key."""
    error = told(refused(status, headers))
    reason, request_id = headers.get("dg-error", ""), headers.get("DG-Request-ID", "")
    assert (error.status, error.reason, error.request_id) == (status, reason, request_id)
    assert str(error).startswith(
        " ".join(filter(None, ["Deepgram refused the connection: HTTP", str(status), reason]))
    )
    assert all(part in str(error) for part in (hint, request_id))
    assert "  " not in str(error)
    assert "secret-key" not in f"{error!s} {error!r} {error.args} {vars(error)}"
    assert error.__cause__ is error.__context__ is None


@pytest.mark.parametrize(
    "failure",
    [
        InvalidStatus(Response(401, "Unauthorized", Headers(ANSWER))),
        InvalidStatusCode(401, Headers(ANSWER)),
        ApiError(status_code=401, headers=ANSWER),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_other_forms_of_a_refusal(failure: Exception) -> None:
    """A refusal is read off websockets' own errors too, of either generation, and off an error on its own."""
    error = told(failure)
    assert (error.status, error.reason) == (401, "Bad key.")


def test_the_sdks_own_status_counts() -> None:
    """Where the SDK's error and the one it comes from disagree, the SDK's status is told."""
    assert told(raised_within(ApiError(status_code=402), InvalidStatusCode(500, Headers()))).status == 402


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ConnectionRefusedError(111, "refused"), "ConnectionRefusedError: [Errno 111] refused"),
        (OSError("no route"), "OSError: no route"),
        (ssl.SSLError("certificate"), "SSLError: ('certificate',)"),
        (TimeoutError(), "TimeoutError"),
        (InvalidHandshake("no upgrade"), "InvalidHandshake"),
        (InvalidURI("x://", "scheme isn't ws or wss"), "InvalidURI"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_answer(failure: Exception, reason: str) -> None:
    """What went wrong on the way is named with its kind; there is no status."""
    error = told(failure)
    assert error.reason.startswith(reason)
    assert str(error) == f"Could not connect to Deepgram: {error.reason}"
    assert (error.status, error.request_id) == (None, "")


class InvalidHeader(OSError, ValueError):
    """What `requests` raises, whose errors are all OSErrors."""


@pytest.mark.parametrize(
    "failure",
    [
        httpx.LocalProtocolError("Illegal header value b'Token secret-key\\n'"),
        InvalidHeader("Invalid return character(s) in header value: 'Token secret-key\\n'"),
    ],
    ids=["httpx", "requests"],
)
def test_a_key_that_no_header_can_hold(failure: Exception) -> None:
    """Where a token is asked for with such a key, that is said without the key, and nothing to be tried again."""
    error = told(failure)
    assert "the API key or authorization has a character that a header may not have" in error.reason
    assert not error.is_transient
    assert "secret-key" not in f"{error!s} {error!r} {error.args} {vars(error)}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("9" * 400, 86_400.0),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 86_400.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("Fri, 31 Dec 1999 23:59:59", None),
        ("1 minute", None),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Seconds or a date, up to a day: nobody waits for longer; what is neither says nothing."""
    error = told(InvalidStatusCode(429, Headers([("Retry-After", text)])))
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES])
def test_files(number: int) -> None:
    """A file that is not there is not the network, though it is an OSError as well; a firewall is."""
    of_a_file, of_a_socket = OSError(number, "no", "token.txt"), OSError(number, "no")
    assert connect_error(of_a_file) is None
    assert authorization_error(of_a_file) is None
    assert told(of_a_socket).is_transient


def test_an_error_of_another_library() -> None:
    """What it says may hold a URL with a key in it: that is not repeated."""

    class ForeignError(OSError):
        """As `requests` has one."""

    failure = ForeignError("retries exceeded with url: /token?api_key=s3cret")
    error = authorization_error(failure)
    assert error is not None
    assert error.is_transient
    assert "s3cret" not in f"{error!s} {error!r} {error.args} {vars(error)}"


@pytest.mark.parametrize(
    ("status", "headers", "retry_after_seconds"), [(503, {}, None), (429, {"retry-after": "7"}, 7.0)]
)
def test_a_token_server_that_is_busy(
    status: int, headers: dict[str, str], retry_after_seconds: float | None
) -> None:
    """It is not Deepgram that refuses, and worth another try."""
    response = httpx.Response(status, headers=headers, request=httpx.Request("GET", "http://tokens"))
    error = authorization_error(httpx.HTTPStatusError("s3cret", request=response.request, response=response))
    assert error is not None
    assert str(error) == (
        "Could not connect to Deepgram: the function that gives the authorization raised HTTPStatusError:"
        f" HTTP {status}"
    )
    assert (error.is_transient, error.retry_after_seconds) == (True, retry_after_seconds)


def test_a_token_server_that_refuses() -> None:
    """That is the application's own."""
    response = httpx.Response(403, request=httpx.Request("GET", "http://tokens"))
    assert authorization_error(httpx.HTTPStatusError("", request=response.request, response=response)) is None


@pytest.mark.parametrize(
    "failure", [ValueError("wrong"), KeyboardInterrupt(), asyncio.CancelledError(), RuntimeError()], ids=repr
)
def test_something_else(failure: BaseException) -> None:
    """What is not about the connection is nobody's ConnectError, and stays what it is."""
    assert connect_error(failure) is None


@pytest.mark.parametrize(
    ("failure", "expected"), [(OSError("no route"), "no route"), (ValueError("wrong"), "None")], ids=repr
)
def test_what_was_handled_before(failure: Exception, expected: str) -> None:
    """A retry inside `except` is not taken for the failure that it comes after."""
    before = refused(429, ANSWER)
    assert expected in str(connect_error(raised_within(failure, before)))


def test_a_header_that_comes_twice() -> None:
    """A proxy that doubles a header does not hide the refusal."""
    twice = Headers([("dg-error", "one"), ("dg-error", "two")])
    assert told(InvalidStatusCode(400, twice)).status == 400


def fail(message: object) -> NoReturn:
    """Raise, as a handler of an application does."""
    raise ValueError(message)


async def fail_later(message: object) -> None:
    """Raise, as a handler that is a coroutine function does."""
    fail(message)


async def emitted(handler: Callable[[object], object], *, is_async: bool) -> Exception:
    """Have the SDK's own emitter call a handler that raises; give what comes out of it."""
    emitter = EventEmitterMixin()
    emitter.on(EventType.MESSAGE, handler)
    with pytest.raises(ValueError, match="text") as caught:
        if is_async:
            await emitter._emit_async(EventType.MESSAGE, "text")
        else:
            emitter._emit(EventType.MESSAGE, "text")
    return caught.value


@pytest.mark.parametrize(("handler", "is_async"), [(fail, False), (fail, True), (fail_later, True)])
async def test_a_handler_that_raises(handler: Callable[[object], object], is_async: bool) -> None:  # noqa: FBT001
    """An exception of a handler is known by the SDK's emitter, sync or async, in its traceback."""
    assert came_from_a_handler(await emitted(handler, is_async=is_async))


@pytest.mark.parametrize("failure", [ValueError(), raised_within(OSError(), ValueError())], ids=repr)
def test_an_exception_of_the_socket(failure: BaseException) -> None:
    """What was raised elsewhere, or never, did not come from a handler."""
    assert not came_from_a_handler(failure)
