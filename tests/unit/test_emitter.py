"""The adapter of SDK 5 to 7 with connections that are not the SDK's usual ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from deepgram_stream_iter import stream
from deepgram_stream_iter._adapters.emitter import EmitterAdapter

websockets = pytest.importorskip("deepgram.listen.v1.socket_client")


class Transport:
    """What a custom transport has at least: it says neither where it is connected to nor how it is closed."""


class Sink:
    """Receives nothing."""

    def arrived(self, _: object) -> None:
        """Ignore an event."""

    def listening_ended(self, _: object) -> None:
        """Ignore the end."""


@asynccontextmanager
async def context_of(connection: object) -> AsyncIterator[Any]:
    """Yield a connection, as the SDK's `connect()` does."""
    yield connection


async def test_a_custom_transport_is_not_refused() -> None:
    """Where nobody knows what was sent to the server, no option is taken for dropped."""
    adapter = EmitterAdapter.of(context_of(websockets.AsyncV1SocketClient(websocket=Transport())))
    assert adapter is not None
    adapter.expected = frozenset({"model"})
    await adapter.open(Sink())
    assert adapter.query == {}
    await adapter.close()


async def test_a_transport_that_cannot_be_closed() -> None:
    """Closing and dropping a live connection whose transport offers neither does nothing."""
    adapter = EmitterAdapter.of(websockets.AsyncV1SocketClient(websocket=Transport()))
    assert adapter is not None
    await adapter.open(Sink())
    await adapter.close()
    adapter.abort()


async def test_a_context_of_something_else() -> None:
    """A context that yields no connection of the SDK is a TypeError on entry."""
    with pytest.raises(TypeError, match="nothing to listen to in a str"):
        await stream(context_of("no connection")).__aenter__()
