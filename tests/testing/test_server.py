from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from deepgram.core.events import EventType
from dialling import SECOND, V1, V2, Prompted, dial, hear, hear_all, kinds, said, tell, text_of
from websockets.exceptions import ConnectionClosed

from deepgram_stream_iter.testing import DeepgramServer, ServerConnection, _connection, messages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deepgram_stream_iter.testing import Recognized, RecognizerLike


async def test_a_script_of_messages() -> None:
    """Messages are sent in order as soon as a connection is open, to each connection."""
    script = (messages.results(text) for text in ("one", "two"))
    async with DeepgramServer(script=script) as server:
        for _ in range(2):
            async with dial(server) as websocket:
                assert [text_of(await hear(websocket)), text_of(await hear(websocket))] == ["one", "two"]


async def test_a_script_follows_connected() -> None:
    """On /v2/listen the script follows the greeting."""
    async with (
        DeepgramServer(script=[messages.turn_info("StartOfTurn", "hi")]) as server,
        dial(server, V2) as websocket,
    ):
        assert kinds([await hear(websocket), await hear(websocket)]) == ["Connected", "StartOfTurn"]


async def test_a_script_is_played_to_its_end() -> None:
    """CloseStream does not cut off a script that the client is slow to read."""
    script = [messages.results("word " * 200)] * 500
    async with DeepgramServer(script=script) as server, dial(server) as websocket:
        await tell(websocket, "CloseStream")
        await (await server.connection()).received("CloseStream")
        heard = await hear_all(websocket)
    assert len(heard) == 501
    assert heard[-1]["type"] == "Metadata"


async def test_the_sdk_callbacks() -> None:
    """The SDK's callbacks receive what the server sends, typed, up to the close."""
    heard: list[Any] = []

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(1.0)
        await connection.send(messages.results("Hello there.", is_final=True))

    async with (
        DeepgramServer(script=script) as server,
        server.client().listen.v1.connect(
            model="nova-3", encoding="linear16", sample_rate=16000
        ) as connection,
    ):
        connection.on(EventType.MESSAGE, heard.append)
        listening = asyncio.create_task(connection.start_listening())
        await connection.send_media(SECOND)
        accepted = await server.connection()
        await accepted.audio_reached(1.0)
        await connection.send_close_stream()
        await listening
    assert [it.type for it in heard] == ["Results", "Metadata"]
    assert heard[0].channel.alternatives[0].words[0].punctuated_word == "Hello"
    assert accepted.audio == SECOND


async def test_a_driving_script() -> None:
    """An async script sends, waits for controls and closes, while the server goes on answering."""
    seen: list[object] = []

    async def script(connection: ServerConnection) -> None:
        await connection.send(messages.speech_started(0.0))
        await connection.received("Configure", 2)
        await connection.close(1012, "restart")
        seen.extend([connection.close_code, connection.close_reason])

    async with DeepgramServer(script=script) as server, dial(server) as websocket:
        await tell(websocket, "Configure")
        await tell(websocket, "Configure")
        assert kinds(await hear_all(websocket)) == ["SpeechStarted", "ConfigureSuccess", "ConfigureSuccess"]
        assert (websocket.close_code, websocket.close_reason) == (1012, "restart")
    assert seen == [1012, "restart"]


async def test_a_script_may_outlive_its_connection() -> None:
    """A script can look at how its connection ended."""
    codes: list[int | None] = []

    async def script(connection: ServerConnection) -> None:
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with DeepgramServer(script=script) as server, dial(server) as websocket:
        await tell(websocket, "CloseStream")
        await hear_all(websocket)
    assert codes == [1000]


async def test_a_failing_script_surfaces() -> None:
    """What a script raises closes its connection with 1011 and comes out when the server exits."""

    async def script(_: ServerConnection) -> None:
        raise LookupError("no such line")

    async def converse() -> None:
        async with DeepgramServer(script=script) as server, dial(server) as websocket:
            assert await hear_all(websocket) == []
            assert websocket.close_code == 1011

    with pytest.raises(LookupError, match="no such line"):
        await converse()


async def test_further_failures_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The first failure is raised; those of other connections are logged."""

    async def script(_: ServerConnection) -> None:
        raise LookupError("no such line")

    async def converse() -> None:
        async with DeepgramServer(script=script) as server:
            for _ in range(2):
                async with dial(server) as websocket:
                    await hear_all(websocket)

    with pytest.raises(LookupError):
        await converse()
    assert [record.levelno for record in caplog.records if "failed" in record.message] == [logging.ERROR]


async def test_a_failing_recognizer_surfaces() -> None:
    """What a recognizer raises, be it when it is made, surfaces like a script's failure."""

    class Broken(Prompted):
        def __init__(self) -> None:
            raise LookupError("no model")

    def deaf(_: bytes) -> Iterable[Recognized]:
        raise LookupError("no ears")

    async def converse(recognizer: RecognizerLike) -> None:
        async with DeepgramServer(recognizer=recognizer) as server, dial(server) as websocket:
            await websocket.send(SECOND)
            assert await hear_all(websocket) == []
            assert websocket.close_code == 1011

    with pytest.raises(LookupError, match="no model"):
        await converse(Broken)
    with pytest.raises(LookupError, match="no ears"):
        await converse(deaf)


@pytest.mark.timeout(5)
async def test_the_exit_cancels_scripts() -> None:
    """The exit ends scripts and connections at once, whatever they wait for, and leaves no task behind."""

    async def script(_: ServerConnection) -> None:
        await anyio.sleep_forever()

    tasks = asyncio.all_tasks()
    async with DeepgramServer(script=script) as server:
        websockets = [await dial(server), await dial(server, V2)]
        await server.connection(1)
        begun = anyio.current_time()
    assert anyio.current_time() - begun < 1.0
    for websocket in websockets:
        await hear_all(websocket)
        assert websocket.close_code == 1006
    assert asyncio.all_tasks() == tasks


@pytest.mark.timeout(5)
async def test_the_exit_drops_unfinished_handshakes() -> None:
    """A client that never finished its request does not hold up the exit."""
    async with DeepgramServer() as server:
        host, port = server.url.removeprefix("ws://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /v1/listen HTTP/1.1\r\n")
        await writer.drain()
        async with dial(server):
            pass
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()


@pytest.mark.timeout(5)
@pytest.mark.parametrize("steps", range(4))
async def test_a_client_that_comes_during_the_exit(steps: int) -> None:
    """A client that connects just as the server exits is dropped, however far it got."""
    async with DeepgramServer() as server:
        host, port = server.url.removeprefix("ws://").split(":")
        client = socket.create_connection((host, int(port)))
        for _ in range(steps):
            await asyncio.sleep(0)
    with client:
        client.settimeout(1.0)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


async def test_a_client_that_vanishes(caplog: pytest.LogCaptureFixture) -> None:
    """A client that is gone without a close leaves 1006 behind, and no log."""
    async with DeepgramServer(recognizer=Prompted(*[[said("hi", final=True)]] * 9)) as server:
        websocket = await dial(server)
        for _ in range(9):
            await websocket.send(SECOND)
        websocket.transport.abort()
        connection = await server.connection()
        await connection.wait_closed()
        assert connection.close_code == 1006
        with pytest.raises(ConnectionError):
            await connection.received("Finalize")
        with pytest.raises(ConnectionError):
            await connection.send(messages.results("hi"))
    assert not [record for record in caplog.records if record.name.startswith("deepgram_stream_iter")]


async def test_scripts_forgive_clients_that_leave() -> None:
    """A script that waits for, or sends to, a client that left is no failure."""

    async def waiting(connection: ServerConnection) -> None:
        await connection.received("Finalize")

    async def sending(connection: ServerConnection) -> None:
        await connection.wait_closed()
        await connection.send("too late")

    for script in (waiting, sending):
        async with DeepgramServer(script=script) as server:
            async with dial(server):
                await server.connection()
            await server.connections[0].wait_closed()


async def test_waiting_for_a_connection() -> None:
    """`connection(n)` waits until the nth client was accepted, or until the server exits."""
    async with DeepgramServer() as server:
        waiting = asyncio.create_task(server.connection(1))
        in_vain = asyncio.create_task(server.connection(2))
        async with dial(server), dial(server, V2):
            assert (await waiting).path == "/v2/listen"
    with pytest.raises(ConnectionError):
        await in_vain


async def test_only_inside_its_context() -> None:
    """A server has no address before it runs."""
    with pytest.raises(RuntimeError, match="async with"):
        _ = DeepgramServer().url


async def test_the_environment_points_to_the_server() -> None:
    """Every address of the SDK environment is the server's, on loopback."""
    async with DeepgramServer() as server:
        host = server.url.removeprefix("ws://")
        environment = server.environment
        assert environment.production == environment.agent == server.url
        assert environment.base == environment.agent_rest == f"http://{host}"
        assert socket.inet_aton(host.split(":")[0])[0] == 127


async def test_abort() -> None:
    """`abort()` drops the connection: the client sees 1006."""
    async with DeepgramServer() as server, dial(server) as websocket:
        (await server.connection()).abort()
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
        assert websocket.close_code == 1006


@pytest.mark.timeout(5)
async def test_a_client_that_does_not_answer_a_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """A close without status gives up on a client that reads nothing."""
    monkeypatch.setattr(_connection, "CLOSE_TIMEOUT_SECONDS", 0.1)
    async with DeepgramServer() as server:
        websocket = await dial(server)
        websocket.transport.pause_reading()
        connection = await server.connection()
        await connection.close(1005)
        await connection.close(1005)
        assert connection.close_code == 1006
        websocket.transport.abort()


async def test_what_was_received() -> None:
    """Frames, audio and controls are kept apart, in order, with the time of each."""
    async with DeepgramServer() as server, dial(server) as websocket:
        await websocket.send(b"ab")
        await tell(websocket, "KeepAlive")
        await websocket.send("junk")
        await websocket.send(b"cd")
        await tell(websocket, "Finalize")
        connection = await server.connection()
        await connection.received("Finalize")
        assert connection.audio == b"abcd"
        assert connection.audio_frames == [b"ab", b"cd"]
        assert connection.controls == [{"type": "KeepAlive"}, {"type": "Finalize"}]
        assert [frame.data for frame in connection.frames][2] == "junk"
        times = [frame.time for frame in connection.frames]
        assert times == sorted(times)


async def test_recognizers_of_all_kinds() -> None:
    """A function or an object serves all connections; a class gives each connection one of its own."""

    class Counter(Prompted):
        def __init__(self) -> None:
            super().__init__([said("first", final=True)], [said("second", final=True)])

    for recognizer, expected in (
        (Counter, ["first", "first"]),
        (Counter(), ["first", "second"]),
        (lambda _: [said("same", final=True)], ["same", "same"]),
    ):
        async with DeepgramServer(recognizer=recognizer) as server:
            heard: list[str] = []
            for _ in range(2):
                async with dial(server) as websocket:
                    await websocket.send(SECOND)
                    heard.append(text_of(await hear(websocket)))
        assert heard == expected


def wav_header(*, rate: int = 8000, channels: int = 1, extra: bytes = b"") -> bytes:
    """Return the head of a WAV file of 16 bit samples, with its `extra` chunks."""
    block = 2 * channels
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * block, block, 16)
    return b"RIFF\xff\xff\xff\xffWAVE" + form + extra + b"data\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("target", "frames", "seconds"),
    [
        (V1, [SECOND, SECOND], 2.0),
        (V1 + "&channels=2", [SECOND], 0.5),
        ("/v1/listen?model=nova-3&encoding=linear32&sample_rate=8000", [SECOND], 1.0),
        ("/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000", [SECOND], 4.0),
        ("/v1/listen?model=nova-3&encoding=opus&sample_rate=8000", [SECOND], 0.0),
        ("/v1/listen?model=nova-3&encoding=linear16", [SECOND], 0.0),
        ("/v1/listen?model=nova-3", [b"OggS" + SECOND], 0.0),
        ("/v1/listen?model=nova-3", [wav_header() + bytes(16_000), bytes(16_000)], 2.0),
        ("/v1/listen?model=nova-3", [wav_header(extra=b"LIST\x03\0\0\0abc\0"), bytes(16_000)], 1.0),
        ("/v1/listen?model=nova-3", [bytes([byte]) for byte in wav_header()] + [bytes(16_000)], 1.0),
    ],
)
async def test_the_audio_clock(target: str, frames: list[bytes], seconds: float) -> None:
    """The seconds of audio follow from the query or a WAV header; the recognizer gets the samples alone."""
    recognizer = Prompted()
    async with DeepgramServer(recognizer=recognizer) as server, dial(server, target) as websocket:
        for frame in frames:
            await websocket.send(frame)
        await tell(websocket, "Finalize")
        connection = await server.connection()
        await connection.received("Finalize")
        assert connection.audio_seconds == seconds
        assert connection.audio == b"".join(frames)
    assert not any(samples.startswith(b"RIFF") for samples in recognizer.heard)
