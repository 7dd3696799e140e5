"""Transcribe a WAV file live, at the speed at which a microphone would bring it.

    python examples/transcribe.py [speech.wav]

With DEEPGRAM_API_KEY in the environment Deepgram transcribes. Without, PocketSphinx does, behind a local server that
speaks Deepgram's protocol: the code between is the same.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import wave
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from deepgram import AsyncDeepgramClient

from deepgram_stream_iter import DeepgramStreamError, StreamEvent, StreamingOptions, stream

try:
    from transcribe_screen import Screen
except ModuleNotFoundError as error:
    sys.exit(f"transcribe: {error.name} is missing: pip install -e '.[demo]'")

if TYPE_CHECKING:
    from collections.abc import Iterator

CONVERT = "sox in.wav -r 16000 -c 1 -b 16 out.wav"


async def transcribe(client: AsyncDeepgramClient, audio: Audio) -> None:
    """Stream the audio and show what comes back."""
    options = StreamingOptions(
        model="nova-3",
        encoding="linear16",
        sample_rate=audio.sample_rate,
        channels=audio.channels,
        smart_format=True,
        interim_results=True,
        vad_events=True,
        utterance_end_ms=1000,
    )
    screen = Screen(len(audio.pcm) / audio.bytes_per_second)
    with screen.live:
        async with stream(client, options) as session:
            session.feed(screen.watch(audio.pieces(), audio.bytes_per_second), pace=1.0)
            async for event in session:
                match event:
                    case StreamEvent.Transcript(is_final=True):
                        screen.show_final(event)
                    case StreamEvent.Transcript(transcript=text):
                        screen.show_interim(text)
                    case StreamEvent.SpeechStarted():
                        screen.show_interim("...")
                    case StreamEvent.UtteranceEnd():
                        screen.show_utterance(session.accumulated_transcript)
    screen.show_summary(session)


async def run(audio: Audio) -> None:
    """Transcribe with Deepgram if there is a key, else on this machine."""
    if os.environ.get("DEEPGRAM_API_KEY"):
        await transcribe(AsyncDeepgramClient(), audio)
        return
    print("DEEPGRAM_API_KEY is not set: PocketSphinx, on this machine, stands in for Deepgram.", flush=True)
    try:
        from pocketsphinx_recognizer import SAMPLE_RATE, PocketSphinxRecognizer  # noqa: PLC0415 (optional)
    except ModuleNotFoundError as error:
        fail(f"{error.name} is missing: pip install -e '.[demo]', or set DEEPGRAM_API_KEY")
    if (audio.sample_rate, audio.channels) != (SAMPLE_RATE, 1):
        fail(f"PocketSphinx wants 16000 Hz mono, not {audio.sample_rate} Hz x {audio.channels}: {CONVERT}")
    from deepgram_stream_iter.testing import DeepgramServer  # noqa: PLC0415 (not needed with a key)

    async with DeepgramServer(recognizer=PocketSphinxRecognizer) as server:
        await transcribe(server.client(), audio)


class Audio(NamedTuple):
    """16-bit PCM."""

    pcm: bytes
    sample_rate: int
    channels: int

    @property
    def bytes_per_second(self) -> int:
        """What a second takes."""
        return 2 * self.channels * self.sample_rate

    def pieces(self) -> Iterator[bytes]:
        """Yield the audio in pieces of about 50 ms."""
        size = 2 * self.channels * max(1, self.sample_rate // 20)
        for begin in range(0, len(self.pcm), size):
            yield self.pcm[begin : begin + size]


def read_wav(path: Path) -> Audio:
    """Read 16-bit PCM, or say what is wrong with the file."""
    try:
        with wave.open(str(path), "rb") as wav:
            if wav.getsampwidth() != 2:  # noqa: PLR2004
                fail(f"{path}: its samples have {8 * wav.getsampwidth()} bits, not 16: {CONVERT}")
            audio = Audio(wav.readframes(wav.getnframes()), wav.getframerate(), wav.getnchannels())
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    except (EOFError, RuntimeError, wave.Error) as error:  # RuntimeError: a chunk that ends beyond the file
        fail(f"{path}: not a WAV file of PCM samples ({str(error) or 'it ends too early'})")
    if not audio.pcm or not audio.sample_rate:
        fail(f"{path}: there is no audio in it")
    return audio


def fail(message: str) -> NoReturn:
    """End the program with one line about its input."""
    print(f"transcribe: {message}", file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Transcribe a WAV file live.")
    parser.add_argument("path", nargs="?", type=Path, default=Path(__file__).with_name("sample.wav"))
    audio = read_wav(parser.parse_args().path)
    try:
        asyncio.run(run(audio))
    except DeepgramStreamError as error:
        sys.exit(f"transcribe: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
