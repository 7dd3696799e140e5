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


class Lost(NamedTuple):
    """Audio that was taken out here, because it was too much."""

    size: int


class Skipped(NamedTuple):
    """Audio that the application left out here."""

    seconds: float


class Unsent:
    """Keeps pieces in their order, at most `limit_seconds` of them; where that is too little, the oldest go."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = min(limit_seconds, DAY_SECONDS)  # because an endless one is no number of bytes
        self._format: RawFormat | None = None
        self._limit = int(self._limit_seconds * OPAQUE_BYTES_PER_SECOND)
        self._entries: deque[bytes | Lost | Skipped] = deque()
        self._size = 0  # of the pieces, in bytes
        self._in_hand = 0  # of the one that was taken last, until the next is taken, or this one is put back
        self._is_begun = self._is_closed = False
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._entries)

    def begin(self, audio_format: RawFormat | None) -> None:
        """Record what the pieces are, before the first of them."""
        self._format = audio_format
        if audio_format is not None:
            self._limit = max(audio_format.size(self._limit_seconds), audio_format.block_size)

    def put(self, piece: Buffer) -> bool:
        """Keep a copy of a piece, because whoever has recorded it uses its memory again; return whether it is taken."""
        copy = memoryview(piece).tobytes()
        with self._lock:
            if copy and not self._is_closed:
                self._entries.append(copy)
                self._size += len(copy)
                self._shrink()
            return not self._is_closed

    def skip(self, seconds: float) -> bool:
        """Keep that audio is left out here; return whether that is taken."""
        with self._lock:
            if not self._is_closed:
                self._entries.append(Skipped(seconds))
            return not self._is_closed

    def take(self) -> bytes | Lost | Skipped | None:
        """Return what is next; None where there is nothing."""
        with self._lock:
            self._in_hand = 0
            if not self._entries:
                return None
            self._is_begun = True
            entry = self._entries.popleft()
            if isinstance(entry, bytes):
                self._in_hand = len(entry)
                self._size -= len(entry)
            return entry

    def put_back(self, piece: bytes) -> None:
        """Keep a piece that was taken and could not be sent, or the rest of it."""
        with self._lock:
            self._in_hand = 0
            if piece and not self._is_closed:
                self._entries.appendleft(piece)
                self._size += len(piece)

    def close_if_empty(self) -> bool:
        """Take nothing more, unless there is something that has to be sent before; return whether that is so."""
        with self._lock:
            self._is_closed |= not self._entries
            return self._is_closed

    def close(self) -> int:
        """Take nothing more; return the bytes that were left, with a piece that is being sent."""
        with self._lock:
            self._is_closed = True
            left = (
                self._size
                + self._in_hand
                + sum(entry.size for entry in self._entries if isinstance(entry, Lost))
            )
            self._entries.clear()
            self._size = self._in_hand = 0
            return left

    def _shrink(self) -> None:
        if self._format is not None:
            excess = max(self._size - self._limit, 0)
            self._lose(excess + -excess % self._format.block_size)  # whole samples
            return
        # The first piece of a container has its head, without which all else is nothing; the newest is never too much.
        head = None if self._is_begun or not self._entries else self._entries.popleft()
        excess = 0
        for size in [len(entry) for entry in self._entries if isinstance(entry, bytes)][:-1]:
            excess += size if self._size - excess > self._limit else 0
        self._lose(excess)
        if head is not None:
            self._entries.appendleft(head)

    def _lose(self, size: int) -> None:
        """Take out the oldest bytes."""
        passed: list[Lost | Skipped] = []
        while size > 0 and self._entries:
            oldest = self._entries.popleft()
            if isinstance(oldest, bytes):
                lost = min(size, len(oldest))
                if lost < len(oldest):
                    self._entries.appendleft(oldest[lost:])
                size -= lost
                self._size -= lost
                oldest = Lost(lost)
            before = passed[-1] if passed else None
            if isinstance(before, Lost) and isinstance(oldest, Lost):
                passed[-1] = Lost(before.size + oldest.size)
            else:
                passed.append(oldest)
        self._entries.extendleft(reversed(passed))
