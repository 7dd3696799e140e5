"""What a session has done so far, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StreamStats:
    """What a session has done so far."""

    connect_seconds: float
    """How long it took to make the connection, the last one where there were several."""
    events: int
    """Events that have arrived, those that the session makes itself among them."""
    events_by_kind: Mapping[str, int]
    """The same by their `type`; a kind that never came is missing."""
    interims_coalesced: int
    """Interims and turn updates taken out of a full buffer (`overflow="coalesce"`)."""
    dropped: int
    """Events of any kind dropped from a full buffer (`overflow="drop_oldest"`)."""
    buffered: int
    """Events that wait for the consumer now."""
    buffered_max: int
    wait_seconds_p50: float
    """How long events waited for the consumer: the median of the last 128 handed out."""
    wait_seconds_max: float
    latency_seconds: float | None
    """How far the transcript is behind the audio, now, as Deepgram measures it: where the audio is, less where the last
    result ends. Silence to which Deepgram says nothing counts. None for audio whose bytes are not time."""
    latency_seconds_max: float | None
    """The most that it was when a result came; None before the first."""
    audio_seconds_sent: float | None
    """The audio that `send()` and `feed()` have taken, once however often it was sent again; None for audio whose bytes are
    not time (containers, compressed encodings)."""
    audio_seconds_finalized: float
    """Where in the audio the last final text ends."""
    keepalives_sent: int
    reconnects: int
    """How often the connection was lost and made again."""
    audio_seconds_replayed: float
    """Audio that was sent again after a reconnection."""
    audio_seconds_lost: float
    """The audio of all `AudioGap`s whose length is known."""
