from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from deepgram.listen.v1.types import (
    ListenV1ConfigureFailure,
    ListenV1ConfigureSuccess,
    ListenV1Error,
    ListenV1Metadata,
    ListenV1Results,
    ListenV1SpeechStarted,
    ListenV1UtteranceEnd,
)
from deepgram.listen.v2.types import (
    ListenV2ConfigureFailure,
    ListenV2ConfigureSuccess,
    ListenV2Connected,
    ListenV2FatalError,
    ListenV2TurnInfo,
    ListenV2Warning,
)

from deepgram_stream_iter.testing import SpokenWord, messages

if TYPE_CHECKING:
    import pydantic

V2_CONFIGURED = messages.configure_success(sequence_id=1, thresholds={}, keyterms=[])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ListenV1Results, messages.results("Hello, world.")),
        (ListenV1Metadata, messages.metadata(duration=2.0)),
        (ListenV1SpeechStarted, messages.speech_started(0.5)),
        (ListenV1UtteranceEnd, messages.utterance_end(0.5)),
        (ListenV1Error, messages.error("no", message="what")),
        (ListenV1ConfigureSuccess, messages.configure_success(keyterms=["a"])),
        (ListenV1ConfigureFailure, messages.configure_failure("CODE", "no")),
        (ListenV2Connected, messages.connected()),
        (ListenV2TurnInfo, messages.turn_info("EndOfTurn", "Hello.", trigger="model", languages=["en"])),
        (ListenV2FatalError, messages.fatal_error("CODE", "no")),
        (ListenV2Warning, messages.warning("CODE", "no")),
        (ListenV2ConfigureSuccess, V2_CONFIGURED),
        (ListenV2ConfigureFailure, messages.configure_failure("CODE", "no", sequence_id=1)),
    ],
)
def test_messages_fit_the_sdk(model: type[pydantic.BaseModel], message: dict[str, object]) -> None:
    """Each message has every field that the SDK's model requires, of the right type, under its own type name."""
    assert model.model_validate(message, strict=True).model_dump()["type"] == message["type"]


def test_any_field_can_be_replaced() -> None:
    """A keyword that is no parameter puts its field in, or replaces it."""
    assert messages.results(metadata=None)["metadata"] is None
    assert messages.turn_info("Update", languages_hinted=["en"])["languages_hinted"] == ["en"]
    assert messages.metadata(sha256="0")["sha256"] == "0"


def words_of(message: dict[str, object]) -> list[dict[str, Any]]:
    """Return the words of a `Results`."""
    channel = cast("dict[str, Any]", message["channel"])
    words: list[dict[str, Any]] = channel["alternatives"][0]["words"]
    return words


def test_words_made_of_the_transcript() -> None:
    """Without words, the transcript's are spread over the duration, bare and as they are written."""
    words = words_of(messages.results("Don't, Panic. 42 ...", start=1.0, duration=2.0))
    assert [word["word"] for word in words] == ["don't", "panic", "42", "..."]
    assert [word["punctuated_word"] for word in words] == ["Don't,", "Panic.", "42", "..."]
    assert [(word["start"], word["end"]) for word in words] == [
        (1.0, 1.5),
        (1.5, 2.0),
        (2.0, 2.5),
        (2.5, 3.0),
    ]
    assert words_of(messages.results("")) == []


def test_words_given() -> None:
    """Given words stand as they are, and make the transcript where none is given."""
    message = messages.results(words=[SpokenWord("hi", 0.1, 0.2, punctuated_word="Hi!")])
    assert words_of(message)[0]["start"] == 0.1
    assert cast("dict[str, Any]", message["channel"])["alternatives"][0]["transcript"] == "Hi!"


def test_optional_fields_of_turns() -> None:
    """A turn has no trigger and no languages unless they are given."""
    assert messages.turn_info("Update").keys().isdisjoint({"trigger", "languages"})
    assert messages.turn_info("EndOfTurn", trigger="timeout")["trigger"] == "timeout"
