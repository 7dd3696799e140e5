"""Ends a connection of the SDK within a bound."""

from __future__ import annotations

import asyncio
import contextlib

import anyio

from deepgram_stream_iter._adapters._protocol import Adapter
from deepgram_stream_iter._loop.signal import Signal

_CLOSE_TIMEOUT_SECONDS = 2.0
"""For closing the socket, and for what handlers of the application do meanwhile."""
_HANDSHAKE_TIMEOUT_SECONDS = 1.0
"""For the closing handshake; then the socket is dropped."""


async def hang_up(adapter: Adapter, listened: Signal, *, is_hurried: bool) -> None:
    """Close the socket, drop it when that takes too long, and wait for the SDK's listener, whose handlers may go on.

    What closing raises is dropped, because how the connection ended is known before.
    """
    handshake_seconds = 0 if is_hurried else _HANDSHAKE_TIMEOUT_SECONDS
    dropping = asyncio.get_running_loop().call_later(handshake_seconds, adapter.abort)
    try:
        with anyio.move_on_after(_CLOSE_TIMEOUT_SECONDS), contextlib.suppress(Exception):
            await adapter.close()
            await listened.wait()
    finally:
        dropping.cancel()
