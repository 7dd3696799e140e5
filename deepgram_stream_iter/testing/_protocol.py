"""What the two dialects of the server share. A dialect is driven with frames and yields what goes out (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from ._recognition import Message, Recognizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ._recognition import Recognized, RecognizerLike

Query: TypeAlias = "Mapping[str, list[str]]"


class Close(NamedTuple):
    """The server's wish to end the connection; 1005: without a status, 1006: drop it."""

    code: int
    reason: str = ""


Outgoing: TypeAlias = Message | Close


class Dialect(Protocol):
    """One connection's side of /v1/listen or /v2/listen.

    Each method yields what goes out, in order; the caller sends an item before it asks for the next.
    """

    closes_when_idle: bool
    """Whether a connection on which nothing comes is closed."""
    ends_on_empty_frame: bool
    """Whether an empty binary frame ends the stream, as `CloseStream` does."""

    def open(self) -> Iterable[Outgoing]:
        """Begin the stream."""
        ...

    def audio(self, samples: bytes) -> Iterable[Outgoing]:
        """Take a piece of audio, by which the clock has advanced already."""
        ...

    def control(self, kind: object, control: Mapping[str, object], text: str) -> Iterable[Outgoing]:
        """Take a text frame other than `CloseStream`; `kind` is its `type`, `control` empty if it is no object."""
        ...

    def finish(self) -> Iterable[Outgoing]:
        """End the stream, as `CloseStream` asks."""
        ...


def option(query: Query, name: str, default: str = "") -> str:
    """Return the first value of a query parameter."""
    return query.get(name, [default])[0]


class _Function:
    """A recognizer made of a function of the audio, which has nothing left to say at the end."""

    def __init__(self, function: Callable[[bytes], Iterable[Recognized]]) -> None:
        self._function = function

    def accept(self, audio: bytes, /) -> Iterable[Recognized]:
        return self._function(audio)

    def flush(self) -> Iterable[Recognized]:
        return ()


def recognizer_of(like: RecognizerLike | None) -> Recognizer:
    """Return the recognizer of a new connection; without one, nothing is ever recognised."""
    if like is None:
        return _Function(lambda _: ())
    if isinstance(like, type):
        recognizer: Recognizer = like()
        return recognizer
    return like if isinstance(like, Recognizer) else _Function(like)
