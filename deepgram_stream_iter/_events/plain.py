"""Our dataclasses as JSON types, and back, for what leaves the process: a queue, a log, a socket. Pure; knows no kinds.

Each field goes by its name, through one table. It is read as leniently as a message is, and a number is read before it is
written too: so neither NaN nor infinity comes out, whatever an application has put into an event.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from deepgram_stream_iter._events.reading import fields_of, flag, integer, items, number, text, texts
from deepgram_stream_iter._events.words import Word, read_words


class _Form(NamedTuple):
    """How a field is written and read. Of what it cannot read it returns None: the field then has its default."""

    write: Callable[[Any], object]
    read: Callable[[object], object]


def to_plain(holder: Any) -> dict[str, Any]:  # noqa: ANN401  (any dataclass of ours)
    """Return a dataclass as JSON types, by the names of its fields; `raw` is left out."""
    names = [field.name for field in dataclasses.fields(holder) if field.name != "raw"]
    return {name: _form_of(name).write(getattr(holder, name)) for name in names}


def from_plain(kind: type, mapping: Mapping[str, object]) -> dict[str, Any]:
    """Return the arguments of a dataclass out of a mapping: the fields that it has, each of the right type."""
    fields = [field for field in dataclasses.fields(kind) if field.init and field.name != "raw"]
    read = {field.name: _form_of(field.name).read(mapping.get(field.name)) for field in fields}
    return {name: value for name, value in read.items() if value is not None}


def checked(mapping: object, holder: str) -> Mapping[str, object]:
    """Return a mapping.

    :raises TypeError: for anything else, such as the text that a mapping was written as.
    """
    if isinstance(mapping, Mapping):
        return cast("Mapping[str, object]", mapping)
    raise TypeError(
        f"{holder}.from_dict() reads a mapping, as json.loads() returns it, and not {type(mapping).__name__}"
    )


class _Told(Exception):
    """An exception of another process. Each is of a class of its own, which `pickle` does not find by its name."""

    def __reduce__(self) -> tuple[Callable[[str, str], Exception], tuple[str, str]]:
        return _told, (type(self).__name__, str(self))


def _told(name: str, said: str) -> Exception:
    """Return an exception that is called so and says so, as far as a class can be called so."""
    if name == "Exception" or not name.isidentifier():
        return Exception(said)
    kind = cast("Callable[[str], Exception]", type(name, (_Told,), {}))
    return kind(said)


def _read_cause(value: object) -> Exception:
    fields = fields_of(value)
    return _told(text(fields.get("type")), text(fields.get("text")))


def _write_cause(cause: object) -> dict[str, str]:
    return {"type": type(cause).__name__, "text": str(cause)}


def _write_seconds(value: object) -> float | None:
    """Return a time without the noise that sums of floats have; 0.0 for one that is rounded to -0.0."""
    seconds = number(value)
    return None if seconds is None else round(seconds, 6) + 0.0


def _write_texts(value: object) -> list[str]:
    return list(texts(value))


def _write_words(words: object) -> list[dict[str, object]]:
    return [
        {name: _form_of(name).write(value) for name, value in word._asdict().items()}
        for word in cast("list[Word]", items(words))
    ]


def _write_data(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _read_data(value: object) -> bytes | None:
    try:
        return base64.b64decode(text(value), validate=True)
    except ValueError:
        return None


def _counts(value: object) -> dict[str, int] | None:
    if not isinstance(value, Mapping):
        return None
    given = cast("Mapping[object, object]", value)
    counts = {name: integer(count) for name, count in given.items() if isinstance(name, str)}
    return {name: count for name, count in counts.items() if count is not None}


_TEXT, _FLAG = _Form(text, text), _Form(flag, flag)
_INTEGER, _NUMBER, _SECONDS = _Form(integer, integer), _Form(number, number), _Form(_write_seconds, number)

_FORMS: dict[str, _Form] = {
    **dict.fromkeys(("type", "transcript", "text", "word", "punctuated_word", "language"), _TEXT),
    **dict.fromkeys(("request_id", "trigger", "code", "description", "name"), _TEXT),
    **dict.fromkeys(("is_final", "speech_final", "from_finalize", "confirmed"), _FLAG),
    **dict.fromkeys(("confidence", "end_of_turn_confidence"), _NUMBER),
    **dict.fromkeys(("start", "end", "duration", "timestamp", "last_word_end", "delay"), _SECONDS),
    "languages": _Form(_write_texts, texts),
    "words": _Form(_write_words, read_words),
    "data": _Form(_write_data, _read_data),
    "cause": _Form(_write_cause, _read_cause),
    "events_by_kind": _Form(_counts, _counts),
}


def _form_of(name: str) -> _Form:
    """Return the form of a field; what the table does not name is a number, and a time if its name says so."""
    return _FORMS.get(name) or (_SECONDS if "seconds" in name else _INTEGER)
