"""The websocket under an SDK connection: the only place that touches a private attribute of the SDK.

The SDK has no public way to the close code (its CLOSE callback carries None), to the parameters of a connection that
somebody else made, to closing a connection that somebody else entered, or to dropping the socket of a peer that is
dead, for which leaving the SDK's context takes up to 20 s. Whatever is not there (a custom transport, a new version)
reads as "not known", and a drop that is not offered is a close that is not waited for.
"""

from __future__ import annotations

import contextlib
import inspect
import urllib.parse
from collections.abc import Callable
from typing import cast


def websocket_of(connection: object) -> object:
    """Give the websocket (or custom transport) of a connection; None when it cannot be found."""
    return getattr(connection, "_websocket", None)


def close_frame(connection: object) -> tuple[int | None, str]:
    """Give the close code and reason; (None, "") while the socket is open or where nobody can tell."""
    websocket = websocket_of(connection)
    code = getattr(websocket, "close_code", None)
    reason = getattr(websocket, "close_reason", None)
    if code is None:  # the server's close frame may be in while the TCP connection is not closed yet
        received = getattr(websocket, "close_rcvd", None)
        code, reason = getattr(received, "code", None), getattr(received, "reason", None)
    return (int(code) if isinstance(code, int) else None), (reason if isinstance(reason, str) else "")


def request_target(connection: object) -> tuple[str, dict[str, list[str]]]:
    """Give the path and the query of the connection's request; ("", {}) where nobody can tell."""
    websocket = websocket_of(connection)
    path = getattr(websocket, "path", None) or getattr(getattr(websocket, "request", None), "path", None)
    if not isinstance(path, str):
        return "", {}
    parts = urllib.parse.urlsplit(path)
    return parts.path, urllib.parse.parse_qs(parts.query)


def request_id(connection: object) -> str:
    """Give Deepgram's id of the stream out of the handshake's response; empty where nobody can tell."""
    websocket = websocket_of(connection)
    response = getattr(websocket, "response", None)
    headers = getattr(websocket, "response_headers", None) or getattr(response, "headers", None)
    return str(headers.get("dg-request-id") or "") if headers is not None else ""


async def close(connection: object) -> None:
    """Close the websocket by the closing handshake."""
    closing = getattr(websocket_of(connection), "close", None)
    if callable(closing):
        result = closing()
        if inspect.isawaitable(result):
            await result


def abort(connection: object) -> None:
    """Drop the websocket; harmless when it is closed."""
    transport = getattr(websocket_of(connection), "transport", None)
    drop = getattr(transport, "abort", None)
    if callable(drop):
        with contextlib.suppress(Exception):
            cast("Callable[[], object]", drop)()
