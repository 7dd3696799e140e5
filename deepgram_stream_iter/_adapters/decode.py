"""From what the SDK hands a callback to a typed event.

Messages are told apart by their `type` string, never by their class: depending on its version and on the message, the
SDK hands out a model, a model of the wrong class, a mapping or None. Whatever is missing or of a wrong type becomes
empty; nothing here raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import deepgram_stream_iter._events as events
from deepgram_stream_iter._events import AnyStreamEvent
from deepgram_stream_iter._words import Word

_TOO_LARGE = 1e9
"""30 years in seconds: what lies beyond is no time, nor anything else that Deepgram tells, and sums overflow with it."""


def decode(raw: object) -> AnyStreamEvent:
    """Return the event for any message; `UnknownEvent` of one that this version does not know."""
    if isinstance(raw, (bytes, bytearray)):
        return events.AudioEvent(data=bytes(raw), raw=raw)
    name = _text(_get(raw, "type"))
    decoder = _DECODERS.get(name)
    return decoder(raw) if decoder else events.UnknownEvent(name=name, raw=raw)


def _transcript(raw: object) -> events.TranscriptEvent:
    alternative = _item(_get(_get(raw, "channel"), "alternatives"), 0)
    speech_final = _get(raw, "speech_final") is True
    channel_index = _get(raw, "channel_index")
    return events.TranscriptEvent(
        transcript=_text(_get(alternative, "transcript")),
        is_final=speech_final or _get(raw, "is_final") is True,
        speech_final=speech_final,
        from_finalize=_get(raw, "from_finalize") is True,
        confidence=_number(_get(alternative, "confidence")),
        words=_words(alternative),
        start=_number(_get(raw, "start")),
        duration=_number(_get(raw, "duration")),
        channel_index=_integer(_item(channel_index, 0)),
        channel_count=_integer(_item(channel_index, 1)),
        languages=_texts(_get(alternative, "languages")),
        raw=raw,
    )


def _speech_started(raw: object) -> events.SpeechStartedEvent:
    return events.SpeechStartedEvent(
        timestamp=_number(_get(raw, "timestamp")),
        channel_index=_integer(_item(_get(raw, "channel"), 0)),
        raw=raw,
    )


def _utterance_end(raw: object) -> events.UtteranceEndEvent:
    return events.UtteranceEndEvent(
        last_word_end=_number(_get(raw, "last_word_end")),
        channel_index=_integer(_item(_get(raw, "channel"), 0)),
        raw=raw,
    )


def _metadata(raw: object) -> events.MetadataEvent:
    return events.MetadataEvent(
        request_id=_text(_get(raw, "request_id")),
        duration=_number(_get(raw, "duration")),
        channels=_integer(_get(raw, "channels")),
        raw=raw,
    )


def _connected(raw: object) -> events.ConnectedEvent:
    return events.ConnectedEvent(request_id=_text(_get(raw, "request_id")), raw=raw)


def _turn(raw: object) -> AnyStreamEvent:
    name = _text(_get(raw, "event"))
    if name not in _TURN_KINDS:
        return events.UnknownEvent(name=f"TurnInfo.{name}", raw=raw)
    event = _TURN_KINDS[name](
        transcript=_text(_get(raw, "transcript")),
        words=_words(raw),
        turn_index=_integer(_get(raw, "turn_index")),
        start=_number(_get(raw, "audio_window_start")),
        end=_number(_get(raw, "audio_window_end")),
        end_of_turn_confidence=_number(_get(raw, "end_of_turn_confidence")),
        languages=_texts(_get(raw, "languages")),
        raw=raw,
    )
    return (
        replace(event, trigger=_text(_get(raw, "trigger")))
        if isinstance(event, events.EndOfTurnEvent)
        else event
    )


def _configured(raw: object) -> events.ConfiguredEvent:
    return events.ConfiguredEvent(raw=raw)


def _configure_failed(raw: object) -> events.ConfigureFailedEvent:
    return events.ConfigureFailedEvent(code=_code(raw), description=_text(_get(raw, "description")), raw=raw)


def _warning(raw: object) -> events.WarningEvent:
    return events.WarningEvent(code=_code(raw), description=_text(_get(raw, "description")), raw=raw)


def _error(raw: object) -> events.ErrorEvent:
    description = _text(_get(raw, "description")) or _text(_get(raw, "message"))
    return events.ErrorEvent(code=_code(raw), description=description, raw=raw)


_DECODERS: dict[str, Callable[[object], AnyStreamEvent]] = {
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


def _words(holder: object) -> tuple[Word, ...]:
    return tuple(_word(word) for word in _items(_get(holder, "words")) if word is not None)


def _word(word: object) -> Word:
    # Read off the dictionary that a model is underneath: words are most of a message, and this halves their time.
    undeclared = getattr(word, "__pydantic_extra__", None)
    fields = cast("dict[str, object]", word if isinstance(word, dict) else getattr(word, "__dict__", {}))
    get = {**fields, **undeclared}.get if undeclared else fields.get
    return Word(
        word=_text(get("word")),
        punctuated_word=_text(get("punctuated_word")),
        start=_number(get("start")),
        end=_number(get("end")),
        confidence=_number(get("confidence")),
        speaker=_integer(get("speaker")),
        language=_text(get("language")),
    )


def _code(raw: object) -> str:
    """`variant` is what Nova's `Error` has in the place of a code."""
    return _text(_get(raw, "code")) or _text(_get(raw, "variant"))


def _get(holder: object, name: str) -> object:
    # `dict`, since that is what JSON makes; an `isinstance` with `Mapping` would take half the time of decoding.
    if isinstance(holder, dict):
        return cast("dict[str, object]", holder).get(name)
    return getattr(holder, name, None)


def _items(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else ()


def _item(value: object, index: int) -> object:
    items = _items(value)
    return items[index] if index < len(items) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in _items(value) if isinstance(item, str))


def _number(value: object) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has integers of any size
        return None
    return number if abs(number) < _TOO_LARGE else None


def _integer(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():  # SDK 6 makes floats of channel numbers
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
