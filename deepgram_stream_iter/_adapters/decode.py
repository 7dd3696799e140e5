"""From what the SDK hands a callback to a typed event.

Messages are told apart by their `type` string, never by their class: depending on its version and on the message, the
SDK hands out a model, a model of the wrong class, a mapping or None. Whatever is missing or of a wrong type becomes
empty; nothing here raises. Words are read only when somebody asks the event for them (`_events/unread.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import deepgram_stream_iter._events.kinds as events
from deepgram_stream_iter._events.kinds import AnyStreamEvent
from deepgram_stream_iter._events.reading import fields_of, integer, item, number, text, texts
from deepgram_stream_iter._events.unread import made


def decode(raw: object) -> AnyStreamEvent:
    """Return the event for any message; `UnknownEvent` of one that this version does not know."""
    if isinstance(raw, (bytes, bytearray)):
        return events.AudioEvent(data=bytes(raw), raw=raw)
    message = fields_of(raw)
    name = text(message.get("type"))
    decoder = _DECODERS.get(name)
    return decoder(message, raw) if decoder else events.UnknownEvent(name=name, raw=raw)


def _transcript(message: Mapping[str, object], raw: object) -> events.TranscriptEvent:
    get = message.get
    alternative = fields_of(item(fields_of(get("channel")).get("alternatives"), 0)).get
    speech_final = get("speech_final") is True
    channel_index = get("channel_index")
    fields: dict[str, object] = {
        "type": "transcript",
        "raw": raw,
        "transcript": text(alternative("transcript")),
        "is_final": speech_final or get("is_final") is True,
        "speech_final": speech_final,
        "from_finalize": get("from_finalize") is True,
        "confidence": number(alternative("confidence")),
        "start": number(get("start")),
        "duration": number(get("duration")),
        "channel_index": integer(item(channel_index, 0)),
        "channel_count": integer(item(channel_index, 1)),
        "languages": texts(alternative("languages")),
    }
    return made(events.TranscriptEvent, fields, alternative("words"))


def _turn(message: Mapping[str, object], raw: object) -> AnyStreamEvent:
    get = message.get
    name = text(get("event"))
    kind = _TURN_KINDS.get(name)
    if kind is None:
        return events.UnknownEvent(name=f"TurnInfo.{name}", raw=raw)
    fields: dict[str, object] = {
        "type": kind.type,
        "raw": raw,
        "transcript": text(get("transcript")),
        "turn_index": integer(get("turn_index")),
        "start": number(get("audio_window_start")),
        "end": number(get("audio_window_end")),
        "end_of_turn_confidence": number(get("end_of_turn_confidence")),
        "languages": texts(get("languages")),
    }
    if kind is events.EndOfTurnEvent:
        fields |= {"trigger": text(get("trigger")), "confirmed": True}
    return made(kind, fields, get("words"))


def _speech_started(message: Mapping[str, object], raw: object) -> events.SpeechStartedEvent:
    return events.SpeechStartedEvent(
        timestamp=number(message.get("timestamp")),
        channel_index=integer(item(message.get("channel"), 0)),
        raw=raw,
    )


def _utterance_end(message: Mapping[str, object], raw: object) -> events.UtteranceEndEvent:
    return events.UtteranceEndEvent(
        last_word_end=number(message.get("last_word_end")),
        channel_index=integer(item(message.get("channel"), 0)),
        raw=raw,
    )


def _metadata(message: Mapping[str, object], raw: object) -> events.MetadataEvent:
    return events.MetadataEvent(
        request_id=text(message.get("request_id")),
        duration=number(message.get("duration")),
        channels=integer(message.get("channels")),
        raw=raw,
    )


def _connected(message: Mapping[str, object], raw: object) -> events.ConnectedEvent:
    return events.ConnectedEvent(request_id=text(message.get("request_id")), raw=raw)


def _configured(_: Mapping[str, object], raw: object) -> events.ConfiguredEvent:
    return events.ConfiguredEvent(raw=raw)


def _configure_failed(message: Mapping[str, object], raw: object) -> events.ConfigureFailedEvent:
    return events.ConfigureFailedEvent(
        code=_code(message), description=text(message.get("description")), raw=raw
    )


def _warning(message: Mapping[str, object], raw: object) -> events.WarningEvent:
    return events.WarningEvent(code=_code(message), description=text(message.get("description")), raw=raw)


def _error(message: Mapping[str, object], raw: object) -> events.ErrorEvent:
    description = text(message.get("description")) or text(message.get("message"))
    return events.ErrorEvent(code=_code(message), description=description, raw=raw)


_DECODERS: dict[str, Callable[[Mapping[str, object], object], AnyStreamEvent]] = {
    "Results": _transcript,
    "SpeechStarted": _speech_started,
    "UtteranceEnd": _utterance_end,
    "Metadata": _metadata,
    "Connected": _connected,
    "TurnInfo": _turn,
    "ConfigureSuccess": _configured,
    "ConfigureFailure": _configure_failed,
    "Warning": _warning,
    "Error": _error,
}

_TURN_KINDS: dict[str, type[events.TurnEvent]] = {
    "StartOfTurn": events.StartOfTurnEvent,
    "Update": events.TurnUpdateEvent,
    "EagerEndOfTurn": events.EagerEndOfTurnEvent,
    "TurnResumed": events.TurnResumedEvent,
    "EndOfTurn": events.EndOfTurnEvent,
}


def _code(message: Mapping[str, object]) -> str:
    """`variant` is what Nova's `Error` has in the place of a code."""
    return text(message.get("code")) or text(message.get("variant"))
