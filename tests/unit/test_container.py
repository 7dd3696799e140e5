from __future__ import annotations

import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgram_stream_iter._recovery.container import container_head


def wav(extra: bytes = b"") -> tuple[bytes, bytes]:
    """Return a real WAV file in two: what comes before the samples, and the samples."""
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
FLAC_HEAD = b"fLaC" + b"\x00\0\0\x22" + bytes(34) + b"\x84\0\x01\0" + bytes(256)  # STREAMINFO, VORBIS_COMMENT
FLAC_AUDIO = b"\xff\xf8" + bytes(300)
RF64_HEAD = (
    b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<I", 28) + bytes(28) + b"fmt " + struct.pack("<I", 16)
) + (bytes(16) + b"data\xff\xff\xff\xff")
LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"a data logger\0"


@pytest.mark.parametrize(
    ("head", "audio"),
    [
        pytest.param(*wav(), id="WAV"),
        pytest.param(*wav(LIST), id="WAV with the word data in a comment"),
        pytest.param(*wav(b"odd " + struct.pack("<I", 3) + b"abc\0"), id="WAV with an odd chunk"),
        pytest.param(OGG_HEAD, OGG_AUDIO, id="Ogg"),
        pytest.param(WEBM_HEAD, WEBM_AUDIO, id="WebM"),
        pytest.param(FLAC_HEAD, FLAC_AUDIO, id="FLAC"),
        pytest.param(RF64_HEAD, bytes(200), id="RF64"),
        pytest.param(b"#!AMR\n", bytes(64), id="AMR"),
        pytest.param(b"#!AMR-WB\n", bytes(64), id="AMR-WB"),
    ],
)
def test_the_head_of_a_container(head: bytes, audio: bytes) -> None:
    """The head is what comes before the audio, however much of that is in the first chunk."""
    for chunk in (head + audio, head + audio[: len(audio) // 2], head + audio[:4], head):
        assert container_head(chunk) == head


@pytest.mark.parametrize("part", [4, 16, 20, 40, 100])
@pytest.mark.parametrize(
    "head", [wav(LIST)[0], OGG_HEAD, WEBM_HEAD, FLAC_HEAD], ids=["WAV", "Ogg", "WebM", "FLAC"]
)
def test_a_first_chunk_that_ends_inside_the_head(head: bytes, part: int) -> None:
    """A first chunk that ends inside the head is all head, but for a later page of Ogg that is not whole."""
    expected = head[:47] if head is OGG_HEAD and part > 47 else head[:part]
    assert container_head(head[:part]) == expected


@pytest.mark.parametrize(
    "chunk",
    [
        b"\0\0\0\x20ftypM4A \0\0 audio",
        b"FORM\0\0\0\0AIFF",
        b"caff\0\1",
        b".snd\0\0\0\x18",
        b"#!AMR_MC1.0\n",
    ],
    ids=repr,
)
def test_a_container_whose_head_is_not_cut(chunk: bytes) -> None:
    """The head of a container that is known but not taken apart is all of the chunk."""
    assert container_head(chunk) == chunk


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xfc\xff\xfe speech", id="a packet of Opus"),
        pytest.param(b"\x3c\x91\x17 speech", id="a frame of AMR"),
        pytest.param(b"\xff\xfb\x90\x64 speech", id="a frame of MP3"),
        pytest.param(b"\xff\xf1\x50\x80 speech", id="a frame of AAC"),
        pytest.param(b"ID3\4\0\0\0\0\0\0", id="the tag of an MP3 file"),
        pytest.param(OGG_AUDIO, id="Ogg from its middle"),
        pytest.param(WEBM_AUDIO, id="WebM from its middle"),
        pytest.param(FLAC_AUDIO, id="FLAC from its middle"),
    ],
)
def test_what_begins_no_container(chunk: bytes) -> None:
    """Packets, and what comes from the middle of a container, have no head."""
    assert container_head(chunk) == b""


@given(
    magic=st.sampled_from(
        [b"RIFF", b"RIFF\0\0\0\0WAVE", b"OggS", b"OggS\0\0" + bytes(8), b"\x1a\x45\xdf\xa3", b"fLaC", b""]
    ),
    rest=st.binary(max_size=60),
)
def test_any_first_chunk(magic: bytes, rest: bytes) -> None:
    """Whatever comes first, its head is the beginning of it."""
    assert (magic + rest).startswith(container_head(magic + rest))
