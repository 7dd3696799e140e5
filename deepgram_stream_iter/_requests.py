"""The control messages that Deepgram answers: Finalize and Configure.

An answer is an event like any other: it is offered here on its way to the buffer, and handed out as well. A message whose
connection is lost before its answer has come is sent again to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import anyio

from ._errors import ConfigureError
from ._events import (
    AnyStreamEvent,
    ConfiguredEvent,
    ConfigureFailedEvent,
    ReconnectingEvent,
    TranscriptEvent,
)
from ._lifecycle import Lifecycle

_CONFIGURE_TIMEOUT_SECONDS = 10.0


class Requests:
    """Sends requests and waits for their answers; one Configure is under way at a time."""

    def __init__(self, life: Lifecycle) -> None:
        self._life = life
        self._awaiting: list[_Answer] = []
        self._configuring = anyio.Lock()

    def offer(self, event: AnyStreamEvent) -> None:
        """Take an event that may be an answer."""
        for answer in self._awaiting:
            answer.offer(event)

    def release(self) -> None:
        """Let go of everybody who waits: the stream has ended."""
        for answer in self._awaiting:
            answer.came.set()

    async def finalize(self, timeout_seconds: float) -> TranscriptEvent | None:
        """Send Finalize; see `StreamSession.finalize`."""
        answer = await self._ask(
            "Finalize",
            lambda event: isinstance(event, TranscriptEvent) and event.from_finalize,
            timeout_seconds,
        )
        return answer if isinstance(answer, TranscriptEvent) else None

    async def configure(self, changes: Mapping[str, object]) -> ConfiguredEvent:
        """Send Configure; see `StreamSession.configure`."""
        async with self._configuring:
            answer = await self._ask(
                "Configure",
                lambda event: isinstance(event, (ConfiguredEvent, ConfigureFailedEvent)),
                _CONFIGURE_TIMEOUT_SECONDS,
                **changes,
            )
        if isinstance(answer, ConfiguredEvent):
            self._life.configuration = _merged(self._life.configuration, changes)
            return answer
        if isinstance(answer, ConfigureFailedEvent):
            text = ": ".join(part for part in (answer.code, answer.description) if part)
            raise ConfigureError(
                f"Deepgram refused the change: {text}", code=answer.code, description=answer.description
            )
        raise ConfigureError(
            "the stream ended before Deepgram answered the Configure"
            if self._life.close_info is not None
            else f"Deepgram did not answer the Configure within {_CONFIGURE_TIMEOUT_SECONDS} s"
        )

    async def _ask(
        self, kind: str, fits: Callable[[AnyStreamEvent], bool], timeout_seconds: float, **fields: object
    ) -> AnyStreamEvent | None:
        """Send a control message; return its answer, None when it does not come in time or the stream ends."""
        answer = _Answer(fits)
        self._awaiting.append(answer)
        try:
            with anyio.move_on_after(timeout_seconds):
                while answer.event is None and self._life.close_info is None:
                    self._life.check_open()
                    connection = await self._life.send_control(kind, **fields)
                    while not (answer.event or self._life.close_info or connection.ended.is_set()):
                        answer.came = anyio.Event()  # what came while it waited to be sent is no matter
                        await answer.came.wait()
        finally:
            self._awaiting.remove(answer)
        return answer.event


class _Answer:
    """The event that answers a control message."""

    def __init__(self, fits: Callable[[AnyStreamEvent], bool]) -> None:
        self._fits = fits
        self.event: AnyStreamEvent | None = None
        self.came = anyio.Event()  # set without an event when the connection is lost, or the stream ends

    def offer(self, event: AnyStreamEvent) -> None:
        if self.event is None and self._fits(event):
            self.event = event
            self.came.set()
        elif isinstance(event, ReconnectingEvent):
            self.came.set()


def _merged(settings: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Add changes to settings; groups such as `thresholds` are changed by their members."""
    merged = dict(settings)
    for name, value in changes.items():
        before = merged.get(name)
        merged[name] = (
            {**before, **value} if isinstance(before, Mapping) and isinstance(value, Mapping) else value
        )
    return merged
