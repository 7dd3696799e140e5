from __future__ import annotations

import anyio
import pytest
from deepgram.listen.v2.types.listen_v2configure import ListenV2Configure
from dialling import SECOND, V2, Prompted, dial, hear, hear_all, kinds, said, tell
from websockets.exceptions import ConnectionClosed

from deepgram_stream_iter.testing import DeepgramServer, SpeechStart, messages


async def test_a_turn_from_start_to_end() -> None:
    """Hypotheses become the events of a turn, whose text gathers its finals and the current hypothesis."""
    recognizer = Prompted(
        [SpeechStart(timestamp=0.0), said("", 0.0, 0.2)],
        [said("one", 0.2, 1.0)],
        [said("one", 0.2, 1.0, final=True)],
        [said("two", 1.0, 2.0)],
        [said("two three", 1.0, 2.2, pause=True)],
        [said("four", 3.0, 4.0, pause=True)],
    )
    async with DeepgramServer(recognizer=recognizer) as server, dial(server, V2) as websocket:
        for _ in range(6):
            await websocket.send(SECOND)
        connected, *turns = [await hear(websocket) for _ in range(8)]
    assert connected == messages.connected(server.connections[0].request_id)
    assert [(it["event"], it["turn_index"], it["transcript"]) for it in turns] == [
        ("Update", 0, ""),
        ("StartOfTurn", 0, "one"),
        ("Update", 0, "one"),
        ("Update", 0, "one two"),
        ("EndOfTurn", 0, "one two three"),
        ("StartOfTurn", 1, "four"),
        ("EndOfTurn", 1, "four"),
    ]
    assert [it["sequence_id"] for it in turns] == list(range(1, 8))
    assert [it.get("trigger") for it in turns] == [None, None, None, None, "model", None, "model"]
    assert [(it["audio_window_start"], it["audio_window_end"]) for it in turns[3:5]] == [
        (0.2, 2.0),
        (0.2, 2.2),
    ]
    assert [word["word"] for word in turns[4]["words"]] == ["one", "two", "three"]


async def test_ready_messages_pass() -> None:
    """Ready messages of a recognizer go out as they are, and count in the sequence."""
    resumed = messages.turn_info("TurnResumed", "so")
    recognizer = Prompted([resumed, said("one")])
    async with DeepgramServer(recognizer=recognizer) as server, dial(server, V2) as websocket:
        await websocket.send(SECOND)
        _, passed, start = [await hear(websocket) for _ in range(3)]
    assert passed == resumed
    assert start["sequence_id"] == 2


async def test_eager_end_of_turn_on_request() -> None:
    """With eager_eot_threshold an EagerEndOfTurn comes before EndOfTurn; both carry their threshold."""
    recognizer = Prompted([said("one"), said("one", pause=True)])
    target = V2 + "&eager_eot_threshold=0.4&eot_threshold=0.8"
    async with DeepgramServer(recognizer=recognizer) as server, dial(server, target) as websocket:
        await websocket.send(SECOND)
        _, start, eager, end = [await hear(websocket) for _ in range(4)]
    assert kinds([start, eager, end]) == ["StartOfTurn", "EagerEndOfTurn", "EndOfTurn"]
    assert (eager["end_of_turn_confidence"], end["end_of_turn_confidence"]) == (0.4, 0.8)
    assert eager["transcript"] == end["transcript"] == "one"


async def test_the_end_of_the_stream_ends_no_turn() -> None:
    """CloseStream brings the rest as an Update and a close without status: no EndOfTurn, no Metadata."""
    recognizer = Prompted([said("one", final=True)], rest=[said("two", 1.0, 2.0, pause=True)])
    async with (
        DeepgramServer(recognizer=recognizer) as server,
        server.client().listen.v2.connect(model="flux-general-en") as connection,
    ):
        await connection.send_media(SECOND)
        await connection.send_close_stream()
        heard = [await connection.recv() for _ in range(3)]
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
        await server.connections[0].wait_closed()
    assert [getattr(it, "event", "Connected") for it in heard] == ["Connected", "StartOfTurn", "Update"]
    assert getattr(heard[-1], "transcript", "") == "one two"
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == server.connections[0].close_code == 1005


async def test_the_end_of_an_empty_stream() -> None:
    """With nothing left to say, CloseStream is followed by the close alone."""
    async with DeepgramServer() as server, dial(server, V2) as websocket:
        await tell(websocket, "CloseStream")
        assert kinds(await hear_all(websocket)) == ["Connected"]
        assert websocket.close_code == 1005


async def test_an_empty_frame_ends_nothing() -> None:
    """An empty binary frame has no meaning on /v2/listen."""
    async with DeepgramServer() as server, dial(server, V2) as websocket:
        await websocket.send(b"")
        await tell(websocket, "Configure")
        assert kinds([await hear(websocket), await hear(websocket)]) == ["Connected", "ConfigureSuccess"]


async def test_force_end_turn() -> None:
    """ForceEndTurn ends the open turn with trigger manual; with none open it brings a Warning."""
    recognizer = Prompted([said("one")], rest=[said("one two")])
    async with DeepgramServer(recognizer=recognizer) as server, dial(server, V2) as websocket:
        await websocket.send(SECOND)
        await tell(websocket, "ForceEndTurn")
        await tell(websocket, "ForceEndTurn")
        heard = [await hear(websocket) for _ in range(5)]
    assert kinds(heard) == ["Connected", "StartOfTurn", "Update", "EndOfTurn", "Warning"]
    assert (heard[3]["transcript"], heard[3]["trigger"]) == ("one two", "manual")
    assert heard[4]["sequence_id"] == 4


@pytest.mark.parametrize("text", ['{"type": "KeepAlive"}', '{"type": "Finalize"}', "not json"])
async def test_unknown_text_is_fatal(text: str) -> None:
    """A KeepAlive, like any text that Flux does not know, brings a fatal Error and a close with 1008."""
    async with DeepgramServer() as server, dial(server, V2) as websocket:
        await websocket.send(text)
        _, error = await hear_all(websocket)
        assert (error["type"], error["code"]) == ("Error", "UNPARSABLE_CLIENT_MESSAGE")
        assert websocket.close_code == 1008


async def test_configure_changes_thresholds() -> None:
    """Configure is confirmed with all that is now in force, and takes effect."""
    recognizer = Prompted([said("one", pause=True)])
    async with (
        DeepgramServer(recognizer=recognizer) as server,
        server.client().listen.v2.connect(
            model="flux-general-en", eot_threshold=0.8, eot_timeout_ms=4000, keyterm="a"
        ) as connection,
    ):
        await connection.recv()
        await connection.send_configure(ListenV2Configure.construct(thresholds={"eager_eot_threshold": 0.5}))
        success = await connection.recv()
        await connection.send_media(SECOND)
        events = [getattr(await connection.recv(), "event", None) for _ in range(3)]
    assert success.dict() == messages.configure_success(
        server.connections[0].request_id,
        sequence_id=1,
        thresholds={"eager_eot_threshold": 0.5, "eot_threshold": 0.8, "eot_timeout_ms": 4000},
        keyterms=["a"],
        language_hints=[],
    )
    assert events == ["StartOfTurn", "EagerEndOfTurn", "EndOfTurn"]


async def test_no_idle_close() -> None:
    """/v2/listen does not close a client that sends nothing: pings keep it alive."""
    async with DeepgramServer(idle_timeout_seconds=0.01) as server, dial(server, V2) as websocket:
        await hear(websocket)
        with pytest.raises(TimeoutError), anyio.fail_after(0.1):
            await websocket.recv()
