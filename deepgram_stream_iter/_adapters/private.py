"""The only place that touches private attributes of the SDK: the websocket under a connection, and one setting.

The SDK has no public way to the close code (its CLOSE callback carries none), to the parameters of a connection that
somebody else made, to closing a connection that somebody else entered, or to dropping the socket of a peer that is
dead, for which leaving the SDK's context takes up to 20 s. Whatever is not there (a custom transport, a new version)
reads as "not known", and a drop that is not offered is a close that is not waited for.

The websocket is one of three classes of `websockets`: its legacy client (SDK 5 to 7, async), its asyncio client (SDK 3
and 4, async), and its threaded client (all, sync).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.parse
from typing import Any


def websocket_of(connection: object) -> object:
    """Give the websocket (or custom transport) of a connection; None when it has none, or it cannot be found."""
    return getattr(connection, "_websocket", None) or getattr(connection, "_socket", None)


def sends_keepalives(connection: object) -> bool:
    """Tell whether the SDK sends KeepAlives itself, as SDK 3 and 4 do when the client was told to."""
    enabled = getattr(getattr(connection, "_config", None), "is_keep_alive_enabled", None)
    return bool(enabled()) if callable(enabled) else False


def listener_is_dead(connection: object) -> bool:
    """Tell whether the listener thread of SDK 3 and 4 has ended: a handler can kill it before it tells anybody."""
    thread = getattr(connection, "_listen_thread", None)
    return isinstance(thread, threading.Thread) and not thread.is_alive()


def close_frame(websocket: object) -> tuple[int | None, str]:
    """Give the close code and reason; (None, "") while the socket is open or where nobody can tell."""
    code = getattr(websocket, "close_code", None)
    reason = getattr(websocket, "close_reason", None)
    if code is None:  # the server's close frame may be in while the TCP connection is not closed yet
        # ... or the SDK's side has given up on the peer, and waits for it to answer
        frames = websocket if hasattr(websocket, "close_rcvd") else getattr(websocket, "protocol", None)
        frame = getattr(frames, "close_rcvd", None) or getattr(frames, "close_sent", None)
        code, reason = getattr(frame, "code", None), getattr(frame, "reason", None)
    return (int(code) if isinstance(code, int) else None), (reason if isinstance(reason, str) else "")


def request_target(websocket: object) -> tuple[str, dict[str, list[str]]]:
    """Give the path and the query of the request; ("", {}) where nobody can tell."""
    path = getattr(websocket, "path", None) or getattr(getattr(websocket, "request", None), "path", None)
    if not isinstance(path, str):
        return "", {}
    parts = urllib.parse.urlsplit(path)
    return parts.path, urllib.parse.parse_qs(parts.query)


def request_id(websocket: object) -> str:
    """Give Deepgram's id of the stream out of the handshake's response; empty where nobody can tell."""
    response = getattr(websocket, "response", None)
    headers = getattr(websocket, "response_headers", None) or getattr(response, "headers", None)
    return str(headers.get("dg-request-id") or "") if headers is not None else ""


def abort(websocket: object) -> None:
    """Drop the socket without a handshake; harmless when it is closed."""
    transport, raw_socket = getattr(websocket, "transport", None), getattr(websocket, "socket", None)
    if hasattr(transport, "abort"):
        transport.abort()  # type: ignore[union-attr]
    elif isinstance(raw_socket, socket.socket) and getattr(websocket, "close_code", None) is None:
        with contextlib.suppress(OSError):  # the peer was faster
            raw_socket.shutdown(socket.SHUT_RDWR)  # wakes the threads that read and write
        # ... but for one that waits for room in a full queue, when the SDK has stopped reading.
        threading.Thread(
            target=_read_out, args=(websocket,), name="deepgram_stream_iter-drop", daemon=True
        ).start()


def _read_out(websocket: Any) -> None:
    deadline = time.monotonic() + 10  # by then the SDK has given up by itself
    with contextlib.suppress(Exception):  # closed; or somebody else reads after all
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                websocket.recv(timeout=0.1)
