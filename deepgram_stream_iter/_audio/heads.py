"""The heads of files: which kind of file audio begins with, and what a WAV says of itself. Pure."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

HEAD_SIZE = 4096
"""Bytes to look at: two frames of the longest MP3, or the format of a WAV behind the chunks that may precede it."""

_HEADS = {
    kind: re.compile(pattern, re.DOTALL)
    for kind, pattern in {
        "WAV": rb"(RIFF|RIFX|RF64)....WAVE",
        "Ogg": rb"OggS\0",
        "FLAC": rb"fLaC",
        "WebM": rb"\x1aE\xdf\xa3",
        "MP3": rb"ID3[\2-\4]..[\0-\x7f]{4}",  # versions 2.2 to 2.4; a size of four times seven bits
    }.items()
}
_SYNC, _LAYER_3 = 0x7FF, 1
_SAME_IN_ALL_FRAMES = 0xFFFF0C0F
"""The bits of an MP3 frame's header but its bit rate, its padding and how it joins the channels."""


@dataclass(frozen=True)
class _Mpeg:
    samples: int
    """In a frame."""
    kbps: tuple[int, ...]
    rates: tuple[int, ...]


_KBPS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_LOW_KBPS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_MPEG = {
    0b11: _Mpeg(1152, _KBPS, (44100, 48000, 32000, 0)),  # version 1
    0b10: _Mpeg(576, _LOW_KBPS, (22050, 24000, 16000, 0)),  # version 2
    0b00: _Mpeg(576, _LOW_KBPS, (11025, 12000, 8000, 0)),  # version 2.5
}


@dataclass(frozen=True, kw_only=True)
class WavFormat:
    """What a WAV file says of its samples."""

    is_pcm: bool
    """Integers, which Python's `wave` module can read."""
    channels: int
    sample_rate: int


def file_kind(head: bytes) -> str | None:
    """Return the kind of file that begins so, as people call it; None for bare samples."""
    for kind, pattern in _HEADS.items():
        if pattern.match(head):
            return kind
    return "MP3" if _is_mp3(head) else None


def wav_format(head: bytes) -> WavFormat | None:
    """Return the format that a WAV file says in its head; None where the head does not reach so far."""
    order, begin = ">" if head.startswith(b"RIFX") else "<", 12
    chunk, content = struct.Struct(f"{order}4sI"), struct.Struct(f"{order}HHI")
    while len(head) >= begin + chunk.size + content.size:
        name, size = chunk.unpack_from(head, begin)
        begin += chunk.size
        if name == b"fmt ":
            tag, channels, sample_rate = content.unpack_from(head, begin)
            return WavFormat(is_pcm=tag == 1, channels=channels, sample_rate=sample_rate)
        begin += size + size % 2
    return None


def _is_mp3(head: bytes) -> bool:
    """Return whether each frame that begins in the head is one of the same MP3, and at least two do."""
    frames, begin, first = 0, 0, int.from_bytes(head[:4], "big")
    while len(head) >= begin + 4:
        header = int.from_bytes(head[begin : begin + 4], "big")
        size = _mp3_frame_size(header)
        if (
            size is None
            or (header ^ first) & _SAME_IN_ALL_FRAMES
            or head.find(head[:3], begin + 1, begin + size) > 0
        ):
            return False
        frames, begin = frames + 1, begin + size
    # Samples may look like a header. A tone repeats them, but sooner than in the next frame. And the first frame of an MP3
    # refers to none before it: its next byte is zero, behind a checksum where it has one.
    return frames > 1 and head[4 if head[1] & 1 else 6] == 0


def _mp3_frame_size(header: int) -> int | None:
    """Return the bytes of the frame with this header; None for what is no header of an MP3."""
    mpeg = _MPEG.get(header >> 19 & 3)
    if header >> 21 != _SYNC or header >> 17 & 3 != _LAYER_3 or mpeg is None:
        return None
    kbps, rate, padding = mpeg.kbps[header >> 12 & 15], mpeg.rates[header >> 10 & 3], header >> 9 & 1
    return mpeg.samples // 8 * 1000 * kbps // rate + padding if kbps and rate else None
