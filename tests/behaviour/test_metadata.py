"""After Nova's `Metadata` nothing is to come: however the connection ends then, it is the agreed end."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
import pytest
from conftest import FRAME, Connect, EventType, LateWord, emitter_only, nova

from deepgram_stream_iter import CallbackError, Reconnect, StreamEvent, StreamSession, stream
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

SOON = Reconnect(initial_delay_seconds=0.01)
reconnecting_or_not = pytest.mark.parametrize("reconnect", [False, SOON], ids=["once", "reconnect"])


def check(session: StreamSession, code: int) -> None:
    """Check that the session has ended as agreed, though with this code."""
    info = session.close_info
    assert info is not None
    assert (info.drained, info.initiator, info.code) == (True, "client", code)
    assert info.metadata is not None
    assert session.stats.reconnects == 0


@reconnecting_or_not
@pytest.mark.parametrize("code", [1001, 1005, 1006, 1008, 1011, 1012])
async def test_a_connection_that_is_lost_after_metadata(
    connect: Connect, code: int, *, reconnect: Reconnect | bool
) -> None:
    """Whatever code it is lost with, the iteration ends, after one Metadata, and nothing is connected again."""
    faults = Faults(close_code=code, no_finalize_answer=True)
    async with DeepgramServer(recognizer=LateWord, faults=faults) as server:
        async with connect(server, nova(), reconnect=reconnect) as session:
            session.feed([FRAME] * 3)
            assert [event.type async for event in session] == ["transcript", "metadata"]
        check(session, code)
        assert session.transcript == "late"
        assert len(server.connections) == 1


@reconnecting_or_not
@pytest.mark.parametrize("how", ["finish", "leave"])
async def test_leaving_a_connection_that_is_lost_after_metadata(
    connect: Connect, how: str, *, reconnect: Reconnect | bool
) -> None:
    """Neither `finish()` nor the exit has anything to complain of, and what had come is there."""
    faults = Faults(close_code=1006, no_finalize_answer=True)
    async with DeepgramServer(recognizer=LateWord, faults=faults) as server:
        async with connect(server, nova(), reconnect=reconnect) as session:
            await session.send(FRAME)
            if how == "finish":
                assert (await session.finish()).drained
        check(session, 1006)
        assert [event.type async for event in session] == ["transcript", "metadata"]
        assert len(server.connections) == 1


@reconnecting_or_not
async def test_silence_after_metadata(connect: Connect, *, reconnect: Reconnect | bool) -> None:
    """A server that has said all owes no answer to audio, wherever the CloseStream came from: that is no stall."""

    async def script(connection: ServerConnection) -> None:
        await connection.audio_reached(0.02)
        await connection.send(messages.metadata())
        connection.faults = Faults(mute=True)

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), reconnect=reconnect, stall_timeout_seconds=0.1) as session:
            session.feed(iter(lambda: FRAME, b""), pace=1.0)
            assert [event.type async for event in session] == ["metadata"]
        assert session.close_info is not None
        assert session.close_info.drained
        assert len(server.connections) == 1


class RaisesOverMetadata:
    """A handler of the application that raises when the Metadata comes."""

    def __init__(self) -> None:
        self.error = LookupError("the application's own")

    def __call__(self, message: Any) -> None:
        """Raise."""
        if getattr(message, "type", "") == "Metadata":
            raise self.error


@emitter_only
@pytest.mark.parametrize(
    ("order", "code"), [("before ours", 1000), ("after ours", 1000), ("after ours", 1006)]
)
async def test_a_handler_that_raises_over_metadata(kind: str, order: str, code: int) -> None:
    """That the stream has ended as agreed does not hide an error of the application."""
    handler = RaisesOverMetadata()
    async with DeepgramServer(faults=Faults(close_code=code)) as server:
        client: Any = server.client() if kind == "async" else server.sync_client()
        context = client.listen.v1.connect(model="nova-3")
        if kind == "async":
            connection = await context.__aenter__()
        else:
            connection = await anyio.to_thread.run_sync(context.__enter__)
        try:
            if order == "before ours":
                connection.on(EventType.MESSAGE, handler)
            async with stream(connection, finish_timeout_seconds=5) as session:
                if order == "after ours":
                    connection.on(EventType.MESSAGE, handler)
                session.feed([FRAME])
                with pytest.raises(CallbackError, match="LookupError") as caught:
                    async for _ in session:
                        pass
                assert caught.value.__cause__ is handler.error
        finally:
            if kind == "async":
                await context.__aexit__(None, None, None)
            else:
                await anyio.to_thread.run_sync(context.__exit__, None, None, None)


@emitter_only
async def test_a_handler_that_raises_over_metadata_is_no_reason_to_reconnect(connect: Connect) -> None:
    """Neither does it where the session reconnects; the Metadata that had come is handed out before."""
    handler = RaisesOverMetadata()
    async with DeepgramServer() as server:
        async with connect(server, nova(), reconnect=SOON) as session:
            connection: Any = session.connection
            connection.on(EventType.MESSAGE, handler)
            session.feed([FRAME])
            events = []
            with pytest.raises(CallbackError, match="LookupError") as caught:
                async for event in session:
                    events.append(event)  # noqa: PERF401  (it raises)
            assert caught.value.__cause__ is handler.error
        assert isinstance(events[-1], StreamEvent.Metadata)
        assert len(server.connections) == 1
