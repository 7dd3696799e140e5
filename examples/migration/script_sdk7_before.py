"""Transcribe a file of raw linear16 at 16 kHz live, in a script without an event loop, on SDK 7."""

import copy
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment

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


def main(path: str) -> None:
    client = DeepgramClient(environment=environment())
    with client.listen.v1.connect(**OPTIONS) as connection:
        connection.on(EventType.MESSAGE, on_message)
        connection.on(EventType.ERROR, on_error)
        listener = threading.Thread(target=connection.start_listening, daemon=True)
        listener.start()
        with Path(path).open("rb") as audio:
            while frame := audio.read(3200):
                connection.send_media(frame)
                time.sleep(0.1)
        connection.send_close_stream()
        listener.join()
    print("-- end")


main(sys.argv[1])
