"""The control messages that Deepgram answers: Finalize and Configure.

The answer is an event like any other, which is handed out as well. A message whose connection is lost before its answer
has come is sent again to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import anyio

from deepgram_stream_iter._connection.connection import Connection
from deepgram_stream_iter._errors import ConfigureError
from deepgram_stream_iter._events.kinds import (
    AnyStreamEvent,
    ConfiguredEvent,
    ConfigureFailedEvent,
    TranscriptEvent,
)
from deepgram_stream_iter._inbound.answers import Answers
from deepgram_stream_iter._loop.signal import Signal
from deepgram_stream_iter._outbound.outbox import Outbox

_CONFIGURE_TIMEOUT_SECONDS = 10.0


class Requests:
    """Sends requests and waits for their answers; one Configure is under way at a time."""

    def __init__(self, outbox: Outbox, answers: Answers) -> None:
        self._outbox, self._answers = outbox, answers
        self._configuring = asyncio.Lock()
        self._configuration: dict[str, object] = {}  # what a Configure has changed since the session began

    async def restore(self, connection: Connection) -> Signal | None:
        """Send the settings again to a new connection; return what its answer sets, where there is to be one.

        :raises DeepgramStreamError: as `Connection.send` does.
        """
        if not self._configuration:
            return None
        restored = self._answers.expect_restored()
        await connection.send_control("Configure", **self._configuration)
        return restored

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
            self._configuration = _merged(self._configuration, changes)
            return answer
        if isinstance(answer, ConfigureFailedEvent):
            text = ": ".join(part for part in (answer.code, answer.description) if part)
            raise ConfigureError(
                f"Deepgram refused the change: {text}", code=answer.code, description=answer.description
            )
        raise ConfigureError(
            "the stream ended before Deepgram answered the Configure"
            if self._answers.is_over
            else f"Deepgram did not answer the Configure within {_CONFIGURE_TIMEOUT_SECONDS} s"
        )

    async def _ask(
        self, kind: str, fits: Callable[[AnyStreamEvent], bool], timeout_seconds: float, **fields: object
    ) -> AnyStreamEvent | None:
        """Send a control message; return its answer, None when it does not come in time or the stream ends."""
        with self._answers.expecting(fits) as answer, anyio.move_on_after(timeout_seconds):
            while answer.event is None and not self._answers.is_over:
                connection = await self._outbox.send_control(kind, **fields)
                while answer.event is None and connection.end is None:
                    await answer.wait_for_change()
        return answer.event


def _merged(settings: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Return settings with changes; groups such as `thresholds` are changed by their members."""
    merged = dict(settings)
    for name, value in changes.items():
        before = merged.get(name)
        merged[name] = (
            {**before, **value} if isinstance(before, Mapping) and isinstance(value, Mapping) else value
        )
    return merged
