"""Transcribe a file of raw linear16 at 16 kHz live, with the handlers of SDK 7."""

import asyncio
import copy
import os
import sys
from pathlib import Path
from typing import Any

from deepgram import AsyncDeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment

finals: list[str] = []  # of the utterance so far, shared by the handlers
errors: list[object] = []


def on_message(message: Any) -> None:  # noqa: ANN401, D103
    kind = getattr(message, "type", "")  # a message that this SDK does not know is None
    if kind == "Results":
        text = message.channel.alternatives[0].transcript
        if message.is_final and text:
            print(text)
            finals.append(text)
    if kind == "UtteranceEnd" or (kind == "Results" and message.speech_final):
        end_utterance()


def end_utterance() -> None:  # noqa: D103
    if finals:
        print("--", " ".join(finals))
    finals.clear()


def environment() -> DeepgramClientEnvironment:  # noqa: D103
    here = copy.copy(DeepgramClientEnvironment.PRODUCTION)
    if url := os.environ.get("DEEPGRAM_URL"):
        here.base, here.production = url, url.replace("http", "ws", 1)
    return here


async def main(audio: bytes) -> None:  # noqa: D103
    listen = AsyncDeepgramClient(environment=environment()).listen.v1
    settings: dict[str, Any] = {"model": "nova-3", "interim_results": "true", "utterance_end_ms": 1000}
    async with listen.connect(**settings, encoding="linear16", sample_rate=16000) as connection:
        connection.on(EventType.MESSAGE, on_message)
        connection.on(EventType.ERROR, errors.append)
        listening = asyncio.create_task(connection.start_listening())
        for begin in range(0, len(audio), 3200):
            await connection.send_media(audio[begin : begin + 3200])
            await asyncio.sleep(0.1)
        await connection.send_close_stream()
        await listening  # leave before, and the last finals are lost; a server that hangs holds you here
    end_utterance()
    if errors:
        sys.exit(f"the stream failed: {errors[0]}")


asyncio.run(main(Path(sys.argv[1]).read_bytes()))
