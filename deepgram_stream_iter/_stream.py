"""stream(): which adapter fits the target."""

from __future__ import annotations

import importlib.metadata
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ._adapters._protocol import LiveConnection
from ._adapters.emitter import EmitterAdapter, is_connecting, is_emitter
from ._options import Overflow, Settings, StreamingOptions
from ._session import StreamSession


class SDKClient(Protocol):
    """An `AsyncDeepgramClient`, as far as it is used here."""

    @property
    def listen(self) -> object:
        """Where `v1` and `v2` are."""
        ...


def stream(  # noqa: PLR0913  (each is a setting with a name and a default)
    target: SDKClient | AbstractAsyncContextManager[LiveConnection] | LiveConnection,
    options: StreamingOptions | None = None,
    *,
    max_buffer_size: int = 256,
    overflow: Overflow = "coalesce",
    overflow_timeout_seconds: float = 10.0,
    keepalive_seconds: float | None = 4.0,
    connect_timeout_seconds: float = 10.0,
    send_timeout_seconds: float = 10.0,
    finish_timeout_seconds: float = 10.0,
    listen: bool = True,
) -> StreamSession:
    """Make a session, to be entered with `async with` and iterated with `async for`.

    :param target: an `AsyncDeepgramClient` (with `options`); what `client.listen.v1.connect(...)` or `.v2.connect(...)`
        returned, not entered yet; or a live connection, whose own handlers go on firing.
    :param options: what to ask of Deepgram; only with a client.
    :param max_buffer_size: how many events may wait for the consumer.
    :param overflow: what a full buffer does. `coalesce`: takes out interims that a later event supersedes, then the
        oldest interims; finals, utterance ends, turn ends and errors never, so that with nothing else left it holds the
        SDK back. `wait`: holds the SDK back at once. `drop_oldest`: drops and counts. `error`: raises `BufferOverflow`.
    :param overflow_timeout_seconds: how long the SDK is held back before that is a `BufferOverflow`.
    :param keepalive_seconds: send a KeepAlive when nothing was sent for so long (v1; not with `listen=False`); None: never.
    :param connect_timeout_seconds: for the handshake and, with Flux, for its `Connected`.
    :param send_timeout_seconds: how long the socket may take nothing before that is a `ConnectionLost`.
    :param finish_timeout_seconds: how long the server may take to end the stream after CloseStream.
    :param listen: False observes a live connection whose application runs `start_listening()` itself: the session then
        sends nothing of its own accord, and leaving it only detaches. Who listens, closes.
    :raises TypeError: for a target or options that do not fit.
    :raises ValueError: for a setting out of its range.
    """
    settings = Settings(
        max_buffer_size=max_buffer_size,
        overflow=overflow,
        overflow_timeout_seconds=overflow_timeout_seconds,
        keepalive_seconds=keepalive_seconds,
        connect_timeout_seconds=connect_timeout_seconds,
        send_timeout_seconds=send_timeout_seconds,
        finish_timeout_seconds=finish_timeout_seconds,
        listen=listen,
    )
    return StreamSession(_adapter(target, options, listen=listen), settings)


def _adapter(target: object, options: object, *, listen: bool) -> EmitterAdapter:
    if options is not None and not isinstance(options, StreamingOptions):
        raise TypeError(f"options must be StreamingOptions, not {type(options).__name__}")
    if is_emitter(target):
        _refuse_options(options, "a live connection")
        return EmitterAdapter(connection=target)
    if not listen:
        raise TypeError(
            "listen=False observes a live connection; here there is none yet, so nobody else can listen"
        )
    if is_connecting(target):
        _refuse_options(options, "what connect() returned")
        return EmitterAdapter(context=target)
    sockets = getattr(target, "listen", None)
    if sockets is None or isinstance(target, type):
        raise _wrong(target)
    if options is None:
        raise TypeError("a client needs options: stream(client, StreamingOptions(model=...))")
    connect = getattr(getattr(sockets, options.endpoint, None), "connect", None)
    if connect is None:
        raise _wrong(target)
    context = connect(**options.connect_arguments(connect))
    if not is_connecting(context):
        raise _wrong(target)
    return EmitterAdapter(context=context)


def _refuse_options(options: StreamingOptions | None, target: str) -> None:
    if options is not None:
        raise TypeError(f"options go with a client; {target} has its own already, so leave them out")


def _wrong(target: object) -> TypeError:
    return TypeError(
        "stream() takes an AsyncDeepgramClient with StreamingOptions, what its listen.v1.connect(...) or"
        " listen.v2.connect(...) returned, or a live connection of those (async, deepgram-sdk 7); got"
        f" {type(target).__name__}, with deepgram-sdk {importlib.metadata.version('deepgram-sdk')} installed"
    )
