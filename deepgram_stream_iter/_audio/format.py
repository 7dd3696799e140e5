"""Audio as bytes and as time: what a byte lasts, where to cut, when to send. Pure, driven by whoever has the socket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

FRAME_MS = {"v1": 100, "v2": 80, "other": 100}
"""The longest frame of raw audio, by endpoint."""
SAMPLE_WIDTHS = {"linear16": 2, "linear32": 4, "mulaw": 1, "alaw": 1}
"""Bytes of a sample, by raw encoding."""
_LARGEST_OPAQUE_FRAME = 32 * 1024
"""Bytes in a frame of audio whose bytes are not time: whole containers handed over in one piece."""


@dataclass(frozen=True, kw_only=True)
class RawFormat:
    """Audio whose bytes are time: uncompressed samples at a fixed rate."""

    sample_rate: int
    block_size: int
    """Bytes of one sample of all channels: where a cut may fall."""

    @classmethod
    def of(cls, query: Mapping[str, str | Sequence[str]]) -> RawFormat | None:
        """Read the format off the parameters of a connection; None when its bytes are not time, or nobody said."""
        try:
            width = SAMPLE_WIDTHS[str(query["encoding"])]
            sample_rate, channels = int(str(query["sample_rate"])), int(str(query.get("channels", 1)))
        except (KeyError, ValueError):
            return None
        if sample_rate <= 0 or channels <= 0:
            return None
        return cls(sample_rate=sample_rate, block_size=width * channels)

    def seconds(self, size: int) -> float:
        """Return how long `size` bytes last."""
        return size / (self.sample_rate * self.block_size)

    def size(self, seconds: float) -> int:
        """Return the bytes of so many seconds, to the sample."""
        return round(seconds * self.sample_rate) * self.block_size


def flat(piece: Buffer) -> memoryview:
    """Return a piece as bytes in a row, without a copy where that can be."""
    view = memoryview(piece)
    # One channel of an array, say, is not contiguous; and Python casts no array that is empty in one of several dimensions.
    return view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes())


class FrameCutter:
    """Cuts pieces of audio into frames of at most `frame_ms`, at sample boundaries of the whole stream."""

    def __init__(self, audio_format: RawFormat | None, frame_ms: int) -> None:
        self._block_size = audio_format.block_size if audio_format else 1
        self.frame_size: int | None = None
        """Bytes of the longest frame of raw audio; None where its bytes are not time."""
        if audio_format is not None:
            samples = max(1, audio_format.sample_rate * frame_ms // 1000)
            self.frame_size = samples * audio_format.block_size
        self._split_bytes = 0  # of a sample, at the end of what was cut so far

    def cut(self, piece: Buffer) -> Iterable[bytes]:
        """Return the frames of `piece`; none for an empty one, since an empty frame would end the stream."""
        if isinstance(piece, bytes) and 0 < len(piece) <= self._room:
            self._add(len(piece))
            return (piece,)
        return self._cut(piece)

    def _cut(self, piece: Buffer) -> Iterator[bytes]:
        view = flat(piece)
        begin = 0
        while begin < len(view):
            end = min(len(view), begin + self._room)
            self._add(end - begin)
            yield bytes(view[begin:end])
            begin = end

    @property
    def _room(self) -> int:
        """How many bytes the next frame may have, for it to end between two samples."""
        return (self.frame_size or _LARGEST_OPAQUE_FRAME) - self._split_bytes

    def _add(self, size: int) -> None:
        self._split_bytes = (self._split_bytes + size) % self._block_size


class Pacer:
    """Says when to send, by deadlines: what is sent late once does not make everything after it late."""

    def __init__(self, pace: float, started_at: float) -> None:
        self.pace, self._started_at = pace, started_at
        self._audio_seconds = 0.0

    @property
    def next_due(self) -> float:
        """The time at which the next frame is to be sent, on the clock of `started_at`."""
        return self._started_at + self._audio_seconds / self.pace

    def due(self, frame_seconds: float) -> float:
        """Return the time at which the next frame, of this length, is to be sent."""
        due = self.next_due
        self._audio_seconds += frame_seconds
        return due
