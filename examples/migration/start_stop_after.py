"""Transcribe raw linear16 at 16 kHz with a class whose start() connects and whose stop() ends it, on SDK 7."""

import copy
import os
import sys
import threading
from typing import Any

from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment

from deepgram_stream_iter.sync import stream

OPTIONS: Any = {"model": "nova-3", "interim_results": "true", "encoding": "linear16", "sample_rate": 16000}


class Transcriber:
    """What a recording says: `start()`, `write()` as often as there is audio, `stop()`."""

    def __init__(self, client: DeepgramClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._texts: list[str] = []

    def start(self) -> None:
        self._context = self._client.listen.v1.connect(**OPTIONS)
        self._connection = self._context.__enter__()
        self._connection.on(EventType.MESSAGE, self._on_message)
        self._connection.on(EventType.ERROR, self._on_error)
        self._session = stream(self._connection, max_buffer_size=0)
        self._session.open()

    def write(self, audio: bytes) -> None:
        self._session.send(audio)

    def stop(self) -> str:
        self._session.close()
        self._context.__exit__(None, None, None)
        with self._lock:
            return " ".join(self._texts)

    def _on_message(self, message: Any) -> None:
        if getattr(message, "type", "") == "Results" and message.is_final:
            with self._lock:
                self._texts.append(message.channel.alternatives[0].transcript)
            print(self._texts[-1])

    def _on_error(self, error: object) -> None:
        print("error:", error, file=sys.stderr)


def environment() -> DeepgramClientEnvironment:
    here = copy.copy(DeepgramClientEnvironment.PRODUCTION)
    if url := os.environ.get("DEEPGRAM_URL"):
        here.base, here.production = url, url.replace("http", "ws", 1)
    return here


transcriber = Transcriber(DeepgramClient(environment=environment()))
transcriber.start()
while audio := sys.stdin.buffer.read(3200):
    transcriber.write(audio)
print("--", transcriber.stop())
