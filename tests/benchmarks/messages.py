"""What the server says: Deepgram's messages as WebSocket frames, made before anything is measured."""

from __future__ import annotations

import json
from collections.abc import Iterator

from websockets.frames import Frame, Opcode

from deepgram_stream_iter.testing import messages

TEXT = (
    "So, the meeting will start at ten o'clock on Thursday, and everybody should bring the numbers of last quarter,"
    " please."
)
"""20 words."""
STAMP = "0000000000.000000000"
"""Where the time of sending goes: the first word of a paced message."""
UTTERANCE = 10
"""Every so many-th final is the last one of its utterance."""
_CHUNK = 16
_CYCLE = 1000


def encode(message: dict[str, object] | str) -> bytes:
    """Return a message as the frame that a server sends."""
    text = message if isinstance(message, str) else json.dumps(message)
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


def finals(count: int) -> list[bytes]:
    """Return final `Results` of 20 words, in chunks."""
    return _chunks(encode(_final(TEXT, number)) for number in range(count))


def updates(count: int) -> list[bytes]:
    """Return `TurnInfo` of 20 words: updates, and ends of turns as often as utterances end; in chunks."""
    return _chunks(encode(_turn_info(number)) for number in range(count))


def interims(first: int, count: int) -> list[bytes]:
    """Return short interims, each of another segment, in chunks."""
    return _chunks(
        encode(messages.results("hello", start=float(number))) for number in range(first, first + count)
    )


def conversation(count: int) -> Iterator[bytes]:
    """Yield short interims, and one short final in a thousand, which is all that a session keeps by design."""
    said = [messages.results("hello", start=float(number)) for number in range(_CYCLE)]
    for final in said[::1000]:
        final.update(is_final=True, speech_final=True)
    kinds = [encode(message) for message in said]
    chunks = _chunks(iter(kinds))
    for _ in range(count // _CYCLE):
        yield from chunks
    if count % _CYCLE:
        yield b"".join(kinds[: count % _CYCLE])


def stamped(number: int) -> tuple[str, str]:
    """Return a final of 20 words as JSON, cut in two where the time of sending goes."""
    head, _, tail = json.dumps(_final(f"{STAMP} {TEXT.partition(' ')[2]}", number)).partition(STAMP)
    return head, tail


def _final(text: str, number: int) -> dict[str, object]:
    return messages.results(
        text,
        start=number * 5.0,
        duration=5.0,
        is_final=True,
        speech_final=number % UTTERANCE == UTTERANCE - 1,
    )


def _turn_info(number: int) -> dict[str, object]:
    turn, place = divmod(number, UTTERANCE)
    is_end = place == UTTERANCE - 1
    return messages.turn_info(
        "EndOfTurn" if is_end else "Update",
        TEXT,
        turn_index=turn,
        sequence_id=number + 1,
        end=5.0 + number / 4,
        trigger="model" if is_end else None,
        languages=["en"],
    )


def _chunks(frames: Iterator[bytes]) -> list[bytes]:
    every = list(frames)
    return [b"".join(every[begin : begin + _CHUNK]) for begin in range(0, len(every), _CHUNK)]
