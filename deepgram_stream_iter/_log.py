"""What an operator sees: the one logger of the package, and the fields of its records.

INFO      connected, reconnecting, reconnected, closed
WARNING   audio that is lost, events that are dropped, a server that has stopped answering, a handler that raised over a loss
DEBUG     settings

Each record has the fields `session` (its name), `request_id` and `attempt`. None ever has a key or a token.
"""

from __future__ import annotations

import logging

from deepgram_stream_iter._errors import DeepgramStreamError

_logger = logging.getLogger("deepgram_stream_iter")


class Log:
    """The records of one session."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.request_id = ""
        """Deepgram's id of the connection that is open, or was the last to be."""
        self.attempt = 0
        """Of the connection that is being made again; 0 when none is."""

    def debug(self, text: str, *values: object) -> None:
        """Log what helps to find a mistake."""
        self._log(logging.DEBUG, text, *values)

    def info(self, text: str, *values: object) -> None:
        """Log a step of the session's life."""
        self._log(logging.INFO, text, *values)

    def warning(self, text: str, *values: object) -> None:
        """Log what costs words, or may."""
        self._log(logging.WARNING, text, *values)

    def _log(self, level: int, text: str, *values: object) -> None:
        if not _logger.isEnabledFor(level):
            return
        extra = {"session": self._name, "request_id": self.request_id, "attempt": self.attempt}
        text = text % values if values else text
        _logger.log(level, "%s: %s", self._name, text, extra=extra)


def because_of(error: Exception | None) -> str:
    """Return the rest of a line that an error caused: of an application's own the name alone, because its text may show a key."""
    if error is None:
        return ""
    text = f": {error}" if isinstance(error, DeepgramStreamError) else ""
    return f", because of {type(error).__name__}{text}"
