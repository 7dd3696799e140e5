"""What may be a source of audio, and how its pieces are taken."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import tempfile
import threading
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from deepgram_stream_iter._audio.sources import check_source, pieces


@pytest.mark.parametrize("source", [b"a", bytearray(b"a"), [b"a"], iter([b"a"]), (b"a" for _ in "a")])
async def test_sources(source: Any) -> None:
    """A piece, or any iterable of pieces, is a source."""
    check_source(source)
    assert [bytes(piece) async for piece in pieces(source)] == [b"a"]


@pytest.mark.parametrize("source", ["text", Path("speech.wav"), io.StringIO("text"), 7, None, object()])
def test_no_source(source: object) -> None:
    """Text is refused though it can be iterated, and so is all that cannot be; the error names its type."""
    with pytest.raises(TypeError, match=type(source).__name__):
        check_source(source)


async def microphone(closed: list[bool]) -> AsyncGenerator[Any, None]:
    """Give a piece, and then what is none."""
    try:
        yield b"a"
        yield "text"
    finally:
        closed.append(True)


async def test_an_async_generator_is_closed() -> None:
    """Whoever stops taking pieces closes the async generator they come from, there and then."""
    closed: list[bool] = []
    taken = pieces(microphone(closed))
    assert await anext(taken) == b"a"
    await taken.aclose()
    assert closed == [True]


async def test_an_async_iterator_need_not_be_a_generator() -> None:
    """An async iterator that has no `aclose()` is a source too."""

    class Source:
        def __init__(self) -> None:
            self._left: Iterator[bytes] = iter([b"a", b"b"])

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            for piece in self._left:
                return piece
            raise StopAsyncIteration

    check_source(Source())
    assert [piece async for piece in pieces(Source())] == [b"a", b"b"]


@pytest.mark.parametrize("source", [[b"a", "text"], microphone([])], ids=["sync", "async"])
async def test_a_piece_that_is_no_audio(source: Any) -> None:
    """A piece that is not bytes-like is refused when its turn comes, by the name of its type."""
    taken = pieces(source)
    assert await anext(taken) == b"a"
    with pytest.raises(TypeError, match="str"):
        await anext(taken)


class Lines:
    """A file whose lines must not be taken for pieces."""

    def __init__(self, read: Any) -> None:
        self.read, self.readline = read, None

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError


AUDIO = bytes(range(256)) * 100
"""It has 100 line feeds."""


@pytest.mark.parametrize("open_file", [Path.open, tempfile.NamedTemporaryFile], ids=["file", "temporary"])
async def test_a_file_is_read_in_frames(open_file: Any, tmp_path: Path) -> None:
    """A file that iterates by lines gives frames of the size that is wanted, its rest, and stays open."""
    (tmp_path / "audio").write_bytes(AUDIO)
    with open_file(tmp_path / "audio", "rb") if open_file is Path.open else open_file() as file:
        if open_file is not Path.open:
            file.write(AUDIO)
            file.seek(0)
        check_source(file)
        taken = [bytes(piece) async for piece in pieces(file, 3200)]
        assert [len(piece) for piece in taken] == [3200] * 8
        assert b"".join(taken) == AUDIO
        assert not file.closed


async def test_a_pipe_does_not_block_the_loop() -> None:
    """A read that waits leaves the loop to others, and what has come is not held back for more of what is no frame."""
    reading, writing = os.pipe()
    with open(reading, "rb") as file, open(writing, "wb", buffering=0) as other_end:  # noqa: ASYNC230, PTH123
        async with aclosing(pieces(file)) as taken:
            for sent in (b"one\ntwo", b"three"):
                first = asyncio.ensure_future(anext(taken))
                await asyncio.sleep(0)
                other_end.write(sent)
                assert await first == sent
            other_end.close()
            assert [piece async for piece in taken] == []


async def test_an_async_file_is_awaited() -> None:
    """A StreamReader, which iterates by lines, is read; so are anyio's files."""
    reader = asyncio.StreamReader()
    reader.feed_data(AUDIO)
    reader.feed_eof()
    check_source(reader)
    assert b"".join([bytes(piece) async for piece in pieces(reader, 3200)]) == AUDIO

    file = anyio.wrap_file(io.BytesIO(AUDIO))
    check_source(file)
    assert [len(bytes(piece)) async for piece in pieces(file, 3200)] == [3200] * 8


@pytest.mark.parametrize(
    ("read", "name"),
    [(lambda _: "text", "str"), (lambda _: None, "NoneType"), (lambda _: (b"a", False), "tuple")],
    ids=["text", "nothing", "tuple"],
)
async def test_what_is_read_is_bytes(read: Any, name: str) -> None:
    """A file that turns out to read text, or nothing because it does not block, is no end of the audio."""
    with pytest.raises(TypeError, match=name):
        [piece async for piece in pieces(Lines(read))]


async def test_an_iterable_that_can_read_too() -> None:
    """A class of the application that can be iterated and has no lines is no file, whatever its `read` does."""

    class Microphone:
        def read(self) -> bytes:
            raise AssertionError

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a"])

    assert [piece async for piece in pieces(Microphone())] == [b"a"]


def wav(sample_rate: int = 16000, channels: int = 1, width: int = 2, samples: int = 4000) -> io.BytesIO:
    """Return a WAV file in memory."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, width, sample_rate, 0, "NONE", ""))
        writer.writeframes(bytes(samples * channels * width))
    file.seek(0)
    return file


@pytest.mark.parametrize("read_size", [3200, None])
async def test_the_samples_of_a_wav_file(read_size: int | None) -> None:
    """An open WAV file gives its samples in frames, without the head."""
    with wave.open(wav()) as source:
        check_source(source)
        taken = [bytes(piece) async for piece in pieces(source, read_size)]
        assert b"".join(taken) == bytes(8000)
        assert read_size is None or [len(piece) for piece in taken] == [3200, 3200, 1600]


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("speech.wav", r"wave\.open\(str\(path\)\)"),
        (Path("speech.raw"), r"open\(path, 'rb'\)"),
        (io.StringIO(), r"open\(path, 'rb'\)"),
    ],
    ids=["str", "path", "text file"],
)
def test_hints_for_files(source: object, hint: str) -> None:
    """A path and a file that is open as text are refused with what to write instead."""
    with pytest.raises(TypeError, match=hint):
        check_source(source)


async def test_base64_is_to_be_decoded() -> None:
    """Text among the pieces, as the telephone's JSON has it, is refused with how to decode it."""
    with pytest.raises(TypeError, match="b64decode"):
        await anext(pieces(["UklGRg=="]))  # type: ignore[list-item]


class Blocking:
    """An iterable whose next piece comes when it is released; it records its threads."""

    def __init__(self) -> None:
        self.released = threading.Semaphore(0)
        self.begun, self.closed = threading.Event(), threading.Event()
        self.threads: list[threading.Thread] = []

    def __iter__(self) -> Iterator[bytes]:
        try:
            while True:
                self.threads.append(threading.current_thread())
                self.begun.set()
                self.released.acquire()
                yield b"a"
        finally:
            self.threads.append(threading.current_thread())
            self.closed.set()


async def test_an_iterable_that_blocks() -> None:
    """It is advanced in one daemon thread, which closes it when it is stopped; the loop is free meanwhile."""
    source = Blocking()
    async with aclosing(pieces(source, in_thread=True)) as taken:
        for _ in range(3):
            piece = asyncio.ensure_future(anext(taken))
            await asyncio.sleep(0)
            assert not piece.done()
            source.released.release()
            assert await piece == b"a"
    await anyio.to_thread.run_sync(source.closed.wait, 5)
    (thread,) = set(source.threads)
    assert thread.daemon
    assert thread is not threading.main_thread()


async def test_cancelling_does_not_wait_for_what_blocks() -> None:
    """Who is cancelled is free at once; the iterator is closed in its thread when that is free again."""
    source = Blocking()
    taken = pieces(source, in_thread=True)
    piece = asyncio.ensure_future(anext(taken))
    await anyio.to_thread.run_sync(source.begun.wait, 5)
    piece.cancel()
    with pytest.raises(asyncio.CancelledError):
        await piece
    await taken.aclose()
    assert not source.closed.is_set()
    source.released.release()
    await anyio.to_thread.run_sync(source.closed.wait, 5)
    assert len(set(source.threads)) == 1


async def test_an_exception_of_a_blocking_iterable() -> None:
    """What it raises comes out as itself; a StopIteration, which would leave a future pending for ever, as its cause."""

    def broken() -> Iterator[bytes]:
        yield b"a"
        raise error

    error = LookupError("no microphone")
    taken = pieces(broken(), in_thread=True)
    assert await anext(taken) == b"a"
    with pytest.raises(LookupError) as caught:
        await anext(taken)
    assert caught.value is error

    class NoIteration:
        def __iter__(self) -> Iterator[bytes]:
            raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration") as told:
        await anext(pieces(NoIteration(), in_thread=True))
    assert isinstance(told.value.__cause__, StopIteration)


async def test_the_end_of_a_blocking_iterable() -> None:
    """Its end is the end, also of an iterator that is no generator; a piece that is no audio is refused."""
    assert [piece async for piece in pieces([b"a", b"b"], in_thread=True)] == [b"a", b"b"]
    assert [piece async for piece in pieces(iter([b"a"]), in_thread=True)] == [b"a"]
    wrong: Any = [7]
    with pytest.raises(TypeError, match="int"):
        await anext(pieces(wrong, in_thread=True))


async def test_what_needs_no_thread() -> None:
    """A piece and a file are taken as ever with in_thread; an async source is refused, because it has no thread to be in."""
    for source in (b"a", io.BytesIO(b"a")):
        check_source(source, in_thread=True)
        assert [bytes(piece) async for piece in pieces(source, in_thread=True)] == [b"a"]
    for refused in (microphone([]), asyncio.StreamReader()):
        with pytest.raises(TypeError, match="in_thread"):
            check_source(refused, in_thread=True)


BLOCKED = """
import asyncio, sys, threading
from deepgram_stream_iter._audio.sources import pieces

reads = threading.Semaphore(0)

def microphone():
    reads.release()
    yield b"a"
    reads.release()
    threading.Event().wait()

def stdin():
    while True:
        reads.release()
        yield sys.stdin.buffer.read1(1)

async def main():
    taken = pieces(SOURCE(), in_thread=True)
    print(await anext(taken))
    asyncio.ensure_future(anext(taken))
    for _ in range(2):
        await asyncio.to_thread(reads.acquire)

asyncio.run(main())
"""


@pytest.mark.parametrize("source", ["microphone", "stdin"])
def test_a_blocked_source_does_not_keep_the_interpreter(source: str) -> None:
    """A program whose microphone or standard input never brings another piece can exit, and in order."""
    command = [sys.executable, "-W", "error", "-c", BLOCKED.replace("SOURCE", source)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as program:  # noqa: S603
        assert program.stdin is not None
        program.stdin.write(b"a")
        assert program.wait(30) == 0
        assert program.stdout is not None
        assert program.stderr is not None
        assert (program.stdout.read(), program.stderr.read()) == (b"b'a'\n", b"")
