"""Audio that was handed over without waiting, by any thread, until it is sent. Pure, but for a lock."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._recovery.memory import OPAQUE_BYTES_PER_SECOND
from deepgram_stream_iter._settings import DAY_SECONDS

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
        limit_seconds = min(limit_seconds, DAY_SECONDS)  # because an endless one is no number of bytes
        self._format = audio_format
        self._limit = (
            max(audio_format.size(limit_seconds), audio_format.block_size)
            if audio_format
            else int(limit_seconds * OPAQUE_BYTES_PER_SECOND)
        )
        self._pieces: deque[bytes] = deque()
        self._size = self._lost = 0  # bytes
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def put(self, piece: Buffer) -> None:
        """Keep a copy of a piece, because whoever has recorded it uses its memory again."""
        copy = memoryview(piece).tobytes()
        if not copy:
            return
        with self._lock:
            self._pieces.append(copy)
            self._size += len(copy)
            if self._format is not None:
                excess = max(self._size - self._limit, 0)
                self._lose(excess + -excess % self._format.block_size)  # whole samples
            else:
                while self._size > self._limit and len(self._pieces) > 1:
                    self._lose(len(self._pieces[0]))

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
