"""What receiving and sending share: all that a session has once it is entered."""

from __future__ import annotations

from deepgram_stream_iter._adapters._protocol import Connector
from deepgram_stream_iter._connection.connection import Connection
from deepgram_stream_iter._connection.ending import CloseInfo
from deepgram_stream_iter._life.life import Life
from deepgram_stream_iter._outbound.sender import AudioSender
from deepgram_stream_iter._session.entered import Entered
from deepgram_stream_iter._settings import Settings


class SessionBase:
    """A session that may have been entered; until then it needs no event loop."""

    _not_entered = "the session has not been entered: use `async with stream(...) as session`"

    def __init__(self, connector: Connector, settings: Settings) -> None:
        self._connector, self._settings = connector, settings
        self._life: Life | None = None  # from the begin of its entering on
        self._entered_as: Entered | None = None
        self._audio: AudioSender | None = None

    @property
    def close_info(self) -> CloseInfo | None:
        """How the stream ended; None while it has not."""
        over = self._life.over if self._life is not None else None
        return over.info if over is not None else None

    @property
    def _entered(self) -> Entered:
        """What there is from the entering on.

        :raises RuntimeError: before the session is entered.
        """
        if self._entered_as is None:
            raise RuntimeError(self._not_entered)
        return self._entered_as

    def _entered_here(self) -> Entered:
        """Return the same, for what has to run in the event loop of the session.

        :raises RuntimeError: before the session is entered, and in any other event loop, where it would never return.
        """
        entered = self._entered
        entered.check_loop()
        return entered

    @property
    def _connection(self) -> Connection:
        """The connection that is open, or was the last to be.

        :raises RuntimeError: before the session is entered, and where it could not be.
        """
        connection = self._entered.life.connection
        if connection is None:
            raise RuntimeError("the session could not be entered, so there is no connection")
        return connection

    @property
    def _sender(self) -> AudioSender:
        assert self._audio is not None  # noqa: S101  (else the stream has ended before, and that is checked first)
        return self._audio
