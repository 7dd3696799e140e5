"""Audio on its way out: cut into frames, sent at their time, one piece after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from ._audio import FRAME_MS, FrameCutter, Pacer, RawFormat
from ._clock import now
from ._lifecycle import Lifecycle

if TYPE_CHECKING:
    from typing_extensions import Buffer


class AudioSender:
    """Sends pieces of audio over a connection; safe from several tasks at once."""

    def __init__(self, life: Lifecycle) -> None:
        self._life = life
        self._lock = anyio.Lock(fast_acquire=True)
        self._bytes_sent = 0
        self._pacer: Pacer | None = None
        self._format: RawFormat | None = None
        self._cutter = FrameCutter(None, FRAME_MS["other"])

    def configure(self) -> None:
        """Take over what the connection, once there is one, says of its audio."""
        adapter = self._life.adapter
        self._format = RawFormat.of(adapter.query)
        self._cutter = FrameCutter(self._format, FRAME_MS[adapter.endpoint])

    @property
    def seconds_sent(self) -> float | None:
        """The audio sent so far; None where its bytes are not time."""
        return self._format.seconds(self._bytes_sent) if self._format else None

    def pacer(self, pace: float | None) -> Pacer | None:
        """Give what spaces the frames out.

        :raises ValueError: for a pace of no speed, or audio whose bytes are not time.
        """
        if pace is None:
            return None
        if not pace > 0:
            raise ValueError(f"pace must be more than 0 (1.0 is the speed of the clock), not {pace!r}")
        if self._format is None:
            raise ValueError(
                "pace needs raw audio, whose bytes are time: connect with encoding linear16, linear32, mulaw or alaw"
                " and its sample_rate"
            )
        time = now()
        if self._pacer is None or self._pacer.pace != pace or self._pacer.next_due < time:
            self._pacer = Pacer(pace, time)
        # One that is ahead of the clock goes on: each call alone would send its first frame at once.
        return self._pacer

    async def send(self, piece: Buffer, pacer: Pacer | None) -> None:
        """Send a piece. Raises what `Lifecycle.send_audio` raises.

        The frames of a piece stay together, unless they are paced: others need not wait for all of them.
        """
        if pacer is None or self._format is None:
            async with self._lock:
                for frame in self._cutter.cut(piece):
                    await checkpoint()  # a source that is always ready must not starve the listener
                    await self._send_frame(frame)
            return
        for frame in self._cutter.cut(piece):
            await anyio.sleep_until(pacer.due(self._format.seconds(len(frame))))
            async with self._lock:
                await self._send_frame(frame)

    async def _send_frame(self, frame: bytes) -> None:
        await self._life.send_audio(frame)
        self._bytes_sent += len(frame)
