"""The same application before and after the move prints the same, on each SDK generation."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import sys
from pathlib import Path

import pytest

from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

EXAMPLES = Path(__file__).parents[1] / "examples" / "migration"
MAJOR = int(importlib.metadata.version("deepgram-sdk").partition(".")[0])
BEGINNING = [
    messages.speech_started(0.1),
    messages.results("good", start=0.0),
    messages.results("good morning", start=0.0, is_final=True),
    messages.results("everyone", start=1.0, is_final=True, speech_final=True),
    messages.utterance_end(2.0),  # says nothing new
    messages.results("the meeting", start=2.0, is_final=True),
    messages.results("", start=3.0, is_final=True),
    messages.utterance_end(3.0),  # ends what no speech_final has ended
    messages.results("thank", start=4.0),
]
TAIL = [
    messages.results("thank you", start=4.0, is_final=True),
    messages.results("goodbye", start=5.0, is_final=True),  # the stream ends this utterance
]
PRINTED = """\
good morning
everyone
-- good morning everyone
the meeting
-- the meeting
thank you
goodbye
-- thank you goodbye
"""


def generation() -> str:
    """Name the pair of programs for the SDK that is installed."""
    if MAJOR < 5:
        return "sdk4"
    if MAJOR >= 7:
        return "sdk7"
    pytest.skip(f"the programs are written for SDK 3 and 4 and for SDK 7; here is SDK {MAJOR}")


async def script(connection: ServerConnection) -> None:
    """Say the beginning once there is audio, and the tail once the client wants the rest."""
    await connection.audio_reached(0.1)
    for message in BEGINNING:
        await connection.send(message)
    asked = [asyncio.create_task(connection.received(kind)) for kind in ("Finalize", "CloseStream")]
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    for message in TAIL:
        await connection.send(message)


async def run(name: str, audio: Path, server: DeepgramServer) -> tuple[int, str, str]:
    """Run one program in a process of its own; return its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / name),
        str(audio),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "DEEPGRAM_API_KEY": server.api_key,
            "DEEPGRAM_URL": server.url.replace("ws", "http", 1),
        },
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.parametrize("style", ["callbacks", "async_for"])
async def test_a_program_prints_the_same_before_and_after_the_move(style: str, tmp_path: Path) -> None:
    """Either program prints each final and each utterance, the late ones too, and asks for and sends the same."""
    name = f"{generation()}_{style}.py"
    audio = tmp_path / "audio.raw"
    audio.write_bytes(bytes(range(256)) * 50)  # 0.4 s
    async with DeepgramServer(script=script, faults=Faults(late_final_seconds=0.5)) as server:
        code, out, err = await run(name, audio, server)
    assert (code, out) == (0, PRINTED), err
    (connection,) = server.connections
    assert connection.audio == audio.read_bytes()
    assert {option: [value.lower() for value in values] for option, values in connection.query.items()} == {
        "model": ["nova-3"],
        "interim_results": ["true"],
        "utterance_end_ms": ["1000"],
        "encoding": ["linear16"],
        "sample_rate": ["16000"],
    }


@pytest.mark.parametrize("style", ["callbacks", "async_for"])
async def test_a_program_that_is_refused_fails(style: str, tmp_path: Path) -> None:
    """Without a connection either program ends with an error and prints nothing."""
    name = f"{generation()}_{style}.py"
    audio = tmp_path / "audio.raw"
    audio.write_bytes(bytes(640))
    async with DeepgramServer(faults=Faults(refuse_status=401, refuse_error="INVALID_AUTH")) as server:
        code, out, err = await run(name, audio, server)
    assert code != 0
    assert out == ""
    assert err
