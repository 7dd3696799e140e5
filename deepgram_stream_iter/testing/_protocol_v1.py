"""The dialect of /v1/listen: segments of `Results`, `SpeechStarted`, `UtteranceEnd` (no I/O)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from . import messages
from ._protocol import Close, option
from ._recognition import Hypothesis, SpeechStart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ._clock import AudioClock
    from ._faults import Faults
    from ._protocol import Outgoing, Query
    from ._recognition import Recognized, Recognizer


class ListenV1:
    """One connection's side of /v1/listen. `faults` returns the connection's, which may be replaced."""

    closes_when_idle = True
    ends_on_empty_frame = True

    def __init__(
        self,
        query: Query,
        request_id: str,
        recognizer: Recognizer,
        clock: AudioClock,
        faults: Callable[[], Faults],
    ) -> None:
        self._request_id = request_id
        self._recognizer = recognizer
        self._clock = clock
        self._faults = faults
        self._interim_results = option(query, "interim_results") == "true"
        self._vad_events = option(query, "vad_events") == "true"
        # Without `multichannel` the channels are mixed down to one.
        multichannel = option(query, "multichannel") == "true"
        self._channels = int(option(query, "channels", "1")) if multichannel else 1
        self._finals_end = 0.0
        self._unfinalized = False
        self._utterances = UtteranceClock(int(option(query, "utterance_end_ms", "0")) / 1000)

    def open(self) -> Iterator[Outgoing]:
        """Begin the stream: /v1/listen waits for the client."""
        yield from ()

    def audio(self, samples: bytes) -> Iterator[Outgoing]:
        """Take a piece of audio, by which the clock has advanced already."""
        self._unfinalized = True
        yield from self._say(self._recognizer.accept(samples))
        ended_at = self._utterances.ended(self._clock.seconds)
        if ended_at is not None:
            yield messages.utterance_end(ended_at, channels=self._channels)

    def control(self, kind: object, control: Mapping[str, object], text: str) -> Iterator[Outgoing]:
        """Take a text frame other than `CloseStream`."""
        if kind == "Finalize":
            if not self._faults().no_finalize_answer:
                yield from self._finalize()
        elif kind == "Configure":
            yield self._configure(control)
        elif kind != "KeepAlive":
            yield messages.error("Could not deserialize last text message.", "SchemaError", text)

    def finish(self) -> Iterator[Outgoing]:
        """Say the rest, then how much there was, then close."""
        yield from self._say(self._flush())
        if not self._faults().no_metadata:
            yield messages.metadata(
                duration=self._clock.seconds, channels=self._channels, request_id=self._request_id
            )
        yield Close(1000)

    def _flush(self) -> list[Recognized]:
        """Flush the recognizer. What it then says is final, whatever it calls it."""
        return [
            replace(found, is_final=True) if isinstance(found, Hypothesis) else found
            for found in self._recognizer.flush()
        ]

    def _finalize(self) -> Iterator[Outgoing]:
        if not self._unfinalized:
            return
        self._unfinalized = False
        found = self._flush()
        last = max((i for i, item in enumerate(found) if isinstance(item, Hypothesis)), default=None)
        if last is None:
            nothing = Hypothesis(words=(), start=self._finals_end, end=self._clock.seconds, is_final=True)
            last = len(found)
            found.append(nothing)
        yield from self._say(found[:last])
        yield from self._say(found[last : last + 1], from_finalize=True)
        yield from self._say(found[last + 1 :])

    def _configure(self, control: Mapping[str, object]) -> Outgoing:
        failure = self._faults().configure_failure
        if failure is not None:
            return messages.configure_failure(*failure, self._request_id)
        if control.get("keyterms") is None:
            return messages.configure_success(self._request_id)
        return messages.configure_success(self._request_id, keyterms=control["keyterms"])

    def _say(self, found: Iterable[Recognized], *, from_finalize: bool = False) -> Iterator[Outgoing]:
        for item in found:
            if isinstance(item, Hypothesis):
                yield from self._results(item, from_finalize=from_finalize)
            elif not isinstance(item, SpeechStart):
                yield item
            elif self._vad_events:
                yield messages.speech_started(item.timestamp, channels=self._channels)

    def _results(self, found: Hypothesis, *, from_finalize: bool) -> Iterator[Outgoing]:
        is_final = found.is_final or found.speech_final
        if found.words:
            self._utterances.heard(found.words[-1].start, found.words[-1].end)
        if is_final:
            self._finals_end = max(self._finals_end, found.end)
        if is_final or self._interim_results:
            yield messages.results(
                start=found.start,
                duration=max(found.end - found.start, 0.0),
                is_final=is_final,
                speech_final=found.speech_final,
                from_finalize=from_finalize,
                channels=self._channels,
                words=found.words,
                request_id=self._request_id,
            )


class UtteranceClock:
    """Tells when an utterance has ended: `gap_seconds` of audio after its last word; 0.0: never."""

    def __init__(self, gap_seconds: float) -> None:
        self._gap_seconds = gap_seconds
        self._last_word_end = 0.0
        self._is_open = False

    def heard(self, start: float, end: float) -> None:
        """Take the last word of a hypothesis, which lasts from `start` to `end`."""
        # After the end, the same words come once more as final: only a later one opens another utterance.
        if self._is_open or start >= self._last_word_end:
            self._last_word_end = end
            self._is_open = True

    def ended(self, now: float) -> float | None:
        """Return the last word's end if the utterance has ended by now; once for each utterance."""
        if not (self._gap_seconds and self._is_open and now >= self._last_word_end + self._gap_seconds):
            return None
        self._is_open = False
        return self._last_word_end
