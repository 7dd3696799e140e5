"""The dialect of /v2/listen (Flux): turns of `TurnInfo` (no I/O)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from . import messages
from ._protocol import Close, option
from ._recognition import Hypothesis, SpeechStart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ._faults import Faults
    from ._protocol import Outgoing, Query
    from ._recognition import Recognized, Recognizer, SpokenWord

_GOING_ON = 0.1
"""The confidence of an end of turn while the turn goes on."""
_DEFAULT_EOT_THRESHOLD = 0.7
_THRESHOLDS: tuple[tuple[str, Callable[[str], float]], ...] = (
    ("eager_eot_threshold", float),
    ("eot_threshold", float),
    ("eot_timeout_ms", int),
)


class Turn:
    """The turn that is open: the words of its finals and of the hypothesis that follows them."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.end = start
        self._finals: tuple[SpokenWord, ...] = ()
        self._current: tuple[SpokenWord, ...] = ()

    @property
    def words(self) -> tuple[SpokenWord, ...]:
        """All words of the turn so far."""
        return self._finals + self._current

    def hear(self, found: Hypothesis) -> None:
        """Take what the current segment is taken to say."""
        self.end = max(self.end, found.end)
        self._current = found.words
        if found.is_final or found.speech_final:
            self._finals += found.words
            self._current = ()


class ListenV2:
    """One connection's side of /v2/listen.

    `sequence_id` returns the number of the next message, `faults` the connection's, which may be replaced.
    """

    closes_when_idle = False
    ends_on_empty_frame = False

    def __init__(
        self,
        query: Query,
        request_id: str,
        recognizer: Recognizer,
        sequence_id: Callable[[], int],
        faults: Callable[[], Faults],
    ) -> None:
        self._request_id = request_id
        self._recognizer = recognizer
        self._sequence_id = sequence_id
        self._faults = faults
        self._thresholds = {name: read(option(query, name)) for name, read in _THRESHOLDS if name in query}
        self._keyterms: object = query.get("keyterm", [])
        self._language_hints: object = query.get("language_hint", [])
        self._turn: Turn | None = None
        self._turn_index = 0

    def open(self) -> Iterator[Outgoing]:
        """Greet the client."""
        if not self._faults().no_connected:
            yield messages.connected(self._request_id, self._sequence_id())

    def audio(self, samples: bytes) -> Iterator[Outgoing]:
        """Take a piece of audio."""
        yield from self._say(self._recognizer.accept(samples))

    def control(self, kind: object, control: Mapping[str, object], text: str) -> Iterator[Outgoing]:
        """Take a text frame other than `CloseStream`. One that Flux does not know is the end."""
        if kind == "ForceEndTurn":
            yield from self._say(self._flush())
            yield from self._force_end_turn()
        elif kind == "Configure":
            yield self._configure(control)
        else:
            yield messages.fatal_error(
                "UNPARSABLE_CLIENT_MESSAGE", f"Could not parse the message: {text}", self._sequence_id()
            )
            yield Close(1008, "UNPARSABLE_CLIENT_MESSAGE")

    def finish(self) -> Iterator[Outgoing]:
        """Say the rest as an update: the end of the stream ends no turn."""
        yield from self._say(self._flush())
        yield Close(1005)

    def _flush(self) -> list[Recognized]:
        """Flush the recognizer. It then ends a segment, never a turn."""
        return [
            replace(found, is_final=True, speech_final=False) if isinstance(found, Hypothesis) else found
            for found in self._recognizer.flush()
        ]

    def _say(self, found: Iterable[Recognized]) -> Iterator[Outgoing]:
        for item in found:
            if isinstance(item, Hypothesis):
                yield from self._advance(item)
            elif not isinstance(item, SpeechStart):
                yield item

    def _advance(self, found: Hypothesis) -> Iterator[Outgoing]:
        turn = self._turn
        if turn is None:
            if not found.words:
                yield self._turn_info("Update", Turn(found.start), end=found.end)
                return
            turn = self._turn = Turn(found.start)
            turn.hear(found)
            yield self._turn_info("StartOfTurn", turn)
        else:
            turn.hear(found)
            if not found.speech_final:
                yield self._turn_info("Update", turn)
        if found.speech_final:
            if "eager_eot_threshold" in self._thresholds:
                confidence = self._thresholds["eager_eot_threshold"]
                yield self._turn_info("EagerEndOfTurn", turn, confidence=confidence)
            confidence = self._thresholds.get("eot_threshold", _DEFAULT_EOT_THRESHOLD)
            yield from self._end(turn, "model", confidence)

    def _force_end_turn(self) -> Iterator[Outgoing]:
        if self._turn is not None:
            yield from self._end(self._turn, "manual", _GOING_ON)
            return
        yield messages.warning(
            "NO_ACTIVE_TURN", "There is no turn to end.", self._sequence_id(), self._request_id
        )

    def _end(self, turn: Turn, trigger: str, confidence: float) -> Iterator[Outgoing]:
        yield self._turn_info("EndOfTurn", turn, confidence=confidence, trigger=trigger)
        self._turn = None
        self._turn_index += 1

    def _configure(self, control: Mapping[str, object]) -> Outgoing:
        failure = self._faults().configure_failure
        if failure is not None:
            return messages.configure_failure(*failure, self._request_id, sequence_id=self._sequence_id())
        self._thresholds.update(cast("Mapping[str, float]", control.get("thresholds") or {}))
        self._keyterms = control.get("keyterms", self._keyterms)
        self._language_hints = control.get("language_hints", self._language_hints)
        return messages.configure_success(
            self._request_id,
            sequence_id=self._sequence_id(),
            thresholds=dict(self._thresholds),
            keyterms=self._keyterms,
            language_hints=self._language_hints,
        )

    def _turn_info(
        self,
        event: str,
        turn: Turn,
        *,
        end: float | None = None,
        confidence: float = _GOING_ON,
        trigger: str | None = None,
    ) -> Outgoing:
        return messages.turn_info(
            event,
            turn_index=self._turn_index,
            sequence_id=self._sequence_id(),
            start=turn.start,
            end=turn.end if end is None else end,
            end_of_turn_confidence=confidence,
            trigger=trigger,
            words=turn.words,
            request_id=self._request_id,
        )
