"""Nova's utterances that were open when a connection was lost. Pure.

The next connection has not heard their words, so it never says that they have ended. The pause that it hears shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepgram_stream_iter._events import AnyStreamEvent, TranscriptEvent, UtteranceEndEvent

_DEFAULT_ENDPOINTING_MS = 10
"""Deepgram's, as its documentation of `endpointing` says."""
_LEAST_GAP_SECONDS = 0.3
"""Words of one breath are up to so far apart. `endpointing` may be shorter, because it listens to the sound between them."""


class CutUtterances:
    """Follows the events handed out, channel by channel; ends an utterance that nobody else will."""

    def __init__(self, query: Mapping[str, str | Sequence[str]]) -> None:
        self._pause_seconds = _pause_seconds(query)
        self._open: dict[int | None, float] = {}  # by channel: where the last final word ends
        self._cut: dict[int | None, float] = {}  # ... of those whose words another connection has heard

    def resume(self) -> None:
        """Record that a new connection begins."""
        self._cut = dict(self._open)

    def end_before(self, event: AnyStreamEvent) -> UtteranceEndEvent | None:
        """Record the next event; return the UtteranceEnd that has to come before it, if it shows the end of a cut utterance."""
        if isinstance(event, UtteranceEndEvent):
            self._forget(event.channel_index)
        # Only a final shows a pause, because an interim may still change: to words that begin earlier, or to other words.
        # An utterance that ends a little later does less harm than one that is split.
        if not isinstance(event, TranscriptEvent) or not event.is_final:
            return None
        channel = event.channel_index
        last_word_end = self._cut.get(channel)
        is_over = last_word_end is not None and self._shows_pause(event, last_word_end)
        if event.transcript or event.speech_final or is_over:
            self._forget(channel)
        if event.transcript and not event.speech_final:
            end = event.words[-1].end if event.words else None
            end = event.end if end is None else end
            if end is not None:
                self._open[channel] = end
        return UtteranceEndEvent(last_word_end=last_word_end, channel_index=channel) if is_over else None

    def _shows_pause(self, final: TranscriptEvent, last_word_end: float) -> bool:
        """Return whether nothing was said for a whole pause after the last word."""
        if self._pause_seconds is None:
            return False
        if final.transcript:
            begin = final.words[0].start if final.words else None
            return begin is not None and begin >= last_word_end + max(self._pause_seconds, _LEAST_GAP_SECONDS)
        # An endpoint ends the utterance by itself.
        if final.speech_final or final.end is None:
            return False
        return final.end >= last_word_end + self._pause_seconds

    def _forget(self, channel: int | None) -> None:
        self._open.pop(channel, None)
        self._cut.pop(channel, None)


def _pause_seconds(query: Mapping[str, str | Sequence[str]]) -> float | None:
    """Return how long a pause ends an utterance by the parameters of the connection; None where none does."""
    for name, default in (("utterance_end_ms", ""), ("endpointing", str(_DEFAULT_ENDPOINTING_MS))):
        value = str(query.get(name, default))
        if value == "true":
            value = str(_DEFAULT_ENDPOINTING_MS)
        if value.isdecimal():
            return int(value) / 1000
    return None
