"""The audio that waits to be sent, or may have to be sent again. Pure.

`RawMemory` is for audio whose bytes are time. `OpaqueMemory` is for all other (containers, compressed encodings): what was
sent of it cannot be found again by its time, so it keeps only what was not sent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._recovery.container import container_head

OPAQUE_BYTES_PER_SECOND = 32_000
"""What a second of audio needs at most, by assumption, where its bytes are not time."""
_LEAST_SECONDS = 0.1
"""Room for the largest frame, because a frame on its way must not push itself out."""


class Rewound(NamedTuple):
    """Where a new connection begins."""

    begin_seconds: float
    """The place of the first audio that it is sent, in the session's audio."""
    gap: tuple[float, float | None] | None
    """The audio before that place that is lost, in seconds; the end is None where nobody knows."""
    replayed_seconds: float
    """How much of what it is sent was sent before."""


class Memory(ABC):
    """Keeps audio in its order, at most `limit_seconds` of it; where that is too little, the oldest goes."""

    limit_seconds: float

    def __init__(self) -> None:
        self.on_freed: Callable[[], None] = _do_nothing
        """Is called when `finalized` has made room."""

    @property
    @abstractmethod
    def kept_seconds(self) -> float:
        """The audio that is kept, sent or not."""

    @property
    @abstractmethod
    def replay_seconds(self) -> float:
        """The audio that a new connection has to be sent, at the catch-up rate, before it is live."""

    @abstractmethod
    def seconds(self, size: int) -> float:
        """Return how long `size` bytes last; the least that is possible where nobody knows."""

    @abstractmethod
    def has_room(self, size: int) -> bool:
        """Return whether so many bytes push out nothing that is kept."""

    @abstractmethod
    def has_room_beside_unsent(self, size: int) -> bool:
        """Return whether so many bytes push out nothing that was not sent yet."""

    @abstractmethod
    def add(self, frame: bytes) -> None:
        """Keep a frame."""

    @abstractmethod
    def take(self, size: int) -> bytes:
        """Return the next audio to send, at most `size` bytes where it may be cut; empty when there is none."""

    @abstractmethod
    def finalized(self, seconds: float) -> None:
        """Forget the audio up to a place, because it is transcribed for good."""

    @abstractmethod
    def rewind(self, finalized_seconds: float, heard_seconds: float) -> Rewound:
        """Go back, for a new connection, to where the audio is not transcribed for good, or else is not sent yet."""

    @abstractmethod
    def rest(self, finalized_seconds: float) -> tuple[float, float | None] | None:
        """Return the audio that is not transcribed for good, kept or not; None where all is."""


class RawMemory(Memory):
    """Keeps what is not transcribed for good, in bytes from the beginning of the session's audio."""

    def __init__(self, audio_format: RawFormat, limit_seconds: float) -> None:
        super().__init__()
        self._format = audio_format
        self._limit = audio_format.size(max(limit_seconds, _LEAST_SECONDS))
        self.limit_seconds = audio_format.seconds(self._limit)
        self._audio = bytearray()
        self._start = 0  # the place of its first byte
        self._next = 0  # the place of the next byte to send
        self._sent = 0  # the place of the next byte that no connection was ever sent

    @property
    def kept_seconds(self) -> float:
        """The audio that is kept, sent or not."""
        return self._format.seconds(len(self._audio))

    @property
    def replay_seconds(self) -> float:
        """All that is kept."""
        return self.kept_seconds

    def seconds(self, size: int) -> float:
        """Return how long `size` bytes last."""
        return self._format.seconds(size)

    def has_room(self, size: int) -> bool:
        """Return whether so many bytes push out nothing that is kept."""
        return len(self._audio) + size <= self._limit

    def has_room_beside_unsent(self, size: int) -> bool:
        """Return whether so many bytes push out nothing that was not sent yet."""
        return self._end - self._next + size <= self._limit

    def add(self, frame: bytes) -> None:
        """Keep a frame; where that is too much, the oldest audio goes."""
        self._audio += frame
        excess = len(self._audio) - self._limit
        self._forget_until(self._start + excess - excess % self._format.block_size)

    def take(self, size: int) -> bytes:
        """Return the next audio to send, at most `size` bytes; empty when there is none."""
        begin = self._next - self._start
        frame = bytes(self._audio[begin : begin + size])
        self._next += len(frame)
        self._sent = max(self._sent, self._next)
        return frame

    def finalized(self, seconds: float) -> None:
        """Forget the audio up to a place, because it is transcribed for good; what was not sent yet is kept."""
        if self._forget_until(self._sample_at(seconds, self._next)):
            self.on_freed()

    def rewind(self, finalized_seconds: float, heard_seconds: float) -> Rewound:
        """Go back, for a new connection, to where the audio is not transcribed for good, as far as it is kept."""
        del heard_seconds  # is for audio that cannot be found by its time
        wanted = self._sample_at(finalized_seconds, self._sent)
        self._next = max(wanted, self._start)
        begin_seconds = self._format.seconds(self._next)
        gap = (self._format.seconds(wanted), begin_seconds) if self._next > wanted else None
        replayed_seconds = self._format.seconds(max(0, self._sent - self._next))
        self._sent = max(self._sent, self._next)
        return Rewound(begin_seconds, gap, replayed_seconds)

    def rest(self, finalized_seconds: float) -> tuple[float, float] | None:
        """Return the audio that is not transcribed for good, kept or not; None where all is."""
        start = self._format.size(finalized_seconds)
        return (self._format.seconds(start), self._format.seconds(self._end)) if start < self._end else None

    @property
    def _end(self) -> int:
        return self._start + len(self._audio)

    def _sample_at(self, seconds: float, limit: int) -> int:
        """Return the place of a time, up to a limit: the last whole sample before it, where a frame ended inside one."""
        return min(self._format.size(seconds), limit - limit % self._format.block_size)

    def _forget_until(self, place: int) -> bool:
        """Forget the audio before a place; return whether there was any."""
        if place <= self._start:
            return False
        del self._audio[: place - self._start]
        self._start = place
        self._next = max(self._next, place)
        return True


class OpaqueMemory(Memory):
    """Keeps the head of a container, and the frames that wait while there is no connection."""

    def __init__(self, limit_seconds: float) -> None:
        super().__init__()
        self._limit = int(limit_seconds * OPAQUE_BYTES_PER_SECOND)
        self.limit_seconds = self.seconds(self._limit)
        self._head: bytes | None = None  # empty where there is no container
        self._waiting: deque[bytes] = deque()
        self._waiting_size = 0
        self._is_first_gone = False  # the frame that the head is in does not wait any more
        self._is_head_sent = False  # to the connection, by itself or in its frame
        self._is_any_gone = False  # a frame was sent or pushed out since the connection began

    @property
    def kept_seconds(self) -> float:
        """The audio that waits, as long as it lasts at least."""
        return self.seconds(self._waiting_size)

    @property
    def replay_seconds(self) -> float:
        """Nothing: what waits goes out at once, because nobody knows how long it lasts."""
        return 0.0

    def seconds(self, size: int) -> float:
        """Return how long `size` bytes last at least, if they need no more than is assumed."""
        return size / OPAQUE_BYTES_PER_SECOND

    def has_room(self, size: int) -> bool:
        """Return whether so many bytes push out nothing that waits."""
        return not self._waiting or self._waiting_size + size <= self._limit

    def has_room_beside_unsent(self, size: int) -> bool:
        """Return the same: only what was not sent yet is kept."""
        return self.has_room(size)

    def add(self, frame: bytes) -> None:
        """Keep a frame; where that is too much, the oldest go."""
        if self._head is None:
            self._head = container_head(frame)
        self._waiting.append(frame)
        self._waiting_size += len(frame)
        while self._waiting_size > self._limit and len(self._waiting) > 1:
            self._pop()

    def take(self, size: int) -> bytes:
        """Return the next frame to send, whole whatever the size; empty when there is none."""
        del size
        if self._head and self._is_first_gone and not self._is_head_sent:
            self._is_head_sent = True
            return self._head
        if not self._waiting:
            return b""
        self._is_head_sent = True
        return self._pop()

    def finalized(self, seconds: float) -> None:
        """Forget nothing, because nothing that was sent is kept."""

    def rewind(self, finalized_seconds: float, heard_seconds: float) -> Rewound:
        """Begin with the head and what waits; what was sent and is not transcribed for good is lost."""
        gap = (finalized_seconds, None) if self._is_any_gone else None
        self._is_head_sent = self._is_any_gone = False
        return Rewound(heard_seconds, gap, 0.0)

    def rest(self, finalized_seconds: float) -> tuple[float, None] | None:
        """Return from where on audio is lost; None where none was added since the connection began."""
        return (finalized_seconds, None) if self._is_any_gone or self._waiting else None

    def _pop(self) -> bytes:
        self._is_first_gone = self._is_any_gone = True
        frame = self._waiting.popleft()
        self._waiting_size -= len(frame)
        return frame


def _do_nothing() -> None:
    pass
