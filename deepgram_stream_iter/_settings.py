"""How a session behaves: the settings of `stream()`, each refused where it is out of its range."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias, TypedDict, cast, get_args

Overflow: TypeAlias = Literal["coalesce", "wait", "drop_oldest", "error"]
DAY_SECONDS = 86_400
_IDLE_LIMIT_SECONDS = 10
"""See https://developers.deepgram.com/docs/audio-keep-alive, as of 2026-11-21."""
_MAY_BE_NONE = frozenset({"keepalive_seconds", "stall_timeout_seconds"})


class BufferSettings(TypedDict, total=False):
    """The settings of a subscription, as `stream()` describes them for the session."""

    max_buffer_size: int
    overflow: Overflow
    overflow_timeout_seconds: float


@dataclass(kw_only=True)
class ReconnectAttempt:
    """An attempt to connect that is about to be made; `Reconnect.on_attempt` may change its delay, or stop."""

    number: int
    """Counted from 1, anew after each final transcript."""
    cause: Exception
    """What the connection, or the attempt before, ended with."""
    delay: float
    """Seconds to wait before it; may be set to another number, up to a day."""
    is_stopped: bool = False

    def stop(self) -> None:
        """Make no more attempts: the session ends as after `max_attempts`."""
        self.is_stopped = True


@dataclass(frozen=True, kw_only=True)
class Reconnect:
    """How a session gets over the loss of its connection; for `stream(..., reconnect=...)`.

    Tried again: close codes 1001, 1006, 1011, 1012, 1013 and any that are new, 1000 and 1005 that nobody asked for, HTTP
    408, 429 and 5xx, time-outs, and what the network does. Not: close codes 1002, 1003, 1007, 1008, any other HTTP
    status, an `Error` of Flux.
    """

    max_attempts: int = 8
    """Attempts in a row, without a final transcript in between, before the session ends with `ConnectionLost`.

    On entering, where there never was a connection, the last `ConnectError` comes out as itself.
    """
    initial_delay_seconds: float = 0.25
    """The bound of the first delay; it doubles with each attempt, and the delay is anywhere below it (full jitter)."""
    max_delay_seconds: float = 8.0
    """The bound of all delays but those that the server asks for (`Retry-After`)."""
    replay_seconds: float = 60.0
    """How much audio that is not transcribed for good yet is kept, to be sent again."""
    catch_up_rate: float = 1.25
    """How many times faster than real time it is sent again; Deepgram takes at most 1.25."""
    # The repr of a function shows what is bound to it, and the settings are logged.
    on_attempt: Callable[[ReconnectAttempt], Awaitable[object] | object] | None = field(
        default=None, repr=False
    )
    """Called, and awaited if it is async, before each attempt. What it raises ends the session as itself."""

    def __post_init__(self) -> None:
        attempts = cast("object", self.max_attempts)
        if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
            raise ValueError(f"max_attempts must be a whole number of at least 1, not {attempts!r}")
        for name in ("initial_delay_seconds", "max_delay_seconds"):
            check_number(name, getattr(self, name), least=0, most=DAY_SECONDS)
        check_number("replay_seconds", self.replay_seconds, most=DAY_SECONDS)
        check_number("catch_up_rate", self.catch_up_rate, above=1)  # else it would never catch up
        if self.on_attempt is not None and not callable(self.on_attempt):
            raise TypeError("on_attempt must be a function of a ReconnectAttempt, plain or async")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a session behaves: the keyword arguments of `stream()`, where they are described."""

    max_buffer_size: int
    overflow: Overflow
    overflow_timeout_seconds: float
    keepalive_seconds: float | None
    connect_timeout_seconds: float
    send_timeout_seconds: float
    finish_timeout_seconds: float
    stall_timeout_seconds: float | None
    listen: bool
    max_unsent_seconds: float
    name: str
    on_connection: Callable[[Any], object] | None = field(repr=False)
    reconnect: Reconnect | None

    def __post_init__(self) -> None:
        if not isinstance(cast("object", self.name), str):
            raise TypeError(f"name must be a str, not {type(self.name).__name__}")
        check_buffer(self.max_buffer_size, self.overflow, least=0)
        if self.on_connection is not None and not callable(self.on_connection):
            raise TypeError("on_connection must be a function of the SDK's connection, plain or async")
        for name in (each.name for each in fields(self) if each.name.endswith("_seconds")):
            value = getattr(self, name)
            if value is not None or name not in _MAY_BE_NONE:
                check_number(name, value)
        if self.keepalive_seconds is not None and self.keepalive_seconds >= _IDLE_LIMIT_SECONDS:
            raise ValueError(
                f"keepalive_seconds must be below {_IDLE_LIMIT_SECONDS}, not {self.keepalive_seconds!r}: after so long without"
                " a message Deepgram closes the stream (NET-0001); it recommends 3 to 5"
            )


def check_buffer(max_size: object, overflow: object, *, least: int = 1) -> None:
    """Refuse what is no size or no policy of a buffer.

    :raises ValueError: with the name of the setting.
    """
    if not isinstance(max_size, int) or isinstance(max_size, bool) or max_size < least:
        raise ValueError(f"max_buffer_size must be a whole number of at least {least}, not {max_size!r}")
    if overflow not in get_args(Overflow):
        raise ValueError(f"overflow must be one of {get_args(Overflow)}, not {overflow!r}")


def check_number(
    name: str, value: object, *, above: float = 0, least: float | None = None, most: float = math.inf
) -> None:
    """Refuse what is no number above `above`, or of at least `least` where that is given, and up to `most`.

    :raises ValueError: with the name of the setting.
    """
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not (above < number if least is None else least <= number) or not number <= most:
        bound = f"above {above}" if least is None else f"of at least {least}"
        bound += f" and at most {most}" if most < math.inf else ""
        raise ValueError(f"{name} must be a number {bound}, not {value!r}")
