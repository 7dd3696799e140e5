"""The audio that may have to be sent again, or has not been sent yet. Pure.

`RawMemory` is for audio whose bytes are time. `OpaqueMemory` is for all other (containers, compressed encodings): what
was sent of it cannot be found again by its time, so only what was not sent is kept.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from deepgram_stream_iter._audio import RawFormat, container_head

_OPAQUE_BYTES_PER_SECOND = 32_000
"""What a second of audio is taken to need at most, where its bytes are not time."""
_LEAST_SECONDS = 0.1
"""Room for the largest frame: one that is on its way must not push itself out."""


class Rewound(NamedTuple):
    """What a new connection is sent first."""

    begin_seconds: float
    """Its place in the session's audio."""
    gap: tuple[float, float | None] | None
    """The audio before it that is lost, in seconds; the end is None where nobody knows."""
    replayed_seconds: float
    """How much of it had been sent before."""


class RawMemory:
    """Keeps the audio from a place on, in bytes from the beginning of the session's audio; at most `limit_seconds`."""

    def __init__(self, audio_format: RawFormat, limit_seconds: float) -> None:
        self._format = audio_format
        self._limit = audio_format.size(max(limit_seconds, _LEAST_SECONDS))
        self._audio = bytearray()
        self._start = 0  # the place of its first byte
        self._next = 0  # the place of the next byte to send
        self._sent = 0  # ... and of the next that no connection was ever sent

    on_freed = staticmethod(lambda: None)

    @property
    def limit_seconds(self) -> float:
        return self._format.seconds(self._limit)

    @property
    def kept_seconds(self) -> float:
        """The audio that is kept, sent or not."""
        return self._format.seconds(len(self._audio))

    replay_seconds = kept_seconds

    @property
    def free_seconds(self) -> float:
        """The audio that can be added before some goes."""
        return self._format.seconds(max(0, self._limit - len(self._audio)))

    @property
    def unsent_seconds(self) -> float:
        """The audio that waits to be sent."""
        return self._format.seconds(self._end - self._next)

    def seconds(self, size: int) -> float:
        """Give how long `size` bytes last."""
        return self._format.seconds(size)

    def has_room(self, size: int) -> bool:
        return len(self._audio) + size <= self._limit

    def has_room_beside_unsent(self, size: int) -> bool:
        """Tell whether so many bytes can be added before some that were not sent go."""
        return self._end - self._next + size <= self._limit

    @property
    def end_seconds(self) -> float:
        """Where the audio ends that was added last."""
        return self._format.seconds(self._end)

    @property
    def _end(self) -> int:
        return self._start + len(self._audio)

    def add(self, frame: bytes) -> None:
        """Keep a frame; where that is too much, the oldest audio goes."""
        self._audio += frame
        excess = len(self._audio) - self._limit
        if excess > 0:
            self._forget_until(self._start + excess - excess % self._format.block_size)

    def take(self, size: int) -> bytes:
        """Give the next audio to send, at most `size` bytes; empty when there is none."""
        begin = self._next - self._start
        frame = bytes(self._audio[begin : begin + size])
        self._next += len(frame)
        self._sent = max(self._sent, self._next)
        return frame

    def finalized(self, seconds: float) -> None:
        """Forget what is transcribed for good."""
        before = self._start
        self._forget_until(self._sample_at(seconds, self._next))
        if self._start > before:
            self.on_freed()

    def rewind(self, finalized_seconds: float, heard_seconds: float) -> Rewound:
        """Begin anew, for a new connection, where the audio is not transcribed for good yet."""
        del heard_seconds  # for audio that cannot be found by its time
        wanted = self._sample_at(finalized_seconds, self._sent)
        self._next = max(wanted, self._start)
        begin_seconds = self._format.seconds(self._next)
        gap = (self._format.seconds(wanted), begin_seconds) if self._next > wanted else None
        replayed_seconds = self._format.seconds(max(0, self._sent - self._next))
        self._sent = max(self._sent, self._next)
        return Rewound(begin_seconds, gap, replayed_seconds)

    def rest(self, finalized_seconds: float) -> tuple[float, float] | None:
        """Give the audio that is not transcribed for good, kept or not; None where all is."""
        start = min(self._format.size(finalized_seconds), self._end)
        return (self._format.seconds(start), self.end_seconds) if start < self._end else None

    def _sample_at(self, seconds: float, limit: int) -> int:
        """Give the place of a time, up to a limit: the last whole sample before it, where a frame ended inside one."""
        return min(self._format.size(seconds), limit - limit % self._format.block_size)

    def _forget_until(self, place: int) -> None:
        if place > self._start:
            del self._audio[: place - self._start]
            self._start = place
            self._next = max(self._next, place)


class OpaqueMemory:
    """Keeps the head of a container, and the frames that wait while there is no connection."""

    on_freed = staticmethod(lambda: None)
    replay_seconds = 0.0

    @property
    def kept_seconds(self):
        return self.seconds(self._waiting_size)

    @property
    def limit_seconds(self):
        return self.seconds(self._limit)

    """What waits goes out at once: nobody knows how long it lasts."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit = int(limit_seconds * _OPAQUE_BYTES_PER_SECOND)
        self._head = b""
        self._waiting: deque[bytes] = deque()
        self._waiting_size = 0
        self._is_head_due = False  # before anything that waits
        self._is_begun = False  # something was sent to the connection
        self._is_anything_lost = False  # once the connection is: something was sent, or did not fit in here

    @property
    def free_seconds(self) -> float:
        """The audio that can be added before some goes, if it needs as much as is allowed for."""
        return self.seconds(max(0, self._limit - self._waiting_size))

    def seconds(self, size: int) -> float:
        """Give how long `size` bytes last at least, if they need no more than is allowed for."""
        return size / _OPAQUE_BYTES_PER_SECOND

    def add(self, frame: bytes) -> None:
        """Keep a frame; where that is too much, the oldest go."""
        self._head = self._head or container_head(frame)
        self._waiting.append(frame)
        self._waiting_size += len(frame)
        while self._waiting_size > self._limit and len(self._waiting) > 1:
            self._is_head_due = self._is_head_due or not self._is_begun
            self._pop()

    def has_room(self, size: int) -> bool:
        """Tell whether so many bytes can be added before some that were not sent go."""
        return not self._waiting or self._waiting_size + size <= self._limit

    has_room_beside_unsent = has_room

    def take(self, size: int = 0) -> bytes:
        """Give the next frame to send, whole whatever the size; empty when there is none."""
        del size
        if self._is_head_due:
            self._is_head_due, self._is_begun = False, True
            return self._head
        if not self._waiting:
            return b""
        self._is_begun = True
        return self._pop()

    def finalized(self, seconds: float) -> None:
        """Nothing that was sent is kept, so there is nothing to forget."""

    def rewind(self, finalized_seconds: float, heard_seconds: float) -> Rewound:
        """Begin anew, with the head; what was sent and is not transcribed for good is lost."""
        gap = (finalized_seconds, None) if self._is_anything_lost else None
        self._is_head_due = self._is_head_due or self._is_begun
        self._is_begun = self._is_anything_lost = False
        return Rewound(heard_seconds, gap, 0.0)

    def rest(self, finalized_seconds: float) -> tuple[float, None] | None:
        """Tell from where on audio was lost; None where none was added since."""
        return (finalized_seconds, None) if self._is_anything_lost or self._waiting else None

    def _pop(self) -> bytes:
        self._is_anything_lost = True
        self._waiting_size -= len(self._waiting[0])
        return self._waiting.popleft()


Memory = RawMemory | OpaqueMemory
