"""What receiving and sending share: the life of the session, once it is entered."""

from __future__ import annotations

from deepgram_stream_iter._adapters._protocol import Connector
from deepgram_stream_iter._connection.connection import Connection
from deepgram_stream_iter._connection.ending import CloseInfo
from deepgram_stream_iter._life.life import Life
from deepgram_stream_iter._options import Settings
from deepgram_stream_iter._outbound.sender import AudioSender


class SessionBase:
    """A session that may have been entered; until then it needs no event loop."""

    def __init__(self, connector: Connector, settings: Settings) -> None:
        self._connector, self._settings = connector, settings
        self._life: Life | None = None
        self._audio: AudioSender | None = None

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
        life.check_loop()
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
