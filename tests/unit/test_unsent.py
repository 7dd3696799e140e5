"""Audio that waits to be sent, handed over by any thread: what is kept, what goes, and where it is cut."""

from __future__ import annotations

import array
import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._outbound.unsent import Unsent
from deepgram_stream_iter._recovery.memory import OPAQUE_BYTES_PER_SECOND

STEPS = st.lists(st.binary(max_size=12) | st.none(), max_size=40)
"""Pieces that are put, of odd sizes too; None takes one."""


def drained(unsent: Unsent) -> tuple[int, bytes]:
    """Take all; return the bytes that were lost on the way, and those that were not."""
    lost, kept = 0, b""
    while (taken := unsent.take()) is not None:
        lost += taken.lost_bytes
        kept += taken.piece
    return lost, kept


@given(steps=STEPS, block_size=st.sampled_from([1, 2, 3, 4]), limit_samples=st.integers(1, 10))
def test_raw_audio(steps: list[bytes | None], block_size: int, limit_samples: int) -> None:
    """What is kept is the newest, never more than the limit and as much as it allows; what goes are whole samples."""
    unsent = Unsent(RawFormat(sample_rate=10, block_size=block_size), limit_samples / 10)
    limit = limit_samples * block_size
    waiting, lost = b"", 0  # the model: one string
    for step in steps:
        if step is None:
            taken = unsent.take()
            assert (taken is None) == (not waiting)
            if taken is not None:
                assert taken.piece
                assert taken.lost_bytes == lost
                assert waiting.startswith(taken.piece)
                waiting, lost = waiting[len(taken.piece) :], 0
        else:
            unsent.put(step)
            waiting += step
            excess = max(len(waiting) - limit, 0)
            excess += -excess % block_size
            waiting, lost = waiting[excess:], lost + excess
            assert len(waiting) <= limit
        assert bool(unsent) == bool(waiting)
    assert drained(unsent) == (lost if waiting else 0, waiting)


@given(steps=STEPS, limit=st.integers(1, 30))
def test_opaque_audio(steps: list[bytes | None], limit: int) -> None:
    """Pieces stay whole; the newest is kept, however large, and those before it as far as they fit."""
    unsent = Unsent(None, limit / OPAQUE_BYTES_PER_SECOND)
    waiting, lost = list[bytes](), 0
    for step in steps:
        if step is None:
            taken = unsent.take()
            assert (None if taken is None else tuple(taken)) == ((lost, waiting[0]) if waiting else None)
            if waiting:
                del waiting[0]
                lost = 0
        else:
            unsent.put(step)
            waiting += [step] if step else []
            while len(waiting) > 1 and sum(map(len, waiting)) > limit:
                lost += len(waiting.pop(0))
    assert drained(unsent) == (lost if waiting else 0, b"".join(waiting))


def test_no_more_goes_than_has_to() -> None:
    """Of a long piece that is the oldest only so much goes as is too much."""
    unsent = Unsent(RawFormat(sample_rate=10, block_size=2), 5.0)
    unsent.put(bytes(90))
    unsent.put(b"\1" * 20)
    assert drained(unsent) == (10, bytes(80) + b"\1" * 20)


@pytest.mark.parametrize(
    "audio_format", [None, RawFormat(sample_rate=10, block_size=2)], ids=["opaque", "raw"]
)
@pytest.mark.timeout(5)
def test_empty_pieces(audio_format: RawFormat | None) -> None:
    """A piece of nothing is nothing, wherever it comes, in a full queue too."""
    unsent = Unsent(audio_format, 1e-9)
    unsent.put(b"")
    assert not unsent
    for _ in range(3):
        unsent.put(b"")
        unsent.put(b"ab")
    unsent.put(b"")
    assert drained(unsent) == (4, b"ab")


def test_a_copy_is_kept() -> None:
    """Whoever has recorded it may use the memory again at once; samples are bytes, in their order."""
    unsent = Unsent(None, 1.0)
    recorded = array.array("h", [1, 2, 3, 4])
    unsent.put(recorded)
    unsent.put(memoryview(recorded)[::2])
    expected = recorded.tobytes() + array.array("h", [1, 3]).tobytes()
    recorded[:] = array.array("h", [0] * 4)
    assert drained(unsent) == (0, expected)


@pytest.mark.parametrize(
    "audio_format", [None, RawFormat(sample_rate=10, block_size=2)], ids=["opaque", "raw"]
)
def test_no_limit(audio_format: RawFormat | None) -> None:
    """Who wants to lose nothing may say so by an endless limit."""
    unsent = Unsent(audio_format, math.inf)
    for _ in range(100):
        unsent.put(bytes(20))
    assert drained(unsent) == (0, bytes(2000))


def test_threads() -> None:
    """Each thread's pieces keep their order, and all that was put is taken or counted as lost."""
    unsent = Unsent(RawFormat(sample_rate=1000, block_size=2), 1.0)
    count, threads = 2000, 4

    def put(number: int) -> None:
        for index in range(count):
            unsent.put(bytes([number]) + index.to_bytes(3, "big"))

    putting = [threading.Thread(target=put, args=(number,)) for number in range(threads)]
    for thread in putting:
        thread.start()
    lost, pieces = 0, list[bytes]()
    while any(thread.is_alive() for thread in putting) or unsent:
        taken = unsent.take()
        if taken is not None:
            lost += taken.lost_bytes
            pieces.append(taken.piece)
    for thread in putting:
        thread.join()
    assert lost + sum(map(len, pieces)) == threads * count * 4
    for number in range(threads):
        own = [piece[1:] for piece in pieces if piece[0] == number]
        assert own == sorted(own)
