"""Audio that waits to be sent, handed over by any thread: what is kept, what goes, and where it is cut."""

from __future__ import annotations

import array
import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._outbound.unsent import Lost, Skipped, Unsent
from deepgram_stream_iter._recovery.memory import OPAQUE_BYTES_PER_SECOND

STEPS = st.lists(st.binary(max_size=12) | st.none() | st.just(1.5), max_size=40)
"""Pieces that are put, of odd sizes too; None takes what is next, and a number skips."""


def made(audio_format: RawFormat | None, limit_seconds: float) -> Unsent:
    """Make one that knows what its audio is."""
    unsent = Unsent(limit_seconds)
    unsent.begin(audio_format)
    return unsent


def drained(unsent: Unsent) -> tuple[int, bytes]:
    """Take all; return the bytes that were lost on the way, and those that were not."""
    lost, kept = 0, b""
    while (taken := unsent.take()) is not None:
        if isinstance(taken, Lost):
            lost += taken.size
        elif isinstance(taken, bytes):
            kept += taken
    return lost, kept


@given(steps=STEPS, block_size=st.sampled_from([1, 2, 3, 4]), limit_samples=st.integers(1, 10))
def test_raw_audio(steps: list[bytes | float | None], block_size: int, limit_samples: int) -> None:
    """What is kept is the newest, never more than the limit and as much as it allows; what goes are whole samples.

    All is taken in its order: what is lost and what is skipped have their places between the pieces.
    """
    unsent = made(RawFormat(sample_rate=10, block_size=block_size), limit_samples / 10)
    model: list[int | str] = []  # each byte that is kept, or what has become of it

    def check_next() -> None:
        taken = unsent.take()
        if isinstance(taken, bytes):
            assert taken
            assert model[: len(taken)] == list(taken)
            del model[: len(taken)]
        elif isinstance(taken, Lost):
            assert model[: taken.size] == ["lost"] * taken.size
            assert model[taken.size : taken.size + 1] != ["lost"]
            del model[: taken.size]
        elif isinstance(taken, Skipped):
            assert model.pop(0) == "skipped"
        else:
            assert not model

    for step in steps:
        if step is None:
            check_next()
        elif isinstance(step, bytes):
            assert unsent.put(step)
            model += step
            kept = [at for at, atom in enumerate(model) if isinstance(atom, int)]
            excess = max(len(kept) - limit_samples * block_size, 0)
            for at in kept[: excess + -excess % block_size]:
                model[at] = "lost"
        else:
            assert unsent.skip(step)
            model.append("skipped")
        assert bool(unsent) == bool(model)
    while model:
        check_next()
    assert unsent.close_if_empty()


@given(steps=st.lists(st.binary(max_size=12) | st.none(), max_size=40), limit=st.integers(1, 30))
def test_opaque_audio(steps: list[bytes | None], limit: int) -> None:
    """Pieces stay whole; kept are the first, which has a container's head, the newest, and those before it as far as they fit."""
    unsent = made(None, limit / OPAQUE_BYTES_PER_SECOND)
    waiting, lost, begun = list[bytes](), 0, False
    taken = list[bytes | Lost | Skipped | None]()
    expected = list[bytes | Lost]()
    for step in steps:
        if step is not None:
            unsent.put(step)
            waiting += [step] if step else []
            first = 0 if begun else 1
            while len(waiting) > first + 1 and sum(map(len, waiting)) > limit:
                lost += len(waiting.pop(first))
        elif waiting:
            taken.append(unsent.take())
            if lost and begun:
                expected.append(Lost(lost))
                lost = 0
            else:
                expected.append(waiting.pop(0))
            begun = True
    assert taken == expected
    assert drained(unsent) == (lost, b"".join(waiting))


def test_the_end() -> None:
    """Nothing is taken after it; what was left is told, and what was not sent keeps it open."""
    unsent = made(RawFormat(sample_rate=10, block_size=2), 1.0)
    unsent.put(b"\1" * 30)
    piece = unsent.take()
    assert piece == Lost(10)
    piece = unsent.take()
    assert isinstance(piece, bytes)
    unsent.put_back(piece)
    assert not unsent.close_if_empty()
    assert unsent.put(b"\2" * 10)
    assert unsent.close() == 30
    assert not unsent.put(b"\3")
    assert not unsent.skip(1.0)
    assert unsent.take() is None


def test_no_more_goes_than_has_to() -> None:
    """Of a long piece that is the oldest only so much goes as is too much."""
    unsent = made(RawFormat(sample_rate=10, block_size=2), 5.0)
    unsent.put(bytes(90))
    unsent.put(b"\1" * 20)
    assert drained(unsent) == (10, bytes(80) + b"\1" * 20)


@pytest.mark.parametrize(
    "audio_format", [None, RawFormat(sample_rate=10, block_size=2)], ids=["opaque", "raw"]
)
@pytest.mark.timeout(5)
def test_empty_pieces(audio_format: RawFormat | None) -> None:
    """A piece of nothing is nothing, wherever it comes, in a full queue too."""
    unsent = made(audio_format, 1e-9)
    unsent.put(b"")
    assert not unsent
    for _ in range(3):
        unsent.put(b"")
        unsent.put(b"ab")
    unsent.put(b"")
    assert drained(unsent) == ((4, b"ab") if audio_format else (2, b"abab"))


def test_a_copy_is_kept() -> None:
    """Whoever has recorded it may use the memory again at once; samples are bytes, in their order."""
    unsent = made(None, 1.0)
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
    unsent = made(audio_format, math.inf)
    for _ in range(100):
        unsent.put(bytes(20))
    assert drained(unsent) == (0, bytes(2000))


def test_threads() -> None:
    """Each thread's pieces keep their order, and all that was put is taken or counted as lost."""
    unsent = made(RawFormat(sample_rate=1000, block_size=2), 1.0)
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
        if isinstance(taken, Lost):
            lost += taken.size
        elif isinstance(taken, bytes):
            pieces.append(taken)
    for thread in putting:
        thread.join()
    assert lost + sum(map(len, pieces)) == threads * count * 4
    for number in range(threads):
        own = [piece[1:] for piece in pieces if piece[0] == number]
        assert own == sorted(own)
