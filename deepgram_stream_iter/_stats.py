"""What a session has done so far, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deepgram_stream_iter._events.plain import checked, from_plain, to_plain


@dataclass(frozen=True, kw_only=True)
class StreamStats:
    """What a session has done so far, for all its consumers: its own iteration and its subscriptions."""

    connect_seconds: float = 0.0
    """How long it took to make the connection, the last one where there were several."""
    events: int = 0
    """Events that have arrived, those that the session makes itself among them."""
    events_by_kind: Mapping[str, int] = field(default_factory=dict[str, int])
    """The same by their `type`; a kind that never came is missing."""
    interims_coalesced: int = 0
    """Interims and turn updates taken out of a full buffer (`overflow="coalesce"`)."""
    dropped: int = 0
    """Events of any kind dropped from a full buffer (`overflow="drop_oldest"`)."""
    buffered: int = 0
    """Events that wait for their consumer now, in the fullest buffer."""
    buffered_max: int = 0
    """The most that it was."""
    wait_seconds_p50: float = 0.0
    """How long events waited for their consumer: the median of the last 128 handed out."""
    wait_seconds_max: float = 0.0
    latency_seconds: float | None = None
    """How far the transcript is behind the audio, now, as Deepgram measures it: where the audio is, less where the last
    result ends. Silence to which Deepgram says nothing counts. None for audio whose bytes are not time."""
    latency_seconds_max: float | None = None
    """The most that it was when a result came; None before the first."""
    audio_seconds_sent: float | None = None
    """The audio that `send()`, `send_nowait()` and `feed()` have taken, once however often it was sent again; None for
    audio whose bytes are not time (containers, compressed encodings)."""
    audio_seconds_finalized: float = 0.0
    """Where in the audio the last final text ends."""
    keepalives_sent: int = 0
    reconnects: int = 0
    """How often the connection was lost and made again."""
    audio_seconds_replayed: float = 0.0
    """Audio that was sent again after a reconnection."""
    audio_seconds_lost: float = 0.0
    """The audio of all `AudioGap`s whose length is known, without what `skip()` left out in them."""

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers by their names, as JSON types; times are rounded to the microsecond."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, object]) -> StreamStats:
        """Return the stats that `to_dict()` wrote, their times rounded.

        What is missing or of a wrong type is 0, or None where nobody knows it.

        :raises TypeError: for what is not a mapping.
        """
        return cls(**from_plain(cls, checked(mapping, "StreamStats")))
