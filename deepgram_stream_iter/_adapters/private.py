"""The only place that touches what the SDK keeps to itself: the websocket under a connection, its tasks, one setting.

The SDK has no public way to the close code (its CLOSE callback carries none), to the parameters of a connection that
somebody else made, to closing a connection that somebody else entered, or to dropping the socket of a peer that is
dead, for which leaving the SDK's context takes up to 20 s. Nor can a sync client be told to give up a handshake. Whatever
is not there (a custom transport, a new version) reads as "not known"; a socket that cannot be dropped ends by the SDK's own
time-outs, and nobody waits for it.

The websocket is one of three classes of `websockets`: its legacy client (SDK 5 to 7, async), its asyncio client (SDK 3
and 4, async), and its threaded client (all, sync).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
import time
import urllib.parse
from types import FrameType
from typing import Any

_OPEN = 1
"""`State.OPEN`, as all three classes have it."""
_NO_LISTENER = object()
_DRAIN_SECONDS = 10.0
"""By then the SDK has given up by itself."""


def websocket_of(connection: object) -> object:
    """Return the websocket (or custom transport) of a connection; None when it has none, or it cannot be found."""
    return getattr(connection, "_websocket", None) or getattr(connection, "_socket", None)


def sends_keepalives(connection: object) -> bool:
    """Return whether the SDK sends KeepAlives itself, as SDK 3 and 4 do when the client was told to."""
    enabled = getattr(getattr(connection, "_config", None), "is_keep_alive_enabled", None)
    return bool(enabled()) if callable(enabled) else False


def is_listener_dead(connection: object) -> bool:
    """Return whether the listener of SDK 3 and 4 has ended: a handler that raises ends its thread without a Close."""
    listener = getattr(connection, "_listen_thread", _NO_LISTENER)
    if isinstance(listener, asyncio.Task):
        return listener.done()
    return listener is None or (isinstance(listener, threading.Thread) and not listener.is_alive())


def close_frame(websocket: object) -> tuple[int | None, str]:
    """Return the close code and reason; (None, "") while the socket is open or where they are not known."""
    if getattr(websocket, "state", None) == _OPEN:  # every send asks, and this answers in a fifth of the time
        return None, ""
    code = getattr(websocket, "close_code", None)
    reason = getattr(websocket, "close_reason", None)
    if code is None:
        # The server's close frame may have come while the TCP connection is not closed yet, or the SDK's side has
        # given up on the peer and waits for its answer.
        frames = websocket if hasattr(websocket, "close_rcvd") else getattr(websocket, "protocol", None)
        frame = getattr(frames, "close_rcvd", None) or getattr(frames, "close_sent", None)
        code, reason = getattr(frame, "code", None), getattr(frame, "reason", None)
    return (int(code) if isinstance(code, int) else None), (reason if isinstance(reason, str) else "")


def request_target(websocket: object) -> tuple[str, dict[str, list[str]]]:
    """Return the path and the query of the request; ("", {}) where they are not known."""
    path = getattr(websocket, "path", None) or getattr(getattr(websocket, "request", None), "path", None)
    if not isinstance(path, str):
        return "", {}
    parts = urllib.parse.urlsplit(path)
    return parts.path, urllib.parse.parse_qs(parts.query)


def request_id(websocket: object) -> str:
    """Return Deepgram's id of the stream, from the handshake's response; empty where it is not known."""
    response = getattr(websocket, "response", None)
    headers = getattr(websocket, "response_headers", None) or getattr(response, "headers", None)
    return str(headers.get("dg-request-id") or "") if headers is not None else ""


def abort(websocket: object) -> None:
    """Drop the socket without a handshake; does nothing when it is closed."""
    transport, raw_socket = getattr(websocket, "transport", None), getattr(websocket, "socket", None)
    if hasattr(transport, "abort"):
        transport.abort()  # type: ignore[union-attr]
    elif isinstance(raw_socket, socket.socket) and getattr(websocket, "close_code", None) is None:
        _shut_down(raw_socket)  # wakes the threads that read and write
        # One thread may wait for room in a full queue instead, because the SDK has stopped reading.
        threading.Thread(
            target=_drain, args=(websocket,), name="deepgram_stream_iter-drain", daemon=True
        ).start()


def cancel_tasks(connection: object) -> None:
    """Cancel the tasks of an async connection of SDK 3 and 4, as its `finish()` does after half a second of sleep."""
    for name in ("_listen_thread", "_keep_alive_thread", "_flush_thread"):
        task = getattr(connection, name, None)
        if isinstance(task, asyncio.Task):
            task.cancel()


def drop_connecting_socket(thread_id: int | None) -> None:
    """Drop the socket with which the SDK, in another thread, is inside the connecting of `websockets`.

    Nobody hands that socket out before the handshake is through, so it is looked for in the thread's own frames.
    """
    current_frames: Any = getattr(sys, "_current_frames", dict)
    frame: FrameType | None = current_frames().get(thread_id)
    called: FrameType | None = None
    found: list[socket.socket] = []
    while frame is not None and not _is_of(frame, "deepgram"):
        found += [value for value in frame.f_locals.values() if isinstance(value, socket.socket)]
        called, frame = frame, frame.f_back
    # The SDK may as well have called a handler of the application, whose sockets are none of ours.
    if frame is not None and called is not None and _is_of(called, "websockets"):
        for connecting in found:
            _shut_down(connecting)


def _is_of(frame: FrameType, package: str) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == package


def _shut_down(raw_socket: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the peer was faster
        # Not the method of an SSLSocket, which would change to plain text under the thread that uses it.
        socket.socket.shutdown(raw_socket, socket.SHUT_RDWR)


def _drain(websocket: Any) -> None:
    deadline = time.monotonic() + _DRAIN_SECONDS
    with contextlib.suppress(Exception):  # the socket is closed, or somebody else reads after all
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                websocket.recv(timeout=0.1)
