"""Sockets of SDK 5 to 7 that are not for transcripts: agent and speak can be attached to as well."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from conftest import SDK, TOO_STRICT, emitter_only
from websockets.asyncio.server import ServerConnection, serve

from deepgram_stream_iter import StreamEvent, stream
from deepgram_stream_iter.testing import DeepgramServer

pytestmark = [
    emitter_only,
    pytest.mark.skipif(SDK[:2] == (5, 0), reason=TOO_STRICT),
]


@asynccontextmanager
async def speaking() -> AsyncIterator[tuple[Any, list[object]]]:
    """Serve a socket that sends audio and a message; give a client for it and what it receives."""
    received: list[object] = []

    async def handle(websocket: ServerConnection) -> None:
        await websocket.send(b"\x01\x02")
        await websocket.send(json.dumps({"type": "Welcome", "request_id": "r-1"}))
        async for message in websocket:
            received.append(message)  # noqa: PERF401  (it may end with an error)

    async with serve(handle, "127.0.0.1", 0) as server, DeepgramServer() as deepgram_server:
        host, port = next(iter(server.sockets)).getsockname()
        environment = deepgram_server.environment
        environment.agent = environment.production = f"ws://{host}:{port}"
        yield deepgram_server.client(environment=environment), received


@pytest.mark.parametrize("socket", ["agent", "speak"])
async def test_another_socket_can_be_attached_to(socket: str) -> None:
    """Binary frames are Audio; no Finalize, CloseStream or KeepAlive is sent; leaving closes it."""
    async with speaking() as (client, received):
        sockets = client.agent if socket == "agent" else client.speak
        async with sockets.v1.connect() as connection, stream(connection, keepalive_seconds=0.01) as session:
            first, second = await anext(session), await anext(session)
            assert isinstance(first, StreamEvent.Audio)
            assert first.data == b"\x01\x02"
            assert isinstance(second, StreamEvent.Unknown)
            assert second.raw is not None or second.name == ""
            with pytest.raises(RuntimeError, match="not for transcripts and has no Finalize"):
                await session.finalize()
        assert received == []
