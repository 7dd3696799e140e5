"""One clock for all connections of a session. Pure.

The clock of each connection starts at 0, with the first audio that it is sent. That audio has a place in the session's audio,
and this place is added to every time that comes back.
"""

from __future__ import annotations

from deepgram_stream_iter._events.kinds import (
    AnyStreamEvent,
    MetadataEvent,
    SpeechStartedEvent,
    TranscriptEvent,
    TurnStateEvent,
    UtteranceEndEvent,
)
from deepgram_stream_iter._events.unread import moved

_TIMES: dict[type, tuple[str, ...]] = {
    TranscriptEvent: ("start",),
    TurnStateEvent: ("start", "end"),
    SpeechStartedEvent: ("timestamp",),
    UtteranceEndEvent: ("last_word_end",),
    MetadataEvent: ("duration",),
}
"""The fields that are places in the audio, apart from those of words."""


class Timeline:
    """Moves the events of one connection after another to the session's clock."""

    def __init__(self) -> None:
        self._offset_seconds = 0.0
        self.heard_seconds = 0.0
        """How far the server has heard the audio, by what it has said."""

    def begin(self, offset_seconds: float) -> None:
        """Record the place of the first audio that a new connection is sent."""
        self._offset_seconds = offset_seconds

    def place(self, event: AnyStreamEvent) -> AnyStreamEvent:
        """Return the event with its times on the session's clock; `raw` stays as it was."""
        if self._offset_seconds:
            times = next((names for kind, names in _TIMES.items() if isinstance(event, kind)), None)
            event = event if times is None else moved(event, self._offset_seconds, *times)
        if isinstance(event, (TranscriptEvent, TurnStateEvent)):
            end = event.end
            if end is not None and end > self.heard_seconds:
                self.heard_seconds = end
        return event
