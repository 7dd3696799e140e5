"""Events as messages bring them: their words stay unread until somebody asks, and are kept from then on. Pure.

This is the only file that touches the `__dict__` of an event. What it leaves out there is found where Python looks next, on
the class: the default of a field, or `_Unread`, which reads the words. So `==`, `repr`, `replace`, `copy`, `pickle` and patterns
see no difference, because they ask for the words or take along what they are read from. Who reads the `__dict__` does.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from deepgram_stream_iter._events.reading import items
from deepgram_stream_iter._events.skips import Skips
from deepgram_stream_iter._events.words import Seconds, Word, at, read_words

E = TypeVar("E")

_GIVEN, _OFFSET, _SKIPS, _LAST = "_given_words", "_offset_seconds", "_skips", "_last_words"
"""What the words are read from, what their times are moved by, and the last word alone, which a final is asked for twice."""


class _Unread:
    """Reads the words of an event. As it has no `__set__`, the words in the event's `__dict__` come before it."""

    def __get__(self, event: object, kind: type | None = None) -> tuple[Word, ...]:
        if event is None:
            return ()  # what a dataclass asks the class for: the default
        fields = event.__dict__
        words = fields["words"] = _read(fields, fields.get(_GIVEN))
        return words


def words_when_asked() -> tuple[Word, ...]:
    """Return the default of a field `words`, by which an event reads its words when it is asked for them."""
    return cast("tuple[Word, ...]", _Unread())


def made(kind: type[E], fields: dict[str, object], words: object) -> E:
    """Return an event of these fields, which are not checked, and of words that are not read yet.

    Takes 0.5 us, where the `__init__` of a frozen dataclass of twelve fields takes 2.0.
    """
    if words:
        fields[_GIVEN] = words
    event = object.__new__(kind)
    object.__setattr__(event, "__dict__", fields)
    return event


def last_word(event: object) -> Word | None:
    """Return the last word of an event without reading all others; None where it has none."""
    fields = event.__dict__
    words: tuple[Word, ...] | None = fields.get("words", fields.get(_LAST))
    if words is None:
        given = [word for word in items(fields.get(_GIVEN)) if word is not None]
        words = fields[_LAST] = _read(fields, given[-1:])
    return words[-1] if words else None


def changed(event: E, **fields: object) -> E:
    """Return the event with other fields, which are not checked; words that are not read stay so."""
    other = object.__new__(type(event))
    other.__dict__.update(event.__dict__, **fields)
    other.__dict__.pop(_LAST, None)
    return other


def without_message(event: E) -> E:
    """Return the event without its words and `raw`, so that whoever keeps it does not keep the SDK's message."""
    other = changed(event, raw=None, words=())
    other.__dict__.pop(_GIVEN, None)
    return other


def moved(event: E, offset_seconds: Seconds, *times: str) -> E:
    """Return the event on a clock that is so far ahead: the fields of these names, and its words."""
    fields: dict[str, object] = {name: at(getattr(event, name), offset_seconds) for name in times}
    words: tuple[Word, ...] | None = event.__dict__.get("words")
    if words is not None:
        fields["words"] = tuple(
            word._replace(start=at(word.start, offset_seconds), end=at(word.end, offset_seconds))
            for word in words
        )
    elif _GIVEN in event.__dict__:
        fields[_OFFSET] = event.__dict__.get(_OFFSET, 0.0) + offset_seconds
    return changed(event, **fields)


def skipped(event: E, skips: Skips, **fields: object) -> E:
    """Return the event with other fields, and its words on a clock that counts what was left out."""
    words: tuple[Word, ...] | None = event.__dict__.get("words")
    if words is not None:
        fields["words"] = _after(skips, words)
    elif _GIVEN in event.__dict__:
        fields[_SKIPS] = skips
    return changed(event, **fields)


def _read(fields: dict[str, Any], given: object) -> tuple[Word, ...]:
    words = read_words(given, fields.get(_OFFSET, 0.0))
    skips: Skips | None = fields.get(_SKIPS)
    return words if skips is None else _after(skips, words)


def _after(skips: Skips, words: tuple[Word, ...]) -> tuple[Word, ...]:
    return tuple([_placed(word, *skips.window(word.start, word.end)) for word in words])


def _placed(word: Word, start: Seconds | None, end: Seconds | None) -> Word:
    return word._replace(start=start, end=end)
