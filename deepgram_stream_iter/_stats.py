"""What a session has done so far, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StreamStats:
    """What a session has done so far."""

    events: int
    """Events that have arrived."""
    interims_coalesced: int
    """Interims and turn updates taken out of a full buffer (`overflow="coalesce"`)."""
    dropped: int
    """Events of any kind dropped from a full buffer (`overflow="drop_oldest"`)."""
    buffered: int
    """Events that wait for the consumer now."""
    buffered_max: int
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
