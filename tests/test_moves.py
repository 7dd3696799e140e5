"""Whole programs of other kinds before and after the move: five changed lines at most, and the same texts or more."""

from __future__ import annotations

import asyncio
import base64
import difflib
import importlib.metadata
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import LateWord

from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples" / "migration"
MAJOR = int(importlib.metadata.version("deepgram-sdk").partition(".")[0])
NAMES = ["flask_relay", "microphone", "script_sdk4", "script_sdk7", "start_stop", "twilio"]
sdk4_only = pytest.mark.skipif(MAJOR >= 5, reason="the program is written for SDK 3 and 4")
sdk7_only = pytest.mark.skipif(MAJOR < 7, reason="the program is written for SDK 7")
before_and_after = pytest.mark.parametrize("state", ["before", "after"])

AUDIO = b"".join(number.to_bytes(2, "little") for number in range(4800))
"""0.3 s of 16 kHz mono linear16, no two samples of which are the same."""
FRAMES = [AUDIO[begin : begin + 3200] for begin in range(0, len(AUDIO), 3200)]
BEGINNING = [
    messages.speech_started(0.0),
    messages.results("good", start=0.0),
    messages.results("good morning", start=0.0, is_final=True),
    messages.results("everyone", start=1.0, is_final=True, speech_final=True),
]
TAIL = "late"
"""What `LateWord` says once the stream ends."""


async def beginning(connection: ServerConnection) -> None:
    """Say the beginning once there is audio."""
    await connection.audio_reached(0.1)
    for message in BEGINNING:
        await connection.send(message)


def deepgram_server(tail_seconds: float = 1.0) -> DeepgramServer:
    """Return a Deepgram whose last words come that long after CloseStream."""
    return DeepgramServer(
        script=beginning,
        recognizer=LateWord,
        faults=Faults(late_final_seconds=tail_seconds, no_finalize_answer=True),
    )


@asynccontextmanager
async def program(
    name: str, server: DeepgramServer, *arguments: str, **environment: str
) -> AsyncIterator[Process]:
    """Run a program in a process of its own; kill it if it still runs at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / f"{name}.py"),
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={
            **os.environ,
            "DEEPGRAM_API_KEY": server.api_key,
            "DEEPGRAM_URL": server.url.replace("ws", "http", 1),
            "PYTHONUNBUFFERED": "1",
            **environment,
        },
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def printed(process: Process, last: str) -> str:
    """Return what the program prints up to this line."""
    assert process.stdout is not None
    lines = []
    async for line in process.stdout:
        lines.append(line.decode())
        if lines[-1] == f"{last}\n":
            return "".join(lines)
    assert process.stderr is not None
    raise AssertionError(
        f"ended without {last!r}, after {lines}, with {(await process.stderr.read()).decode()}"
    )


async def port(process: Process) -> int:
    """Return the port on which the program says that it listens."""
    assert process.stderr is not None
    lines = []
    async for line in process.stderr:
        lines.append(line.decode())
        if found := re.search(r"127\.0\.0\.1:(\d+)", lines[-1]):
            return int(found[1])
    raise AssertionError(f"ended before it listened: {lines}")


async def write(process: Process, data: bytes) -> None:
    """Write to the program's standard input."""
    assert process.stdin is not None
    process.stdin.write(data)
    await process.stdin.drain()


async def end_of(process: Process) -> str:
    """Close the program's standard input, wait for its end, which has to be a good one; return the rest it printed."""
    out, err = await process.communicate(b"")
    assert process.returncode == 0, err.decode()
    return out.decode()


def changed_lines(before: str, after: str) -> int:
    """Count the changed lines; blank and re-indented ones are none, and a replaced block counts as its longer side."""
    old, new = ([line.strip() for line in text.splitlines() if line.strip()] for text in (before, after))
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    return sum(
        max(old_end - old_start, new_end - new_start)
        for kind, old_start, old_end, new_start, new_end in matcher.get_opcodes()
        if kind != "equal"
    )


@pytest.mark.parametrize(
    ("after", "count"),
    [("a\n\nwith x:\n    b\n    c\n", 1), ("a\nb\nc", 0), ("a\nc", 1), ("a\nB\nC\nD", 3), ("A\nb\nC\n", 2)],
)
def test_changed_lines_are_counted_as_a_reader_does(after: str, count: int) -> None:
    """An insertion, a deletion, and the longer side of a replacement count; blank lines and indents do not."""
    assert changed_lines("a\nb\nc\n", after) == count


@pytest.mark.parametrize("name", NAMES)
def test_a_move_changes_at_most_five_lines(name: str) -> None:
    """Each program is moved with five changed lines at most, the import included."""
    before, after = ((EXAMPLES / f"{name}_{state}.py").read_text() for state in ("before", "after"))
    assert 0 < changed_lines(before, after) <= 5


@sdk4_only
@before_and_after
async def test_a_script_of_sdk_4(state: str) -> None:
    """The script loses the last words to `finish()`, which waits 0.5 s for them; moved, it prints them."""
    async with (
        deepgram_server(tail_seconds=2.0) as server,
        program(f"script_sdk4_{state}", server) as process,
    ):
        await write(process, AUDIO)
        assert await printed(process, "everyone") == "...\ngood morning\neveryone\n"
        assert await end_of(process) == ("-- end\n" if state == "before" else f"{TAIL}\n-- end\n")
        assert [connection.audio for connection in server.connections] == [AUDIO]


@sdk7_only
@before_and_after
async def test_a_script_of_sdk_7(state: str, tmp_path: Path) -> None:
    """The script waits for its listener, and loses nothing; moved, it prints the same."""
    audio = tmp_path / "audio.raw"
    audio.write_bytes(AUDIO)
    async with deepgram_server() as server, program(f"script_sdk7_{state}", server, str(audio)) as process:
        assert await end_of(process) == f"good morning\neveryone\n{TAIL}\n-- end\n"
        assert [connection.audio for connection in server.connections] == [AUDIO]


@sdk7_only
@before_and_after
async def test_a_microphone_with_a_callback(state: str, tmp_path: Path) -> None:
    """The program leaves too early for the last words; moved, it prints them."""
    audio = tmp_path / "audio.raw"
    audio.write_bytes(AUDIO)
    path = os.pathsep.join([str(HERE / "fakes"), os.environ.get("PYTHONPATH", "")])
    async with (
        deepgram_server() as server,
        program(f"microphone_{state}", server, PYTHONPATH=path, SOUNDDEVICE_FILE=str(audio)) as process,
    ):
        assert await printed(process, "everyone") == "Press Enter to stop\ngood morning\neveryone\n"
        await (await server.connection()).audio_reached(0.3)
        await write(process, b"\n")
        assert await end_of(process) == ("-- end\n" if state == "before" else f"{TAIL}\n-- end\n")
        assert [connection.audio for connection in server.connections] == [AUDIO]


@sdk7_only
@before_and_after
async def test_a_class_with_start_and_stop(state: str) -> None:
    """The class loses the last words in `stop()`; moved, it returns them."""
    async with deepgram_server() as server, program(f"start_stop_{state}", server) as process:
        await write(process, AUDIO)
        assert await printed(process, "everyone") == "good morning\neveryone\n"
        rest = "-- good morning everyone\n"
        if state == "after":
            rest = f"{TAIL}\n-- good morning everyone {TAIL}\n"
        assert await end_of(process) == rest
        assert [connection.audio for connection in server.connections] == [AUDIO]


@asynccontextmanager
async def relay(state: str, server: DeepgramServer) -> AsyncIterator[tuple[Process, Any]]:
    """Run the relay; return it, and a browser that has spoken for 0.3 s and heard the beginning."""
    for module in ("flask_socketio", "simple_websocket", "aiohttp"):
        pytest.importorskip(module)
    browser = pytest.importorskip("socketio").AsyncSimpleClient()
    async with program(f"flask_relay_{state}", server, PORT="0") as process:
        await browser.connect(f"http://127.0.0.1:{await port(process)}", transports=["websocket"])
        try:
            await browser.emit("start")
            assert await browser.receive() == ["ready"]
            for frame in FRAMES:
                await browser.emit("audio", frame)
            assert await browser.receive() == ["transcript", {"text": "good morning"}]
            assert await browser.receive() == ["transcript", {"text": "everyone"}]
            yield process, browser
        finally:
            await browser.disconnect()


@sdk7_only
@before_and_after
async def test_a_flask_socketio_relay(state: str) -> None:
    """The relay waits for its listener, and brings a browser the last words too; moved, it does the same."""
    async with deepgram_server() as server, relay(state, server) as (_, browser):
        await browser.emit("stop")
        assert await browser.receive() == ["transcript", {"text": TAIL}]
        assert await browser.receive() == ["done"]
        assert [connection.audio for connection in server.connections] == [AUDIO]


@sdk7_only
@before_and_after
async def test_a_browser_that_goes_away_ends_its_stream(state: str) -> None:
    """A tab that is closed ends the stream in order, before the move and after it."""
    async with deepgram_server() as server, relay(state, server) as (process, browser):
        await browser.disconnect()
        assert (await printed(process, TAIL)).endswith(f"\ngood morning\neveryone\n{TAIL}\n")
        (connection,) = server.connections
        await connection.wait_closed()
        assert (connection.close_code, connection.audio) == (1000, AUDIO)


@sdk7_only
@before_and_after
@pytest.mark.parametrize("hang_up", ["stop", "broken"])
async def test_a_twilio_media_stream(state: str, hang_up: str) -> None:
    """The program loses the last words of a call, however it ends; moved, it prints them, whether the phone says so or not."""
    connect = pytest.importorskip("websockets.asyncio.client").connect
    async with deepgram_server() as server, program(f"twilio_{state}", server, PORT="0") as process:
        async with connect(f"ws://127.0.0.1:{await port(process)}") as twilio:

            async def say(event: str, **fields: object) -> None:
                await twilio.send(json.dumps({"event": event, "streamSid": "MZ1", **fields}))

            await say("connected", protocol="Call", version="1.0.0")
            await say("start", start={"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000}})
            for number in range(15):
                payload = base64.b64encode(AUDIO[number * 160 :][:160]).decode()  # 20 ms
                await say("media", media={"track": "inbound", "payload": payload})
            assert await printed(process, "everyone") == "good morning\neveryone\n"
            await (await server.connection()).audio_reached(0.3)
            if hang_up == "broken":
                twilio.transport.abort()
            else:
                await say("stop")
            end = "-- end of the call\n"
            assert await printed(process, "-- end of the call") == (
                end if state == "before" else f"{TAIL}\n{end}"
            )
        assert [connection.audio for connection in server.connections] == [AUDIO[: 15 * 160]]
