"""What bytes last, where frames are cut, and when they are due."""

from __future__ import annotations

import array
import ctypes
import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._audio.format import FrameCutter, Pacer, RawFormat
from deepgram_stream_iter._audio.sources import is_buffer

FORMATS = st.builds(
    RawFormat, sample_rate=st.integers(1, 400), block_size=st.sampled_from([1, 2, 3, 4, 8, 16])
)
PIECES = st.lists(st.binary(max_size=200), max_size=12)
FRAME_MS = st.integers(1, 200)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"encoding": "linear16", "sample_rate": "16000"}, (16000, 2)),
        ({"encoding": "linear16", "sample_rate": "48000", "channels": "2"}, (48000, 4)),
        ({"encoding": "linear32", "sample_rate": "8000"}, (8000, 4)),
        ({"encoding": "mulaw", "sample_rate": "8000", "channels": "1"}, (8000, 1)),
        ({"encoding": "alaw", "sample_rate": "8000"}, (8000, 1)),
        ({"encoding": "opus", "sample_rate": "48000"}, None),
        ({"encoding": "linear16"}, None),
        ({"sample_rate": "16000"}, None),
        ({"encoding": "linear16", "sample_rate": "many"}, None),
        ({"encoding": "linear16", "sample_rate": "0"}, None),
        ({"encoding": "linear16", "sample_rate": "16000", "channels": "0"}, None),
        ({"encoding": ["linear16", "opus"], "sample_rate": "16000"}, None),
        ({}, None),
    ],
)
def test_the_format_in_a_query(query: dict[str, Any], expected: tuple[int, int] | None) -> None:
    """A format is known when encoding and rate are, and the encoding is samples of a fixed size."""
    known = RawFormat.of(query)
    assert (known and (known.sample_rate, known.block_size)) == expected


def test_what_bytes_last() -> None:
    """20 ms of 16 kHz mono linear16 are 640 bytes."""
    assert RawFormat(sample_rate=16000, block_size=2).seconds(640) == 0.02


@given(audio_format=FORMATS | st.none(), frame_ms=FRAME_MS, audio=PIECES)
def test_cutting_loses_nothing(audio_format: RawFormat | None, frame_ms: int, audio: list[bytes]) -> None:
    """The frames are the pieces again; none is empty or longer than allowed, and small ones are not even copied."""
    cutter = FrameCutter(audio_format, frame_ms)
    limit = 32 * 1024
    if audio_format is not None:
        limit = max(1, audio_format.sample_rate * frame_ms // 1000) * audio_format.block_size
    for piece in audio:
        frames = list(cutter.cut(piece))
        assert b"".join(frames) == piece
        assert all(0 < len(frame) <= limit for frame in frames)
        assert len(frames) != 1 or frames[0] is piece


@given(audio_format=FORMATS, frame_ms=FRAME_MS, audio=PIECES)
def test_cuts_fall_between_samples(audio_format: RawFormat, frame_ms: int, audio: list[bytes]) -> None:
    """A cut inside a piece lies on a sample boundary of the whole stream, wherever the pieces end."""
    cutter = FrameCutter(audio_format, frame_ms)
    ends_of_pieces = {0, *itertools.accumulate(map(len, audio))}
    cuts = itertools.accumulate(len(frame) for piece in audio for frame in cutter.cut(piece))
    assert all(cut % audio_format.block_size == 0 for cut in set(cuts) - ends_of_pieces)


@given(audio=st.binary(min_size=1, max_size=100), frames=st.integers(1, 10))
def test_full_frames(audio: bytes, frames: int) -> None:
    """One large piece gives frames of the full length, and one for the rest."""
    cutter = FrameCutter(RawFormat(sample_rate=1000, block_size=2), 5)
    sizes = [len(frame) for frame in cutter.cut(audio * frames)]
    assert sizes[:-1] == [10] * ((len(audio) * frames - 1) // 10)


@pytest.mark.parametrize(
    "piece",
    [
        bytearray(b"\1\0\2\0"),
        memoryview(b"\1\0\2\0"),
        memoryview(b"\1\0\2\0").cast("B", (2, 2)),
        array.array("h", [1, 2]),
        (ctypes.c_int16 * 2)(1, 2),
        memoryview(b"\1-\0-\2-\0-")[::2],
    ],
    ids=lambda piece: type(piece).__name__,
)
def test_anything_bytes_like(piece: Any) -> None:
    """Frames are bytes, whatever the type, item size, shape and layout of a piece; lengths count bytes."""
    assert is_buffer(piece)
    frames = list(FrameCutter(RawFormat(sample_rate=1000, block_size=2), 1).cut(piece))
    assert frames == [b"\1\0", b"\2\0"]
    assert all(type(frame) is bytes for frame in frames)


@pytest.mark.parametrize(
    "piece",
    [b"", bytearray(), array.array("h"), memoryview(b"ab")[:0], (ctypes.c_int16 * 1 * 0)()],
)
def test_empty_pieces_give_no_frame(piece: Any) -> None:
    """An empty frame would end the stream, so an empty piece gives none."""
    assert list(FrameCutter(None, 100).cut(piece)) == []


@given(
    pace=st.floats(0.1, 10),
    started_at=st.floats(0, 1e6),
    frames=st.lists(st.floats(0, 1), max_size=200),
)
def test_deadlines_do_not_drift(pace: float, started_at: float, frames: list[float]) -> None:
    """A frame is due when the audio before it has been played, counted from the start and not from the last frame."""
    pacer = Pacer(pace, started_at)
    due = [pacer.due(frame) for frame in frames]
    assert due == pytest.approx(
        [started_at + math.fsum(frames[:n]) / pace for n in range(len(frames))], rel=1e-12, abs=1e-9
    )
