"""What a session has from its entering on, shared by all through which the application calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager

from deepgram_stream_iter._errors import ConnectionLost, SessionClosed
from deepgram_stream_iter._life.life import Life
from deepgram_stream_iter._settings import Settings


class Entered:
    """The life of a session, the event loop to which it belongs, and which errors the application has seen."""

    def __init__(self, life: Life, settings: Settings) -> None:
        self.life, self._settings = life, settings
        self._loop = asyncio.get_running_loop()
        self.is_error_seen = False
        """The application has seen the error with which the stream ended, so the exit does not raise it again."""

    def check_loop(self) -> None:
        """Refuse a call in another event loop, where it would never return.

        :raises RuntimeError: with what to call there.
        """
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:  # no event loop runs in this thread
            is_here = False
        if not is_here:
            raise RuntimeError(
                "this session belongs to another event loop, the one in which it was entered: call it there. From any"
                " thread and event loop there is session.send_nowait(audio), and for programs without an event loop"
                " `from deepgram_stream_iter.sync import stream`"
            )

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call a function on that event loop; any thread may call this.

        :raises SessionClosed: when that loop has ended.
        """
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            raise SessionClosed("the event loop of the session has ended") from None

    def note(self, error: Exception) -> None:
        """Note that the application sees an error, which may be that with which the stream ended."""
        life = self.life
        is_lost = isinstance(error, ConnectionLost) and self._settings.reconnect is None
        is_the_end = error is life.sources.error or (life.over is not None and error is life.over.error)
        self.is_error_seen |= is_lost or is_the_end

    def check_open(self) -> None:
        """Refuse to send on a stream that has ended, or is about to; the application sees its error by that.

        :raises SessionClosed: :raises DeepgramStreamError: as `Outbox.check_open` does.
        """
        with self.noting_errors():
            self.life.outbox.check_open()

    @contextmanager
    def noting_errors(self) -> Generator[None]:
        """Note an error that leaves a block. This takes 1 us, so what is called for every frame notes by itself."""
        try:
            yield
        except Exception as error:
            self.note(error)
            raise
