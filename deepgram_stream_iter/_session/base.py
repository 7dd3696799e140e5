"""What receiving and sending share: the life of the session once it is entered, and which errors the application has seen."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from deepgram_stream_iter._adapters._protocol import Connector
from deepgram_stream_iter._connection.connection import Connection
from deepgram_stream_iter._connection.ending import CloseInfo
from deepgram_stream_iter._errors import ConnectionLost
from deepgram_stream_iter._life.life import Life
from deepgram_stream_iter._options import Settings
from deepgram_stream_iter._outbound.sender import AudioSender


class SessionBase:
    """A session that may have been entered; until then it needs no event loop."""

    def __init__(self, connector: Connector, settings: Settings) -> None:
        self._connector, self._settings = connector, settings
        self._life: Life | None = None
        self._audio: AudioSender | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._was_error_seen = False

    @property
    def close_info(self) -> CloseInfo | None:
        """How the stream ended; None while it has not."""
        return self._life.over.info if self._life is not None and self._life.over is not None else None

    def _entered(self) -> Life:
        """Return the life of the session.

        :raises RuntimeError: before the session is entered.
        """
        if self._life is None:
            raise RuntimeError("the session has not been entered: use `async with stream(...) as session`")
        return self._life

    def _entered_here(self) -> Life:
        """Return the life of the session, for what has to run in its event loop.

        :raises RuntimeError: before the session is entered, and in any other event loop, where it would never return.
        """
        life = self._entered()
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:  # no event loop runs in this thread
            is_here = False
        if not is_here:
            raise RuntimeError(
                "this session belongs to another event loop, the one in which it was entered: call it there, from another"
                " thread with asyncio.run_coroutine_threadsafe(session.send(audio), loop)"
            )
        return life

    def _connected(self, life: Life) -> Connection:
        """Return the connection that is open, or was the last to be.

        :raises RuntimeError: where the session could not be entered.
        """
        if life.connection is None:
            raise RuntimeError("the session could not be entered, so there is no connection")
        return life.connection

    @property
    def _sender(self) -> AudioSender:
        assert self._audio is not None  # noqa: S101  (else the stream has ended before, and that is checked first)
        return self._audio

    @contextmanager
    def _noting_errors(self, life: Life) -> Generator[None]:
        """Note an error that leaves a block. This takes 1 us, so what is called for every frame notes by itself."""
        try:
            yield
        except Exception as error:
            self._note(error, life)
            raise

    def _note(self, error: Exception, life: Life) -> None:
        """Note that the application sees the error with which the stream ended, so that the exit does not raise it again."""
        is_the_end = isinstance(error, ConnectionLost) and self._settings.reconnect is None
        self._was_error_seen |= is_the_end or (life.over is not None and error is life.over.error)
