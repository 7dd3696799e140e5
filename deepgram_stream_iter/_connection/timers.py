"""What a connection does by the clock, beside listening."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from deepgram_stream_iter._clock import now
from deepgram_stream_iter._errors import DeepgramStreamError


async def keep_alive(
    interval_seconds: float, last_sent_at: Callable[[], float], send: Callable[[], Awaitable[None]]
) -> None:
    """Send a KeepAlive when nothing was sent for a while, until one cannot be sent.

    By deadline: audio only moves `last_sent_at`, and pays for no timer.
    """
    while True:
        await anyio.sleep_until(last_sent_at() + interval_seconds)
        if now() >= last_sent_at() + interval_seconds:
            try:
                await send()
            except DeepgramStreamError:
                return  # the listener reports the end


async def wait_for_stall(timeout_seconds: float, owed_seconds: Callable[[], float]) -> None:
    """Wait until the server has owed an answer for so long; no frame of audio pays for a timer."""
    while (left_seconds := timeout_seconds - owed_seconds()) > 0:  # noqa: ASYNC110  (nobody reports a silence)
        await anyio.sleep(left_seconds)
