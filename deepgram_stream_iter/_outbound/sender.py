"""Audio on its way out: cut into frames, sent at their time, one piece after another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio

from deepgram_stream_iter._audio.checks import AudioChecks
from deepgram_stream_iter._audio.format import FRAME_MS, FrameCutter, Pacer
from deepgram_stream_iter._audio.sources import AudioSource, check_source, is_buffer, pieces
from deepgram_stream_iter._connection.connection import Connection
from deepgram_stream_iter._errors import DeepgramStreamError, SessionClosed
from deepgram_stream_iter._inbound.inbox import Inbox
from deepgram_stream_iter._loop.clock import now
from deepgram_stream_iter._outbound.outbox import Outbox
from deepgram_stream_iter._outbound.unsent import Lost, Skipped

if TYPE_CHECKING:
    from typing_extensions import Buffer


_RAW = "raw audio, whose bytes are time: connect with encoding linear16, linear32, mulaw or alaw, and its sample_rate"
_IN_A_ROW = 8
"""So many frames go out in one turn of the event loop: a turn takes half of what the SDK takes for a frame."""


class AudioSender:
    """Sends pieces of audio; safe from several tasks at once."""

    def __init__(self, outbox: Outbox, connection: Connection, inbox: Inbox) -> None:
        self._outbox, self._format, self._inbox = outbox, connection.format, inbox
        self._clock = inbox.clock
        self._clock.format = connection.format
        self._cutter = FrameCutter(self._format, FRAME_MS[connection.adapter.endpoint])
        self._checks = AudioChecks(connection.adapter.query, connection.adapter.endpoint)
        self._lock = asyncio.Lock()  # an uncontended anyio.Lock takes three times as long
        self._unsent = outbox.unsent
        self._unsent.begin(connection.format)
        self._unsent_lock = asyncio.Lock()
        self._in_a_row = 0  # frames that were sent without a pause
        self._pacer: Pacer | None = None

    def pacer(self, pace: float | None) -> Pacer | None:
        """Return what spaces the frames out; None for None.

        :raises ValueError: for a pace of no speed, or audio whose bytes are not time.
        """
        if pace is None:
            return None
        if not pace > 0:
            raise ValueError(f"pace must be more than 0 (1.0 is the speed of the clock), not {pace!r}")
        if self._format is None:
            raise ValueError(f"pace needs {_RAW}")
        time = now()
        if self._pacer is None or self._pacer.pace != pace or self._pacer.next_due < time:
            self._pacer = Pacer(pace, time)
        # One that is ahead of the clock goes on: each call alone would send its first frame at once.
        return self._pacer

    def check(self, source: AudioSource, *, in_thread: bool = False) -> None:
        """Refuse what is no source, and what a source says of itself that is not what the connection was told.

        :raises TypeError: :raises ValueError: with what to write instead; nothing of the source is sent then.
        """
        check_source(source, in_thread=in_thread)
        self._checks.check_source(source)

    async def send_all(self, source: AudioSource, pacer: Pacer | None) -> None:
        """Send all pieces of a source, which is closed afterwards where it is an async generator.

        :raises DeepgramStreamError: as `Outbox.send` does.
        :raises TypeError: as `check` does, before anything is sent; later for a piece of the source.
        :raises ValueError: as `check` does, before anything is sent.
        """
        if is_buffer(source):  # which needs no generator
            self._checks.check(source, is_head=self._clock.bytes_sent == 0)
            await self._send(source, pacer)
            return
        self._checks.check_source(source)
        async with aclosing(self._pieces(source)) as stream_of_pieces:
            async for piece in stream_of_pieces:
                await self._send(piece, pacer)

    async def feed(
        self,
        source: AudioSource,
        pacer: Pacer | None,
        *,
        in_thread: bool = False,
        fails_in_order: bool = False,
    ) -> DeepgramStreamError | None:
        """Do the same in the background, with what was put before, and in between.

        Return the error of a stream that took no more. What the source raises is raised; with `fails_in_order` behind what
        was put before.
        """
        await self.send_unsent()
        try:
            async with aclosing(self._pieces(source, in_thread=in_thread)) as stream_of_pieces:
                async for piece in stream_of_pieces:
                    try:
                        await self._send(piece, pacer)
                    except DeepgramStreamError as error:
                        return error  # the iteration raises it
        except Exception:
            if fails_in_order:
                await self.send_unsent()
            raise
        await self.send_unsent()
        return None

    @property
    def has_unsent(self) -> bool:
        """Whether audio that was put is not sent yet."""
        return bool(self._unsent) or self._unsent_lock.locked()

    def put(self, piece: Buffer) -> None:
        """Keep a piece until `send_unsent`; any thread may call this.

        :raises TypeError: :raises ValueError: as `AudioChecks.check` does.
        :raises SessionClosed: where no more is taken.
        """
        self._checks.check(piece, is_head=not (self._clock.bytes_sent or self._unsent))
        self._check_taken(is_taken=self._unsent.put(piece))

    def skip(self, seconds: float) -> None:
        """Count audio that is left out here, after all that came before; any thread may call this.

        :raises ValueError: for audio whose bytes are not time.
        :raises SessionClosed: where no more is taken.
        """
        if self._format is None:
            raise ValueError(f"skip() needs {_RAW}")
        self._check_taken(is_taken=self._unsent.skip(seconds))

    def close_unsent(self) -> bool:
        """Take nothing more without waiting, once all that was put is sent; return whether it is."""
        return not self._unsent_lock.locked() and self._unsent.close_if_empty()

    async def send_unsent(self) -> bool:
        """Send what was put; return whether the stream took all of it. Where it does not, the iteration tells why."""
        async with self._unsent_lock:
            while (entry := self._unsent.take()) is not None:
                async with self._lock:
                    if isinstance(entry, Skipped):
                        self._clock.skip(entry.seconds)
                    elif isinstance(entry, Lost):
                        self._inbox.lose_unsent(entry.size)
                    elif not await self._is_sent(entry):
                        return False
        return True

    async def _is_sent(self, piece: bytes) -> bool:
        """Send a piece, and put back what the stream does not take of it; return whether it took all."""
        before = self._clock.bytes_sent
        try:
            await self._send_frames(piece)
        except BaseException as error:  # cancelled, too: what was taken is sent, or told as lost
            self._unsent.put_back(piece[self._clock.bytes_sent - before :])
            if not isinstance(error, DeepgramStreamError):
                raise
            return False
        return True

    def _check_taken(self, *, is_taken: bool) -> None:
        if not is_taken:
            self._outbox.check_open()  # says why
            raise SessionClosed("the stream is about to end")

    async def _pieces(self, source: AudioSource, *, in_thread: bool = False) -> AsyncGenerator[Buffer, None]:
        is_head = True
        async with aclosing(pieces(source, self._cutter.frame_size, in_thread=in_thread)) as unchecked:
            async for piece in unchecked:
                self._checks.check(piece, is_head=is_head)
                is_head = is_head and not memoryview(piece).nbytes
                yield piece

    async def _send(self, piece: Buffer, pacer: Pacer | None) -> None:
        # The frames of a piece stay together, unless they are paced: others need not wait for all of them.
        if pacer is None or self._format is None:
            async with self._lock:
                await self._send_frames(piece)
            return
        for frame in self._cutter.cut(piece):
            await anyio.sleep_until(pacer.due(self._format.seconds(len(frame))))
            async with self._lock:
                await self._send_frame(frame)

    async def _send_frames(self, piece: Buffer) -> None:
        for frame in self._cutter.cut(piece):
            self._in_a_row += 1
            if self._in_a_row % _IN_A_ROW == 0:
                await asyncio.sleep(0)  # a source that is always ready must not starve the listener
            await self._send_frame(frame)

    async def _send_frame(self, frame: bytes) -> None:
        try:
            await self._outbox.send(frame)
        finally:
            self._clock.bytes_sent = self._outbox.bytes_taken
