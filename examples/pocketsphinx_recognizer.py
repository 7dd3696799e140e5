"""A real speech recognizer for the local server: PocketSphinx, offline, English, on the CPU.

    DeepgramServer(recognizer=PocketSphinxRecognizer)    # the class: one recognizer for each connection

It takes raw 16-bit mono PCM at 16 kHz. PocketSphinx's endpointer finds the speech, its decoder finds the words.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pocketsphinx import Decoder, Endpointer, set_loglevel  # type: ignore[import-untyped]

from deepgram_stream_iter.testing import Hypothesis, SpeechStart, SpokenWord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepgram_stream_iter.testing import Recognized

SAMPLE_RATE = 16_000
BYTES_PER_SECOND = SAMPLE_RATE * 2
DECODER_FRAMES_PER_SECOND = 100
INTERIM_SECONDS = 0.3
LEAD_IN_SECONDS = 0.15
"""Audio that the decoder gets from before the endpointer's start, which cuts into soft first syllables."""


class PocketSphinxRecognizer:
    """Turn 16 kHz mono PCM, in pieces of any size, into interim and final hypotheses."""

    def __init__(self) -> None:
        set_loglevel("FATAL")
        self._decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
        self._pending = bytearray()
        self._taken_bytes = 0
        self._segment_start = 0.0
        self._decoded_bytes = 0
        self._next_interim_bytes = 0
        self._interim: list[str] = []
        self._new_endpointer()

    def accept(self, audio: bytes) -> list[Recognized]:
        """Take the next piece of audio; return what it brought."""
        self._pending += audio
        found: list[Recognized] = []
        while len(self._pending) >= self._frame_bytes:
            frame = bytes(self._pending[: self._frame_bytes])
            del self._pending[: self._frame_bytes]
            found.extend(self._take(frame))
        return found

    def flush(self) -> list[Recognized]:
        """Close the segment that is open; without one, nothing happens."""
        if not self._endpointer.in_speech:
            return []
        # Half a sample stays behind, to be completed by the next piece.
        whole = len(self._pending) & ~1
        rest = bytes(self._pending[:whole])
        del self._pending[:whole]
        self._taken_bytes += whole
        # The endpointer still holds the window over which it decides, and wants a last frame that is not empty.
        self._decode(self._endpointer.end_stream(rest or b"\0\0"))
        closed = self._close(end=self._taken_bytes / BYTES_PER_SECOND)
        self._new_endpointer()
        return [closed]

    def _new_endpointer(self) -> None:
        # An endpointer that was flushed has lost its clock, so the next one starts at zero and is put right here.
        self._endpointer = Endpointer(sample_rate=SAMPLE_RATE)
        self._epoch_seconds = self._taken_bytes / BYTES_PER_SECOND
        self._frame_bytes = int(self._endpointer.frame_bytes)
        window_seconds = Endpointer.DEFAULT_WINDOW + LEAD_IN_SECONDS
        self._recent: deque[bytes] = deque(
            maxlen=round(window_seconds * BYTES_PER_SECOND / self._frame_bytes)
        )

    def _take(self, frame: bytes) -> Iterator[Recognized]:
        self._taken_bytes += len(frame)
        self._recent.append(frame)
        was_in_speech = self._endpointer.in_speech
        speech = self._endpointer.process(frame)
        if self._endpointer.in_speech and not was_in_speech:
            yield SpeechStart(timestamp=self._open())
        self._decode(speech)
        if self._endpointer.in_speech:
            yield from self._interims()
        elif was_in_speech:
            yield self._close(end=self._epoch_seconds + self._endpointer.speech_end)

    def _open(self) -> float:
        speech_start = float(self._epoch_seconds + self._endpointer.speech_start)
        # What of `_recent` lies before the speech; the rest comes out of the endpointer, late but whole.
        recent = b"".join(self._recent)
        speech_bytes = self._taken_bytes - round(speech_start * SAMPLE_RATE) * 2
        lead_in = recent[: max(0, len(recent) - speech_bytes)]
        self._segment_start = speech_start - len(lead_in) / BYTES_PER_SECOND
        self._decoded_bytes = 0
        self._next_interim_bytes = round(INTERIM_SECONDS * BYTES_PER_SECOND)
        self._interim = []
        self._decoder.start_utt()
        self._decode(lead_in)
        return speech_start

    def _decode(self, audio: bytes | None) -> None:
        if audio:
            self._decoder.process_raw(audio, no_search=False, full_utt=False)
            self._decoded_bytes += len(audio)

    def _interims(self) -> Iterator[Hypothesis]:
        if self._decoded_bytes < self._next_interim_bytes:
            return
        self._next_interim_bytes = self._decoded_bytes + round(INTERIM_SECONDS * BYTES_PER_SECOND)
        words = self._words()
        text = [word.word for word in words]
        if text != self._interim:
            self._interim = text
            end = self._segment_start + self._decoded_bytes / BYTES_PER_SECOND
            yield Hypothesis(words=words, start=self._segment_start, end=end)

    def _close(self, end: float) -> Hypothesis:
        self._decoder.end_utt()
        return Hypothesis(
            words=self._words(), start=self._segment_start, end=end, is_final=True, speech_final=True
        )

    def _words(self) -> tuple[SpokenWord, ...]:
        def seconds(frame: int) -> float:
            return round(self._segment_start + frame / DECODER_FRAMES_PER_SECOND, 3)

        return tuple(
            SpokenWord(
                # "the(2)" is the second way to say "the".
                word=segment.word.partition("(")[0],
                start=seconds(segment.start_frame),
                end=seconds(segment.end_frame + 1),
                confidence=round(max(0.0, min(1.0, segment.prob)), 4),
            )
            for segment in self._decoder.seg() or ()
            if segment.word[0] not in "<["  # silence and noise
        )
