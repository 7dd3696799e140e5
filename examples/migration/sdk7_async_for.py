"""Transcribe a file of raw linear16 at 16 kHz live, with `async for` on SDK 7."""

import asyncio
import copy
import os
import sys
from pathlib import Path

from deepgram import AsyncDeepgramClient
from deepgram.environment import DeepgramClientEnvironment

from deepgram_stream_iter import DeepgramStreamError, StreamEvent, StreamingOptions, stream


def environment() -> DeepgramClientEnvironment:
    """Give DEEPGRAM_URL, or else Deepgram itself."""
    here = copy.copy(DeepgramClientEnvironment.PRODUCTION)
    if url := os.environ.get("DEEPGRAM_URL"):
        here.base, here.production = url, url.replace("http", "ws", 1)
    return here


async def main(audio: bytes) -> None:
    """Print each final text, and each utterance."""
    client = AsyncDeepgramClient(environment=environment())
    options = StreamingOptions(
        model="nova-3",
        interim_results=True,
        utterance_end_ms=1000,
        encoding="linear16",
        sample_rate=16000,
    )
    finals: list[str] = []
    async with stream(client, options) as session:
        session.feed(audio, pace=1.0)  # its end is the stream's, once the last finals have come
        async for event in session:
            match event:
                case StreamEvent.Transcript(is_final=True, transcript=text, speech_final=is_end):
                    if text:
                        print(text)
                        finals.append(text)
                case StreamEvent.UtteranceEnd():
                    is_end = True
                case _:
                    is_end = False
            if is_end and finals:
                print("--", " ".join(finals))
                finals.clear()
    if finals:
        print("--", " ".join(finals))


try:
    asyncio.run(main(Path(sys.argv[1]).read_bytes()))
except DeepgramStreamError as error:
    sys.exit(str(error))
