"""Values out of a message, whatever the SDK hands out: what is missing or of a wrong type is empty. Nothing here raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

TOO_LARGE = 1e9
"""30 years in seconds: what lies beyond is no time, nor anything else that Deepgram tells, and sums overflow with it."""


def fields_of(holder: object) -> Mapping[str, object]:
    """Return what a message, or a part of one, holds by name: a model of the SDK, a mapping, or neither."""
    if isinstance(holder, dict):  # `Mapping` would take ten times as long, and JSON makes a dict
        return cast("dict[str, object]", holder)
    # What the SDK has declared is in the dictionary that a model is underneath.
    fields: dict[str, object] = getattr(holder, "__dict__", {})
    undeclared = getattr(holder, "__pydantic_extra__", None)
    return {**fields, **undeclared} if undeclared else fields


def items(value: object) -> Sequence[object]:
    """Return a list, or an empty one."""
    return cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else ()


def item(value: object, index: int) -> object:
    """Return an item of a list; None where there is none."""
    values = items(value)
    return values[index] if index < len(values) else None


def text(value: object) -> str:
    """Return a text, or an empty one."""
    return value if isinstance(value, str) else ""


def texts(value: object) -> tuple[str, ...]:
    """Return the texts of a list."""
    return tuple([each for each in items(value) if isinstance(each, str)]) if value else ()


def flag(value: object) -> bool | None:
    """Return True or False; None for anything else."""
    return value if isinstance(value, bool) else None


def number(value: object) -> float | None:
    """Return a number as a float; None for one that is too large to mean anything."""
    if type(value) is not float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or abs(value) >= TOO_LARGE:
            return None
        value = float(value)
    return value if -TOO_LARGE < value < TOO_LARGE else None


def integer(value: object) -> int | None:
    """Return a whole number; SDK 6 makes floats of channel numbers."""
    if type(value) is int:
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None
