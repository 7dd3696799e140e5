from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._audio.format import RawFormat
from deepgram_stream_iter._recovery.memory import Memory, OpaqueMemory, RawMemory, Rewound

MONO = RawFormat(sample_rate=10, block_size=2)
"""A second of it is 20 bytes."""
FRAMES = st.lists(st.binary(min_size=1, max_size=30), max_size=20)


def filled(*frames: bytes, limit_seconds: float = 2.0, sent: int = 0) -> RawMemory:
    """Make a memory with frames in it, of which some bytes were sent."""
    memory = RawMemory(MONO, limit_seconds)
    for frame in frames:
        memory.add(frame)
    memory.take(sent)
    return memory


def taken(memory: Memory, size: int = 7) -> list[bytes]:
    """Take all that waits."""
    frames: list[bytes] = []
    while frame := memory.take(size):
        frames.append(frame)
    return frames


@given(frames=FRAMES, size=st.integers(1, 40))
def test_what_is_added_is_sent(frames: list[bytes], size: int) -> None:
    """All that was added comes out again, in order, in frames of any size, and is all kept."""
    memory = filled(*frames, limit_seconds=100)
    out = taken(memory, size)
    assert b"".join(out) == b"".join(frames)
    assert all(len(frame) == size for frame in out[:-1])
    assert memory.take(size) == b""
    assert memory.kept_seconds == memory.replay_seconds == sum(map(len, frames)) / 20


@given(frames=FRAMES, limit=st.integers(2, 60), data=st.data())
def test_an_overflow(frames: list[bytes], limit: int, data: st.DataObject) -> None:
    """At most `limit_seconds` are kept, up to a sample more; the oldest goes, whether sent or not, and the rewind tells it."""
    memory = RawMemory(MONO, limit / 10)
    audio = b"".join(frames)
    sent = 0
    for frame in frames:
        memory.add(frame)
        sent += len(memory.take(data.draw(st.integers(0, 20)))) if data.draw(st.booleans()) else 0
        assert memory.kept_seconds < limit / 10 + 0.1
    rewound = memory.rewind(0.0, 0.0)
    begin = max(0, (len(audio) - 2 * limit) // 2)
    assert rewound.begin_seconds == begin / 10
    assert rewound.gap == ((0.0, begin / 10) if begin else None)
    assert b"".join(taken(memory)) == audio[begin * 2 :]


@given(before=st.integers(1, 50), size=st.integers(1, 40))
def test_what_fits_pushes_nothing_out(before: int, size: int) -> None:
    """A frame for which there is room is sent as it is, also where frames before it ended inside a sample."""
    memory = filled(bytes(before), sent=before)
    frame = bytes(range(size))
    assert memory.has_room_beside_unsent(size)
    memory.add(frame)
    assert memory.take(size) == frame


@given(sizes=st.lists(st.integers(1, 20), max_size=20), finalized=st.floats(0, 5), size=st.integers(1, 40))
def test_room(sizes: list[int], finalized: float, size: int) -> None:
    """There is room for a frame when nothing of what is kept goes for it, sent or not."""
    memory = filled(*map(bytes, sizes), sent=sum(sizes))
    memory.finalized(finalized)
    before = round(memory.kept_seconds * 20)
    has_room = memory.has_room(size)
    memory.add(bytes(size))
    if has_room:
        assert round(memory.kept_seconds * 20) == before + size
    assert has_room is (before + size <= 40)


def test_what_is_kept() -> None:
    """What is not final is kept, sent or not, because it may have to be sent again."""
    memory = filled(bytes(30), limit_seconds=2.0)
    assert (memory.limit_seconds, memory.kept_seconds, memory.replay_seconds) == (2.0, 1.5, 1.5)
    assert (memory.has_room(10), memory.has_room(11)) == (True, False)
    assert (memory.has_room_beside_unsent(10), memory.has_room_beside_unsent(11)) == (True, False)
    memory.take(20)
    assert (memory.kept_seconds, memory.replay_seconds) == (1.5, 1.5)
    assert (memory.has_room(10), memory.has_room(11)) == (True, False)
    assert (memory.has_room_beside_unsent(30), memory.has_room_beside_unsent(31)) == (True, False)
    memory.finalized(0.5)
    assert (memory.kept_seconds, memory.replay_seconds) == (1.0, 1.0)
    assert (memory.has_room(20), memory.has_room(21)) == (True, False)
    assert memory.seconds(20) == 1.0


def test_who_waits_for_room_hears_of_it() -> None:
    """`on_freed` is called when a final has made room, at which moment there is some, and at no other time."""
    memory = filled(bytes(40), sent=30)
    memory.finalized(0.1)  # nobody listens
    rooms: list[bool] = []
    memory.on_freed = lambda: rooms.append(memory.has_room(10))
    memory.finalized(0.1)
    assert rooms == []
    memory.finalized(0.5)
    memory.finalized(0.4)
    assert rooms == [True]
    memory.rewind(0.5, 0.0)
    memory.finalized(0.9)
    assert rooms == [True], "what was not sent yet is not forgotten"
    memory.add(bytes(20))
    assert rooms == [True], "what is pushed out makes no room"


def test_room_where_bytes_are_no_time() -> None:
    """There it is what the limit allows, in the seconds that it takes at most: 32 kB each; it goes with what is sent."""
    memory = OpaqueMemory(2.0)
    assert (memory.limit_seconds, memory.seconds(8000)) == (2.0, 0.25)
    assert memory.has_room(99_000), "a frame that is longer than all may wait alone"
    memory.add(bytes(8000))
    assert (memory.kept_seconds, memory.replay_seconds) == (0.25, 0.0)
    for has_room in (memory.has_room, memory.has_room_beside_unsent):
        assert (has_room(56_000), has_room(56_001)) == (True, False)
    memory.take(1)
    assert memory.kept_seconds == 0
    assert memory.has_room(56_001)


def test_a_frame_always_fits() -> None:
    """A memory of nearly nothing holds a frame on its way all the same."""
    memory = RawMemory(RawFormat(sample_rate=16000, block_size=2), 1e-9)
    frame = bytes(range(256)) * 12
    memory.add(frame)
    assert memory.take(len(frame)) == frame


@pytest.mark.parametrize(
    ("finalized", "begin", "replayed"),
    [(0.0, 0.0, 1.5), (0.5, 0.5, 1.0), (0.54, 0.5, 1.0), (0.56, 0.6, 0.9), (1.5, 1.5, 0.0), (9.0, 1.5, 0.0)],
)
def test_a_rewind(finalized: float, begin: float, replayed: float) -> None:
    """A new connection is sent what is not final, from the nearest sample on, and what waited after it."""
    audio = bytes(range(40))
    memory = filled(audio, sent=30)
    rewound = memory.rewind(finalized, 99.0)
    assert (rewound.begin_seconds, rewound.gap) == (begin, None)
    assert rewound.replayed_seconds == pytest.approx(replayed)
    assert b"".join(taken(memory)) == audio[round(begin * 20) :]


def test_what_is_final_is_forgotten() -> None:
    """What is final is not kept, whatever was rewound; what was not sent yet is, whatever the server says."""
    memory = filled(bytes(range(40)), sent=30)
    memory.finalized(1.0)
    memory.finalized(0.5)
    assert memory.kept_seconds == 1.0
    memory.finalized(9.0)
    assert memory.kept_seconds == 0.5
    assert taken(memory, 40) == [bytes(range(30, 40))]


@given(sent=st.integers(0, 39), finalized=st.floats(0, 5))
def test_a_connection_begins_with_a_whole_sample(sent: int, finalized: float) -> None:
    """Where a frame ended inside a sample, the next connection still begins with a whole one."""
    audio = bytes(range(40))
    memory = filled(audio, sent=sent)
    memory.finalized(finalized)
    begin = round(memory.rewind(finalized, 0.0).begin_seconds * 20)
    assert begin % 2 == 0
    assert b"".join(taken(memory)) == audio[begin:]


def test_a_gap_is_told_once() -> None:
    """A connection that is lost before its first final has lost nothing more; new losses are told from where it began."""
    memory = filled(bytes(30), limit_seconds=1.0, sent=10)
    memory.add(bytes(20))
    assert memory.rewind(0.0, 0.0) == Rewound(1.5, (0.0, 1.5), 0.0)
    assert memory.rewind(1.5, 0.0) == Rewound(1.5, None, 0.0)
    memory.add(bytes(10))
    assert memory.rewind(1.5, 0.0) == Rewound(2.0, (1.5, 2.0), 0.0)


def test_an_overflow_of_what_is_final_is_no_gap() -> None:
    """Audio goes that nobody needs any more: nothing is lost."""
    memory = filled(bytes(30), limit_seconds=1.0, sent=30)
    assert memory.rewind(0.5, 0.0) == Rewound(0.5, None, 1.0)


@pytest.mark.parametrize(
    ("finalized", "rest"), [(0.0, (0.0, 2.0)), (1.5, (1.5, 2.0)), (2.0, None), (9.0, None)]
)
def test_the_rest(finalized: float, rest: tuple[float, float] | None) -> None:
    """What is not final at the end is told, whether it was sent or not, and kept or not."""
    for limit_seconds in (0.5, 2.0):
        assert filled(bytes(40), limit_seconds=limit_seconds, sent=10).rest(finalized) == rest


def test_an_empty_memory() -> None:
    """Without audio there is nothing to send, to rewind or to lose."""
    memory = filled()
    memory.finalized(1.0)
    assert memory.take(10) == b""
    assert memory.rewind(0.0, 0.0) == Rewound(0.0, None, 0.0)
    assert memory.rest(0.0) is None


# Audio whose bytes are not time

HEAD = b"#!AMR\n"


def opaque(*frames: bytes, limit: int = 1000) -> OpaqueMemory:
    """Make a memory of so many bytes."""
    memory = OpaqueMemory(limit / 32_000)
    for frame in frames:
        memory.add(frame)
    return memory


@given(frames=FRAMES)
def test_opaque_frames_stay_whole(frames: list[bytes]) -> None:
    """Frames come out as they came in, whatever the size that is asked for; none is kept once it is sent."""
    memory = opaque(*frames)
    assert taken(memory, 1) == frames
    memory.finalized(1.0)
    assert taken(memory, 1) == []


def test_packets_have_no_head() -> None:
    """Of packets without a container a new connection gets what waits, and nothing that was sent before."""
    memory = opaque(b"packet0", b"packet1")
    assert taken(memory) == [b"packet0", b"packet1"]
    memory.add(b"packet2")
    assert memory.rewind(3.0, 4.5) == Rewound(4.5, (3.0, None), 0.0)
    assert taken(memory) == [b"packet2"]
    memory.rewind(3.0, 4.5)
    assert taken(memory) == []


def test_only_the_first_chunk_has_a_head() -> None:
    """A later packet may begin like a container by chance."""
    memory = opaque(b"packet0", b"RIFF")
    taken(memory)
    memory.rewind(0.0, 0.0)
    assert taken(memory) == []


def test_the_head_is_sent_again() -> None:
    """A new connection gets the first chunk's head, then what waits; what was sent is lost, nobody knows how much."""
    memory = opaque(HEAD, b"one")
    assert memory.rewind(0.0, 0.0) == Rewound(0.0, None, 0.0)
    assert taken(memory) == [HEAD, b"one"]
    memory.add(b"two")
    memory.add(b"three")
    assert memory.rewind(3.0, 4.5) == Rewound(4.5, (3.0, None), 0.0)
    assert taken(memory) == [HEAD, b"two", b"three"]
    assert memory.rewind(4.5, 4.5) == Rewound(4.5, (4.5, None), 0.0)
    assert taken(memory) == [HEAD]


def test_the_head_is_not_sent_twice() -> None:
    """A connection that was sent nothing, or the head alone, has lost nothing, and the next begins with the head too."""
    memory = opaque(HEAD, b"one")
    taken(memory)
    memory.add(b"two")
    memory.rewind(3.0, 4.5)
    for _ in range(2):
        assert memory.rewind(3.0, 4.5) == Rewound(4.5, None, 0.0)
        assert memory.take(1) == HEAD
    assert taken(memory) == [b"two"]


def test_an_opaque_overflow() -> None:
    """The oldest frames go, the last one stays; the head is not lost with them, and the gap is told."""
    memory = opaque(HEAD, b"one", b"two", b"three", limit=9)
    assert memory.rewind(0.0, 0.0) == Rewound(0.0, (0.0, None), 0.0)
    assert taken(memory) == [HEAD, b"two", b"three"]
    assert taken(opaque(HEAD, b"longer than all", limit=9)) == [HEAD, b"longer than all"]


def test_the_rest_of_opaque_audio() -> None:
    """What was added since the last connection began is lost from the last final on; nobody knows until where."""
    memory = opaque()
    assert memory.rest(0.0) is None
    memory.add(HEAD)
    assert memory.rest(0.0) == (0.0, None)
    taken(memory)
    assert memory.rest(2.0) == (2.0, None)
    memory.rewind(2.0, 2.5)
    assert taken(memory) == [HEAD]
    assert memory.rest(2.0) is None


@pytest.mark.parametrize("head", [HEAD, b""], ids=["container", "packets"])
@given(steps=st.lists(st.sampled_from(["add", "take", "rewind"]), max_size=40), limit=st.integers(1, 200))
def test_any_life_of_an_opaque_memory(head: bytes, steps: Sequence[str], limit: int) -> None:
    """Every connection begins with the head, no frame comes twice or out of order, and what is missing was in a gap."""
    memory = opaque(limit=limit)
    added = 0
    connections: list[list[bytes]] = [[]]
    gaps = 0
    for step in steps:
        if step == "add":
            memory.add((head if added == 0 else b"") + added.to_bytes(10, "big"))
            added += 1
        elif step == "take":
            connections[-1] += [frame for frame in [memory.take(1)] if frame]
        else:
            gaps += memory.rewind(0.0, 0.0).gap is not None
            connections.append([])
    assert all(frames[0].startswith(head) for frames in connections if frames)
    bodies = [frame.removeprefix(head) for frames in connections for frame in frames if frame != head]
    assert bodies == sorted(set(bodies))
    waiting = {frame.removeprefix(head) for frame in taken(memory)}
    missing = {number.to_bytes(10, "big") for number in range(added)} - set(bodies) - waiting
    assert not missing or gaps or memory.rest(0.0)
