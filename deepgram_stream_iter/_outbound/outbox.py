"""Audio and control messages on their way to whichever connection there is, and again where that is needed.

A frame goes straight to a connection that has been sent all there was before. Where the session reconnects, the memory
keeps a frame until it is transcribed for good, and keeps what comes while there is no connection or one catches up.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import anyio

from deepgram_stream_iter._audio.format import FRAME_MS
from deepgram_stream_iter._connection.connection import Connection
from deepgram_stream_iter._errors import ConnectionLost, DeepgramStreamError, SessionClosed
from deepgram_stream_iter._loop.clock import now
from deepgram_stream_iter._loop.signal import Waiters
from deepgram_stream_iter._outbound.admission import Admission
from deepgram_stream_iter._outbound.unsent import Unsent
from deepgram_stream_iter._recovery.memory import Memory
from deepgram_stream_iter._settings import Settings

_State: TypeAlias = Literal["paused", "catching up", "caught up", "live"]
"""Audio waits while the outbox is paused or catching up; control messages wait until it is live."""


class Outbox:
    """Sends in order, for one sender of audio at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Connection | None = None  # the last one there was
        self.bytes_taken = 0
        """The audio that was given to a connection, or waits for one: all that goes out, or would have."""
        self._state: _State = "paused"
        self._admission: Admission | None = None  # to the memory, where the session reconnects
        self._changed = Waiters()  # for a change of any of this
        self.unsent = Unsent(settings.max_unsent_seconds)
        """What `send_nowait()` was given, and is not sent yet."""
        self._refusal = ""  # why nothing more is taken
        self._error: Exception | None = None  # with which the stream ended

    @property
    def is_live(self) -> bool:
        """Whether there is a connection that has been sent all there was before."""
        # A connection that has ended is live no more, though the session pauses only a moment later.
        return self._state == "live" and self._open_connection.end is None

    # From the application

    def check_open(self) -> None:
        """Refuse to send on a stream that has ended or is about to.

        :raises SessionClosed: after `finish()`, or when the stream has ended cleanly or because of its source.
        :raises DeepgramStreamError: the error with which the stream ended.
        """
        if isinstance(self._error, DeepgramStreamError):
            raise self._error
        if self._refusal:
            raise SessionClosed(self._refusal) from self._error

    async def send(self, frame: bytes) -> None:
        """Send a frame; where the session reconnects, the next connection gets what this one cannot be sent.

        :raises SessionClosed: as `check_open` does.
        :raises DeepgramStreamError: as `check_open` and `Connection.send` do.
        """
        if self._admission is None:
            self.check_open()
            self.bytes_taken += len(
                frame
            )  # before, because the socket sends what a cancelled send has given to it
            await self._open_connection.send(frame)
            return
        time = await self._wait_for_room(self._admission, len(frame))
        self.check_open()
        self.bytes_taken += len(frame)
        self._admission.add(frame, time)
        if self._state in ("caught up", "live"):
            connection = self._open_connection
            try:
                await connection.send(self._admission.memory.take(len(frame)))
            except DeepgramStreamError:
                # That is no error of the frame's: the connection reports its end, and the next one is sent it again.
                if connection is self._connection:
                    self.pause()

    async def send_control(self, kind: str, **fields: object) -> Connection:
        """Send a control message, after all audio that came before; return the connection that took it.

        :raises SessionClosed: as `check_open` does.
        :raises DeepgramStreamError: as `check_open` and `Connection.send` do.
        :raises ConnectionLost: when there is no connection for `send_timeout_seconds`.
        """
        deadline = now() + self._settings.send_timeout_seconds
        while True:
            while not (self.is_live or self._refusal) and now() < deadline:
                await self._changed.wait(until=deadline)
            self.check_open()
            connection = self._open_connection
            if not self.is_live:
                reason = f"{kind} was not sent: the session was reconnecting for {self._settings.send_timeout_seconds} s"
                raise ConnectionLost(
                    f"{reason} (send_timeout_seconds), and goes on with that; try again later",
                    reason=reason,
                    request_id=connection.request_id,
                )
            try:
                await connection.send_control(kind, **fields)
            except ConnectionLost:
                if self._admission is None:
                    raise
                # The listener may still read what there was.
                while connection.end is None and now() < deadline:
                    await self._changed.wait(until=deadline)
                if connection.end is None:
                    raise
            else:
                return connection

    # From the life of the session

    def keep_in(self, memory: Memory) -> None:
        """Keep in this memory, from now on, what may have to be sent again."""
        self._admission = Admission(memory, now())
        memory.on_freed = self._changed.wake

    def begin(self, connection: Connection) -> None:
        """Begin with a connection: new frames wait behind those that `catch_up` sends."""
        self._connection = connection
        self._set_state("catching up")

    async def catch_up(self, connection: Connection) -> None:
        """Send a connection what waits, no faster than the rate allows; then new frames go straight to it.

        :raises DeepgramStreamError: when it cannot be sent it all.
        """
        if self._admission is None or self._settings.reconnect is None:
            return
        audio_format = connection.format
        size = audio_format.size(FRAME_MS[connection.adapter.endpoint] / 1000) if audio_format else 0
        due = now()
        while True:
            await anyio.sleep_until(due)
            frame = self._admission.memory.take(size)
            if not frame:
                self._set_state("caught up")  # in the same step, so that no frame is left behind
                return
            # From when it is really sent: what was late is not made up for by a burst.
            due = now()
            if audio_format is not None:
                due += audio_format.seconds(len(frame)) / self._settings.reconnect.catch_up_rate
            await connection.send(frame)
            self._changed.wake()  # there is room again

    def go_live(self) -> None:
        """Send everything straight to the connection from now on."""
        self._set_state("live")

    def pause(self) -> None:
        """Keep what comes from now on, because the connection is lost."""
        self._set_state("paused")

    def refuse(self, why: str, error: Exception | None = None) -> None:
        """Take nothing more from the application; the first reason counts, unless the stream ended with an error."""
        self._refusal, self._error = self._refusal or why, error
        self._changed.wake()

    # Inside

    @property
    def _open_connection(self) -> Connection:
        assert self._connection is not None  # noqa: S101  (the session is entered)
        return self._connection

    async def _wait_for_room(self, admission: Admission, size: int) -> float:
        """Wait until so many bytes may be added, or nothing is taken any more; return the time."""
        while True:
            time = now()
            due = admission.due(size, is_catching_up=self._state == "catching up")
            if self._refusal or due <= time:
                return time
            await self._changed.wait(until=due)

    def _set_state(self, state: _State) -> None:
        self._state = state
        self._changed.wake()
