from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from dialling import SECOND, V1, V2, Prompted, dial, hear, hear_all, kinds, said, tell
from websockets.exceptions import ConnectionClosed

from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

if TYPE_CHECKING:
    from deepgram_stream_iter.testing import Message, Recognized


async def test_faults_are_off_by_default() -> None:
    """A server without faults given has none, and takes those given."""
    assert DeepgramServer().faults == Faults()
    assert DeepgramServer(faults=Faults(mute=True)).faults.mute


async def test_no_connected() -> None:
    """`no_connected` opens /v2/listen without a greeting."""
    server = DeepgramServer(recognizer=Prompted([said("one")]), faults=Faults(no_connected=True))
    async with server, dial(server, V2) as websocket:
        await websocket.send(SECOND)
        assert (await hear(websocket))["event"] == "StartOfTurn"


async def test_late_finals() -> None:
    """`late_final_seconds` delays what follows CloseStream."""
    server = DeepgramServer(recognizer=Prompted(rest=[said("bye")]), faults=Faults(late_final_seconds=0.2))
    async with server, dial(server) as websocket:
        begun = anyio.current_time()
        await tell(websocket, "CloseStream")
        await hear(websocket)
        assert anyio.current_time() - begun >= 0.19
        assert kinds(await hear_all(websocket)) == ["Metadata"]


@pytest.mark.timeout(5)
async def test_late_finals_do_not_outlive_the_client() -> None:
    """A client that leaves during the delay ends it; so does the exit of the server."""
    async with DeepgramServer(faults=Faults(late_final_seconds=60)) as server:
        async with dial(server) as websocket:
            await tell(websocket, "CloseStream")
            await (await server.connection()).received("CloseStream")
        await server.connections[0].wait_closed()
        await tell(await dial(server), "CloseStream")
        await (await server.connection(1)).received("CloseStream")


async def test_no_metadata() -> None:
    """`no_metadata` closes without Metadata."""
    async with DeepgramServer(faults=Faults(no_metadata=True)) as server, dial(server) as websocket:
        await tell(websocket, "CloseStream")
        assert await hear_all(websocket) == []
        assert websocket.close_code == 1000


@pytest.mark.parametrize("target", [V1, V2])
async def test_no_close(target: str) -> None:
    """`no_close` leaves the connection open after CloseStream; the client can still close it."""
    async with DeepgramServer(faults=Faults(no_close=True)) as server, dial(server, target) as websocket:
        await tell(websocket, "CloseStream")
        assert kinds([await hear(websocket)]) == ["Metadata" if target == V1 else "Connected"]
        await (await websocket.ping())
        await websocket.close()
        await server.connections[0].wait_closed()
        assert server.connections[0].close_code == 1000


@pytest.mark.parametrize("target", [V1, V2])
@pytest.mark.parametrize("code", [1000, 1005, 1006, 1011])
async def test_close_code(target: str, code: int) -> None:
    """`close_code` replaces the code of the close after CloseStream, on both endpoints."""
    reason = "because" if code in {1000, 1011} else ""
    async with (
        DeepgramServer(faults=Faults(close_code=code, close_reason=reason)) as server,
        dial(server, target) as websocket,
    ):
        await tell(websocket, "CloseStream")
        await hear_all(websocket)
        assert (websocket.close_code, websocket.close_reason) == (code, reason)


@pytest.mark.parametrize("code", [1006, 1012])
async def test_drop_at_audio_seconds(code: int) -> None:
    """`drop_at_audio_seconds` ends each connection there, and what completed the time is not recognised."""
    recognizer = Prompted()
    server = DeepgramServer(recognizer=recognizer, faults=Faults(drop_at_audio_seconds=2.0, drop_code=code))
    async with server:
        for index in range(2):
            async with dial(server) as websocket:
                await websocket.send(SECOND)
                await (await server.connection(index)).audio_reached(1.0)
                await websocket.send(SECOND)
                assert await hear_all(websocket) == []
                assert websocket.close_code == code
                assert server.connections[index].audio_seconds == 2.0
    assert recognizer.heard == [SECOND, SECOND]


async def test_drop_switched_on_late() -> None:
    """A drop whose time has passed already comes with the next frame."""
    async with DeepgramServer() as server, dial(server) as websocket:
        await websocket.send(SECOND)
        await (await server.connection()).audio_reached(1.0)
        server.faults.drop_at_audio_seconds = 0.5
        await tell(websocket, "KeepAlive")
        assert await hear_all(websocket) == []
        assert websocket.close_code == 1006


async def test_mute() -> None:
    """`mute` sends neither messages nor closes, yet pings are answered."""
    server = DeepgramServer(recognizer=Prompted(*[[said("hi", final=True)]] * 3), idle_timeout_seconds=0.02)
    async with server, dial(server) as websocket:
        server.faults.mute = True
        await websocket.send(SECOND)
        with pytest.raises(TimeoutError), anyio.fail_after(0.1):
            await hear(websocket)
        await tell(websocket, "CloseStream")
        connection = await server.connection()
        await connection.received("CloseStream")
        await (await websocket.ping())
        await connection.close(1001)
        assert await hear_all(websocket) == []
        assert websocket.close_code == 1001


@pytest.mark.timeout(5)
async def test_frozen() -> None:
    """`frozen` answers nothing, pings and close frames least of all, and does not keep the server from exiting."""
    async with DeepgramServer(idle_timeout_seconds=0.05) as server:
        websocket = await dial(server)
        await websocket.send(SECOND)
        connection = await server.connection()
        await connection.audio_reached(1.0)
        server.faults.frozen = True
        pong = await websocket.ping()
        await websocket.send(SECOND)
        with pytest.raises(TimeoutError), anyio.fail_after(0.1):
            await pong
        websocket.close_timeout = 0.1
        await websocket.close()
        assert websocket.close_code == 1006
        assert connection.audio_seconds == 1.0
        assert connection.close_code is None


async def test_frozen_from_the_start() -> None:
    """A frozen server still accepts connections, and reads nothing from them."""
    async with DeepgramServer(faults=Faults(frozen=True)) as server:
        websocket = await dial(server)
        await websocket.send(SECOND)
        with anyio.move_on_after(0.05):
            await (await websocket.ping())
        assert (await server.connection()).frames == []
    await websocket.wait_closed()


async def test_frozen_with_frames_in_hand() -> None:
    """Frames that had been read before the freeze, but not acted upon, are not acted upon after it."""

    def freeze(_: bytes) -> list[Recognized]:
        server.faults.frozen = True
        return []

    async with DeepgramServer(recognizer=freeze) as server:
        websocket = await dial(server)
        for _ in range(3):
            await websocket.send(b"ab")
        with anyio.move_on_after(0.05):
            await (await server.connection()).wait_closed()
        assert server.connections[0].audio_frames == [b"ab"]
    await websocket.wait_closed()


@pytest.mark.parametrize("target", [V1, V2])
async def test_bad_json(target: str) -> None:
    """`bad_json` cuts transcripts short, and nothing else."""
    recognizer = Prompted(*[[said("hi", final=True)]] * 2)
    async with DeepgramServer(recognizer=recognizer) as server, dial(server, target) as websocket:
        server.faults.bad_json = True
        await tell(websocket, "Configure")
        await websocket.send(SECOND)
        await (await server.connection()).audio_reached(1.0)
        while (await hear(websocket))["type"] != "ConfigureSuccess":
            pass
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            await hear(websocket)
        server.faults.bad_json = False
        await websocket.send(SECOND)
        assert (await hear(websocket))["type"] in {"Results", "TurnInfo"}


@pytest.mark.parametrize("target", [V1, V2])
async def test_unknown_types(target: str) -> None:
    """`unknown_types` puts a message that nobody knows before each transcript."""
    server = DeepgramServer(
        recognizer=Prompted([said("hi", final=True)]), faults=Faults(unknown_types=True, no_connected=True)
    )
    async with server, dial(server, target) as websocket:
        await websocket.send(SECOND)
        await tell(websocket, "CloseStream")
        unknown, transcript, *_ = await hear_all(websocket)
    assert unknown == {"type": "Horoscope", "sign": "Leo"}
    assert transcript["type"] in {"Results", "TurnInfo"}


@pytest.mark.parametrize(
    ("target", "left"),
    [(V1, {"type": "Results", "is_final": True}), (V2, {"type": "TurnInfo", "event": "StartOfTurn"})],
)
async def test_missing_fields(target: str, left: dict[str, object]) -> None:
    """`missing_fields` leaves next to nothing of a transcript."""
    server = DeepgramServer(
        recognizer=Prompted([said("hi", final=True)]), faults=Faults(missing_fields=True, no_connected=True)
    )
    async with server, dial(server, target) as websocket:
        await websocket.send(SECOND)
        assert await hear(websocket) == left


async def test_configure_failure() -> None:
    """`configure_failure` turns Configure down with its code and description."""
    faults = Faults(configure_failure=("CONFIGURE_INTERNAL_ERROR", "no"), no_connected=True)
    async with DeepgramServer(faults=faults) as server:
        for index, (target, number) in enumerate(((V1, {}), (V2, {"sequence_id": 0}))):
            async with dial(server, target) as websocket:
                await tell(websocket, "Configure")
                request_id = (await server.connection(index)).request_id
                assert await hear(websocket) == messages.configure_failure(
                    "CONFIGURE_INTERNAL_ERROR", "no", request_id, **number
                )


async def test_no_finalize_answer() -> None:
    """`no_finalize_answer` ignores Finalize; what it would have flushed comes with CloseStream."""
    server = DeepgramServer(recognizer=Prompted(rest=[said("hi")]), faults=Faults(no_finalize_answer=True))
    async with server, dial(server) as websocket:
        await websocket.send(SECOND)
        await tell(websocket, "Finalize")
        await tell(websocket, "CloseStream")
        final, metadata = await hear_all(websocket)
    assert not final["from_finalize"]
    assert metadata["type"] == "Metadata"


async def test_faults_apply_to_scripts() -> None:
    """What a script sends is spoiled like all else; text and bytes go out as they are."""
    script: list[Message] = [messages.results("hi"), "{broken", b"binary"]
    async with (
        DeepgramServer(script=script, faults=Faults(missing_fields=True)) as server,
        dial(server) as websocket,
    ):
        assert json.loads(await websocket.recv()) == {"type": "Results", "is_final": False}
        assert [await websocket.recv(), await websocket.recv()] == ["{broken", b"binary"]


@pytest.mark.parametrize(
    ("own", "heard", "code"),
    [
        (Faults(), ["ConfigureSuccess", "Results", "Results", "Metadata"], 1000),
        (
            Faults(configure_failure=("CODE", "no")),
            ["ConfigureFailure", "Results", "Results", "Metadata"],
            1000,
        ),
        (Faults(no_finalize_answer=True), ["ConfigureSuccess", "Results", "Metadata"], 1000),
        (Faults(no_metadata=True), ["ConfigureSuccess", "Results", "Results"], 1000),
        (Faults(close_code=1011), ["ConfigureSuccess", "Results", "Results", "Metadata"], 1011),
        (Faults(drop_at_audio_seconds=1.0, drop_code=1012), ["ConfigureSuccess"], 1012),
        (
            Faults(unknown_types=True),
            ["ConfigureSuccess", "Horoscope", "Results", "Horoscope", "Results", "Metadata"],
            1000,
        ),
    ],
)
async def test_faults_of_one_connection(own: Faults, heard: list[str], code: int) -> None:
    """A connection's own faults spoil that connection and no other."""
    async with DeepgramServer(recognizer=lambda _: [said("hi", final=True)]) as server:
        unspoiled = (server.faults, ["ConfigureSuccess", "Results", "Results", "Metadata"], 1000)
        for index, (faults, expected, ending) in enumerate(((own, heard, code), unspoiled)):
            async with dial(server) as websocket:
                connection = await server.connection(index)
                assert connection.faults is server.faults
                connection.faults = faults
                await tell(websocket, "Configure")
                await websocket.send(SECOND)
                await tell(websocket, "Finalize")
                await tell(websocket, "CloseStream")
                assert kinds(await hear_all(websocket)) == expected
                assert websocket.close_code == ending
        assert server.faults == Faults()


@pytest.mark.parametrize("target", [V1, V2])
async def test_a_script_mutes_its_connection(target: str) -> None:
    """A script may give its connection faults of its own, in time for the first frame, while others go on."""

    async def script(connection: ServerConnection) -> None:
        if connection is server.connections[0]:
            connection.faults = Faults(mute=True)

    server = DeepgramServer(
        recognizer=lambda _: [said("hi", final=True)], script=script, faults=Faults(no_connected=True)
    )
    async with server, dial(server, target) as muted, dial(server, target) as other:
        for websocket in (muted, other):
            await websocket.send(SECOND)
        assert kinds([await hear(other)]) == ["Results" if target == V1 else "StartOfTurn"]
        connection = server.connections[0]
        await connection.audio_reached(1.0)
        connection.faults = Faults(configure_failure=("CODE", "no"))
        await tell(muted, "Configure")
        # Nothing came before it.
        assert kinds([await hear(muted)]) == ["ConfigureFailure"]


async def test_own_faults_replace_those_of_the_server() -> None:
    """A connection with its own faults is free of the server's, whenever those are switched on."""
    server = DeepgramServer(recognizer=lambda _: [said("hi", final=True)], faults=Faults(mute=True))
    async with server, dial(server) as free, dial(server) as bound:
        (await server.connection()).faults = Faults()
        await server.connection(1)
        server.faults.drop_at_audio_seconds = 1.0
        server.faults.drop_code = 1012
        for websocket in (free, bound):
            await websocket.send(SECOND)
            await tell(websocket, "CloseStream")
        assert kinds(await hear_all(free)) == ["Results", "Metadata"]
        assert await hear_all(bound) == []
        assert (free.close_code, bound.close_code) == (1000, 1012)


@pytest.mark.timeout(5)
async def test_one_frozen_connection() -> None:
    """A frozen connection reads nothing, not even pings; the others go on."""
    async with DeepgramServer() as server:
        frozen, other = await dial(server), await dial(server)
        (await server.connection()).faults = Faults(frozen=True)
        await frozen.send(SECOND)
        pong = await frozen.ping()
        for websocket in (other, await dial(server)):
            await (await websocket.ping())
            await tell(websocket, "CloseStream")
            assert kinds(await hear_all(websocket)) == ["Metadata"]
        with pytest.raises(TimeoutError), anyio.fail_after(0.1):
            await pong
        assert server.connections[0].frames == []
        assert server.connections[0].close_code is None
    await frozen.wait_closed()


async def test_the_sdk_sees_a_drop() -> None:
    """With `drop_at_audio_seconds` the SDK's connection ends with 1006."""
    async with (
        DeepgramServer(faults=Faults(drop_at_audio_seconds=0.5)) as server,
        server.client().listen.v1.connect(
            model="nova-3", encoding="linear16", sample_rate=16000
        ) as connection,
    ):
        await connection.send_media(SECOND)
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
        assert closed.value.rcvd is None
        assert (await server.connection()).close_code == 1006
