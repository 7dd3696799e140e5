from __future__ import annotations

from itertools import pairwise

import pytest
from dialling import V2, dial, hear_all, tell
from hypothesis import example, given
from hypothesis import strategies as st
from marked_audio import (
    BLOCK_BYTES,
    FIRST,
    PERIOD,
    SAMPLE_BYTES,
    SAMPLE_RATE,
    MarkedRecognizer,
    expected_words,
    marked,
    word_at,
)

from deepgram_stream_iter.testing import DeepgramServer, Hypothesis

SECONDS = 1.3
AUDIO = marked(SECONDS)
"""Six words, and the beginning of the seventh."""
OFFSETS = st.integers(0, len(AUDIO))
RANGES = st.tuples(OFFSETS, OFFSETS).map(sorted).filter(lambda it: it[0] < it[1])
BLOCKS = st.integers(0, len(AUDIO) // BLOCK_BYTES)
BLOCK_RANGES = st.tuples(BLOCKS, BLOCKS).map(sorted).filter(lambda it: it[0] < it[1])


def recognize(*pieces: bytes) -> list[Hypothesis]:
    """Give all that one connection's recognizer says."""
    recognizer = MarkedRecognizer()
    return [found for piece in pieces for found in recognizer.accept(piece)] + recognizer.flush()


def words(*pieces: bytes) -> list[tuple[str, float, float]]:
    """Give the words of the finals."""
    finals = [found for found in recognize(*pieces) if found.is_final]
    return [(word.word, word.start, word.end) for final in finals for word in final.words]


def texts(*pieces: bytes) -> list[str]:
    """Give the words without their times."""
    return [text for text, _, _ in words(*pieces)]


def offset(seconds: float) -> int:
    """Give the place of a time in the bytes of audio."""
    return round(seconds * SAMPLE_RATE) * SAMPLE_BYTES


def seconds(offset: int) -> float:
    """Give the time of a place in the bytes of audio."""
    return offset / SAMPLE_BYTES / SAMPLE_RATE


def blocks(*numbers: int) -> bytes:
    """Give audio of these blocks."""
    return b"".join(marked(0.01, number) for number in numbers)


def test_marks() -> None:
    """Each block of 10 ms consists of its number, plus one."""
    assert marked(0.02) == b"\1\0" * 160 + b"\2\0" * 160
    assert marked(0.01, 299) == b"\x2c\1" * 160
    assert marked(0.3) + marked(0.2, 30) == marked(0.5)
    assert marked(0.0101) == b"\1\0" * 160 + b"\2\0" * 2
    assert marked(0.01, 65534) == b"\xff" * 320
    with pytest.raises(OverflowError):
        marked(0.01, 65535)


def test_the_plan() -> None:
    """A word of 150 ms comes every 200 ms; those that are not whole are not expected."""
    assert [word_at(block) for block in (1, 2, 16, 17, 21, 22, 36, 37)] == [
        None,
        0,
        0,
        None,
        None,
        1,
        1,
        None,
    ]
    assert expected_words(0.4) == [("w0", 0.02, 0.17), ("w1", 0.22, 0.37)]
    assert expected_words(0.37) == expected_words(0.4)
    assert expected_words(0.3699) == expected_words(0.17) == [("w0", 0.02, 0.17)]
    assert expected_words(0.1699) == expected_words(0) == []


def test_all_words_are_heard() -> None:
    """From unbroken audio come the expected words, however long it is."""
    assert words(AUDIO) == expected_words(SECONDS)
    assert words(marked(650)) == expected_words(650)


@given(st.lists(OFFSETS, max_size=30).map(sorted))
@example(list(range(0, len(AUDIO), 3)))
def test_pieces_of_any_size(cuts: list[int]) -> None:
    """How the audio is cut into pieces makes no difference, be it within a block or within a sample."""
    bounds = [0, *cuts, len(AUDIO)]
    pieces = [AUDIO[start:end] for start, end in pairwise(bounds)]
    assert recognize(*pieces) == recognize(AUDIO)


@given(st.integers(0, len(AUDIO) // SAMPLE_BYTES), OFFSETS)
def test_any_part_of_the_audio(first: int, end: int) -> None:
    """From a connection that has a part of the audio come the words whole in it, at the times they have there."""
    begin = first * SAMPLE_BYTES
    assert words(AUDIO[begin:end]) == [
        (text, seconds(offset(start) - begin), seconds(offset(stop) - begin))
        for text, start, stop in expected_words(SECONDS)
        if begin <= offset(start) and offset(stop) <= end
    ]


def check_faulty(audio: bytes, first: int, end: int) -> None:
    """Check what is heard in audio that has a fault in what was between these two offsets."""
    heard = words(audio)
    for text, start, stop in heard:
        whole = marked(0.15, int(text.removeprefix("damaged").removeprefix("w")) * PERIOD + FIRST)
        assert text.startswith("w") == (audio[offset(start) : offset(stop)] == whole)
    expected = expected_words(SECONDS)
    # Half a sample lost or doubled spoils all that follows.
    spoilt = end if (end - first) % SAMPLE_BYTES == 0 else len(AUDIO)
    untouched = {text for text, start, stop in expected if offset(stop) <= first or offset(start) >= spoilt}
    heard_texts, expected_texts = ([text for text, _, _ in them] for them in (heard, expected))
    assert untouched <= set(heard_texts)
    if len(untouched) < len(expected):
        assert heard_texts != expected_texts
    if first < offset(expected[-1][2]):
        assert heard != expected


@given(RANGES | BLOCK_RANGES.map(lambda it: [block * BLOCK_BYTES for block in it]))
def test_loss_shows(lost: list[int]) -> None:
    """Audio that has lost something never gives the expected words, unless it was lost after the last of them."""
    first, end = lost
    check_faulty(AUDIO[:first] + AUDIO[end:], first, end)


@given(RANGES | BLOCK_RANGES.map(lambda it: [block * BLOCK_BYTES for block in it]))
def test_doubling_shows(doubled: list[int]) -> None:
    """Audio in which something comes twice never gives the expected words, unless it comes after the last."""
    first, end = doubled
    check_faulty(AUDIO[:end] + AUDIO[first:], first, end)


@pytest.mark.parametrize(
    ("audio", "heard"),
    [
        (blocks(1, *range(2, 8), *range(9, 18)), ["damaged0"]),
        (blocks(1, *range(2, 9), *range(8, 18)), ["damaged0"]),
        (blocks(1, 2, 2, *range(3, 18)), ["damaged0"]),
        (blocks(1, *range(2, 17), 16, 17), ["w0", "damaged0"]),
        (blocks(1, *range(2, 17), *range(2, 17)), ["w0", "w0"]),
        (blocks(1, 2, 3, 4, 6, 5, *range(7, 18)), ["damaged0"]),
        (blocks(1, *range(3, 18)), ["damaged0"]),
        (blocks(1, *range(2, 16), 17), ["damaged0"]),
        (blocks(1, *range(2, 12), *range(25, 38)), ["damaged0", "damaged1"]),
        (blocks(1, *range(2, 12)) + bytes(BLOCK_BYTES) + blocks(*range(12, 18)), ["damaged0", "damaged0"]),
        (blocks(1, *range(2, 12)) + bytes(2) + blocks(*range(12, 18)), ["damaged0", "damaged0"]),
        (blocks(*range(2, 17)), ["w0"]),
        (blocks(*range(3, 38)), ["w1"]),
        (blocks(*range(2, 38))[2 * SAMPLE_BYTES :], ["w1"]),
        (blocks(*range(3, 9), *range(10, 38)), ["damaged0", "w1"]),
        (blocks(3, 17), ["damaged0"]),
        (blocks(16, 16), ["damaged0"]),
        (blocks(1, *range(2, 16)), []),
        (blocks(0, 1, 17, 18), []),
        (bytes(10 * BLOCK_BYTES), []),
        (b"", []),
    ],
)
def test_damage(audio: bytes, heard: list[str]) -> None:
    """A word is damaged by what is missing, doubled or out of order in it, not by where the audio begins or ends."""
    assert texts(audio) == heard


def test_times_of_damage() -> None:
    """A damaged word lasts from its first block to where the damage shows."""
    assert words(blocks(1, *range(2, 8), *range(9, 18))) == [("damaged0", 0.01, 0.08)]
    assert words(blocks(1, *range(2, 8), 17)) == [("damaged0", 0.01, 0.07)]


def test_segments() -> None:
    """Each word is heard when its last block is there; the fifth closes the segment, the tenth the utterance."""
    recognizer = MarkedRecognizer()
    heard = [recognizer.accept(marked(0.01, block)) for block in range(240)]
    assert [index for index, found in enumerate(heard) if found] == list(range(16, 240, 20))
    found = [hypothesis for piece in heard for hypothesis in piece]
    assert [len(it.words) for it in found] == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]
    assert [it.start for it in found] == [0.0] * 5 + [0.97] * 5 + [1.97] * 2
    assert (
        [it.end for it in found]
        == [it.words[-1].end for it in found]
        == [end for _, _, end in expected_words(2.4)]
    )
    assert [index for index, it in enumerate(found) if it.is_final] == [4, 9]
    assert [index for index, it in enumerate(found) if it.speech_final] == [9]


def test_flush() -> None:
    """A flush closes the open segment with the words it has, and loses nothing of a word that is half said."""
    recognizer = MarkedRecognizer()
    recognizer.accept(marked(0.505))
    (final,) = recognizer.flush()
    assert ([word.word for word in final.words], final.is_final) == (["w0", "w1"], True)
    assert (final.start, final.end, final.speech_final) == (0.0, 0.37, False)
    assert recognizer.flush() == []
    (interim,) = recognizer.accept(marked(1)[len(marked(0.505)) : len(marked(0.6))])
    assert [tuple(word)[:3] for word in interim.words] == [("w2", 0.42, 0.57)]
    assert (interim.start, interim.end, interim.is_final) == (0.37, 0.57, False)


async def test_on_a_server() -> None:
    """A server gives each connection a recognizer of its own, whose clock begins with that connection."""
    parts = (AUDIO[: offset(0.7)], AUDIO[offset(0.7) :])
    heard: list[list[tuple[str, float, float]]] = []
    async with DeepgramServer(recognizer=MarkedRecognizer) as server:
        async with dial(server) as first, dial(server) as second:
            for websocket, audio in zip((first, second), parts, strict=True):
                await websocket.send(audio)
                await tell(websocket, "CloseStream")
                finals = [it for it in await hear_all(websocket) if it.get("is_final")]
                heard.append(
                    [
                        (word["word"], word["start"], word["end"])
                        for final in finals
                        for word in final["channel"]["alternatives"][0]["words"]
                    ]
                )
    assert heard == [expected_words(0.7), [("w4", 0.12, 0.27), ("w5", 0.32, 0.47)]]


async def test_on_a_flux_server() -> None:
    """On /v2/listen every tenth word ends a turn."""
    async with DeepgramServer(recognizer=MarkedRecognizer) as server, dial(server, V2) as websocket:
        await websocket.send(marked(2.4))
        await tell(websocket, "CloseStream")
        turns = [it for it in await hear_all(websocket) if it["type"] == "TurnInfo"]
    ends = [it["transcript"].split() for it in turns if it["event"] == "EndOfTurn"]
    assert ends == [[f"w{number}" for number in range(10)]]
    assert (turns[-1]["turn_index"], turns[-1]["transcript"]) == (1, "w10 w11")
