"""The head of a container: what a decoder needs before any of the audio. Pure.

Only a container has one. Raw packets (`encoding="opus"`, `"amr-nb"` and so on) and the frames of MP3 and AAC are decoded
one by one.
"""

from __future__ import annotations

_AMR = (b"#!AMR\n", b"#!AMR-WB\n")
_NOT_CUT = (b"FORM", b"caff", b".snd", b"#!AMR")
"""Containers that are not taken apart here, so that all of the first chunk counts as their head: AIFF, CAF, AU, AMR of several channels."""


def container_head(chunk: bytes) -> bytes:
    """Return what a new connection needs of a stream's first chunk; nothing where that begins no container.

    The bytes decide, because `encoding` does not: Deepgram wants it left out for a container, but takes it with some.
    """
    if chunk.startswith((b"RIFF", b"RF64")):
        return _riff_head(chunk)
    if chunk.startswith(b"\x1a\x45\xdf\xa3"):  # WebM and Matroska: the audio begins with the first cluster
        return chunk.partition(b"\x1f\x43\xb6\x75")[0]
    if chunk.startswith(b"OggS"):
        return _ogg_head(chunk)
    if chunk.startswith(b"fLaC"):
        return _flac_head(chunk)
    for magic in _AMR:
        if chunk.startswith(magic):
            return magic
    is_mp4 = chunk[4:8] == b"ftyp"
    return chunk if is_mp4 or chunk.startswith(_NOT_CUT) else b""


def _riff_head(chunk: bytes) -> bytes:
    """Return all up to the samples, from one RIFF chunk to the next; the whole where they do not begin in here."""
    end = 12
    while end + 8 <= len(chunk):
        name, size = chunk[end : end + 4], int.from_bytes(chunk[end + 4 : end + 8], "little")
        end += 8
        if name == b"data":
            return chunk[:end]
        end += size + size % 2
    return chunk


def _ogg_head(chunk: bytes) -> bytes:
    """Return the whole pages before any audio, whose granule position (8 bytes at 6) is 0."""
    if any(chunk[6:14]):
        return b""  # somebody joined in the middle of a stream
    end = 0
    while end + 26 < len(chunk) and not any(chunk[end + 6 : end + 14]):
        segments = chunk[end + 26]  # their sizes follow
        size = 27 + segments + sum(chunk[end + 27 : end + 27 + segments])
        if end + size > len(chunk):
            break
        end += size
    return chunk[:end] or chunk  # a first page that goes on in the next chunk holds no audio either


def _flac_head(chunk: bytes) -> bytes:
    """Return all up to the frames, from one metadata block to the next; the whole where they do not begin in here."""
    end = 4
    while end + 4 <= len(chunk):
        is_last = chunk[end] & 1 << 7
        end += 4 + int.from_bytes(chunk[end + 1 : end + 4], "big")
        if is_last:
            return chunk[:end]
    return chunk
