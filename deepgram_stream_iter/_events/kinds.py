"""The typed events a session hands out. Pure data: no SDK, no sockets, no tasks.

The kinds are module-level classes and the attributes of `StreamEvent` are their public names: a nested class
could not derive from the class around it, and `isinstance(event, StreamEvent)` shall hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from deepgram_stream_iter._events.names import Names
from deepgram_stream_iter._events.plain import checked, from_plain, to_plain
from deepgram_stream_iter._events.reading import text
from deepgram_stream_iter._events.unread import words_when_asked
from deepgram_stream_iter._events.words import Alternative, Channel, Seconds, Word


@dataclass(frozen=True, kw_only=True)
class StreamEvent(Names):
    """The base of all events, and the name under which their kinds are found.

    Events are immutable, match by keyword, and compare by value (`raw` aside). Times are seconds of audio. What the
    server left out is an empty string, an empty tuple, None, or False where it is a flag. `words` are read from `raw` when
    somebody first asks for them, and kept from then on: do not change `raw` before that.
    """

    type: str = field(init=False, repr=False)
    """`transcript`, `utterance_end`, `start_of_turn` and so on: a literal of each kind."""
    raw: object = field(default=None, repr=False, compare=False)
    """The SDK's own object, untouched: a model, a mapping, bytes or None, as the SDK version has it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON types: `type` and all fields of its kind by their names, without `raw`.

        Times are rounded to the microsecond, a word is a dict by the names of `Word`, `data` is base64, and a `cause` has
        its `type` (the name of the class) and its `text`. A number that is not finite is None.
        """
        return to_plain(self)

    @staticmethod
    def from_dict(mapping: Mapping[str, object]) -> AnyStreamEvent:
        """Return the event that `to_dict()` wrote, its times rounded, of the kind that its `type` says; `raw` is None.

        A field that is missing or of a wrong type has its default, and an unknown one is ignored. A `type` of a newer version
        becomes an `UnknownEvent` of that `name`, whose `raw` is the mapping. A `cause` is of a class that is only called so.

        :raises TypeError: for what is not a mapping.
        """
        name = text(checked(mapping, "StreamEvent").get("type"))
        kind = _KINDS.get(name)
        return kind(**from_plain(kind, mapping)) if kind else UnknownEvent(name=name, raw=mapping)


@dataclass(frozen=True, kw_only=True)
class TranscriptEvent(StreamEvent):
    """Text of a segment (Nova's `Results`): an interim is superseded by the next one of its segment and channel."""

    type: Literal["transcript"] = field(default="transcript", init=False, repr=False)
    transcript: str = ""
    is_final: bool = False
    """The segment is closed: its text will not change any more."""
    speech_final: bool = False
    """An endpoint: the speaker has paused here."""
    from_finalize: bool = False
    confidence: float | None = None
    words: tuple[Word, ...] = words_when_asked()
    start: Seconds | None = None
    duration: Seconds | None = None
    channel_index: int | None = None
    channel_count: int | None = None
    languages: tuple[str, ...] = ()

    @property
    def end(self) -> Seconds | None:
        """`start` plus `duration`."""
        return None if self.start is None or self.duration is None else self.start + self.duration

    @property
    def channel(self) -> Channel:
        """The same in the shape of Deepgram's message, for code that comes from callbacks."""
        return Channel((Alternative(self.transcript, self.confidence, self.words, self.languages),))


@dataclass(frozen=True, kw_only=True)
class SpeechStartedEvent(StreamEvent):
    """Speech begins at `timestamp` (Nova, with `vad_events`)."""

    type: Literal["speech_started"] = field(default="speech_started", init=False, repr=False)
    timestamp: Seconds | None = None
    channel_index: int | None = None


@dataclass(frozen=True, kw_only=True)
class UtteranceEndEvent(StreamEvent):
    """No word since `last_word_end` for as long as `utterance_end_ms` says (Nova)."""

    type: Literal["utterance_end"] = field(default="utterance_end", init=False, repr=False)
    last_word_end: Seconds | None = None
    channel_index: int | None = None


@dataclass(frozen=True, kw_only=True)
class MetadataEvent(StreamEvent):
    """Nova's last message: what the whole stream was."""

    type: Literal["metadata"] = field(default="metadata", init=False, repr=False)
    request_id: str = ""
    duration: Seconds | None = None
    channels: int | None = None


@dataclass(frozen=True, kw_only=True)
class ConnectedEvent(StreamEvent):
    """Flux's first message."""

    type: Literal["connected"] = field(default="connected", init=False, repr=False)
    request_id: str = ""


@dataclass(frozen=True, kw_only=True)
class TurnStateEvent(StreamEvent):
    """The state of a Flux turn; each event of a turn carries the whole text of the turn so far."""

    transcript: str = ""
    words: tuple[Word, ...] = words_when_asked()
    turn_index: int | None = None
    start: Seconds | None = None
    """Where the transcribed window of audio begins (`audio_window_start`)."""
    end: Seconds | None = None
    end_of_turn_confidence: float | None = None
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StartOfTurnEvent(TurnStateEvent):
    """Somebody begins to speak."""

    type: Literal["start_of_turn"] = field(default="start_of_turn", init=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class TurnUpdateEvent(TurnStateEvent):
    """More of the turn was transcribed, about every 0.25 s; any later event of the turn supersedes it."""

    type: Literal["turn_update"] = field(default="turn_update", init=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class EagerEndOfTurnEvent(TurnStateEvent):
    """The turn has probably ended: time to prepare an answer."""

    type: Literal["eager_end_of_turn"] = field(default="eager_end_of_turn", init=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class TurnResumedEvent(TurnStateEvent):
    """The turn goes on after an `EagerEndOfTurn`."""

    type: Literal["turn_resumed"] = field(default="turn_resumed", init=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class EndOfTurnEvent(TurnStateEvent):
    """The turn has ended; its text is final."""

    type: Literal["end_of_turn"] = field(default="end_of_turn", init=False, repr=False)
    trigger: str = ""
    """`model`, `manual`, `timeout` or something newer; empty when the server did not say."""
    confirmed: bool = True
    """False when the stream ended inside the turn, or nobody was heard any more after a reconnection in it: the text is that
    of its last event."""


@dataclass(frozen=True, kw_only=True)
class ConfiguredEvent(StreamEvent):
    """Deepgram took over a `Configure`; `raw` tells what is in force."""

    type: Literal["configured"] = field(default="configured", init=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class ConfigureFailedEvent(StreamEvent):
    """Deepgram refused a `Configure`."""

    type: Literal["configure_failed"] = field(default="configure_failed", init=False, repr=False)
    code: str = ""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class WarningEvent(StreamEvent):
    """Deepgram warns; the stream goes on."""

    type: Literal["warning"] = field(default="warning", init=False, repr=False)
    code: str = ""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class ErrorEvent(StreamEvent):
    """Deepgram reports an error that does not end the stream."""

    type: Literal["error"] = field(default="error", init=False, repr=False)
    code: str = ""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class AudioEvent(StreamEvent):
    """A binary frame from the server."""

    type: Literal["audio"] = field(default="audio", init=False, repr=False)
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class ReconnectingEvent(StreamEvent):
    """The connection is lost, or could not be made again: the next attempt follows."""

    type: Literal["reconnecting"] = field(default="reconnecting", init=False, repr=False)
    attempt: int = 0
    """Counted from 1, anew after each final transcript."""
    cause: Exception = field(default_factory=Exception, compare=False)
    """What the connection, or the attempt before, ended with."""
    delay: float = 0.0
    """Seconds until the attempt."""


@dataclass(frozen=True, kw_only=True)
class ReconnectedEvent(StreamEvent):
    """There is a connection again; what has not been transcribed for good yet is sent to it."""

    type: Literal["reconnected"] = field(default="reconnected", init=False, repr=False)
    attempt: int = 0
    """The attempt that it took."""
    replayed_seconds: Seconds = 0.0
    """Audio that the lost connection had been sent already."""


@dataclass(frozen=True, kw_only=True)
class AudioGapEvent(StreamEvent):
    """Audio that is not transcribed for good, and will not be: it was lost with a connection, or waited too long to be sent."""

    type: Literal["audio_gap"] = field(default="audio_gap", init=False, repr=False)
    start: Seconds = 0.0
    end: Seconds | None = None
    """None for audio whose bytes are not time, so that nobody knows how long the gap is."""


@dataclass(frozen=True, kw_only=True)
class UnknownEvent(StreamEvent):
    """A message of a type this version does not know, or one that the SDK could not read (`name` is then empty)."""

    type: Literal["unknown"] = field(default="unknown", init=False, repr=False)
    name: str = ""


TurnEvent: TypeAlias = (
    StartOfTurnEvent | TurnUpdateEvent | EagerEndOfTurnEvent | TurnResumedEvent | EndOfTurnEvent
)

AnyStreamEvent: TypeAlias = (
    TranscriptEvent
    | SpeechStartedEvent
    | UtteranceEndEvent
    | MetadataEvent
    | ConnectedEvent
    | TurnEvent
    | ConfiguredEvent
    | ConfigureFailedEvent
    | WarningEvent
    | ErrorEvent
    | AudioEvent
    | ReconnectingEvent
    | ReconnectedEvent
    | AudioGapEvent
    | UnknownEvent
)
"""What iterating a session gives: the union of the kinds."""

_KINDS: dict[str, type[AnyStreamEvent]] = {kind.type: kind for kind in get_args(AnyStreamEvent)}


def _name_kinds() -> None:
    for kind in _KINDS.values():
        name = kind.__name__.removesuffix("Event")
        kind.__qualname__ = f"StreamEvent.{name}"  # what `repr` and `pickle` go by
        setattr(StreamEvent, name, kind)


_name_kinds()
