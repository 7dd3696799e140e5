"""The clock of the event loop."""

from __future__ import annotations

import asyncio


def now() -> float:
    """Give the time that `anyio.current_time()` gives; which with the lowest anyio needs a task. Callbacks have none."""
    return asyncio.get_running_loop().time()
