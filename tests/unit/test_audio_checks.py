"""Wrong audio is recognized by its elements and by its head, and real speech never is."""

from __future__ import annotations

import array
import ctypes
import io
import math
import struct
import wave
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deepgram_stream_iter._audio.checks import AudioChecks
from deepgram_stream_iter._audio.heads import HEAD_SIZE, WavFormat, file_kind, wav_format

RAW = {"model": "nova-3", "encoding": "linear16", "sample_rate": "16000"}
FILES = {"model": "nova-3"}


def checks(endpoint: str = "v1", **query: str | None) -> AudioChecks:
    """Return the checks of a connection for linear16 at 16 kHz, but for what is given."""
    return AudioChecks({name: value for name, value in {**RAW, **query}.items() if value}, endpoint)


def buffer(code: str, order: str = "<") -> memoryview:
    """Return two elements of a format and a byte order."""
    types = {
        "h": ctypes.c_int16,
        "H": ctypes.c_uint16,
        "i": ctypes.c_int32,
        "f": ctypes.c_float,
        "d": ctypes.c_double,
    }
    kind: Any = types[code]
    return memoryview((getattr(kind, f"__ctype_{'be' if order == '>' else 'le'}__") * 2)())


@pytest.mark.parametrize(
    ("encoding", "audio"),
    [
        *((encoding, b"ab") for encoding in ("linear16", "linear32", "mulaw", "opus", None)),
        *((encoding, bytearray(b"ab")) for encoding in ("linear16", "mulaw", None)),
        ("mulaw", memoryview(b"ab").cast("b")),
        ("linear16", memoryview(b"ab").cast("B", (1, 2))),
        ("linear16", memoryview(b"ab").cast("c")),
        ("mulaw", ctypes.create_string_buffer(2)),
        ("linear16", array.array("h", [1])),
        ("linear16", buffer("h")),
        ("linear16", memoryview(array.array("h", [1, 2, 3, 4]))[::2]),
        ("linear32", array.array("f", [0.5])),
        ("linear32", buffer("f")),
    ],
    ids=lambda given: given if isinstance(given, str) else type(given).__name__,
)
def test_right_elements(encoding: str | None, audio: Any) -> None:
    """Bytes go with any encoding, and samples with their own."""
    checks(encoding=encoding).check(audio, is_head=True)


def test_an_empty_block() -> None:
    """A block of no samples, as an array of NumPy with a column for each channel, is no audio, and no error."""
    block = memoryview((ctypes.c_int16 * 1 * 0)())
    assert block.shape == (0, 1)
    checks().check(block, is_head=True)


@pytest.mark.parametrize(
    ("encoding", "audio", "told"),
    [
        (
            "linear16",
            array.array("f"),
            r"float32 is not .*\(samples \* 32767\)\.astype\('<i2'\).* encoding='linear32'",
        ),
        ("linear16", array.array("d"), r"float64 is not .*\(samples \* 32767\)"),
        ("linear16", array.array("i"), r"int32 is not .*samples >> 16"),
        ("linear16", array.array("H"), r"uint16 is not .*dtype='int16'"),
        ("linear16", buffer("h", ">"), r"big-endian int16 is not .*samples\.astype\('<i2'\)"),
        ("linear32", buffer("f", ">"), r"big-endian float32 is not .*samples\.astype\('<f4'\)"),
        ("linear32", array.array("h"), r"int16 is not .*32768.* encoding='linear16'"),
        ("linear32", array.array("i"), r"int32 is not .*2\*\*31"),
        ("mulaw", array.array("h"), "int16 is not .* connect with encoding='linear16'"),
        ("opus", array.array("f"), "float32 is not .* connect with encoding='linear32'"),
        ("opus", array.array("d"), "connect with encoding='linear16' .* 32767"),
        (None, array.array("h"), "an `encoding` says: connect with encoding='linear16' and the sample_rate"),
        (None, buffer("h", ">"), "connect with encoding='linear16' and the sample_rate, and send samples"),
        ("linear16", memoryview((ctypes.c_longdouble * 1)()), "is not"),
        ("linear16", array.array("b", [1]), "int8 is not .*dtype='int16'"),
        ("linear32", memoryview(b"a").cast("?"), "bool is not .*dtype='float32'"),
    ],
    ids=lambda given: given if isinstance(given, str) else type(given).__name__,
)
def test_wrong_elements(encoding: str | None, audio: Any, told: str) -> None:
    """Samples of another format or byte order are refused, also in a later piece, with what to write instead."""
    for is_head in (True, False):
        with pytest.raises(TypeError, match=told):
            checks(encoding=encoding).check(audio, is_head=is_head)
    checks(encoding=encoding).check(bytes(audio), is_head=True)


def rows(count: int, columns: int, kind: Any = ctypes.c_int16) -> Any:
    """Return an array of two dimensions."""
    return (kind * columns * count)()


@pytest.mark.parametrize(
    ("query", "audio"),
    [
        ({}, rows(4, 1)),
        ({}, rows(1, 4)),  # as it lies in memory, it is the same
        ({"channels": "1"}, rows(4, 1)),
        ({"channels": "2"}, rows(4, 2)),
        ({"channels": "2"}, array.array("h", [1, 2, 3, 4])),  # interleaved
        ({"encoding": "mulaw", "channels": "2"}, rows(4, 2, ctypes.c_uint8)),
        ({"encoding": "linear16"}, rows(4, 2, ctypes.c_uint8)),  # bytes
        ({}, rows(0, 2)),
    ],
)
def test_right_channels(query: dict[str, str], audio: Any) -> None:
    """An array of two dimensions has a column for each channel, and one of one dimension any number."""
    checks(**query).check(audio, is_head=True)


@pytest.mark.parametrize(
    ("endpoint", "query", "audio", "told"),
    [
        ("v1", {}, rows(4, 2), r"2 channels, and the options say 1: .*channels=2.* samples\[:, 0\]"),
        ("v1", {"channels": "2"}, rows(4, 1), r"1 channel, .* say 2: .*channels=1"),
        ("v1", {"channels": "2"}, rows(2, 4), r"samples\.T"),
        ("v1", {"encoding": "mulaw"}, rows(4, 2, ctypes.c_uint8), "2 channels"),
        ("v2", {}, rows(4, 2), r"Flux takes one channel.* samples\[:, 0\]"),
    ],
)
def test_wrong_channels(endpoint: str, query: dict[str, str], audio: Any, told: str) -> None:
    """An array with another number of columns is refused, also in a later piece, with what to write instead."""
    for is_head in (True, False):
        with pytest.raises(ValueError, match=told):
            checks(endpoint, **query).check(audio, is_head=is_head)
    checks(endpoint, **query).check(bytes(audio), is_head=True)


def test_linear32_of_flux() -> None:
    """Deepgram's pages contradict each other on linear32 of Flux: floating point and integers both go."""
    for code in "fi":
        checks("v2", encoding="linear32").check(buffer(code), is_head=True)
    with pytest.raises(TypeError, match="float64"):
        checks("v2", encoding="linear32").check(buffer("d"), is_head=True)


@pytest.mark.parametrize(("endpoint", "query"), [("v1", {}), ("other", RAW)])
def test_nothing_is_known(endpoint: str, query: dict[str, str]) -> None:
    """A connection whose request is not known, and a socket that is not for transcripts, take anything."""
    unknown = AudioChecks(query, endpoint)
    unknown.check(array.array("d", [1.0]), is_head=True)
    unknown.check(riff(), is_head=True)
    with wave.open(io.BytesIO(riff())) as source:
        unknown.check_source(source)


def riff(
    *, sample_rate: int = 16000, channels: int = 1, width: int = 2, before: bytes = b"", tag: int = 1
) -> bytes:
    """Return the head of a WAV file and 4 samples; `before` are chunks before its format."""
    block = channels * width
    fmt = struct.pack("<HHIIHH", tag, channels, sample_rate, sample_rate * block, block, 8 * width)
    audio = bytes(4 * block)
    body = (
        b"WAVE"
        + before
        + b"fmt "
        + struct.pack("<I", len(fmt))
        + fmt
        + b"data"
        + struct.pack("<I", len(audio))
        + audio
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def mp3(header: bytes = b"\xff\xfb\x90\x64", size: int = 417, frames: int = 3) -> bytes:
    """Return frames of 128 kbit/s at 44.1 kHz, or of another header; every other one is padded."""
    padded = bytes((*header[:2], header[2] | 2, header[3]))
    both = [header + bytes(size - 4), padded + bytes(size - 3)]
    return b"".join(both[number % 2] for number in range(frames))


HEADS = {
    "WAV": [riff(), riff(tag=7), b"RF64\xff\xff\xff\xffWAVEds64", b"RIFX\0\0\0\0WAVE"],
    "Ogg": [b"OggS\0\2" + bytes(20)],
    "FLAC": [b"fLaC\0\0\0\x22" + bytes(34)],
    "WebM": [b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1"],
    "MP3": [
        b"ID3\4\0\0\0\0\1\x76" + bytes(246),
        mp3(),
        mp3(frames=2),
        mp3(frames=20),
        mp3(b"\xff\xf3\x80\xc4", 208),  # 64 kbit/s at 22.05 kHz: 208 bytes and a padding at times
        mp3(b"\xff\xe3\x48\xc4", 288),  # 32 kbit/s at 8 kHz
        mp3(b"\xff\xfa\x90\x64", 417),  # with a checksum
    ],
}


@pytest.mark.parametrize(
    ("kind", "head"),
    [pytest.param(kind, head, id=kind) for kind, heads in HEADS.items() for head in heads],
)
@pytest.mark.parametrize("encoding", ["linear16", "linear32", "mulaw", "alaw"])
def test_a_file_as_bare_samples(kind: str, head: bytes, encoding: str) -> None:
    """A file under a raw encoding is refused by its head; it is right without one, and in the middle of a source."""
    assert file_kind(head[:HEAD_SIZE]) == kind
    with pytest.raises(
        ValueError, match=rf"\({kind}\), and encoding='{encoding}' .*leave out encoding and sample_rate"
    ):
        checks(encoding=encoding).check(bytearray(head), is_head=True)
    checks(encoding=encoding).check(head, is_head=False)
    checks(encoding="opus").check(head, is_head=True)
    AudioChecks(FILES, "v1").check(head, is_head=True)


def test_hints_that_work() -> None:
    """Samples of a WAV file come out of `wave.open` where that can read it; Flux takes no MP3 in any way."""
    with pytest.raises(ValueError, match=r"or send its samples: wave\.open\(path\)"):
        checks().check(riff(), is_head=True)
    with pytest.raises(ValueError, match=r"says them itself$"):
        checks().check(riff(tag=7), is_head=True)
    with pytest.raises(ValueError, match="Flux takes no MP3, so decode it to linear16 first"):
        checks("v2").check(mp3(), is_head=True)


def test_the_format_of_a_wav_file() -> None:
    """It stands behind other chunks at times, odd ones padded; where the head ends before, it is not known."""
    junk = b"JUNK" + struct.pack("<I", 27) + bytes(28)
    expected = WavFormat(is_pcm=True, channels=2, sample_rate=44100)
    for head in (riff(sample_rate=44100, channels=2), riff(sample_rate=44100, channels=2, before=junk)):
        assert wav_format(head) == expected
    assert wav_format(riff(before=junk)[:60]) is None
    assert wav_format(riff()[:20]) is None
    big = b"RIFX" + bytes(4) + b"WAVEfmt " + struct.pack(">IHHI", 16, 1, 2, 44100) + bytes(8)
    assert wav_format(big) == expected


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"sample_rate": "8000"}, "sample_rate=16000, and the options say 8000: leave it out"),
        ({"channels": "2"}, "channels=1, and the options say 2: leave it out"),
        ({"sample_rate": "16000", "channels": "1"}, None),
        ({}, None),
    ],
)
def test_a_wav_file_that_contradicts(query: dict[str, str], told: str | None) -> None:
    """A WAV file without an encoding has to agree with the options where they say something."""
    of_file = AudioChecks({**FILES, **query}, "v1")
    if told is None:
        of_file.check(riff(), is_head=True)
    else:
        with pytest.raises(ValueError, match=told):
            of_file.check(riff(), is_head=True)


@pytest.mark.parametrize(
    ("endpoint", "query", "form", "told"),
    [
        ("v1", {}, {}, None),
        ("v1", {"channels": "2"}, {"channels": 2}, None),
        ("v2", {"encoding": "linear32"}, {"width": 4}, None),
        ("v1", {}, {"sample_rate": 44100}, "sample_rate=44100, and the options say 16000: connect with"),
        ("v1", {}, {"channels": 2}, "channels=2, and the options say 1: connect with"),
        ("v2", {}, {"channels": 2}, "channels=2, and the options say 1: Flux takes one channel"),
        (
            "v1",
            {},
            {"width": 3},
            r"24-bit samples, and the options say encoding='linear16': .*open\(path, 'rb'\)",
        ),
        ("v2", {}, {"width": 1}, "8-bit samples, and .*: Flux takes WAV files of 16 bits"),
        ("v1", {"encoding": "mulaw"}, {}, "connect with encoding='linear16' and sample_rate=16000"),
        ("v1", {"encoding": "linear32"}, {"width": 4}, "32-bit samples"),
        (
            "v1",
            {"encoding": None},
            {},
            "16-bit samples, and no encoding is given: connect with encoding='linear16'",
        ),
    ],
)
def test_an_open_wav_file(
    endpoint: str, query: dict[str, Any], form: dict[str, Any], told: str | None
) -> None:
    """An open WAV file has to have the rate, the width and the channels of the options."""
    with wave.open(io.BytesIO(riff(**form))) as source:
        if told is None:
            checks(endpoint, **query).check_source(source)
        else:
            with pytest.raises(ValueError, match=told):
                checks(endpoint, **query).check_source(source)


QUIET = st.sampled_from([*range(0x78, 0x80), *range(0xF8, 0x100)])
"""What a quiet line is in mu-law."""


@given(
    st.binary(max_size=HEAD_SIZE)
    | st.binary(max_size=HEAD_SIZE).map(lambda tail: b"\xff\xfb" + tail)
    | st.lists(QUIET, min_size=160, max_size=1600).map(bytes)
    | st.lists(st.integers(-2000, 2000), min_size=160, max_size=1600).map(
        lambda samples: struct.pack(f"<{len(samples)}h", *samples)
    )
    | st.lists(st.floats(-1, 1, width=32), min_size=80, max_size=800).map(
        lambda samples: struct.pack(f"<{len(samples)}f", *samples)
    )
)
@example(b"")
@example(b"RIFF")
@example(b"\xff\xfb\x90")
@example(b"\xff" * HEAD_SIZE)
@example(mp3(frames=1))
@example(mp3(frames=1) + b"speech")
@example(b"ID3 is how this begins")
def test_no_false_alarm(audio: bytes) -> None:
    """Neither noise nor what samples of speech look like is taken for a file."""
    assert file_kind(audio[:HEAD_SIZE]) is None


@pytest.mark.parametrize("volume", [100, 1025, 1281, 3000, 20000])
def test_tones_are_no_mp3(volume: int) -> None:
    """A tone may begin like an MP3 and repeat that at the distance of its frames, from any of its samples on."""
    for hertz in range(50, 4000, 50):
        tone = [round(volume * math.sin(2 * math.pi * hertz * number / 8000)) for number in range(2400)]
        linear = struct.pack("<2400h", *tone)
        mulaw = bytes(map(to_mulaw, tone))
        for begin in range(160):
            assert file_kind(linear[2 * begin :][:HEAD_SIZE]) is None
            assert file_kind(mulaw[begin:][:HEAD_SIZE]) is None


def to_mulaw(sample: int) -> int:
    """Return a sample as G.711 has it."""
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~((0x80 if sample < 0 else 0) | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF
