"""When a frame may go into the memory of a session that reconnects."""

from __future__ import annotations

import math

import pytest

from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._outbound.admission import Admission
from deepgram_stream_iter._recovery.memory import OpaqueMemory, RawMemory

MONO = RawFormat(sample_rate=1000, block_size=1)
FRAME = bytes(100)
"""0.1 s."""


def sent(admission: Admission, seconds: float, now: float) -> None:
    """Send so much audio at once, and have it taken by a connection."""
    for _ in range(round(seconds * 10)):
        admission.add(FRAME, now)
        admission.memory.take(len(FRAME))


def due(admission: Admission, *, is_catching_up: bool = False) -> float:
    """Return when the next frame may be added."""
    return admission.due(len(FRAME), is_catching_up=is_catching_up)


def test_a_file_goes_at_once_until_the_memory_is_full() -> None:
    """Then the next frame waits until all before it has been spoken, and each after it for its own length."""
    admission = Admission(RawMemory(MONO, 10), 100.0)
    sent(admission, 9.9, 100.0)
    assert due(admission) == -math.inf
    sent(admission, 0.1, 100.0)
    assert due(admission) == pytest.approx(110.0)
    sent(admission, 0.1, 110.0)
    assert due(admission) == pytest.approx(110.1)


def test_finals_let_it_go_on() -> None:
    """Room that finals make is used at once; and what has its final need not be spoken any more."""
    admission = Admission(RawMemory(MONO, 10), 100.0)
    sent(admission, 10, 100.0)
    admission.memory.finalized(4.0)
    assert due(admission) == -math.inf
    sent(admission, 4, 101.0)
    assert due(admission) == pytest.approx(111.0)  # not 114: 10 s of audio wait


def test_a_live_source_never_waits() -> None:
    """However long no final comes, a source at the speed of the clock is due, also when it makes up for a hiccup."""
    admission = Admission(RawMemory(MONO, 10), 100.0)
    for tick in range(1, 300):
        at_once = 4 if tick % 20 == 0 else 0 if 16 < tick % 20 < 20 else 1
        for _ in range(at_once):
            now = 100.0 + tick / 10
            assert due(admission) <= now + 1e-6
            sent(admission, 0.1, now)


@pytest.mark.parametrize("piece_seconds", [0.5, 1.0, 2.0])
def test_a_live_source_of_large_pieces(piece_seconds: float) -> None:
    """A piece comes when all of it has been spoken, so none of its frames waits."""
    admission = Admission(RawMemory(MONO, 10), 100.0)
    for number in range(1, 40):
        now = 100.0 + number * piece_seconds
        for _ in range(round(piece_seconds * 10)):
            assert due(admission) <= now + 1e-6
            sent(admission, 0.1, now)


def test_a_pause_is_no_credit() -> None:
    """After it a file is as far ahead of the clock as any other."""
    admission = Admission(RawMemory(MONO, 10), 100.0)
    sent(admission, 1, 100.0)
    sent(admission, 9, 500.0)
    assert due(admission) == pytest.approx(509.0)


def test_what_was_promised_to_a_connection() -> None:
    """While a connection catches up, nothing pushes out what it has not been sent yet; what it was sent may go."""
    admission = Admission(RawMemory(MONO, 1), 100.0)
    for _ in range(10):
        admission.add(FRAME, 100.0)
    assert due(admission) == pytest.approx(101.0)
    assert due(admission, is_catching_up=True) == math.inf
    admission.memory.take(len(FRAME))
    assert due(admission, is_catching_up=True) == pytest.approx(101.0)


def test_audio_whose_bytes_are_not_time() -> None:
    """On a live connection nothing of it is kept, so it never waits; in an outage it is counted as 32 kB a second."""
    admission = Admission(OpaqueMemory(1), 100.0)
    for _ in range(100):
        assert due(admission) == -math.inf
        sent(admission, 0.1, 100.0)
    admission.add(bytes(31_950), 100.0)
    assert due(admission) == pytest.approx(100.0 + 31_950 / 32_000)
