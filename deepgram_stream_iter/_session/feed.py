"""What `feed()` returns."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from deepgram_stream_iter._errors import SessionClosed
from deepgram_stream_iter._life.sources import Source
from deepgram_stream_iter._session.entered import Entered


class Feed:
    """A source that is sent in the background; `await feed` waits until it is through."""

    def __init__(self, entered: Entered, source: Source) -> None:
        self._entered, self._source = entered, source

    @property
    def is_running(self) -> bool:
        """Whether there may be more to send."""
        return not self._source.ended.is_set

    def __await__(self) -> Generator[Any, Any, None]:
        """Wait as `wait()` does."""
        return self.wait().__await__()

    async def wait(self) -> None:
        """Wait until the source is through, and all of it is sent. Cancelling leaves it on its way.

        :raises Exception: what the source raised, as itself.
        :raises SessionClosed: when the stream was ended before the source was through.
        :raises DeepgramStreamError: the error with which the stream ended before.
        :raises RuntimeError: in another event loop than the session's.
        """
        self._entered.check_loop()
        source = self._source
        await source.ended.wait()
        if source.is_through:
            return
        with self._entered.noting_errors():
            if source.error is not None:
                raise source.error
            self._entered.life.outbox.check_open()  # says why the stream took no more
            raise SessionClosed("the session was closed before all of the source was sent")
