"""The life of one connection: open, listen, keep alive, finish, close, and how it ended.

One supervisor task owns everything that runs beside the application: the SDK's listener, the keepalive, the sources
that are fed. It starts when the session is entered and is awaited when it is left; its own closing is bounded, so
whoever waits for it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine

import anyio
import anyio.abc

from ._adapters._protocol import Adapter
from ._adapters.failures import came_from_a_handler, connect_error
from ._errors import (
    CallbackError,
    ConnectError,
    ConnectionLost,
    DeepgramStreamError,
    ServerError,
    SessionClosed,
)
from ._events import AnyStreamEvent, ErrorEvent
from ._ledger import Ledger
from ._options import Settings
from ._outcome import CloseInfo, connection_lost, is_clean

_CLOSE_TIMEOUT_SECONDS = 2.0
"""For closing the socket and for what handlers of the application do meanwhile."""
_HANDSHAKE_TIMEOUT_SECONDS = 1.5
"""For the closing handshake; then the socket is dropped."""

_logger = logging.getLogger("deepgram_stream_iter")


class Lifecycle:
    """Runs one connection and says how it ended; puts what arrives where it is told to."""

    def __init__(
        self,
        adapter: Adapter,
        settings: Settings,
        *,
        on_event: Callable[[AnyStreamEvent], Awaitable[None] | None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        self.adapter, self.ledger = adapter, Ledger()
        self._settings, self._on_event, self._on_end = settings, on_event, on_end
        self.close_info: CloseInfo | None = None
        self.error: Exception | None = None
        self.keepalives_sent = 0
        self._failure_to_open: Exception | None = None
        self.finish_requested = False
        self._is_closing = False
        self._last_sent_at = 0.0
        self._supervisor: asyncio.Task[None] | None = None
        self._senders: anyio.abc.TaskGroup | None = None
        self._orderly = anyio.CancelScope()  # cancelled to close at once
        self._ready = anyio.Event()  # audio may be sent
        self._stop = anyio.Event()  # the supervisor shall finish or close
        self._ended = anyio.Event()  # `close_info` is there
        self._closed = anyio.Event()  # nothing runs any more

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream; empty until it is known."""
        return self.adapter.request_id or self.ledger.request_id

    # Opening

    async def open(self) -> None:
        """Connect and start the supervisor; see `StreamSession.__aenter__`. On failure nothing is left."""
        refused: Exception | None = None
        try:
            with anyio.fail_after(self._settings.connect_timeout_seconds):
                await self.adapter.open()
                self._check_not_closed()
                self._last_sent_at = anyio.current_time()
                self.adapter.attach(self, listen=self._settings.listen)
                self._supervisor = asyncio.create_task(self._supervise(), name="deepgram_stream_iter")
                await self._ready.wait()
        except BaseException as error:
            await self.close_at_once()
            if isinstance(error, DeepgramStreamError):
                raise
            refused = self._timed_out() if isinstance(error, TimeoutError) else connect_error(error)
            if refused is None:
                raise
        if self._failure_to_open is not None:
            refused = self._failure_to_open
            await self.close_at_once()
        if (
            refused is not None
        ):  # raised out here, so that the SDK's own error, which may show a key, is not chained
            raise refused

    def _check_not_closed(self) -> None:
        if self.adapter.close_frame[0] is not None:
            raise ConnectError("the connection has been closed already: make a new one")

    def _timed_out(self) -> ConnectError:
        seconds = self._settings.connect_timeout_seconds
        reason = f"no answer within {seconds} s (connect_timeout_seconds)"
        return ConnectError(f"Could not connect to Deepgram: {reason}", reason=reason)

    # What the adapter tells

    def arrived(self, event: AnyStreamEvent) -> Awaitable[None] | None:
        """Take an event from the SDK's callback."""
        if self.close_info is not None:
            return None
        self.ledger.note(event)
        if isinstance(event, ErrorEvent) and self.adapter.endpoint == "v2":
            text = ": ".join(part for part in (event.code, event.description) if part)
            error = ServerError(
                f"Deepgram ended the stream: {text}", code=event.code, description=event.description
            )
            self.conclude(error, by_server=True)
            return None
        self._ready.set()
        return self._on_event(event)

    def listening_ended(self, cause: Exception | None) -> None:
        """Take the end of the SDK's listener, and find out which end it was."""
        code, reason = self.adapter.close_frame
        if self._is_closing:
            return  # that is our own doing
        if cause is not None and came_from_a_handler(cause):
            lost: DeepgramStreamError = CallbackError(
                f"a handler of the application raised {type(cause).__name__}, and the SDK stopped listening"
            )
            lost.__cause__ = cause
            self.conclude(lost)
        elif is_clean(code, self.adapter.endpoint, asked=self.finish_requested):
            self.conclude(None, by_server=True, drained=True)
        else:
            self.conclude(connection_lost(code, reason, cause, self.request_id), by_server=True)

    # Sending

    def check_open(self) -> None:
        """Refuse to send on a stream that has ended or is about to.

        :raises SessionClosed: after `finish()`, or when the server has ended the stream cleanly.
        :raises DeepgramStreamError: the error with which the stream ended.
        """
        if self.finish_requested:
            raise SessionClosed("finish() was called: this session takes no more audio")
        if self.close_info is not None:
            raise self.error or SessionClosed("the stream has ended")

    async def send_media(self, frame: bytes) -> None:
        """Send a frame of audio; see `_send`."""
        await self._send(self.adapter.send_media(frame))

    async def send_control(self, kind: str, **fields: object) -> None:
        """Send a control message; see `_send`."""
        await self._send(self.adapter.send_control(kind, fields))
        self.keepalives_sent += kind == "KeepAlive"

    async def _send(self, sending: Awaitable[None]) -> None:
        """Await the SDK's own sending.

        :raises ConnectionLost: when the socket is closed, or takes nothing within `send_timeout_seconds`.
        """
        try:
            with anyio.fail_after(self._settings.send_timeout_seconds):
                await sending
        except TimeoutError:
            reason = (
                f"the socket took nothing for {self._settings.send_timeout_seconds} s (send_timeout_seconds)"
            )
            lost = ConnectionLost(reason, reason=reason, request_id=self.request_id)
            self.conclude(lost)
            raise lost from None
        except (TypeError, ValueError, NotImplementedError):  # it was not the socket
            raise
        except Exception as error:
            # Not the end yet: the listener may still have messages before it comes to the close frame.
            raise self.error or connection_lost(*self.adapter.close_frame, error, self.request_id) from error
        self._last_sent_at = anyio.current_time()

    def start_sender(self, sender: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run something that sends, until it is through or nothing is to be sent any more."""
        self.check_open()
        if self._senders is None:
            raise RuntimeError("the session has not been entered")
        self._senders.start_soon(sender)

    async def _keep_alive(self, interval_seconds: float) -> None:
        # By deadline: audio only moves `_last_sent_at`, and pays for no timer.
        while True:
            await anyio.sleep_until(self._last_sent_at + interval_seconds)
            if anyio.current_time() >= self._last_sent_at + interval_seconds:
                try:
                    await self.send_control("KeepAlive")
                except ConnectionLost:
                    return  # the listener tells

    # Ending

    def request_finish(self) -> None:
        """Have the stream ended in order: no more audio, and everything that is still to come."""
        self.finish_requested = True
        self._stop.set()

    async def wait_closed(self) -> CloseInfo:
        """Wait until nothing runs any more, and say how the stream ended."""
        await self._closed.wait()
        assert self.close_info is not None  # noqa: S101  (the supervisor ends with `conclude`)
        return self.close_info

    async def close_at_once(self) -> None:
        """Close without waiting for what is still to come; shielded, and done within 2 s."""
        if self._supervisor is None:
            if self.adapter.connection is not None:
                await self._close_socket()
            return
        self._orderly.cancel()
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.wait({self._supervisor})
            except asyncio.CancelledError:  # a second, native cancellation: no more patience
                self.adapter.abort()
                self._supervisor.cancel()
                raise

    def conclude(self, error: Exception | None, *, by_server: bool = False, drained: bool = False) -> None:
        """Put on record how the stream ended; the first call counts. The supervisor then closes what is open."""
        if self.close_info is not None:
            return
        code, reason = self.adapter.close_frame
        self.error = error
        self.close_info = CloseInfo(
            code=code,
            reason=reason,
            initiator="server" if by_server and not self.finish_requested else "client",
            drained=drained,
            metadata=self.ledger.metadata,
        )
        if not self._ready.is_set():
            self._failure_to_open = error
        turn = self.ledger.end_of_open_turn() if drained or (self.finish_requested and not error) else None
        if turn is not None:
            self.ledger.note(turn)
            self._on_event(turn)
        self._on_end(error)
        for event in (self._ready, self._stop, self._ended):
            event.set()

    async def _supervise(self) -> None:
        try:
            async with anyio.create_task_group() as listener:
                if self._settings.listen:
                    listener.start_soon(self.adapter.listen)
                with self._orderly:
                    await self._run_senders()
                    if self.finish_requested and self.close_info is None:
                        await self._end_stream()
                # From here on it is bounded, handlers of the application included.
                listener.cancel_scope.deadline = anyio.current_time() + _CLOSE_TIMEOUT_SECONDS
                if self._settings.listen:
                    await self._close_socket()
        finally:
            self.adapter.detach()
            if self._settings.listen:
                self.adapter.abort()
            self._is_closing = True
            self.conclude(None)
            self._closed.set()

    async def _run_senders(self) -> None:
        async with anyio.create_task_group() as self._senders:
            if self.adapter.endpoint == "v1" or not self._settings.listen:
                self._ready.set()  # Flux is ready when it says so; an observer may have come after that
            if self._settings.keepalive_seconds and self._settings.listen and self.adapter.endpoint == "v1":
                self._senders.start_soon(self._keep_alive, self._settings.keepalive_seconds)
            await self._stop.wait()
            self._senders.cancel_scope.cancel()

    async def _end_stream(self) -> None:
        with anyio.move_on_after(self._settings.finish_timeout_seconds):
            try:
                if self.adapter.endpoint == "v1":
                    await self.send_control("Finalize")
                await self.send_control("CloseStream")
            except ConnectionLost:
                pass  # the listener tells, once it has read what there was
            await self._ended.wait()
        if self.close_info is None:
            _logger.warning(
                "Deepgram did not end the stream within %s s (finish_timeout_seconds); request id %s",
                self._settings.finish_timeout_seconds,
                self.request_id or "unknown",
            )

    async def _close_socket(self) -> None:
        """Close, and drop the socket when that comes to no end. The listener reads on meanwhile."""
        self._is_closing = True
        drop = asyncio.get_running_loop().call_later(_HANDSHAKE_TIMEOUT_SECONDS, self.adapter.abort)
        try:
            with anyio.move_on_after(_CLOSE_TIMEOUT_SECONDS, shield=True):
                await self.adapter.close()
        except Exception as error:  # noqa: BLE001  (nothing more can be done about this connection)
            _logger.debug("closing the connection raised %s", type(error).__name__)
        finally:
            drop.cancel()
