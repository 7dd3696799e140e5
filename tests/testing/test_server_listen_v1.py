from __future__ import annotations

import anyio
import pytest
from dialling import SECOND, V1, Prompted, dial, hear, hear_all, kinds, said, tell, text_of

from deepgram_stream_iter.testing import DeepgramServer, SpeechStart, SpokenWord, messages

INTERIM = V1 + "&interim_results=true"


async def test_interims_only_on_request() -> None:
    """Hypotheses become `Results`; those that are not final only with interim_results=true."""
    lines = [said("hel"), said("hello", final=True), said("there", 1.0, 2.5, pause=True)]
    for target, expected in (
        (V1, [("hello", True, False), ("there", True, True)]),
        (INTERIM, [("hel", False, False), ("hello", True, False), ("there", True, True)]),
    ):
        async with DeepgramServer(recognizer=Prompted(lines)) as server, dial(server, target) as websocket:
            await websocket.send(SECOND)
            await tell(websocket, "CloseStream")
            *results, _ = await hear_all(websocket)
        assert [(text_of(it), it["is_final"], it["speech_final"]) for it in results] == expected
        assert (results[-1]["start"], results[-1]["duration"]) == (1.0, 1.5)
        assert results[-1]["metadata"]["request_id"] == server.connections[0].request_id


async def test_words_have_their_fields() -> None:
    """A recognizer's words go out with times, confidence, punctuation and speaker."""
    word = SpokenWord("hello", 0.1, 0.4, 0.5, "Hello.", speaker=1)
    hypothesis = said("", final=True)
    recognizer = Prompted([type(hypothesis)(words=(word,), start=0.0, end=1.0, is_final=True)])
    async with DeepgramServer(recognizer=recognizer) as server, dial(server) as websocket:
        await websocket.send(SECOND)
        alternative = (await hear(websocket))["channel"]["alternatives"][0]
    assert alternative["transcript"] == "Hello."
    assert alternative["words"] == [
        {
            "word": "hello",
            "start": 0.1,
            "end": 0.4,
            "confidence": 0.5,
            "punctuated_word": "Hello.",
            "speaker": 1,
        }
    ]


async def test_speech_started_only_on_request() -> None:
    """SpeechStarted comes with vad_events=true only; ready messages of a recognizer pass unchanged."""
    odd = messages.warning("ODD", "passes")
    for target, expected in ((V1, []), (V1 + "&vad_events=true", [messages.speech_started(0.5)])):
        recognizer = Prompted([SpeechStart(timestamp=0.5), odd])
        async with DeepgramServer(recognizer=recognizer) as server, dial(server, target) as websocket:
            await websocket.send(SECOND)
            await tell(websocket, "CloseStream")
            assert (await hear_all(websocket))[:-1] == [*expected, odd]


async def test_utterance_end_once() -> None:
    """UtteranceEnd comes once for each utterance, when the audio is N ms past its last word."""
    recognizer = Prompted(
        [said("one", 0.0, 1.0)],
        [],
        [said("one", 0.0, 1.0, final=True)],
        [],
        [said("one two", 0.0, 4.0)],
        [],
        [],
    )
    target = INTERIM + "&utterance_end_ms=1000"
    async with DeepgramServer(recognizer=recognizer) as server, dial(server, target) as websocket:
        for _ in range(7):
            await websocket.send(SECOND)
        await tell(websocket, "CloseStream")
        heard = await hear_all(websocket)
    assert kinds(heard) == ["Results", "UtteranceEnd", "Results", "Results", "UtteranceEnd", "Metadata"]
    assert [it["last_word_end"] for it in heard if it["type"] == "UtteranceEnd"] == [1.0, 4.0]


async def test_multichannel_counts_its_channels() -> None:
    """With multichannel=true the channel index and the metadata name all channels, and the clock halves."""
    recognizer = Prompted([said("hi", final=True)])
    target = V1 + "&multichannel=true&channels=2"
    async with DeepgramServer(recognizer=recognizer) as server, dial(server, target) as websocket:
        await websocket.send(SECOND)
        await tell(websocket, "CloseStream")
        result, metadata = await hear_all(websocket)
    assert result["channel_index"] == [0, 2]
    assert (metadata["channels"], metadata["duration"]) == (2, 0.5)


async def test_finalize_flushes() -> None:
    """Finalize brings what the recognizer has left, as finals, the last of them marked from_finalize."""
    recognizer = Prompted(rest=[said("one"), said("two", 1.0, 2.0), SpeechStart(timestamp=2.0)])
    async with (
        DeepgramServer(recognizer=recognizer) as server,
        dial(server, V1 + "&vad_events=true") as websocket,
    ):
        await websocket.send(SECOND)
        await tell(websocket, "Finalize")
        one, two, last = [await hear(websocket) for _ in range(3)]
    assert [(text_of(it), it["is_final"], it["from_finalize"]) for it in (one, two)] == [
        ("one", True, False),
        ("two", True, True),
    ]
    assert last["type"] == "SpeechStarted"


async def test_finalize_of_silence() -> None:
    """Finalize answers audio without words with one empty final over it, and no audio with nothing."""
    async with (
        DeepgramServer(recognizer=Prompted([said("hi", final=True)])) as server,
        dial(server) as websocket,
    ):
        await tell(websocket, "Finalize")
        await websocket.send(SECOND)
        await websocket.send(SECOND)
        await tell(websocket, "Finalize")
        await tell(websocket, "Finalize")
        await tell(websocket, "CloseStream")
        final, empty, metadata = await hear_all(websocket)
    assert not final["from_finalize"]
    assert (text_of(empty), empty["is_final"], empty["from_finalize"]) == ("", True, True)
    assert (empty["start"], empty["duration"]) == (1.0, 1.0)
    assert metadata["type"] == "Metadata"


@pytest.mark.parametrize("ending", ['{"type": "CloseStream"}', b""])
async def test_the_end_of_the_stream(ending: str | bytes) -> None:
    """CloseStream, or an empty frame, brings the last finals, then Metadata, then a close with 1000."""
    recognizer = Prompted(rest=[said("bye")])
    async with DeepgramServer(recognizer=recognizer) as server, dial(server) as websocket:
        await websocket.send(SECOND)
        await websocket.send(ending)
        final, metadata = await hear_all(websocket)
        connection = await server.connection()
        await connection.wait_closed()
    assert (text_of(final), final["is_final"], final["from_finalize"]) == ("bye", True, False)
    assert (metadata["type"], metadata["duration"]) == ("Metadata", 1.0)
    assert websocket.close_code == connection.close_code == 1000


async def test_what_comes_after_close_stream_has_no_effect() -> None:
    """Frames after CloseStream are recorded, and not answered."""
    async with DeepgramServer() as server, dial(server) as websocket:
        server.faults.no_close = True
        await tell(websocket, "CloseStream")
        await tell(websocket, "Configure")
        await websocket.send(SECOND)
        connection = await server.connection()
        await connection.audio_reached(1.0)
        assert kinds([await hear(websocket)]) == ["Metadata"]
        await connection.close(1001)
        assert await hear_all(websocket) == []


async def test_idle_connections_are_closed() -> None:
    """A client that sends nothing is closed with 1011 NET-0001; None waits for ever."""
    async with DeepgramServer(idle_timeout_seconds=0.05) as server, dial(server) as websocket:
        assert await hear_all(websocket) == []
        assert (websocket.close_code, websocket.close_reason) == (1011, "NET-0001")
    async with DeepgramServer(idle_timeout_seconds=None) as server, dial(server) as websocket:
        with anyio.move_on_after(0.1):
            await websocket.recv()
        assert websocket.close_code is None


async def test_keep_alive_puts_the_idle_close_off() -> None:
    """Each KeepAlive starts the idle time anew, and gets no reply."""
    async with DeepgramServer(idle_timeout_seconds=0.3) as server, dial(server) as websocket:
        begun = anyio.current_time()
        for _ in range(4):
            with anyio.move_on_after(0.15):
                await websocket.recv()
            await tell(websocket, "KeepAlive")
        assert await hear_all(websocket) == []
        assert anyio.current_time() - begun > 0.8
        assert len(server.connections[0].controls) == 4


async def test_configure_is_confirmed() -> None:
    """Configure brings ConfigureSuccess, which names the keyterms if they were replaced."""
    async with DeepgramServer() as server, dial(server) as websocket:
        request_id = (await server.connection()).request_id
        await tell(websocket, "Configure", features={"numerals": True})
        assert await hear(websocket) == messages.configure_success(request_id)
        await tell(websocket, "Configure", keyterms=["snorkel"])
        assert await hear(websocket) == messages.configure_success(request_id, keyterms=["snorkel"])


@pytest.mark.parametrize("text", ["not json", "[1]", '{"type": "ForceEndTurn"}', "{}"])
async def test_unknown_text_is_complained_of(text: str) -> None:
    """Text that means nothing brings an Error with variant SchemaError, and the stream goes on."""
    async with DeepgramServer() as server, dial(server) as websocket:
        await websocket.send(text)
        complaint = await hear(websocket)
        assert (complaint["type"], complaint["variant"]) == ("Error", "SchemaError")
        assert complaint["message"] == text
        await tell(websocket, "CloseStream")
        assert kinds(await hear_all(websocket)) == ["Metadata"]
