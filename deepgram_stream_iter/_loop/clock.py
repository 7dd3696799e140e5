"""The clock of the event loop."""

from __future__ import annotations

import asyncio


def now() -> float:
    """Return what `anyio.current_time()` returns, which with the lowest anyio needs a task; callbacks have none."""
    return asyncio.get_running_loop().time()
