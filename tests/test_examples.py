"""The example runs as a user runs it: without a key, on good and on bad input."""

from __future__ import annotations

import asyncio
import os
import sys
import wave
from pathlib import Path

import pytest

from deepgram_stream_iter.testing import DeepgramServer, Faults

EXAMPLES = Path(__file__).parents[1] / "examples"


async def transcribe(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the example in a process of its own; return its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "transcribe.py"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**{name: value for name, value in os.environ.items() if "DEEPGRAM" not in name}, **environment},
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.slow
async def test_the_sample_is_really_recognised() -> None:
    """Without a key the embedded recognizer hears what the sample says, with word times, utterances and stats."""
    code, out, err = await transcribe()
    assert (code, err) == (0, "")
    assert "DEEPGRAM_API_KEY is not set" in out
    for sentence in ("how can i help you today", "the meeting will start at ten o'clock", "thank you"):
        assert f"utterance  {sentence}" in out
    assert "audio sent  7.55 s" in out
    assert "\x1b" not in out


async def test_another_wav_file_of_half_the_length(tmp_path: Path) -> None:
    """Any WAV path may be given, and what is in it is what is recognised: no canned text."""
    with (
        wave.open(str(EXAMPLES / "sample.wav")) as sample,
        wave.open(str(tmp_path / "half.wav"), "wb") as half,
    ):
        half.setparams(sample.getparams())
        half.writeframes(sample.readframes(2 * 16000))
    code, out, _ = await transcribe(str(tmp_path / "half.wav"))
    assert code == 0
    assert "how can i help you today" in out
    assert "meeting" not in out


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: None, "No such file"),  # noqa: ARG005
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_text("no audio"), "not a WAV file"),
    ],
)
async def test_bad_input_is_one_line(tmp_path: Path, make: object, complaint: str) -> None:
    """A path with no WAV file behind it is one clear line and a non-zero exit."""
    path = tmp_path / "input.wav"
    make(path)  # type: ignore[operator]
    code, out, err = await transcribe(str(path))
    assert code != 0
    assert complaint in err
    assert err.count("\n") == 1
    assert out == ""


async def test_another_rate_says_how_to_convert(tmp_path: Path) -> None:
    """The embedded recognizer takes 16 kHz mono; another file is told how to become that."""
    with wave.open(str(tmp_path / "stereo.wav"), "wb") as stereo:
        stereo.setnchannels(2)
        stereo.setsampwidth(2)
        stereo.setframerate(16000)
        stereo.writeframes(bytes(6400))
    code, _, err = await transcribe(str(tmp_path / "stereo.wav"))
    assert code != 0
    assert "sox" in err
    assert err.count("\n") == 1


async def test_a_refused_key_is_one_line(tmp_path: Path) -> None:
    """With a key that is refused, the reason is one line, and the key is not in it."""
    redirect = (
        tmp_path / "sitecustomize.py"
    )  # the example talks to Deepgram: send it to a local one that refuses
    async with DeepgramServer(faults=Faults(refuse_status=401, refuse_error="INVALID_AUTH")) as server:
        redirect.write_text(
            "import deepgram.environment as e\n"
            f"e.DeepgramClientEnvironment.PRODUCTION.production = {server.url!r}\n"
        )
        code, _, err = await transcribe(DEEPGRAM_API_KEY="s3cret", PYTHONPATH=str(tmp_path))
    assert code == 1
    assert "401 INVALID_AUTH" in err
    assert err.count("\n") == 1
    assert "s3cret" not in err
