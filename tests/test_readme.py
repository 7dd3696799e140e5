"""The examples in the README run, and say what it says they say. That of the tokens is in test_tokens.py."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import deepgram
import pytest
from deepgram import AsyncDeepgramClient
from deepgram.core.events import EventType

from deepgram_stream_iter import StreamEvent, StreamingOptions, stream
from deepgram_stream_iter.testing import DeepgramServer, ServerConnection, messages

README = Path(__file__).parents[1] / "README.md"
BLOCKS = dict(
    re.findall(r"<!-- runs as a test: (\w+) -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
)
SCRIPT = [
    messages.speech_started(0.1),
    messages.results("good", start=0.0, is_final=True),
    messages.results("morning", start=1.0, is_final=True, speech_final=True),
    messages.utterance_end(2.0),
]


async def microphone() -> AsyncIterator[bytes]:
    """Give a little silence, at its time: a source that is always ready would have ended before the server answers."""
    for _ in range(3):
        await asyncio.sleep(0.02)
        yield bytes(640)


async def answers(connection: ServerConnection) -> None:
    """Answer the audio, not the connection."""
    await connection.audio_reached(0.02)
    for message in SCRIPT:
        await connection.send(message)


def a_blocking_microphone() -> Iterator[bytes]:
    """Give the same without an event loop."""
    for _ in range(3):
        time.sleep(0.02)
        yield bytes(640)


async def run(name: str, server: DeepgramServer, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Run a block of the README with a client of the local server; return what it handled."""
    real, client = deepgram.AsyncDeepgramClient, server.client()

    def make(**given: Any) -> AsyncDeepgramClient:
        return real(**given) if given else client

    monkeypatch.setattr(deepgram, "AsyncDeepgramClient", make)
    handled: list[object] = []
    names = {
        "asyncio": asyncio,
        "client": server.client(),
        "microphone": microphone,
        "options": StreamingOptions(model="nova-3", encoding="linear16", sample_rate=16000),
        "handle": handled.append,
        "existing_handler": handled.append,
        "EventType": EventType,
        "StreamEvent": StreamEvent,
        "StreamingOptions": StreamingOptions,
        "stream": stream,
    }
    code = compile(BLOCKS[name], str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if name == "sync":
        names["microphone"] = a_blocking_microphone
        await anyio.to_thread.run_sync(eval, code, names)
        return handled
    running = eval(code, names)  # noqa: S307  (the README's own code)
    if inspect.isawaitable(running):
        await running
    return handled


@pytest.mark.parametrize(
    ("name", "printed", "handled"),
    [
        ("callbacks", "good morning\n", 0),
        ("sentences", "good morning\n", 0),
        ("events", "speech\ngood\nmorning\n\n", 1),
        ("beside", "", 6),
        ("moved", "good morning\n", 0),
        ("step", "speech\n", 6),
        ("testing", "", 0),
        ("sync", "good morning\n", 0),
        ("handlers", "", 6),
        ("subscribe", "", 1),
        ("json", "good\nmorning\n\n", 0),
    ],
)
async def test_a_block_of_the_readme(
    name: str,
    printed: str,
    handled: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each Python block runs as it stands and prints or handles what a reader expects."""
    script = answers if name == "subscribe" else SCRIPT  # which answers the connection
    async with DeepgramServer(script=script) as server:
        got = await run(name, server, monkeypatch)
    assert capsys.readouterr().out == printed
    assert len(got) == handled
    if name == "events":
        assert got == ["good morning"]


async def test_a_lost_connection(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the README shows of a reconnection is what happens."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(0.02)
        word = "good" if len(server.connections) == 1 else "morning"
        await connection.send(messages.results(word, start=0.0, duration=0.02, is_final=True))
        if word == "good":
            await connection.close(1012, "restarting")

    async with DeepgramServer(script=script) as server:
        await run("reconnect", server, monkeypatch)
    good, attempt, again, morning = filter(None, capsys.readouterr().out.splitlines())
    assert (good, morning) == ("good", "morning")
    assert re.fullmatch(r"attempt 1 in 0\.\d s, over: .* close code 1012 restarting .*", attempt)
    assert re.fullmatch(r"connected again; 0\.\d s of audio are sent again", again)


def test_every_python_block_is_run() -> None:
    """No Python block of the README goes without its test."""
    assert README.read_text().count("```python") == len(BLOCKS) == 13


def test_the_client_is_the_real_one() -> None:
    """The name that the README's examples use is the SDK's."""
    assert deepgram.AsyncDeepgramClient is AsyncDeepgramClient
