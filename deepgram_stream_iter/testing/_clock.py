"""The clock of a connection: how much audio has come, told from the query or a WAV header (pure)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SAMPLE_BYTES = {"linear16": 2, "linear32": 4, "mulaw": 1, "alaw": 1}
_CHUNK_HEAD = 8
_RIFF_HEAD = 12


class AudioClock:
    """Counts the seconds of one connection's audio; stays at 0.0 where it cannot know them."""

    def __init__(self, query: Mapping[str, Sequence[str]]) -> None:
        encoding = query.get("encoding", [""])[0]
        rate = int(query.get("sample_rate", ["0"])[0] or 0)
        channels = int(query.get("channels", ["1"])[0] or 1)
        self._bytes_per_second = _SAMPLE_BYTES.get(encoding, 0) * rate * channels
        self._samples = 0
        # Audio without an `encoding` comes in a container: hold its head back until that can be read.
        self._head: bytes | None = None if encoding else b""

    @property
    def seconds(self) -> float:
        """The audio so far, in seconds."""
        return self._samples / self._bytes_per_second if self._bytes_per_second else 0.0

    def advance(self, audio: bytes) -> bytes:
        """Take the next piece of audio; return the samples in it, without a WAV header."""
        if self._head is not None:
            audio = self._skip_header(self._head + audio)
        self._samples += len(audio)
        return audio

    def _skip_header(self, head: bytes) -> bytes:
        if not (b"RIFF".startswith(head[:4]) and b"WAVE".startswith(head[8:12])):
            self._head = None
            return head
        self._head = head
        position = _RIFF_HEAD
        while position + _CHUNK_HEAD <= len(head):
            kind, size = struct.unpack_from("<4sI", head, position)
            position += _CHUNK_HEAD
            if kind == b"data":
                self._head = None
                return head[position:]
            if kind == b"fmt " and position + _RIFF_HEAD <= len(head):
                self._bytes_per_second = struct.unpack_from("<I", head, position + 8)[0]
            # Chunks are padded to an even length.
            position += size + size % 2
        return b""
