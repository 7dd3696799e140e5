"""Audio that was handed over without waiting, by any thread, until it is sent. Pure, but for a lock."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._recovery.memory import OPAQUE_BYTES_PER_SECOND

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Taken(NamedTuple):
    """The next audio to send."""

    lost_bytes: int
    """Audio that came before it, and was taken out because it was too much."""
    piece: bytes


class Unsent:
    """Keeps pieces in their order, at most `limit_seconds` of them; where that is too little, the oldest go."""

    def __init__(self, audio_format: RawFormat | None, limit_seconds: float) -> None:
        # A cut has to fall between two samples.
        self._block_size = audio_format.block_size if audio_format else 1
        self._is_raw = audio_format is not None
        limit = (
            audio_format.size(limit_seconds) if audio_format else int(limit_seconds * OPAQUE_BYTES_PER_SECOND)
        )
        self._limit = max(limit, self._block_size)
        self._pieces: deque[bytes] = deque()
        self._size = self._lost = 0  # bytes
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def put(self, piece: Buffer) -> None:
        """Keep a copy of a piece, because whoever has recorded it uses its memory again."""
        with self._lock:
            self._pieces.append(memoryview(piece).tobytes())
            self._size += len(self._pieces[-1])
            while self._size > self._limit and len(self._pieces) > 1:
                self._lose(len(self._pieces[0]))
            if self._is_raw:
                excess = max(self._size - self._limit, 0)
                self._lose(excess + -(self._lost + excess) % self._block_size)

    def take(self) -> Taken | None:
        """Return the next audio, and what was lost before it; None where there is none."""
        with self._lock:
            if not self._pieces:
                return None
            lost, self._lost = self._lost, 0
            piece = self._pieces.popleft()
            self._size -= len(piece)
            return Taken(lost, piece)

    def _lose(self, size: int) -> None:
        """Take out the oldest bytes."""
        while size > 0 and self._pieces:
            oldest = self._pieces.popleft()
            if len(oldest) > size:
                self._pieces.appendleft(oldest[size:])
            lost = min(size, len(oldest))
            size -= lost
            self._size -= lost
            self._lost += lost
