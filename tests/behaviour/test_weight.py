"""What a session is made of, beside what the SDK needs for its connection."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from conftest import Connect, emitter_only, flux, looks_inside, nova

from deepgram_stream_iter import StreamingOptions, stream
from deepgram_stream_iter.testing import DeepgramServer

SESSIONS = 5


def own_tasks() -> Counter[str]:
    """Return the tasks that are none of the SDK's nor of `websockets`, by name."""
    return Counter(
        task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("deepgram_stream_iter")
    )


@emitter_only
@pytest.mark.parametrize(
    ("options_for", "settings"),
    [
        (nova, {}),
        (nova, {"stall_timeout_seconds": 60, "reconnect": True}),
        (flux, {"stall_timeout_seconds": 60, "reconnect": True}),
    ],
    ids=["nova", "nova with everything", "flux with everything"],
)
async def test_tasks_of_an_async_client(
    options_for: Callable[[], StreamingOptions], settings: dict[str, Any]
) -> None:
    """A session has at most three tasks above those of the SDK's own connection, its listener among them."""
    options = options_for()
    async with DeepgramServer() as server:
        client: Any = server.client()
        sockets = getattr(client.listen, options.endpoint)
        before = len(asyncio.all_tasks())
        async with sockets.connect(model=options.model, encoding="linear16", sample_rate="16000"):
            await anyio.wait_all_tasks_blocked()
            sdk = len(asyncio.all_tasks()) - before  # the server's own are among them, both times
        await anyio.wait_all_tasks_blocked()
        before = len(asyncio.all_tasks())
        sessions = [stream(client, options, **settings) for _ in range(SESSIONS)]
        for session in sessions:
            await session.__aenter__()
        await anyio.wait_all_tasks_blocked()
        assert len(asyncio.all_tasks()) - before <= (sdk + 3) * SESSIONS
        for session in sessions:
            await session.__aexit__(None, None, None)


@looks_inside
async def test_tasks_of_any_client(connect: Connect) -> None:
    """There is the life of the session and the SDK's listener, and what sends or closes is over when it is done."""
    async with DeepgramServer() as server:
        settings: dict[str, Any] = {"keepalive_seconds": 0.01, "stall_timeout_seconds": 60, "reconnect": True}
        async with connect(server, nova(), **settings):
            await (await server.connection()).received("KeepAlive", 3)
            await anyio.wait_all_tasks_blocked()
            tasks = own_tasks()
            assert tasks["deepgram_stream_iter"] == 1
            assert tasks.total() <= 3  # a KeepAlive may be on its way
        assert not own_tasks()
