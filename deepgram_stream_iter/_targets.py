"""What a stream can be made of, and how connections are made of it, once or anew."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol, TypeAlias, cast

from deepgram_stream_iter._adapters._protocol import Adapter, Connector, LiveConnection
from deepgram_stream_iter._adapters.emitter import EmitterAdapter
from deepgram_stream_iter._adapters.failures import authorization_error, connect_error
from deepgram_stream_iter._adapters.legacy import LegacyAdapter
from deepgram_stream_iter._audio.documented import check_form
from deepgram_stream_iter._options import StreamingOptions, check_authorization, query_of
from deepgram_stream_iter._settings import Settings


class SDKClient(Protocol):
    """An `AsyncDeepgramClient` or a `DeepgramClient`, as far as it is used here."""

    @property
    def listen(self) -> object:
        """Where `v1` and `v2` are."""
        ...


class LiveOptions(Protocol):
    """The `LiveOptions` or `ListenWebSocketOptions` of SDK 3 and 4."""

    def to_dict(self) -> Any:
        """Return the options that are set."""
        ...


class FileClient(Protocol):
    """What pyright takes `listen.asyncwebsocket.v("1")` of SDK 3 and 4 for, among others: their client for files.

    That `v()` is not annotated, so pyright infers all that it can return. `stream()` refuses a client for files.
    """

    @property
    def transcribe_url_callback(self) -> object:
        """No other class of the SDK has this."""
        ...


AnyConnection: TypeAlias = (
    LiveConnection
    | AbstractAsyncContextManager[LiveConnection]
    | AbstractContextManager[LiveConnection]
    | FileClient
)
"""A connection, or the context that makes it."""

Target: TypeAlias = SDKClient | AnyConnection | Callable[[], AnyConnection | Awaitable[AnyConnection]]
"""What a stream can be made of; a function, plain or async, is called for each connection."""

Authorization: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""The whole header, or what gives it, for each connection anew."""


def connector_of(
    target: Any,
    options: object,
    authorization: Authorization | None,
    settings: Settings,
) -> Connector:
    """Return what makes an adapter of a target, once or for each connection."""
    given = _given(options)
    if authorization is not None:
        _check_authorization(given, authorization)
    live = _live(target, given)
    if live is None:
        _refuse_observing(None, settings)
        return _anew(target, given, authorization)
    _refuse_observing(None if given is not None else live.connection, settings)
    _refuse_once_only(authorization, settings)
    return _once(live)


def _live(target: Any, given: StreamingOptions | dict[str, str | list[str]] | None) -> Adapter | None:
    """Return the adapter of a target that is a connection, or will be one when it is entered or started."""
    if LegacyAdapter.speaks(target):
        return LegacyAdapter(target, *_started_with(given))
    live = EmitterAdapter.of(target)
    if live is not None and given is not None:
        raise TypeError("options go with a client; this target has its own already, so leave them out")
    return live


def _anew(
    target: Any,
    given: StreamingOptions | dict[str, str | list[str]] | None,
    authorization: Authorization | None,
) -> Connector:
    """Return what makes connections of a client or a factory."""
    sockets = getattr(target, "listen", None)
    is_function = callable(target) and not isinstance(target, type)
    if sockets is None and is_function and _takes_nothing(target):
        return _by_factory(target, given, authorization)
    if sockets is None or isinstance(target, type):
        raise _wrong(target)
    if given is None:
        raise TypeError("a client needs options: stream(client, StreamingOptions(model=...))")
    legacy = getattr(sockets, "asyncwebsocket", None) or getattr(sockets, "asynclive", None)
    if legacy is not None:
        _started_with(given)  # refuses here what it would refuse later
        return _by_factory(lambda: legacy.v("1"), given, authorization)
    if not isinstance(given, StreamingOptions):
        raise TypeError("options must be StreamingOptions or a mapping: LiveOptions are those of SDK 3 and 4")
    connect = getattr(getattr(sockets, given.endpoint, None), "connect", None)
    if connect is None:
        raise _wrong(target)
    return _by_client(connect, given, authorization)


def _once(adapter: Adapter) -> Connector:
    async def connector() -> Adapter:
        return adapter

    return connector


def _by_client(
    connect: Callable[..., object], options: StreamingOptions, authorization: Authorization | None
) -> Connector:
    async def connector() -> Adapter:
        asked = options
        if authorization is not None:
            asked = replace(options, authorization=await _asked(authorization))
        context = connect(**asked.connect_arguments(connect))
        adapter = EmitterAdapter.of(context)
        if adapter is None:
            raise _wrong(context)
        adapter.expected = frozenset(options.query())
        return adapter

    return connector


def _by_factory(
    factory: Callable[[], object],
    given: StreamingOptions | dict[str, str | list[str]] | None,
    authorization: Authorization | None,
) -> Connector:
    before: object = None

    async def connector() -> Adapter:
        nonlocal before
        made = await _made(factory)
        if made is before:
            raise TypeError("the factory gave the same connection again: it has to make a new one each time")
        before = made
        if LegacyAdapter.speaks(made):
            parameters, headers = _started_with(given)
            if authorization is not None:
                headers = {**(headers or {}), "Authorization": await _asked(authorization)}
            return LegacyAdapter(made, parameters, headers)
        adapter = EmitterAdapter.of(made)
        if adapter is None:
            raise _wrong(made)
        if given is not None or authorization is not None:
            raise TypeError("the factory makes the connection: give it the options and the authorization")
        return adapter

    return connector


def _takes_nothing(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:  # it wants arguments
        return False
    except ValueError:  # it is not written in Python, and does not say
        return True
    return True


async def _made(factory: Callable[[], object]) -> Any:
    """Call a factory, which may connect by itself. What it raises is not chained: it may show the key."""
    failure: Exception | None = None
    try:
        made = factory()
        return await made if inspect.isawaitable(made) else made
    except Exception as error:
        failure = connect_error(error)
        if failure is None:
            raise
    raise failure


async def _asked(authorization: Authorization) -> str:
    """Ask for the authorization. What it raises is not chained: it may show the key."""
    failure: Exception | None = None
    value: object = authorization
    try:
        if callable(authorization):
            value = authorization()
        if inspect.isawaitable(value):
            value = await value
    except Exception as error:
        failure = authorization_error(error)
        if failure is None:
            raise
    if failure is not None:
        raise failure
    return check_authorization(value)


def _check_authorization(given: object, authorization: Authorization) -> None:
    if not callable(authorization):
        check_authorization(authorization)
    elif not _takes_nothing(authorization):
        raise TypeError("authorization must be a str, or a function that is called without arguments")
    headers = given.headers() if isinstance(given, StreamingOptions) else None
    if any(name.lower() == "authorization" for name in headers or ()):
        raise TypeError("authorization was given twice: to the options, and to stream()")


def _refuse_once_only(authorization: Authorization | None, settings: Settings) -> None:
    """Refuse what takes a new connection, where there is one that was made by somebody else."""
    if settings.reconnect is not None:
        raise TypeError(
            "reconnect needs to make connections anew, and this one was made already: pass the client with options,"
            " or a factory such as lambda: client.listen.v1.connect(...)"
        )
    if authorization is not None:
        raise TypeError(
            "authorization goes with a client; this connection was given its own when it was made"
        )


def _given(options: object) -> StreamingOptions | dict[str, str | list[str]] | None:
    """Return the options: ours, also from a mapping of ours, or the parameters of SDK 3 and 4."""
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
    parameters = cast("dict[str, Any]", to_dict())
    query = query_of(parameters)
    encoding, sample_rate, channels = map(parameters.get, ("encoding", "sample_rate", "channels"))
    check_form(encoding, sample_rate, channels, "v1", query)
    return query


def _started_with(
    given: StreamingOptions | dict[str, str | list[str]] | None,
) -> tuple[dict[str, str | list[str]] | None, dict[str, str] | None]:
    """Return what `start()` of SDK 3 and 4 takes: parameters and headers."""
    model = given.model if isinstance(given, StreamingOptions) else str((given or {}).get("model"))
    if model.startswith("flux"):
        raise ValueError(f"{model!r} needs deepgram-sdk 5 or newer: {_installed()} does not know /v2/listen")
    if not isinstance(given, StreamingOptions):
        return given, None
    return given.query(), given.headers()


def _refuse_observing(connection: object, settings: Settings) -> None:
    if connection is None and not settings.listen:
        raise TypeError(
            "listen=False observes a live connection; here there is none yet, so nobody else can listen"
        )


def _installed() -> str:
    return f"deepgram-sdk {importlib.metadata.version('deepgram-sdk')}"


def _wrong(target: object) -> TypeError:
    return TypeError(
        "stream() takes a client (AsyncDeepgramClient or DeepgramClient) with options, what its"
        " listen.v1.connect(...) or listen.v2.connect(...) returned, a live connection of those, or (SDK 3 and 4) what"
        f" listen.asyncwebsocket.v('1') or listen.websocket.v('1') gave, or a function without parameters that makes one of"
        f" these connections; got {type(target).__name__}, with {_installed()} installed"
    )
