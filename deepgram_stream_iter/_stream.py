"""stream(): the settings of a session, each with its default."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from deepgram_stream_iter._options import StreamingOptions
from deepgram_stream_iter._session import StreamSession
from deepgram_stream_iter._settings import Overflow, Reconnect, Settings
from deepgram_stream_iter._targets import Authorization, LiveOptions, Target, connector_of

_numbers = itertools.count(1)


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
    stall_timeout_seconds: float | None = None,
    listen: bool = True,
    max_unsent_seconds: float = 5.0,
    name: str = "",
    on_connection: Callable[[Any], object] | None = None,
    reconnect: Reconnect | bool = False,
    authorization: Authorization | None = None,
    **unknown: NoReturn,
) -> StreamSession:
    """Return a session, to be entered with `async with` and iterated with `async for`.

    No event loop has to run yet, and nothing is connected before the session is entered.

    :param target: a client, async or sync (with `options`); what `client.listen.v1.connect(...)` or `.v2.connect(...)`
        returned, not entered yet; or a live connection, whose own handlers go on firing. Of SDK 3 and 4, a client or
        what `client.listen.asyncwebsocket.v("1")` or `.websocket.v("1")` gave, started or not. Or a function that makes
        any of these but the client: it is called for each connection.
    :param options: what to ask of Deepgram, with a client or a connection of SDK 3 and 4 that is not started yet.
    :param max_buffer_size: how many events may wait for the consumer.
    :param overflow: what a full buffer does. `coalesce`: takes out interims that a later event supersedes, then the
        oldest interims; finals, utterance ends, turn ends and errors never, so that with nothing else left it pauses the
        SDK. `wait`: pauses the SDK at once. `drop_oldest`: drops and counts. `error`: raises `BufferOverflow`.
    :param overflow_timeout_seconds: how long the SDK is paused before that is a `BufferOverflow`.
    :param keepalive_seconds: send a KeepAlive when nothing was sent for so long (v1; not with `listen=False`); None: never.
    :param connect_timeout_seconds: for a factory, the authorization, the handshake (which the SDK gives up after 10 s
        anyway) and Flux's `Connected`. A function that cannot be cancelled (a wait in a thread) goes on, and nobody waits.
    :param send_timeout_seconds: how long the socket may take nothing before that is a `ConnectionLost`.
    :param finish_timeout_seconds: how long the server may take to end the stream after CloseStream before that is a
        `ConnectionLost`; where Nova's `Metadata` has come and only the close is missing, it is a clean end.
    :param stall_timeout_seconds: how long the server may say nothing to audio that goes out, and to CloseStream,
        before that is a `StalledError`; None: for ever. A pause of more than 1 s in the audio begins it anew. Silence that
        is sent is answered too, by Flux every 0.25 s, by Nova every few seconds.
    :param listen: False observes a live connection whose application runs `start_listening()` itself: the session then
        sends nothing of its own accord, and leaving it only detaches. Whoever calls `start_listening()` also closes.
    :param max_unsent_seconds: how much audio of `send_nowait()` may wait to be sent; what is too much takes out the oldest,
        which an `AudioGap` tells.
    :param name: what the session is called in log records and in its `repr`; a number where it is empty.
    :param on_connection: a function, plain (not to block) or async, which is called with the SDK's connection before its first
        event, the first connection and each later one: to register the application's own handlers. What it raises comes
        out as itself.
    :param reconnect: True, or a `Reconnect(...)`, makes a lost connection again, without losing or doubling a word; with
        a client or a factory. It applies to the first connection too. A source that runs ahead of the clock then slows
        down to it while `replay_seconds` of audio wait for their finals.
    :param authorization: the `Authorization` header: a `str`, or a function, plain (not to block) or async, which is
        called for each connection: for temporary tokens.
    :raises TypeError: for a target or options that do not fit, and for a setting that there is not.
    :raises ValueError: for a setting out of its range.
    """
    if unknown:
        raise _no_such_setting(next(iter(unknown)))
    settings = Settings(
        max_buffer_size=max_buffer_size,
        overflow=overflow,
        overflow_timeout_seconds=overflow_timeout_seconds,
        keepalive_seconds=keepalive_seconds,
        connect_timeout_seconds=connect_timeout_seconds,
        send_timeout_seconds=send_timeout_seconds,
        finish_timeout_seconds=finish_timeout_seconds,
        stall_timeout_seconds=stall_timeout_seconds,
        listen=listen,
        max_unsent_seconds=max_unsent_seconds,
        name=name or f"stream-{next(_numbers)}",
        on_connection=on_connection,
        reconnect=_reconnect(reconnect),
    )
    return StreamSession(connector_of(target, options, authorization, settings), settings)


def _reconnect(given: object) -> Reconnect | None:
    if isinstance(given, Reconnect):
        return given
    if not isinstance(given, bool):
        raise TypeError(f"reconnect must be True, False or a Reconnect(...), not {type(given).__name__}")
    return Reconnect() if given else None


def _no_such_setting(name: str) -> TypeError:
    import difflib  # noqa: PLC0415  (who makes no mistake does without)

    close = difflib.get_close_matches(name, inspect.signature(stream).parameters, n=1)
    hint = (
        f"did you mean {close[0]!r}?"
        if close
        else "what Deepgram is to be asked goes into the options, and the additional parameters of start() of SDK 3 and 4"
        " (addons) into StreamingOptions(..., extra={'name': 'value'})."
    )
    return TypeError(f"stream() has no setting {name!r}: {hint}")
