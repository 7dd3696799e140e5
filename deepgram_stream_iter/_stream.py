"""stream(): which adapter fits the target."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, TypeAlias, cast

from ._adapters._protocol import Adapter, LiveConnection
from ._adapters.emitter import EmitterAdapter
from ._adapters.legacy import LegacyAdapter
from ._options import Overflow, Settings, StreamingOptions, wire
from ._session import StreamSession


class SDKClient(Protocol):
    """An `AsyncDeepgramClient` or a `DeepgramClient`, as far as it is used here."""

    @property
    def listen(self) -> object:
        """Where `v1` and `v2` are."""
        ...


class LiveOptions(Protocol):
    """The `LiveOptions` or `ListenWebSocketOptions` of SDK 3 and 4."""

    def to_dict(self) -> Any:
        """Give the options that are set."""
        ...


Target: TypeAlias = (
    SDKClient
    | AbstractAsyncContextManager[LiveConnection]
    | AbstractContextManager[LiveConnection]
    | LiveConnection
)
"""What a stream can be made of."""


def stream(  # noqa: PLR0913  (each is a setting with a name and a default)
    target: Target,
    options: StreamingOptions | Mapping[str, object] | LiveOptions | None = None,
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

    :param target: a client, async or sync (with `options`); what `client.listen.v1.connect(...)` or `.v2.connect(...)`
        returned, not entered yet; or a live connection, whose own handlers go on firing. Of SDK 3 and 4, a client or
        what `client.listen.asyncwebsocket.v("1")` or `.websocket.v("1")` gave, started or not.
    :param options: what to ask of Deepgram, with a client or a connection of SDK 3 and 4 that is not started yet.
    :param max_buffer_size: how many events may wait for the consumer.
    :param overflow: what a full buffer does. `coalesce`: takes out interims that a later event supersedes, then the
        oldest interims; finals, utterance ends, turn ends and errors never, so that with nothing else left it holds the
        SDK back. `wait`: holds the SDK back at once. `drop_oldest`: drops and counts. `error`: raises `BufferOverflow`.
    :param overflow_timeout_seconds: how long the SDK is held back before that is a `BufferOverflow`.
    :param keepalive_seconds: send a KeepAlive when nothing was sent for so long (v1; not with `listen=False`); None: never.
    :param connect_timeout_seconds: for the handshake (which the SDK gives up after 10 s anyway) and Flux's `Connected`.
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


def _adapter(target: Any, options: object, *, listen: bool) -> Adapter:
    given = _given(options)
    live = EmitterAdapter.of(target)
    if live is not None:
        if options is not None:
            raise TypeError("options go with a client; this target has its own already, so leave them out")
        _refuse_observing(live.connection, listen=listen)
        return live
    if LegacyAdapter.speaks(target):
        _refuse_observing(None if given is not None else target, listen=listen)
        return LegacyAdapter(target, *_started_with(given))
    sockets = getattr(target, "listen", None)
    if sockets is None or isinstance(target, type):
        raise _wrong(target)
    if given is None:
        raise TypeError("a client needs options: stream(client, StreamingOptions(model=...))")
    _refuse_observing(None, listen=listen)
    legacy = getattr(sockets, "asyncwebsocket", None) or getattr(sockets, "asynclive", None)
    if legacy is not None:
        return LegacyAdapter(legacy.v("1"), *_started_with(given))
    if not isinstance(given, StreamingOptions):
        raise TypeError(f"options must be StreamingOptions or a mapping, not {type(options).__name__}")
    connect = getattr(getattr(sockets, given.endpoint, None), "connect", None)
    adapter = EmitterAdapter.of(connect(**given.connect_arguments(connect))) if connect else None
    if adapter is None:
        raise _wrong(target)
    adapter.expected = frozenset(given.query())
    return adapter


def _given(options: object) -> StreamingOptions | dict[str, str | list[str]] | None:
    """Take over the options: ours, a mapping of ours, or (as the parameters they are) those of SDK 3 and 4."""
    if options is None or isinstance(options, StreamingOptions):
        return options
    if isinstance(options, Mapping):
        return StreamingOptions(**cast("Mapping[str, Any]", options))
    to_dict = getattr(options, "to_dict", None)
    if not callable(to_dict) or isinstance(options, type):
        raise TypeError(
            "options must be StreamingOptions, a mapping of the same names, or the LiveOptions of SDK 3 and 4, not"
            f" {type(options).__name__}"
        )
    parameters = cast("dict[str, object]", to_dict())
    return {name: wire(value) for name, value in parameters.items() if value is not None}


def _started_with(
    given: StreamingOptions | dict[str, str | list[str]] | None,
) -> tuple[dict[str, str | list[str]] | None, dict[str, str] | None]:
    """Make of the options what `start()` of SDK 3 and 4 takes: parameters and headers."""
    model = given.model if isinstance(given, StreamingOptions) else str((given or {}).get("model"))
    if model.startswith("flux"):
        raise ValueError(f"{model!r} needs deepgram-sdk 5 or newer: {_installed()} does not know /v2/listen")
    if not isinstance(given, StreamingOptions):
        return given, None
    return given.query(), given.headers()


def _refuse_observing(connection: object, *, listen: bool) -> None:
    if connection is None and not listen:
        raise TypeError(
            "listen=False observes a live connection; here there is none yet, so nobody else can listen"
        )


def _installed() -> str:
    return f"deepgram-sdk {importlib.metadata.version('deepgram-sdk')}"


def _wrong(target: object) -> TypeError:
    return TypeError(
        "stream() takes a client (AsyncDeepgramClient or DeepgramClient) with options, what its"
        " listen.v1.connect(...) or listen.v2.connect(...) returned, a live connection of those, or (SDK 3 and 4) what"
        f" listen.asyncwebsocket.v('1') or listen.websocket.v('1') gave; got {type(target).__name__}, with {_installed()}"
        " installed"
    )
