"""What came in on one connection, and who waits for it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple, cast

import anyio

from ._clock import AudioClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Frame(NamedTuple):
    """One frame as it was received."""

    time: float
    """When, by `time.monotonic()`."""
    data: bytes | str


class ConnectionEnded(ConnectionError):
    """The connection has ended, so what is asked of it cannot come any more."""


class Noticeboard:
    """Lets tasks wait until something holds, without polling: whoever changes things calls `notify()`."""

    def __init__(self) -> None:
        self._changed = anyio.Event()
        self._is_closed = False

    def notify(self) -> None:
        """Have all who wait look again."""
        self._changed.set()
        self._changed = anyio.Event()

    def close(self) -> None:
        """Nothing changes any more: release all who wait."""
        self._is_closed = True
        self.notify()

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until `holds()`.

        :raises ConnectionEnded: it does not hold, and nothing changes any more.
        """
        while not holds():
            if self._is_closed:
                raise ConnectionEnded(f"ended before {what}")
            await self._changed.wait()


class Intake:
    """The frames of one connection, its controls, and its audio clock."""

    def __init__(self, query: Mapping[str, Sequence[str]]) -> None:
        self.frames: list[Frame] = []
        self.controls: list[dict[str, object]] = []
        self.clock = AudioClock(query)
        self.board = Noticeboard()

    def take(self, data: bytes | str) -> tuple[bytes, dict[str, object]]:
        """Record a frame; return the samples in it, and the JSON object that it is (empty: it is none)."""
        self.frames.append(Frame(time.monotonic(), data))
        samples = b""
        control: dict[str, object] = {}
        if isinstance(data, bytes):
            samples = self.clock.advance(data)
        else:
            control = _json_object(data)
            if control:
                self.controls.append(control)
        self.board.notify()
        return samples, control


def _json_object(text: str) -> dict[str, object]:
    try:
        parsed: object = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, object]", parsed) if isinstance(parsed, dict) else {}
