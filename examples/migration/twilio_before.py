"""Transcribe phone calls that Twilio streams here (mulaw at 8 kHz, base64 in JSON over a WebSocket), on SDK 7."""

import asyncio
import base64
import copy
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from deepgram import AsyncDeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from websockets.asyncio.server import ServerConnection, serve

OPTIONS: Any = {"model": "nova-3", "interim_results": "true", "encoding": "mulaw", "sample_rate": 8000}


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


async def voice(phone: ServerConnection) -> AsyncIterator[bytes]:
    async for text in phone:
        message = json.loads(text)
        if message["event"] == "media":
            yield base64.b64decode(message["media"]["payload"])
        elif message["event"] == "stop":
            break


async def answer(phone: ServerConnection) -> None:
    try:
        async with client.listen.v1.connect(**OPTIONS) as connection:
            connection.on(EventType.MESSAGE, on_message)
            connection.on(EventType.ERROR, on_error)
            listening = asyncio.create_task(connection.start_listening())  # noqa: F841, RUF006
            async for audio in voice(phone):
                await connection.send_media(audio)
            await connection.send_close_stream()
    finally:
        print("-- end of the call")


async def main() -> None:
    async with serve(answer, "127.0.0.1", int(os.environ.get("PORT", "8080"))) as server:
        await server.serve_forever()


logging.basicConfig(level=logging.INFO)
client = AsyncDeepgramClient(environment=environment())
asyncio.run(main())
