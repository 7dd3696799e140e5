"""The same sessions for programs without an event loop: `with stream(...) as session`, `for event in session`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar, cast

from deepgram_stream_iter._adapters import private
from deepgram_stream_iter._adapters.emitter import EmitterAdapter
from deepgram_stream_iter._adapters.legacy import LegacyAdapter
from deepgram_stream_iter._settings import Reconnect
from deepgram_stream_iter._stream import stream as async_stream
from deepgram_stream_iter._sync.application import off_the_loop
from deepgram_stream_iter._sync.engine import Engine
from deepgram_stream_iter._sync.feed import Feed
from deepgram_stream_iter._sync.session import StreamSession
from deepgram_stream_iter._sync.subscription import Subscription
from deepgram_stream_iter._targets import Target

__all__ = ["Feed", "StreamSession", "Subscription", "stream"]

P = ParamSpec("P")
T = TypeVar("T")


def _with_parameters_of(_: Callable[P, object]) -> Callable[[Callable[..., T]], Callable[P, T]]:
    """Return a decorator by which type checkers see the parameters of another function."""

    def decorate(function: Callable[..., T]) -> Callable[P, T]:
        return cast("Callable[P, T]", function)

    return decorate


@_with_parameters_of(async_stream)
@functools.wraps(async_stream, assigned=())
def stream(target: Target, *args: Any, **settings: Any) -> StreamSession:  # noqa: ANN401  (see the decorator)
    """Return a sync session, to be entered with `with` and iterated with `for`; nothing is connected before.

    Target, options and settings are those of `deepgram_stream_iter.stream`, and described there. Functions given to it
    may block, because plain ones are called in threads. All sync sessions of a process share the thread of one event loop.

    :raises TypeError: as there; and for an async connection that is open already, in another event loop.
    :raises ValueError: as there.
    """
    if _is_open_elsewhere(target):
        raise TypeError(
            "this async connection is open already, and belongs to the event loop it was opened in: give sync.stream() the"
            " client with options, or a connection that is not entered or started yet; or use `async with` and"
            " deepgram_stream_iter.stream() in that loop"
        )
    for name in ("authorization", "on_connection"):
        if callable(settings.get(name)):
            settings[name] = off_the_loop(settings[name])
    reconnect = settings.get("reconnect")
    if isinstance(reconnect, Reconnect) and reconnect.on_attempt is not None:
        settings["reconnect"] = replace(reconnect, on_attempt=off_the_loop(reconnect.on_attempt))
    if _is_factory(target):
        target = cast("Target", off_the_loop(cast("Callable[..., Any]", target)))
    return StreamSession(Engine.of(async_stream(target, *args, **settings)))


def _is_factory(target: object) -> bool:
    """Return whether a target is a function, and not something of the SDK that can be called as well."""
    return (
        callable(target)
        and not isinstance(target, type)
        and not hasattr(target, "listen")
        and not LegacyAdapter.speaks(target)
        and EmitterAdapter.of(target) is None
    )


def _is_open_elsewhere(target: object) -> bool:
    """Return whether a target is an async connection that is open already, so that its event loop is another one."""
    if LegacyAdapter.speaks(target):
        is_async = inspect.iscoroutinefunction(getattr(target, "start", None))
        return is_async and private.websocket_of(target) is not None
    return inspect.iscoroutinefunction(getattr(target, "start_listening", None))
