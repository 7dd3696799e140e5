"""Which end a connection comes to, by what both sides said before. Pure, but for the log."""

from __future__ import annotations

from deepgram_stream_iter._adapters.failures import came_from_a_handler
from deepgram_stream_iter._connection.ending import (
    NORMAL,
    Answer,
    End,
    connection_lost,
    is_agreed,
    is_failure,
)
from deepgram_stream_iter._errors import CallbackError, ConnectionLost, ServerError, StalledError
from deepgram_stream_iter._events.kinds import AnyStreamEvent, ErrorEvent, MetadataEvent, TranscriptEvent
from deepgram_stream_iter._log import Log
from deepgram_stream_iter._options import Endpoint
from deepgram_stream_iter._settings import Settings


class Closing:
    """Records what was asked and answered about the end of a connection, and derives the end from it."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings, self._log = settings, log
        self.asked = False
        """CloseStream is being sent, or was sent, by the session."""
        self.answer: Answer = "none"

    def record(self, event: AnyStreamEvent) -> None:
        """Record an event of the server, which may answer what was asked."""
        if isinstance(event, MetadataEvent):
            self.answer = "metadata"
        elif self.asked and isinstance(event, TranscriptEvent) and event.from_finalize:
            self.answer = "finalize"

    def is_agreed(self, code: int | None, endpoint: Endpoint) -> bool:
        """Return whether an end with this close code is the agreed one."""
        return is_agreed(
            code,
            endpoint,
            # An observed connection that ends without a code was left by the application.
            asked=self.asked and self._settings.listen,
            answer=self.answer,
            reconnects=self._settings.reconnect is not None,
        )

    def end(
        self, frame: tuple[int | None, str], cause: Exception | None, endpoint: Endpoint, request_id: str
    ) -> End:
        """Return the end of a connection, made from its close frame and what the SDK reported."""
        code, reason = frame
        handlers = cause if cause is not None and came_from_a_handler(cause) else None
        if handlers is not None:
            text = f"a handler of the application raised {type(handlers).__name__}, and the SDK stopped listening"
            # Any other code shows that the stream was lost before, unless nothing was to come any more.
            if code in (None, NORMAL) or self.answer == "metadata":
                error = CallbackError(text)
                error.__cause__ = handlers
                return End(error)
            self._log.warning("%s", text)
            cause = None  # its text, which may show a key, belongs into no text of ours
        # Any other code shows that the failure is the loss of the socket, which after Metadata costs nothing.
        has_sdk_failed = is_failure(cause) and (code in (None, NORMAL) or self.answer != "metadata")
        if self.is_agreed(code, endpoint) and not has_sdk_failed:
            return End(by_server=True, drained=True)
        lost = connection_lost(code, reason, cause, request_id)
        lost.__cause__ = handlers or cause
        return End(lost, by_server=True)

    def lost(self, error: ConnectionLost) -> End:
        """Return the end over a loss that no close frame reports; after Metadata it costs nothing."""
        return End(drained=True) if self.answer == "metadata" else End(error)

    def reported(self, event: ErrorEvent) -> End:
        """Return the end that Flux reports by an Error; Nova goes on after one."""
        text = f"Deepgram ended the stream: {event.code}: {event.description}"
        return End(ServerError(text, code=event.code, description=event.description), by_server=True)

    def stalled(self, request_id: str) -> End:
        """Return the end of a connection on which the server says nothing to the audio."""
        timeout_seconds = self._settings.stall_timeout_seconds
        reason = f"audio went out, and Deepgram said nothing for {timeout_seconds} s (stall_timeout_seconds)"
        self._log.warning("%s", reason)
        return self.lost(StalledError(reason, reason=reason, request_id=request_id))

    def timed_out(self, frame: tuple[int | None, str], endpoint: Endpoint, request_id: str) -> End:
        """Return the end of a connection that the server has not ended within `finish_timeout_seconds`."""
        if self.answer == "metadata":
            return End(drained=True)
        if frame[0] is not None and not self.is_agreed(frame[0], endpoint):
            # The SDK knows that the peer is dead, and waits for it all the same.
            return self.end(frame, None, endpoint, request_id)
        reason = (
            f"Deepgram did not end the stream within {self._settings.finish_timeout_seconds} s"
            " (finish_timeout_seconds), so its last words may be missing"
        )
        text = f"{reason} [request id {request_id}]" if request_id else reason
        return End(ConnectionLost(text, reason=reason, request_id=request_id))
