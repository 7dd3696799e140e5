from __future__ import annotations

import io
import struct
import wave
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._audio import RawFormat, container_head
from deepgram_stream_iter._recovery.memory import OpaqueMemory, RawMemory, Rewound

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


def taken(memory: RawMemory | OpaqueMemory, size: int = 7) -> list[bytes]:
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
    assert memory.kept_seconds == memory.end_seconds == sum(map(len, frames)) / 20
    assert memory.free_seconds == 100 - memory.kept_seconds
    assert memory.unsent_seconds == 0


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
        assert memory.free_seconds >= 0
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
    assert memory.has_room(size)
    memory.add(frame)
    assert memory.take(size) == frame


def test_room() -> None:
    """Free is what is not kept, sent or not: what is not final yet may have to be sent again."""
    memory = filled(bytes(30), limit_seconds=2.0)
    assert (memory.free_seconds, memory.kept_seconds, memory.unsent_seconds) == (0.5, 1.5, 1.5)
    memory.take(20)
    assert (memory.free_seconds, memory.kept_seconds, memory.unsent_seconds) == (0.5, 1.5, 0.5)
    memory.finalized(0.5)
    assert (memory.free_seconds, memory.kept_seconds, memory.unsent_seconds) == (1.0, 1.0, 0.5)
    assert memory.end_seconds == 1.5


def test_room_where_bytes_are_no_time() -> None:
    """There it is what the limit allows, in the seconds that it takes at most: 32 kB each."""
    memory = OpaqueMemory(2.0)
    assert (memory.free_seconds, memory.seconds(8000)) == (2.0, 0.25)
    memory.add(bytes(8000))
    assert memory.free_seconds == 1.75
    memory.add(bytes(80_000))
    assert memory.free_seconds == 0


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


def test_the_head_is_sent_again() -> None:
    """A new connection gets the first chunk's head, then what waits; what was sent is lost, nobody knows how much."""
    memory = opaque(b"head", b"one")
    assert memory.rewind(0.0, 0.0) == Rewound(0.0, None, 0.0)
    assert taken(memory) == [b"head", b"one"]
    memory.add(b"two")
    memory.add(b"three")
    assert memory.rewind(3.0, 4.5) == Rewound(4.5, (3.0, None), 0.0)
    assert taken(memory) == [b"head", b"two", b"three"]
    assert memory.rewind(4.5, 4.5) == Rewound(4.5, (4.5, None), 0.0)
    assert taken(memory) == [b"head"]


def test_the_head_is_not_sent_twice() -> None:
    """A connection that was sent nothing, or the head alone, has lost nothing, and the next begins with the head too."""
    memory = opaque(b"head", b"one")
    taken(memory)
    memory.add(b"two")
    memory.rewind(3.0, 4.5)
    for _ in range(2):
        assert memory.rewind(3.0, 4.5) == Rewound(4.5, None, 0.0)
        assert memory.take() == b"head"
    assert taken(memory) == [b"two"]


def test_an_opaque_overflow() -> None:
    """The oldest frames go, the last one stays; the head is not lost with them, and the gap is told."""
    memory = opaque(b"head", b"one", b"two", b"three", limit=9)
    assert memory.rewind(0.0, 0.0) == Rewound(0.0, (0.0, None), 0.0)
    assert taken(memory) == [b"head", b"two", b"three"]
    assert taken(opaque(b"one", b"longer than all", limit=9)) == [b"one", b"longer than all"]


def test_the_rest_of_opaque_audio() -> None:
    """What was added since the last connection began is lost from the last final on; nobody knows until where."""
    memory = opaque()
    assert memory.rest(0.0) is None
    memory.add(b"head")
    assert memory.rest(0.0) == (0.0, None)
    taken(memory)
    assert memory.rest(2.0) == (2.0, None)
    memory.rewind(2.0, 2.5)
    assert taken(memory) == [b"head"]
    assert memory.rest(2.0) is None


@given(steps=st.lists(st.sampled_from(["add", "take", "rewind"]), max_size=40), limit=st.integers(1, 200))
def test_any_life_of_an_opaque_memory(steps: Sequence[str], limit: int) -> None:
    """Every connection begins with the head, no frame comes twice, those that come are in order; what is missing was told."""
    memory = opaque(limit=limit)
    added = 0
    connections: list[list[int]] = [[]]
    gaps = 0
    for step in steps:
        if step == "add":
            memory.add(added.to_bytes(10, "big"))
            added += 1
        elif step == "take":
            connections[-1] += [int.from_bytes(frame, "big") for frame in [memory.take()] if frame]
        else:
            gaps += memory.rewind(0.0, 0.0).gap is not None
            connections.append([])
    assert all(frames[0] == 0 for frames in connections if frames)
    bodies = [frame for frames in connections for frame in frames if frame]
    assert bodies == sorted(set(bodies))
    missing = set(range(1, added)) - set(bodies)
    waiting = {int.from_bytes(frame, "big") for frame in taken(memory)}
    assert missing <= waiting or gaps or memory.rest(0.0)


# The heads of containers


def wav(extra: bytes = b"") -> tuple[bytes, bytes]:
    """Give a real WAV file in two: what comes before the samples, and the samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 8000, 0, "NONE", ""))
        writer.writeframes(bytes(range(200)))
    whole = file.getvalue()
    head, samples = whole[:44], whole[44:]
    return head[:36] + extra + head[36:], samples


def ogg_page(granule: int, *packets: bytes, flags: int = 0) -> bytes:
    """Make a page; the checksum is not looked at."""
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    return (
        struct.pack("<4sBBqIII", b"OggS", 0, flags, granule, 1, 0, 0)
        + bytes([len(lacing)])
        + lacing
        + b"".join(packets)
    )


def element(identifier: str, content: bytes) -> bytes:
    """Make an EBML element, with a size of eight bytes."""
    return bytes.fromhex(identifier) + (1 << 56 | len(content)).to_bytes(8, "big") + content


OGG_HEAD = ogg_page(0, b"OpusHead" + bytes(11), flags=2) + ogg_page(0, b"OpusTags" + bytes(600))
OGG_AUDIO = ogg_page(960, bytes(100)) + ogg_page(1920, bytes(80), bytes(300))
SEGMENT = bytes.fromhex("18538067") + b"\x01" + b"\xff" * 7  # of unknown size, as a browser records it
WEBM_HEAD = (
    element("1a45dfa3", element("4282", b"webm"))
    + SEGMENT
    + element("1549a966", b"info")
    + element("1654ae6b", b"tracks")
)
WEBM_AUDIO = element("1f43b675", element("a3", bytes(200)))
LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"a data logger\0"


@pytest.mark.parametrize(
    ("head", "audio"),
    [
        pytest.param(*wav(), id="WAV"),
        pytest.param(*wav(LIST), id="WAV with the word data in a comment"),
        pytest.param(*wav(b"odd " + struct.pack("<I", 3) + b"abc\0"), id="WAV with an odd chunk"),
        pytest.param(OGG_HEAD, OGG_AUDIO, id="Ogg"),
        pytest.param(WEBM_HEAD, WEBM_AUDIO, id="WebM"),
    ],
)
def test_the_head_of_a_container(head: bytes, audio: bytes) -> None:
    """The head is what comes before the audio, however much of that is in the first chunk."""
    for chunk in (head + audio, head + audio[: len(audio) // 2], head + audio[:4], head):
        assert container_head(chunk) == head


@pytest.mark.parametrize("part", [20, 40, 100])
@pytest.mark.parametrize("head", [wav()[0], OGG_HEAD, WEBM_HEAD], ids=["WAV", "Ogg", "WebM"])
def test_a_first_chunk_inside_the_head(head: bytes, part: int) -> None:
    """Where the first chunk ends inside the head, what is whole of it is sent again, else all of it."""
    chunk = head[:part]
    found = container_head(chunk)
    assert found
    assert chunk.startswith(found)


@pytest.mark.parametrize(
    "chunk", [b"", b"fLaC....", OGG_AUDIO, b"\xff\xf1 data", b"\x1f\x43\xb6\x75"], ids=repr
)
def test_what_is_no_container_that_we_know(chunk: bytes) -> None:
    """Of anything else the head is all of the chunk."""
    assert container_head(chunk) == chunk


@given(
    magic=st.sampled_from(
        [b"RIFF", b"RIFF\0\0\0\0WAVE", b"OggS", b"OggS\0\0" + bytes(8), b"\x1a\x45\xdf\xa3", b""]
    ),
    rest=st.binary(max_size=60),
)
def test_any_first_chunk(magic: bytes, rest: bytes) -> None:
    """Whatever comes first, its head is the beginning of it, and there is one."""
    head: Any = container_head(magic + rest)
    assert (magic + rest).startswith(head)
    assert bool(head) is bool(magic + rest)
