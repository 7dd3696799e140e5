"""Whether the calling thread is in a handler of the SDK, which reads nothing more until its handlers have returned."""

from __future__ import annotations

import inspect

from deepgram_stream_iter._adapters.failures import EMITTERS

INSTEAD = "Hand the call to another thread, as with threading.Thread(target=session.finish).start()"
"""What to do in a handler."""


def is_handler_of(connection: object) -> bool:
    """Return whether the caller was called, however indirectly, by a connection of the SDK."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name in EMITTERS and frame.f_locals.get("self") is connection:
            return True
        frame = frame.f_back
    return False
