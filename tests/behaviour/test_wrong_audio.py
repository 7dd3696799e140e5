"""Audio that Deepgram would take for noise is told, before it is sent; files of every kind find their way."""

from __future__ import annotations

import array
import asyncio
import ctypes
import io
import os
import wave
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import FRAME, Connect, flux, nova, texts

from deepgram_stream_iter import StreamEvent, StreamingOptions
from deepgram_stream_iter.testing import DeepgramServer, messages

HI = [messages.results("hi", is_final=True)]


def wav(**form: int) -> bytes:
    """Return a WAV file of 0.25 s, of 16 bits at 16 kHz but for what is given."""
    rate, width, channels = form.get("rate", 16000), form.get("width", 2), form.get("channels", 1)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, width, rate, 0, "NONE", ""))
        writer.writeframes(bytes(rate // 4 * width * channels))
    return file.getvalue()


BIG_ENDIAN = memoryview((ctypes.c_short.__ctype_be__ * 320)())
WRONG = [
    pytest.param(array.array("f", [0.5] * 320), TypeError, "float32", id="float32"),
    pytest.param(array.array("d", [0.5] * 320), TypeError, "float64", id="float64"),
    pytest.param(array.array("i", [1] * 320), TypeError, "int32", id="int32"),
    pytest.param(BIG_ENDIAN, TypeError, "big-endian int16", id="big-endian"),
    pytest.param(wav(), ValueError, "WAV", id="WAV"),
    pytest.param(b"OggS\0\2" + bytes(600), ValueError, "Ogg", id="Ogg"),
    pytest.param(b"fLaC\0\0\0\x22" + bytes(600), ValueError, "FLAC", id="FLAC"),
    pytest.param(b"\x1aE\xdf\xa3" + bytes(600), ValueError, "WebM", id="WebM"),
    pytest.param(b"ID3\4\0\0\0\0\1\x76" + bytes(600), ValueError, "MP3", id="MP3 with ID3"),
    pytest.param((b"\xff\xfb\x90\x64" + bytes(413)) * 3, ValueError, "MP3", id="MP3"),
]


@pytest.mark.parametrize(("audio", "error", "told"), WRONG)
@pytest.mark.parametrize("in_list", [False, True], ids=["piece", "list"])
async def test_wrong_audio_is_not_sent(
    connect: Connect, audio: Any, error: type[Exception], told: str, *, in_list: bool
) -> None:
    """Not a byte of it goes out, and the session goes on with the right audio, to its end."""
    async with DeepgramServer(script=HI) as server, connect(server, nova()) as session:
        with pytest.raises(error, match=told):
            await session.send([audio] if in_list else audio)
        await session.send(FRAME)
        session.feed([FRAME])
        assert await texts(session) == ["hi"]
        assert (await server.connection()).audio == FRAME * 2


@pytest.mark.parametrize(("audio", "error", "told"), WRONG)
async def test_wrong_audio_of_a_fed_source(
    connect: Connect, audio: Any, error: type[Exception], told: str
) -> None:
    """It comes out of the iteration as itself, and the session sends none of it."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            session.feed(iter([audio]))
            with pytest.raises(error, match=told):
                await anext(session)
        assert (await server.connection()).audio == b""


async def test_a_later_piece_of_wrong_elements(connect: Connect) -> None:
    """What was right before it is sent and transcribed; the events come first, and then the error."""
    async with DeepgramServer(script=HI) as server:
        async with connect(server, nova()) as session:

            async def source() -> Any:
                yield FRAME
                await heard.wait()
                yield array.array("f", [0.5])

            heard = anyio.Event()
            session.feed(source())
            assert isinstance(await anext(session), StreamEvent.Transcript)
            heard.set()
            with pytest.raises(TypeError, match="float32"):
                await anext(session)
        assert (await server.connection()).audio == FRAME


async def test_later_audio_may_look_like_a_file(connect: Connect) -> None:
    """Only the first audio of a session and of a source is looked at: later samples may be any."""
    like_ogg = b"OggS\0\2" + bytes(100)
    async with DeepgramServer() as server, connect(server, nova()) as session:
        await session.send(FRAME)
        await session.send(like_ogg)
        await session.send([FRAME, like_ogg])
        with pytest.raises(ValueError, match="Ogg"):
            await session.send([b"", like_ogg])
        await session.finish()
        assert (await server.connection()).audio == (FRAME + like_ogg) * 2


async def test_samples_without_an_encoding(connect: Connect) -> None:
    """Samples need an encoding; a file that says its own needs none, and goes out whole."""
    async with DeepgramServer() as server, connect(server, StreamingOptions(model="nova-3")) as session:
        with pytest.raises(TypeError, match="connect with encoding='linear16'"):
            await session.send(array.array("h", [0] * 320))
        with wave.open(io.BytesIO(wav())) as source, pytest.raises(ValueError, match="encoding='linear16'"):
            session.feed(source)
        await session.send(wav())
        await session.finish()
        assert (await server.connection()).audio == wav()


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"rate": 44100}, "sample_rate=44100, and the options say 16000"),
        ({"channels": 2}, "channels=2, and the options say 1"),
    ],
    ids=str,
)
async def test_a_wav_file_that_contradicts(connect: Connect, form: dict[str, int], told: str) -> None:
    """A WAV file of another rate or more channels than the options say is refused, by both numbers."""
    options = nova(encoding=None, channels=1)
    async with DeepgramServer() as server, connect(server, options) as session:
        with pytest.raises(ValueError, match=told):
            await session.send(wav(**form))
        await session.send(wav())
        await session.finish()
        assert (await server.connection()).audio == wav()


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"rate": 8000}, "sample_rate=8000, and the options say 16000"),
        ({"channels": 2}, "channels=2, and the options say 1"),
        ({"width": 1}, "8-bit samples, and the options say encoding='linear16'"),
        ({"width": 3}, "24-bit samples, and the options say encoding='linear16'"),
    ],
    ids=str,
)
async def test_an_open_wav_file_that_contradicts(connect: Connect, form: dict[str, int], told: str) -> None:
    """The samples of a WAV file have to be what the options say; feed() says so at once, and the session goes on."""
    async with DeepgramServer(script=HI) as server, connect(server, nova()) as session:
        with wave.open(io.BytesIO(wav(**form))) as source:
            for give in (session.send, session.feed):
                with pytest.raises(ValueError, match=told):
                    await maybe(give(source))
        session.feed([FRAME])
        assert await texts(session) == ["hi"]
        assert (await server.connection()).audio == FRAME


async def maybe(result: Any) -> None:
    """Await what can be awaited."""
    if result is not None:
        await result


@pytest.mark.parametrize(("options_for", "size"), [(nova, 3200), (flux, 2560)])
@pytest.mark.parametrize("feeds", [False, True], ids=["send", "feed"])
async def test_files(
    connect: Connect, options_for: Callable[[], StreamingOptions], size: int, tmp_path: Path, *, feeds: bool
) -> None:
    """A binary file and an open WAV file are sent in frames, though they have lines, or a head."""
    samples = b"\n\0" * 4000
    path, raw = tmp_path / "speech.wav", tmp_path / "speech.raw"
    with wave.open(str(path), "wb") as writer:
        writer.setparams((1, 2, 16000, 0, "NONE", ""))
        writer.writeframes(samples)
    raw.write_bytes(samples)
    openers: tuple[Callable[[], Any], ...] = (partial(raw.open, "rb"), partial(wave.open, str(path)))
    for open_file in openers:
        async with DeepgramServer() as server, connect(server, options_for()) as session:
            with open_file() as source:
                if feeds:
                    session.feed(source)
                    await texts(session)
                else:
                    await session.send(source)
                    await session.finish()
            frames = (await server.connection()).audio_frames
            assert b"".join(frames) == samples
            assert {len(frame) for frame in frames[:-1]} == {size}


@pytest.mark.parametrize(
    "source", ["speech.wav", Path("speech.wav"), io.StringIO("speech")], ids=["str", "path", "text"]
)
async def test_no_files(connect: Connect, source: Any) -> None:
    """A path and a text file are refused with what to write instead, and the session goes on."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        for give in (session.send, session.feed):
            with pytest.raises(TypeError, match=r"open\(path, 'rb'\)"):
                await maybe(give(source))
        await session.send(FRAME)


@pytest.mark.async_sessions_only(reason="an asyncio stream belongs to the loop of the test")
async def test_a_stream_reader(connect: Connect) -> None:
    """What a subprocess or a socket brings is sent as it comes."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        reader = asyncio.StreamReader()
        session.feed(reader)
        connection = await server.connection()
        for _ in range(3):
            reader.feed_data(FRAME)
            await connection.audio_reached(len(connection.audio) / 32000 + 0.02)
        reader.feed_eof()
        await texts(session)
        assert connection.audio == FRAME * 3


async def test_a_pipe_that_brings_nothing(connect: Connect) -> None:
    """A blocked read holds up neither the events nor the end of the session."""
    reading, writing = os.pipe()
    with open(reading, "rb") as source, open(writing, "wb"):  # noqa: ASYNC230, PTH123
        async with DeepgramServer(script=HI) as server, connect(server, nova()) as session:
            session.feed(source)
            await session.send(FRAME)
            assert isinstance(await anext(session), StreamEvent.Transcript)
            with anyio.fail_after(5):
                await session.finish()


async def test_arrays_of_numpy(connect: Connect) -> None:
    """An int16 array is sent, strided or not; what sounddevice records by default (float32) is told, with what helps."""
    numpy = pytest.importorskip("numpy")
    samples = numpy.linspace(-1, 1, 640, dtype="float32")
    async with DeepgramServer() as server, connect(server, nova()) as session:
        for wrong in (samples, samples.astype("float64"), samples.astype(">i2"), samples.astype("int32")):
            with pytest.raises(TypeError, match=r"astype\('<i2'\)"):
                await session.send(wrong)
        right = (samples * 32767).astype("<i2")
        await session.send(right)
        await session.send(right.reshape(320, 2)[:, 0])
        await session.finish()
        assert (await server.connection()).audio == right.tobytes() + right[::2].tobytes()
