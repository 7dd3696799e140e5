"""Sources of audio: what may be one, and how its pieces are taken from it.

Whatever may block is called in a thread of its own: the reading of a file, and an iterable of which the application says so.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import sys
import wave
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeGuard, cast

from deepgram_stream_iter._loop.worker import WorkerThread

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Readable(Protocol):
    """A binary file: of `open(path, "rb")`, a pipe, `sys.stdin.buffer`, `io.BytesIO`."""

    def read(self, size: int, /) -> Buffer:
        """Return so many bytes, fewer before the end, and none at the end."""
        ...


class AsyncReadable(Protocol):
    """An async binary file or stream: `asyncio.StreamReader`, anyio's and aiofiles' files."""

    def read(self, size: int, /) -> Awaitable[Buffer]:
        """Return up to so many bytes, none at the end."""
        ...


AudioSource: TypeAlias = (
    "Buffer | Iterable[Buffer] | AsyncIterable[Buffer] | Readable | AsyncReadable | wave.Wave_read"
)
"""One piece of audio (`bytes`, `bytearray`, `memoryview`, `array`, a NumPy array), many, or a file of it."""

_OPAQUE_READ_SIZE = 8 * 1024
_EXHAUSTED = object()


def is_buffer(source: object) -> TypeGuard[Buffer]:
    """Return whether an object is bytes-like."""
    if isinstance(source, bytes):  # most are, and this takes a third of the time
        return True
    try:
        memoryview(cast("Buffer", source))  # whether it is one is the question
    except TypeError:
        return False
    return True


def check_source(source: object, *, in_thread: bool = False) -> None:
    """Refuse what is no audio.

    :raises TypeError: for text, a path, a text file, and what is neither bytes-like nor a file, an iterable or an async
        iterable; for an async source that is to run in a thread.
    """
    if is_buffer(source) or isinstance(source, wave.Wave_read):
        return
    name = type(source).__name__
    if isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"audio must be bytes-like, a file, or an iterable or async iterable of bytes-like pieces, not {name}: of a path,"
            " send open(path, 'rb'), or with an `encoding` the samples of a WAV file, wave.open(str(path))"
        )
    if isinstance(source, io.TextIOBase):
        raise TypeError(f"audio must be a file that is open as bytes, not {name}: open(path, 'rb')")
    if _is_async(source):
        if in_thread:
            raise TypeError(
                f"in_thread is for an iterable that blocks: {name} is async and runs on the event loop, so leave it out"
            )
        return
    if not _is_file(source) and not hasattr(source, "__iter__"):
        raise TypeError(
            f"audio must be bytes-like, a file, or an iterable or async iterable of bytes-like pieces, not {name}"
        )


def is_plain_iterable(source: AudioSource) -> TypeGuard[Iterable[Buffer]]:
    """Return whether a source is neither one piece, nor read, nor awaited."""
    return not (
        is_buffer(source) or isinstance(source, wave.Wave_read) or _is_async(source) or _is_file(source)
    )


async def pieces(
    source: AudioSource, read_size: int | None = None, *, in_thread: bool = False
) -> AsyncGenerator[Buffer, None]:
    """Yield the pieces of any source; a source that is an async generator is closed with it.

    A file stays open. It is read `read_size` bytes at a time, a frame of raw audio; for None as they come, up to 8 KiB,
    because a pipe may take seconds to bring so much compressed audio. With `in_thread` an iterable may block.

    :raises TypeError: for a piece that is not bytes-like.
    """
    if is_buffer(source):
        yield source
        return
    async with aclosing(_taken(source, read_size, in_thread=in_thread)) as taken:
        async for piece in taken:
            yield piece


def _taken(source: AudioSource, read_size: int | None, *, in_thread: bool) -> AsyncGenerator[Buffer, None]:
    size = read_size or _OPAQUE_READ_SIZE
    if isinstance(source, wave.Wave_read):
        samples = max(1, size // (source.getsampwidth() * source.getnchannels()))
        return _from_thread(iter(partial(source.readframes, samples), b""))
    if _is_async(source):
        if _is_file(source):
            return _from_reads(cast("AsyncReadable", source), size)
        return _from_async(cast("AsyncIterable[Buffer]", source))
    if _is_file(source):
        file = cast("Readable", source)
        read = file.read if read_size else getattr(file, "read1", file.read)
        return _from_thread(iter(partial(read, size), b""))
    iterable = cast("Iterable[Buffer]", source)
    return _from_thread(iterable) if in_thread else _from_iterable(iterable)


async def _from_iterable(source: Iterable[Buffer]) -> AsyncGenerator[Buffer, None]:
    for piece in source:
        yield _checked(piece)


async def _from_async(source: AsyncIterable[Buffer]) -> AsyncGenerator[Buffer, None]:
    try:
        async for piece in source:
            yield _checked(piece)
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _from_reads(source: AsyncReadable, size: int) -> AsyncGenerator[Buffer, None]:
    while memoryview(piece := _checked(await source.read(size))).nbytes:
        yield piece


async def _from_thread(source: Iterable[Buffer]) -> AsyncGenerator[Buffer, None]:
    """Advance an iterable in a thread of its own, always the same.

    Who stops does not wait for a piece that is still to come. The thread then closes the iterator, once it is free again.
    """
    worker, iteration = WorkerThread("deepgram_stream_iter-source"), _Iteration(source)
    worker.start()
    try:
        while (piece := await asyncio.wrap_future(worker.submit(iteration.advance))) is not _EXHAUSTED:
            yield _checked(cast("Buffer", piece))
    finally:
        worker.submit(iteration.close)
        worker.end()


class _Iteration:
    """An iteration all of which happens in one thread, because an audio library may want its calls from one."""

    def __init__(self, source: Iterable[Buffer]) -> None:
        self._source = source
        self._iterator: Iterator[Buffer] | None = None
        # At exit Python closes it unless somebody has it, and aborts when a thread still reads it.
        self._stdin = sys.stdin

    def advance(self) -> object:
        """Return the next piece, or `_EXHAUSTED`."""
        try:
            if self._iterator is None:
                self._iterator = iter(self._source)
            return next(self._iterator, _EXHAUSTED)
        except Exception:
            raise
        except BaseException as error:  # SystemExit would end the event loop, where it is raised again
            raise RuntimeError(f"a source raised {type(error).__name__} in its thread") from error

    def close(self) -> None:
        """Close the iterator where it can be closed, as a generator can."""
        close: Callable[[], object] | None = getattr(self._iterator, "close", None)
        if close is not None:
            close()


def _is_file(source: object) -> bool:
    """Return whether to read a source and not to iterate over it, which for a file would be by lines."""
    is_iterable = hasattr(source, "__iter__") or hasattr(source, "__aiter__")
    # A microphone class may have a `read` of its own beside its iteration; only a file has lines.
    return callable(getattr(source, "read", None)) and (not is_iterable or hasattr(source, "readline"))


def _is_async(source: object) -> bool:
    """Return whether the pieces of a source are awaited."""
    if _is_file(source):
        return inspect.iscoroutinefunction(getattr(source, "read", None))
    return hasattr(source, "__aiter__")


def _checked(piece: Buffer) -> Buffer:
    if not is_buffer(piece):
        hint = ""
        if isinstance(piece, str):
            hint = ": open a file with open(path, 'rb'), decode base64 with base64.b64decode(text)"
        raise TypeError(f"a piece of audio must be bytes-like, not {type(piece).__name__}{hint}")
    return piece
