"""Transcribe raw linear16 at 16 kHz from a pipe, in a script without an event loop, on SDK 3 and 4.

arecord -q -t raw -f S16_LE -r 16000 | python script.py
"""

import os
import sys
from typing import Any, cast

import deepgram

from deepgram_stream_iter.sync import stream

sdk: Any = cast("Any", deepgram)  # for type checkers: it is untyped, and SDK 7 has other names


def on_transcript(_: object, result: Any, **__: object) -> None:
    text = result.channel.alternatives[0].transcript
    if result.is_final and text:
        print(text)


def on_speech_started(*_: object, **__: object) -> None:
    print("...")


def on_error(_: object, error: object, **__: object) -> None:
    print("error:", error, file=sys.stderr)


def main() -> None:
    settings = {"keepalive": "true"}
    config = sdk.DeepgramClientOptions(url=os.environ.get("DEEPGRAM_URL", ""), options=settings)
    client = sdk.DeepgramClient(os.environ["DEEPGRAM_API_KEY"], config)
    options = sdk.LiveOptions(
        model="nova-3",
        interim_results=True,
        vad_events=True,
        encoding="linear16",
        sample_rate=16000,
    )
    connection = client.listen.websocket.v("1")
    connection.on(sdk.LiveTranscriptionEvents.Transcript, on_transcript)
    connection.on(sdk.LiveTranscriptionEvents.SpeechStarted, on_speech_started)
    connection.on(sdk.LiveTranscriptionEvents.Error, on_error)
    with stream(connection, options, max_buffer_size=0) as session:
        while audio := sys.stdin.buffer.read(3200):
            session.send(audio)
    print("-- end")


main()
