"""Audio that says where it is: each block carries its number, so that loss, doubling and wrong times show.

The words follow from the numbers alone: word n of `w0`, `w1`, ... is said in the blocks from 20n + 2 to 20n + 16,
and the rest is silence. What recognises them goes by the content, never by how much came before: a word that
comes out clean did come in whole. Audio lost or doubled in silence shows in the times of all that follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepgram_stream_iter.testing import Hypothesis, SpokenWord

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE_RATE = 16_000
SAMPLE_BYTES = 2
BLOCK_SAMPLES = 160
BLOCK_BYTES = BLOCK_SAMPLES * SAMPLE_BYTES

PERIOD = 20
"""So many blocks have one word in them."""
FIRST, LAST = 2, 16
"""Where in a period its word begins and ends."""
SEGMENT, UTTERANCE = 5, 10
"""So many words make a segment, and an utterance."""


def marked(seconds: float, first_block: int = 0) -> bytes:
    """Give audio whose blocks are numbered from `first_block`.

    :raises OverflowError: a number is beyond 65534: there are marks for 655 s.
    """
    size = _samples(seconds) * SAMPLE_BYTES
    blocks = range(first_block, first_block - (-size // BLOCK_BYTES))
    # Marks begin at 1: zeros are what anybody's silence consists of.
    return b"".join((block + 1).to_bytes(SAMPLE_BYTES, "little") * BLOCK_SAMPLES for block in blocks)[:size]


def word_at(block: int) -> int | None:
    """Give the number of the word that is said in a block; None: silence."""
    word, place = divmod(block, PERIOD)
    return word if FIRST <= place <= LAST else None


def expected_words(seconds: float) -> list[tuple[str, float, float]]:
    """Give the text, start and end of each word that is whole in `marked(seconds)`."""
    blocks = _samples(seconds) // BLOCK_SAMPLES
    return [
        (f"w{word}", _seconds((first + FIRST) * BLOCK_SAMPLES), _seconds((first + LAST + 1) * BLOCK_SAMPLES))
        for word, first in enumerate(range(0, blocks - LAST, PERIOD))
    ]


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def _seconds(samples: int) -> float:
    return samples / SAMPLE_RATE


class MarkedRecognizer:
    """Hears the words of one connection's marked audio, with times on the connection's clock.

    A word of which something is missing, doubled or out of order is heard as `damaged<n>`, once, as soon as that
    shows; one that the connection's beginning or end cuts off is not heard. The number of a word, damaged or not,
    tells whether it ends a segment, or an utterance too.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._position = 0
        self._tracker = _WordTracker()
        self._words: list[SpokenWord] = []
        self._segment_start = 0.0

    def accept(self, audio: bytes, /) -> list[Hypothesis]:
        """Take a piece of audio of any size."""
        return [
            self._hear(number, word)
            for block, start, end in self._blocks(audio)
            for number, word in self._tracker.follow(block, start, end)
        ]

    def flush(self) -> list[Hypothesis]:
        """Close the open segment. A word that is half said belongs to the next."""
        return [self._close()] if self._words else []

    def _blocks(self, audio: bytes) -> Iterator[tuple[int, int, int]]:
        """Cut the audio into runs of one mark, 160 samples long or shorter; yield each's number, start and end."""
        data = self._rest + audio
        at = 0
        while at + SAMPLE_BYTES <= len(data):
            mark = data[at : at + SAMPLE_BYTES]
            block = mark * BLOCK_SAMPLES
            samples = BLOCK_SAMPLES
            if not data.startswith(block, at):
                came = data[at : at + BLOCK_BYTES]
                if block.startswith(came):
                    break  # and wait for the rest of it
                samples = _same_samples(came, mark)
            start = self._position
            self._position += samples
            at += samples * SAMPLE_BYTES
            yield int.from_bytes(mark, "little") - 1, start, self._position
        self._rest = data[at:]

    def _hear(self, number: int, word: SpokenWord) -> Hypothesis:
        self._words.append(word)
        if (number + 1) % SEGMENT == 0:
            return self._close(is_utterance=(number + 1) % UTTERANCE == 0)
        return Hypothesis(words=tuple(self._words), start=self._segment_start, end=word.end)

    def _close(self, *, is_utterance: bool = False) -> Hypothesis:
        start, self._segment_start = self._segment_start, self._words[-1].end
        words, self._words = tuple(self._words), []
        return Hypothesis(
            words=words, start=start, end=self._segment_start, is_final=True, speech_final=is_utterance
        )


def _same_samples(audio: bytes, mark: bytes) -> int:
    """Count the samples before the first that is not the mark: there is one."""
    ends = range(SAMPLE_BYTES, len(audio), SAMPLE_BYTES)
    return next(at for at in ends if audio[at : at + SAMPLE_BYTES] != mark) // SAMPLE_BYTES


class _WordTracker:
    """Follows the blocks of one connection through the words."""

    def __init__(self) -> None:
        self._word: int | None = None
        self._next_block = 0
        self._start = 0
        self._end = 0
        self._is_cut = False
        self._is_damaged = False

    def follow(self, block: int, start: int, end: int) -> Iterator[tuple[int, SpokenWord]]:
        """Take the next block, from `start` to `end` in samples; yield the words that it completes or damages."""
        word = word_at(block)
        if word != self._word:
            if self._word is not None and not self._is_damaged:
                yield self._said("damaged", self._word)
            self._word = word
            self._is_damaged = False
            if word is not None:
                self._enter(word * PERIOD + FIRST, block, start, end)
        if word is None or self._is_damaged:
            return
        self._end = end
        # Only the connection's beginning may cut a block short.
        if block != self._next_block or (end - start < BLOCK_SAMPLES and start > 0):
            self._is_damaged = True
            yield self._said("damaged", word)
            return
        self._next_block += 1
        if word_at(self._next_block) is None:
            if not self._is_cut:
                yield self._said("w", word)
            self._word = None  # so that more of it, where silence should be, counts as a new word

    def _enter(self, first_block: int, block: int, start: int, end: int) -> None:
        self._start = start
        self._next_block = first_block if start > 0 else block
        self._is_cut = block != first_block or end - start < BLOCK_SAMPLES

    def _said(self, kind: str, word: int) -> tuple[int, SpokenWord]:
        return word, SpokenWord(f"{kind}{word}", _seconds(self._start), _seconds(self._end))
