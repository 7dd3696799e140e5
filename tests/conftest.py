"""What the tests share: options for the two endpoints, and a watch over what a test leaves behind."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets.legacy.client as sdk_transport

from deepgram_stream_iter import AnyStreamEvent, StreamEvent, StreamingOptions, StreamSession

FRAME = bytes(640)
"""20 ms of 16 kHz mono linear16."""


def nova(**options: Any) -> StreamingOptions:
    """Options for /v1/listen with raw audio."""
    given: dict[str, Any] = {
        "model": "nova-3",
        "encoding": "linear16",
        "sample_rate": 16000,
        "interim_results": True,
        **options,
    }
    return StreamingOptions(**given)


def flux(**options: Any) -> StreamingOptions:
    """Options for /v2/listen with raw audio."""
    given: dict[str, Any] = {
        "model": "flux-general-en",
        "encoding": "linear16",
        "sample_rate": 16000,
        **options,
    }
    return StreamingOptions(**given)


async def texts(session: StreamSession) -> list[str]:
    """Iterate to the end; return the final texts."""
    return [text for event in [event async for event in session] if (text := final_text(event))]


def final_text(event: AnyStreamEvent) -> str:
    """Give the text of a final transcript or of an ended turn; empty for all else."""
    match event:
        case StreamEvent.Transcript(is_final=True) | StreamEvent.EndOfTurn():
            return event.transcript
        case _:
            return ""


def set_transport(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Give the SDK's socket other timings than the SDK does: nobody wants to wait for its 20 s in a test."""
    connect = functools.partial(sdk_transport.connect, **settings)
    monkeypatch.setattr("deepgram.listen.v1.client.websockets_client_connect", connect)


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """Fail a test that leaves a task behind; sockets and streams left open warn when collected, and so fail too."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"
    gc.collect()
