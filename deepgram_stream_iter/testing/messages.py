"""Deepgram's messages as dicts, in the shapes of the wire.

The parameters are what tests vary; any other field goes in, or is replaced, by its own name as a keyword:
`results("hello", entities=[])`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ._recognition import SpokenWord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

JSONObject: TypeAlias = dict[str, object]

REQUEST_ID = "0f6c1b5e-3d0a-4c52-9a55-6f0d6d2c7a11"
"""The request id of messages that are given none."""
MODEL_UUID = "2f1a7c04-55e8-4f5b-8c2e-9c3f1f0f7b20"
"""The id of the one model that the local server claims to run."""

_MODEL_INFO = {"name": "general-nova-3", "version": "2025-04-17.21547", "arch": "nova-3"}


def results(  # noqa: PLR0913 - one parameter for each field that a test has reason to vary
    transcript: str = "",
    *,
    start: float = 0.0,
    duration: float = 1.0,
    is_final: bool = False,
    speech_final: bool = False,
    from_finalize: bool = False,
    channel: int = 0,
    channels: int = 1,
    words: Iterable[SpokenWord] | None = None,
    confidence: float = 0.99,
    request_id: str = REQUEST_ID,
    **fields: object,
) -> JSONObject:
    """Return `Results` of one channel. Without `words`, the transcript's are spread over the duration."""
    spoken = _spread(transcript, start, duration, confidence) if words is None else tuple(words)
    alternative = {
        "transcript": transcript or transcript_of(spoken),
        "confidence": confidence,
        "words": [_v1_word(word) for word in spoken],
    }
    return {
        "type": "Results",
        "channel_index": [channel, channels],
        "duration": duration,
        "start": start,
        "is_final": is_final,
        "speech_final": speech_final,
        "channel": {"alternatives": [alternative]},
        "metadata": {"request_id": request_id, "model_info": dict(_MODEL_INFO), "model_uuid": MODEL_UUID},
        "from_finalize": from_finalize,
        **fields,
    }


def metadata(
    *, duration: float = 0.0, channels: int = 1, request_id: str = REQUEST_ID, **fields: object
) -> JSONObject:
    """Return the `Metadata` that ends a /v1/listen stream."""
    return {
        "type": "Metadata",
        "transaction_key": "deprecated",
        "request_id": request_id,
        "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "created": "2025-01-01T00:00:00.000Z",
        "duration": duration,
        "channels": channels,
        "models": [MODEL_UUID],
        "model_info": {MODEL_UUID: dict(_MODEL_INFO)},
        **fields,
    }


def speech_started(timestamp: float, channel: int = 0, channels: int = 1, **fields: object) -> JSONObject:
    """Return `SpeechStarted` at `timestamp`, in seconds of audio."""
    return {"type": "SpeechStarted", "channel": [channel, channels], "timestamp": timestamp, **fields}


def utterance_end(last_word_end: float, channel: int = 0, channels: int = 1, **fields: object) -> JSONObject:
    """Return `UtteranceEnd` after the word that ended at `last_word_end`, in seconds of audio."""
    return {"type": "UtteranceEnd", "channel": [channel, channels], "last_word_end": last_word_end, **fields}


def error(
    description: str, variant: str = "SchemaError", message: str | None = None, **fields: object
) -> JSONObject:
    """Return the `Error` of /v1/listen, which ends nothing; `message` is the text it complains of."""
    return {"type": "Error", "variant": variant, "description": description, "message": message, **fields}


def connected(request_id: str = REQUEST_ID, sequence_id: int = 0, **fields: object) -> JSONObject:
    """Return the `Connected` that opens a /v2/listen stream."""
    return {"type": "Connected", "request_id": request_id, "sequence_id": sequence_id, **fields}


def turn_info(  # noqa: PLR0913 - one parameter for each field that a test has reason to vary
    event: str,
    transcript: str = "",
    *,
    turn_index: int = 0,
    sequence_id: int = 1,
    start: float = 0.0,
    end: float = 1.0,
    end_of_turn_confidence: float = 0.1,
    trigger: str | None = None,
    words: Iterable[SpokenWord] | None = None,
    languages: Sequence[str] | None = None,
    request_id: str = REQUEST_ID,
    **fields: object,
) -> JSONObject:
    """Return `TurnInfo` of the audio from `start` to `end` seconds; no `trigger` and no `languages` if None."""
    spoken = _spread(transcript, start, end - start, 0.99) if words is None else tuple(words)
    message: JSONObject = {
        "type": "TurnInfo",
        "request_id": request_id,
        "sequence_id": sequence_id,
        "event": event,
        "turn_index": turn_index,
        "audio_window_start": start,
        "audio_window_end": end,
        "transcript": transcript or transcript_of(spoken),
        "words": [_v2_word(word) for word in spoken],
        "end_of_turn_confidence": end_of_turn_confidence,
    }
    if trigger is not None:
        message["trigger"] = trigger
    if languages is not None:
        message["languages"] = list(languages)
    return {**message, **fields}


def fatal_error(code: str, description: str, sequence_id: int = 1, **fields: object) -> JSONObject:
    """Return the `Error` of /v2/listen, after which the server closes."""
    return {
        "type": "Error",
        "sequence_id": sequence_id,
        "code": code,
        "description": description,
        **fields,
    }


def warning(
    code: str, description: str, sequence_id: int = 1, request_id: str = REQUEST_ID, **fields: object
) -> JSONObject:
    """Return the `Warning` of /v2/listen."""
    return {
        "type": "Warning",
        "request_id": request_id,
        "sequence_id": sequence_id,
        "code": code,
        "description": description,
        **fields,
    }


def configure_success(request_id: str = REQUEST_ID, **fields: object) -> JSONObject:
    """Return `ConfigureSuccess`; /v2/listen adds `sequence_id`, `thresholds`, `keyterms`, `language_hints`."""
    return {"type": "ConfigureSuccess", "request_id": request_id, **fields}


def configure_failure(
    code: str, description: str, request_id: str = REQUEST_ID, **fields: object
) -> JSONObject:
    """Return `ConfigureFailure`; /v2/listen adds `sequence_id`."""
    return {
        "type": "ConfigureFailure",
        "request_id": request_id,
        "code": code,
        "description": description,
        **fields,
    }


def transcript_of(words: Iterable[SpokenWord]) -> str:
    """Join words as they are written in a transcript."""
    return " ".join(word.punctuated_word or word.word for word in words)


def _spread(transcript: str, start: float, duration: float, confidence: float) -> tuple[SpokenWord, ...]:
    written = transcript.split()
    step = duration / max(len(written), 1)
    return tuple(
        SpokenWord(
            # A "word" of punctuation alone keeps it: the wire has no empty words.
            word="".join(c for c in text.lower() if c.isalnum() or c in "'-") or text,
            start=round(start + index * step, 3),
            end=round(start + (index + 1) * step, 3),
            confidence=confidence,
            punctuated_word=text,
        )
        for index, text in enumerate(written)
    )


def _v1_word(word: SpokenWord) -> JSONObject:
    spoken: Mapping[str, object] = {
        "word": word.word,
        "start": word.start,
        "end": word.end,
        "confidence": word.confidence,
        "punctuated_word": word.punctuated_word or word.word,
    }
    return {**spoken} if word.speaker is None else {**spoken, "speaker": word.speaker}


def _v2_word(word: SpokenWord) -> JSONObject:
    return {
        "word": word.punctuated_word or word.word,
        "confidence": word.confidence,
        "start": word.start,
        "end": word.end,
    }
