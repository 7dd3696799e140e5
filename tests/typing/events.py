"""Only type-checked, never run: what the checkers must know of the events."""

from __future__ import annotations

from typing_extensions import assert_never, assert_type

from deepgram_stream_iter._events import AnyStreamEvent, StreamEvent


def exhaustive(event: AnyStreamEvent) -> str:
    match event:
        case StreamEvent.Transcript(transcript=text, is_final=True):
            assert_type(text, str)
            return text
        case StreamEvent.Transcript() | StreamEvent.SpeechStarted() | StreamEvent.UtteranceEnd():
            return event.type
        case StreamEvent.Metadata() | StreamEvent.Connected():
            return event.request_id
        case StreamEvent.StartOfTurn() | StreamEvent.TurnUpdate() | StreamEvent.EagerEndOfTurn():
            return event.transcript
        case StreamEvent.TurnResumed():
            return event.transcript
        case StreamEvent.EndOfTurn(trigger=trigger, confirmed=confirmed):
            assert_type(confirmed, bool)
            return trigger
        case StreamEvent.Configured() | StreamEvent.ConfigureFailed():
            return ""
        case StreamEvent.Warning(description=description) | StreamEvent.Error(description=description):
            assert_type(description, str)
            return description
        case StreamEvent.Audio(data=data):
            assert_type(data, bytes)
            return ""
        case StreamEvent.Unknown(name=name):
            return name
        case _:
            assert_never(event)


def narrowed(event: AnyStreamEvent) -> str:
    if event.type == "transcript":
        assert_type(event, StreamEvent.Transcript)
        return event.channel.alternatives[0].transcript
    if event.type == "utterance_end":
        assert_type(event, StreamEvent.UtteranceEnd)
        assert_type(event.last_word_end, float | None)
    return event.type


def of_the_base(event: StreamEvent) -> str:
    match event:
        case StreamEvent.Transcript(transcript=text):
            assert_type(text, str)
            return text
        case _:
            return event.type
