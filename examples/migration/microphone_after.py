"""Transcribe the microphone, whose driver calls a function with each block of audio (sounddevice), on SDK 7."""

import copy
import os
import sys
from typing import Any

import sounddevice
from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment

from deepgram_stream_iter.sync import stream

OPTIONS: Any = {"model": "nova-3", "interim_results": "true", "encoding": "linear16", "sample_rate": 16000}


def on_message(message: Any) -> None:
    if getattr(message, "type", "") == "Results":
        text = message.channel.alternatives[0].transcript
        if message.is_final and text:
            print(text)


def on_error(error: object) -> None:
    print("error:", error, file=sys.stderr)


def environment() -> DeepgramClientEnvironment:
    here = copy.copy(DeepgramClientEnvironment.PRODUCTION)
    if url := os.environ.get("DEEPGRAM_URL"):
        here.base, here.production = url, url.replace("http", "ws", 1)
    return here


def main() -> None:
    client = DeepgramClient(environment=environment())
    with client.listen.v1.connect(**OPTIONS) as connection:
        connection.on(EventType.MESSAGE, on_message)
        connection.on(EventType.ERROR, on_error)
        with stream(connection, max_buffer_size=0) as session:

            def on_audio(block: Any, _frames: int, _time: object, status: object) -> None:
                if status:
                    print(status, file=sys.stderr)
                session.send_nowait(bytes(block))

            with sounddevice.RawInputStream(
                samplerate=16000, blocksize=1600, channels=1, dtype="int16", callback=on_audio
            ):
                input("Press Enter to stop\n")
    print("-- end")


main()
