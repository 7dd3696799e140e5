"""Utterances that were open when a connection was lost. Pure.

The next connection has not heard their words, so it never says that they have ended. The silence that it hears tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepgram_stream_iter._events import AnyStreamEvent, TranscriptEvent, UtteranceEndEvent

_DEFAULT_ENDPOINTING_MS = 10
"""What Deepgram does where nobody asks for more or less (its documentation of `endpointing`)."""


class CutUtterances:
    """Follows the events handed out; ends what nobody else will (Nova, by channel)."""

    def __init__(self, query: Mapping[str, str | Sequence[str]]) -> None:
        self._silence_seconds = _silence_seconds(query)
        self._open: dict[int | None, float] = {}  # by channel: where the last final word ends
        self._cut: dict[int | None, float] = {}  # ... on a connection that was lost

    def resume(self) -> None:
        """Take note that there is a new connection."""
        self._cut = dict(self._open)

    def end(self, event: AnyStreamEvent) -> UtteranceEndEvent | None:
        """Take the next event; give the end that comes before it, where it shows that there was one."""
        if isinstance(event, UtteranceEndEvent):
            self._forget(event.channel_index)
        if not isinstance(event, TranscriptEvent):
            return None
        channel = event.channel_index
        if event.transcript:
            self._cut.pop(channel, None)  # it goes on
            if event.is_final and event.end is not None:
                self._open[channel] = event.words[-1].end or event.end if event.words else event.end
        last_word_end = self._cut.get(channel)
        is_over = (
            event.is_final  # an interim without text may get some yet
            and last_word_end is not None
            and self._silence_seconds is not None
            and event.end is not None
            and event.end >= last_word_end + self._silence_seconds
        )
        if event.speech_final or is_over:
            self._forget(channel)
        if is_over and not event.speech_final:
            return UtteranceEndEvent(last_word_end=last_word_end, channel_index=channel)
        return None

    def _forget(self, channel: int | None) -> None:
        self._open.pop(channel, None)
        self._cut.pop(channel, None)


def _silence_seconds(query: Mapping[str, str | Sequence[str]]) -> float | None:
    """Read off the parameters how long a pause ends an utterance; None where none does."""
    for name, default in (("utterance_end_ms", ""), ("endpointing", str(_DEFAULT_ENDPOINTING_MS))):
        value = str(query.get(name, default))
        if value == "true":
            value = str(_DEFAULT_ENDPOINTING_MS)
        if value.isdecimal():
            return int(value) / 1000
    return None
