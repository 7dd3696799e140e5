"""Transcribe a file of raw linear16 at 16 kHz live, with `async for` on SDK 3 and 4."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, cast

import deepgram

from deepgram_stream_iter import DeepgramStreamError, StreamEvent, stream

sdk: Any = cast("Any", deepgram)  # for type checkers: it is untyped, and SDK 7 has other names


async def main(audio: bytes) -> None:
    """Print each final text, and each utterance."""
    config = sdk.DeepgramClientOptions(url=os.environ.get("DEEPGRAM_URL", ""))
    connection = sdk.DeepgramClient(os.environ["DEEPGRAM_API_KEY"], config).listen.asyncwebsocket.v("1")
    settings = {"model": "nova-3", "interim_results": True, "utterance_end_ms": "1000"}
    options = sdk.LiveOptions(**settings, encoding="linear16", sample_rate=16000)
    finals: list[str] = []
    async with stream(connection, options) as session:
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
