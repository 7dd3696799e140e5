"""Transcribe a file of raw linear16 at 16 kHz live, with the handlers of SDK 3 and 4."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, cast

import deepgram

sdk: Any = cast("Any", deepgram)  # for type checkers: it is untyped, and SDK 7 has other names
finals: list[str] = []  # of the utterance so far, shared by the handlers


async def on_transcript(_: object, result: Any, **__: object) -> None:  # noqa: ANN401, D103
    text = result.channel.alternatives[0].transcript
    if result.is_final and text:
        print(text)
        finals.append(text)
    if result.speech_final:
        end_utterance()


async def on_utterance_end(*_: object, **__: object) -> None:  # noqa: D103
    end_utterance()


async def on_close(*_: object, **__: object) -> None:
    """End nothing here: the SDK tells Close twice, and before the last finals."""


def end_utterance() -> None:  # noqa: D103
    if finals:
        print("--", " ".join(finals))
    finals.clear()


async def main(audio: bytes) -> None:  # noqa: D103
    config = sdk.DeepgramClientOptions(url=os.environ.get("DEEPGRAM_URL", ""))
    connection = sdk.DeepgramClient(os.environ["DEEPGRAM_API_KEY"], config).listen.asyncwebsocket.v("1")
    connection.on(sdk.LiveTranscriptionEvents.Transcript, on_transcript)
    connection.on(sdk.LiveTranscriptionEvents.UtteranceEnd, on_utterance_end)
    connection.on(sdk.LiveTranscriptionEvents.Close, on_close)
    settings = {"model": "nova-3", "interim_results": True, "utterance_end_ms": "1000"}
    if not await connection.start(sdk.LiveOptions(**settings, encoding="linear16", sample_rate=16000)):
        sys.exit("could not connect")  # the SDK has logged why, if it knows
    for begin in range(0, len(audio), 3200):
        if not await connection.send(audio[begin : begin + 3200]):
            sys.exit("the connection is lost")
        await asyncio.sleep(0.1)
    # finish() leaves the last finals half a second, and nothing tells when they have all come: so ask for them and
    # wait a moment. Too short loses words, too long is too long for every file.
    await connection.finalize()
    await asyncio.sleep(2)
    await connection.finish()
    end_utterance()


asyncio.run(main(Path(sys.argv[1]).read_bytes()))
