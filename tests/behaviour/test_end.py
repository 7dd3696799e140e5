"""Behaviour 3: which end of the stream ends the iteration, and which one raises."""

from __future__ import annotations

import contextlib

import pytest
from conftest import FRAME, SDK, TOO_STRICT, Connect, flux, nova, texts

from deepgram_stream_iter import ConnectionLost, ServerError, SessionClosed, StreamEvent
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages


async def test_the_server_closes_after_close_stream(connect: Connect) -> None:
    """A 1000 after our CloseStream ends the iteration; close_info tells it, with the Metadata."""
    async with DeepgramServer() as server, connect(server, nova()) as session:
        session.feed([FRAME] * 5)
        assert [event.type async for event in session] == ["transcript", "metadata"]
        info = session.close_info
        assert info is not None
        assert (info.code, info.initiator, info.drained) == (1000, "client", True)
        assert info.metadata is not None
        assert info.metadata.duration == pytest.approx(0.1)
        assert await session.finish() == info


async def test_the_server_closes_by_itself(connect: Connect) -> None:
    """A 1000 that nobody asked for ends the iteration too; initiator is the server."""
    async with DeepgramServer(script=[messages.results("bye", is_final=True)]) as server:
        async with connect(server, nova()) as session:
            assert isinstance(await anext(session), StreamEvent.Transcript)
            await (await server.connection()).close(1000, "enough")
            assert await texts(session) == []
            assert session.close_info is not None
            assert session.close_info.initiator == "server"
            assert session.close_info.reason == "enough"
            with pytest.raises(SessionClosed):
                await session.send(FRAME)


@pytest.mark.parametrize("code", [1000, 1011])
async def test_sending_on_a_socket_that_is_closed(connect: Connect, code: int) -> None:
    """A clean close is SessionClosed, though the end of it has not come through the full buffer yet; else ConnectionLost."""

    async def script(connection: ServerConnection) -> None:
        for number in range(6):
            await connection.send(messages.results(f"w{number}", start=number, is_final=True))
        await connection.close(code)

    async with DeepgramServer(script=script) as server:
        async with connect(server, nova(), max_buffer_size=2, overflow="wait") as session:
            await (await server.connection()).wait_closed()
            with pytest.raises(SessionClosed if code == 1000 else ConnectionLost):
                await session.send(FRAME)
            with contextlib.suppress(ConnectionLost):
                assert await texts(session) == [f"w{number}" for number in range(6)]


async def test_flux_closes_without_a_status(connect: Connect) -> None:
    """For Flux, 1005 after our CloseStream is clean, and the open turn is handed out unconfirmed."""
    script = [messages.turn_info("StartOfTurn", "hey"), messages.turn_info("Update", "hey you", turn_index=0)]
    async with DeepgramServer(script=script) as server, connect(server, flux()) as session:
        session.feed([FRAME])
        events = [event async for event in session]
        assert [event.type for event in events] == [
            "connected",
            "start_of_turn",
            "turn_update",
            "end_of_turn",
        ]
        last = events[-1]
        assert isinstance(last, StreamEvent.EndOfTurn)
        assert (last.transcript, last.confirmed, last.trigger) == ("hey you", False, "")
        assert last.raw is events[-2].raw
        assert session.close_info is not None
        assert (session.close_info.code, session.close_info.drained) == (1005, True)
        assert session.transcript == "hey you"


async def test_flux_without_an_open_turn(connect: Connect) -> None:
    """Updates without text open no turn, and an ended one is not ended again."""
    script = [
        messages.turn_info("StartOfTurn", "hey"),
        messages.turn_info("EndOfTurn", "hey", trigger="model"),
        messages.turn_info("Update", "", turn_index=1),
    ]
    async with DeepgramServer(script=script) as server, connect(server, flux()) as session:
        await session.finish()
        events = [event async for event in session]
        assert [event.type for event in events][-2:] == ["end_of_turn", "turn_update"]
        assert isinstance(events[2], StreamEvent.EndOfTurn)
        assert (events[2].trigger, events[2].confirmed) == ("model", True)


@pytest.mark.parametrize("code", [1001, 1002, 1003, 1005, 1006, 1007, 1008, 1011, 1012, 1013, 4000])
async def test_any_other_end_raises_after_what_had_arrived(connect: Connect, code: int) -> None:
    """Every other close code is a ConnectionLost, raised after all that had arrived was handed out."""

    async def script(connection: ServerConnection) -> None:
        await connection.send(messages.results("kept", is_final=True))
        await connection.received("KeepAlive")
        await connection.close(code)

    async with DeepgramServer(script=script) as server, connect(server, nova()) as session:
        await session.keep_alive()
        assert isinstance(await anext(session), StreamEvent.Transcript)
        with pytest.raises(ConnectionLost) as caught:
            await anext(session)
        assert caught.value.code == code
        assert isinstance(caught.value, ConnectionError)
        with pytest.raises(ConnectionLost):
            await anext(session)
        assert session.close_info is not None
        assert not session.close_info.drained
        with pytest.raises(ConnectionLost):
            await session.send(FRAME)


@pytest.mark.parametrize("code", [1001, 1005, 1006, 1011])
async def test_a_bad_end_after_close_stream_raises_too(connect: Connect, code: int) -> None:
    """What /v1/listen closes with after CloseStream, without its Metadata, is the agreed end only when it is 1000."""
    async with DeepgramServer(faults=Faults(no_metadata=True, close_code=code)) as server:
        async with connect(server, nova()) as session:
            session.feed([FRAME])
            with pytest.raises(ConnectionLost):
                await texts(session)


async def test_flux_fatal_error(connect: Connect) -> None:
    """Flux's Error ends the stream with a ServerError, after what had arrived."""
    script = [messages.turn_info("StartOfTurn", "hey"), messages.fatal_error("INTERNAL", "try later")]
    async with DeepgramServer(script=script) as server, connect(server, flux()) as session:
        assert [(await anext(session)).type for _ in range(2)] == ["connected", "start_of_turn"]
        with pytest.raises(ServerError, match="try later") as caught:
            await anext(session)
        assert (caught.value.code, caught.value.description) == ("INTERNAL", "try later")


async def test_a_nova_error_message_is_an_event(connect: Connect) -> None:
    """Nova's Error does not end the stream: it is handed out."""
    if SDK[:2] == (5, 0):
        pytest.skip(TOO_STRICT)
    script = [messages.error("no such thing", variant="SchemaError"), messages.results("on", is_final=True)]
    async with DeepgramServer(script=script) as server, connect(server, nova()) as session:
        first, second = await anext(session), await anext(session)
        if (7,) <= SDK < (7, 13):  # which hand out None for it
            assert isinstance(first, StreamEvent.Unknown)
            return
        assert isinstance(first, StreamEvent.Error)
        assert (first.code, first.description) == ("SchemaError", "no such thing")
        assert isinstance(second, StreamEvent.Transcript)


async def test_a_send_that_the_socket_does_not_take(connect: Connect) -> None:
    """A socket that takes nothing for send_timeout_seconds is a ConnectionLost, from send() and the iteration."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), send_timeout_seconds=0.2) as session:
            server.faults.frozen = True
            with pytest.raises(ConnectionLost, match="send_timeout_seconds"):
                while True:
                    await session.send(bytes(64_000))
            with pytest.raises(ConnectionLost, match="send_timeout_seconds"):
                await anext(session)
