"""The names of the kinds on `StreamEvent`, for type checkers. `kinds.py` puts them there at runtime, when this file is empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from deepgram_stream_iter._events import kinds


class Names:
    """The names of the kinds."""

    if TYPE_CHECKING:
        Transcript: TypeAlias = kinds.TranscriptEvent
        SpeechStarted: TypeAlias = kinds.SpeechStartedEvent
        UtteranceEnd: TypeAlias = kinds.UtteranceEndEvent
        Metadata: TypeAlias = kinds.MetadataEvent
        Connected: TypeAlias = kinds.ConnectedEvent
        StartOfTurn: TypeAlias = kinds.StartOfTurnEvent
        TurnUpdate: TypeAlias = kinds.TurnUpdateEvent
        EagerEndOfTurn: TypeAlias = kinds.EagerEndOfTurnEvent
        TurnResumed: TypeAlias = kinds.TurnResumedEvent
        EndOfTurn: TypeAlias = kinds.EndOfTurnEvent
        Configured: TypeAlias = kinds.ConfiguredEvent
        ConfigureFailed: TypeAlias = kinds.ConfigureFailedEvent
        Warning: TypeAlias = kinds.WarningEvent
        Error: TypeAlias = kinds.ErrorEvent
        Audio: TypeAlias = kinds.AudioEvent
        Reconnecting: TypeAlias = kinds.ReconnectingEvent
        Reconnected: TypeAlias = kinds.ReconnectedEvent
        AudioGap: TypeAlias = kinds.AudioGapEvent
        Unknown: TypeAlias = kinds.UnknownEvent
