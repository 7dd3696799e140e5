"""What an operator sees: the records of the one logger, the ids of the connections, and the session's repr."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from conftest import FRAME, IS_LEGACY, Connect, any_client, emitter_only, flux, nova

from deepgram_stream_iter import (
    ConnectError,
    ConnectionLost,
    DeepgramStreamError,
    Reconnect,
    ReconnectAttempt,
    StreamEvent,
    stream,
)
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

SOON = Reconnect(initial_delay_seconds=0.01)
LATER = Reconnect(initial_delay_seconds=3600, max_delay_seconds=3600)
KEY = "s3cret-key-of-somebody"
TOKEN = "s3cret-token-of-somebody"
PASSWORD = "s3cret-password-of-somebody"


class Records:
    """The records of the package's logger."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "deepgram_stream_iter")
        self._caplog = caplog

    @property
    def all(self) -> list[logging.LogRecord]:
        """Return all of them; every one has the fields."""
        records = [
            one for one in self._caplog.records if one.name.partition(".")[0] == "deepgram_stream_iter"
        ]
        ours = [one for one in records if not one.name.startswith("deepgram_stream_iter.testing")]
        assert {one.name for one in ours} <= {"deepgram_stream_iter"}
        for one in ours:
            fields = vars(one)
            assert isinstance(fields["session"], str)
            assert fields["session"]
            assert isinstance(fields["request_id"], str)
            assert isinstance(fields["attempt"], int)
            assert one.getMessage().startswith(f"{fields['session']}: ")
        return ours

    def of(self, level: int) -> list[str]:
        """Return the texts of one level, without the name."""
        return [one.getMessage().partition(": ")[2] for one in self.all if one.levelno == level]

    def fields(self, level: int, name: str) -> list[Any]:
        """Return one field of the records of one level."""
        return [vars(one)[name] for one in self.all if one.levelno == level]

    @property
    def shown(self) -> str:
        """Return all that a handler could write of them, whatever its format."""
        formatter = logging.Formatter()
        return "\n".join(f"{formatter.format(one)} {vars(one)}" for one in self.all)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Records:
    """Return the records of the test."""
    return Records(caplog)


def dropping(code: int, count: int = 1) -> Callable[[ServerConnection], Any]:
    """Script a server that ends its first connections when audio has come."""
    left = count

    async def script(connection: ServerConnection) -> None:
        nonlocal left
        if left:
            left -= 1
            await connection.audio_reached(0.02)
            await connection.close(code)

    return script


# The records


async def test_a_session_without_trouble(connect: Connect, records: Records) -> None:
    """It logs its settings (DEBUG), that it is connected, and that it was closed (INFO), with the id of the request."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), name="desk 7"):
            request_id = (await server.connection()).request_id
    settings, asked = records.of(logging.DEBUG)
    assert "max_buffer_size=256" in settings
    assert "'model': 'nova-3'" in asked
    connected, closed = records.of(logging.INFO)
    assert connected.startswith("connected in 0.")
    assert connected.endswith(f" s [request id {request_id}]")
    assert closed == "closed by the client with code 1000"
    assert records.fields(logging.INFO, "session") == ["desk 7"] * 2
    assert records.fields(logging.INFO, "request_id") == [request_id] * 2
    assert records.fields(logging.INFO, "attempt") == [0, 0]
    assert not records.of(logging.WARNING)


async def test_the_server_ends_it(connect: Connect, records: Records) -> None:
    """Who ended the stream, and how, is one line; an error says it itself."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            await (await server.connection()).close(1000)
            await session.wait_closed()
        async with connect(server, nova()) as session:
            await (await server.connection(1)).close(1011, "NET-0001")
            with pytest.raises(ConnectionLost) as caught:
                await anext(session)
    assert [line for line in records.of(logging.INFO) if line.startswith("closed")] == [
        "closed by the server with code 1000",
        f"closed, because of ConnectionLost: {caught.value}",
    ]


async def test_a_session_that_reconnects(connect: Connect, records: Records) -> None:
    """Reconnecting and reconnected are logged with the attempt and the id of the connection that they are about."""
    async with DeepgramServer(script=dropping(1012)) as server:
        async with connect(server, nova(), reconnect=SOON) as session:
            await session.send(FRAME)
            await server.connection(1)
            await server.connections[1].audio_reached(0.02)
    first, second = (connection.request_id for connection in server.connections)
    connected, reconnecting, reconnected, closed = records.of(logging.INFO)
    assert connected.startswith("connected in")
    assert reconnecting.startswith("reconnecting in 0.0")
    assert " s (attempt 1), because of ConnectionLost: the stream ended with close code 1012" in reconnecting
    assert reconnected.startswith("reconnected in")
    assert closed.startswith("closed")
    assert records.fields(logging.INFO, "attempt") == [0, 1, 1, 0]
    assert records.fields(logging.INFO, "request_id") == [first, first, second, second]
    assert session.request_ids == (first, second)
    assert session.request_id == second


@emitter_only
async def test_the_first_connection_takes_several_attempts(connect: Connect, records: Records) -> None:
    """An attempt that follows on a failure to connect is logged with its number, and so is the connection that comes of it."""
    faults = Faults(refuse_status=503)

    def accept(attempt: ReconnectAttempt) -> None:
        if attempt.number == 2:
            faults.refuse_status = None

    async with DeepgramServer(faults=faults) as server:
        reconnect = Reconnect(initial_delay_seconds=0.01, on_attempt=accept)
        async with connect(server, nova(), reconnect=reconnect):
            pass
    first, second, connected, _ = records.of(logging.INFO)
    for text in (first, second):
        assert text.startswith("connecting again in 0.0")
        assert "HTTP 503" in text
    assert connected.startswith("connected in")
    assert records.fields(logging.INFO, "attempt") == [1, 2, 2, 0]


async def test_no_connection(connect: Connect, records: Records) -> None:
    """A session that could not be entered logs that, and why; there is no connection that was closed."""
    async with DeepgramServer(faults=Faults(refuse_status=401)) as server:
        with pytest.raises(ConnectError) as caught:
            await connect(server, nova()).open()
    assert records.of(logging.INFO) == [f"not connected, because of ConnectError: {caught.value}"]


async def test_an_error_of_the_application_is_named_alone(connect: Connect, records: Records) -> None:
    """The text of the application's own exception is not logged, because nobody knows what it shows; it comes out as itself."""

    async def source() -> Any:
        yield FRAME
        raise LookupError(f"no such key: {KEY}")

    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            session.feed(source())
            with pytest.raises(LookupError, match=KEY):
                await anext(session)
    assert records.of(logging.INFO)[-1].endswith(", because of LookupError")
    assert KEY not in records.shown


async def test_a_gap_is_a_warning(connect: Connect, records: Records) -> None:
    """Audio that is lost is logged before the end is, with its seconds in the length in which people read them."""
    async with DeepgramServer(script=dropping(1008)) as server:
        with pytest.raises(ConnectionLost):
            async with connect(server, nova(), reconnect=SOON) as session:
                await session.send(FRAME * 3)
                await (await server.connection()).wait_closed()
                async for _ in session:
                    pass
    assert records.of(logging.WARNING) == ["audio is lost and not transcribed: from 0.00 s to 0.06 s"]
    assert [one.levelname for one in records.all][-2:] == ["WARNING", "INFO"]


async def test_a_gap_of_unknown_length(connect: Connect, records: Records) -> None:
    """Where bytes are not time, the record does not speak of None."""
    async with DeepgramServer() as server:
        with pytest.raises(ConnectionLost):
            options = nova(encoding=None, sample_rate=None)
            async with connect(server, options, reconnect=SOON) as session:
                await session.send(b"OggS" + FRAME)
                connection = await server.connection()
                while not connection.frames:  # noqa: ASYNC110  (this audio has no clock)
                    await anyio.sleep(0.001)
                await connection.close(1008)
                async for _ in session:
                    pass
    assert records.of(logging.WARNING) == ["audio is lost and not transcribed: from 0.00 s on"]


async def test_drops_are_a_warning(connect: Connect, records: Records) -> None:
    """The first event that a full buffer drops is logged, and no more of them; of a subscription for itself."""
    script = [messages.results(f"w{number}", start=float(number), is_final=True) for number in range(10)]
    async with DeepgramServer() as server:
        async with connect(server, nova(), max_buffer_size=3, overflow="drop_oldest") as session:
            session.subscribe(max_buffer_size=2)
            subscription = session.subscribe(max_buffer_size=2, overflow="drop_oldest")
            for message in script:
                await (await server.connection()).send(message)
            await session.finish()
            assert len([event async for event in subscription]) == 2
    assert records.of(logging.WARNING) == [
        "a subscription's buffer of 2 events is full: the oldest are dropped",
        "the session's buffer of 3 events is full: the oldest are dropped",
    ]


async def test_a_slow_subscription_is_a_warning(connect: Connect, records: Records) -> None:
    """That a subscription was too slow and has ended is logged, once."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            subscription = session.subscribe(max_buffer_size=1, overflow="error")
            for _ in range(4):
                await (await server.connection()).send(messages.results("word", is_final=True))
            await session.finish()
            del subscription
    (warning,) = records.of(logging.WARNING)
    assert warning.startswith("a subscription was too slow and has ended: the buffer of 1 events")


async def test_a_stall_is_a_warning(connect: Connect, records: Records) -> None:
    """A server that says nothing to the audio is one, with the setting that bounds it."""
    async with DeepgramServer(faults=Faults(mute=True)) as server:
        async with connect(server, nova(), stall_timeout_seconds=0.1) as session:
            await session.send(FRAME)
            with pytest.raises(ConnectionLost):
                await anext(session)
    (warning,) = records.of(logging.WARNING)
    assert "nothing for 0.1 s (stall_timeout_seconds)" in warning


async def test_nothing_is_logged_where_nobody_listens(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Above the level of the logger there is no record, and nothing is formatted."""
    caplog.set_level(logging.CRITICAL, "deepgram_stream_iter")
    async with DeepgramServer(script=dropping(1012)) as server:
        async with connect(server, nova(), reconnect=SOON) as session:
            await session.send(FRAME)
            await server.connection(1)
    assert not [one for one in caplog.records if one.name == "deepgram_stream_iter"]


# Secrets


@pytest.mark.parametrize("how", ["key", "str", "function", "async function", "options"])
async def test_no_secret(connect: Connect, records: Records, how: str) -> None:
    """No record at DEBUG has a key, a token or a URL's password, whatever becomes of the connections."""

    async def ask() -> str:
        await anyio.lowlevel.checkpoint()
        return f"Bearer {TOKEN}"

    def register(secret: str, connection: object) -> None:
        del secret, connection

    async def source() -> Any:
        yield FRAME
        raise LookupError(f"{KEY} {TOKEN} {PASSWORD}")

    authorization: Any = {
        "str": f"Bearer {TOKEN}",
        "function": lambda: f"Bearer {TOKEN}",
        "async function": ask,
    }
    settings: dict[str, Any] = {
        "on_connection": partial(register, KEY),
        "reconnect": Reconnect(initial_delay_seconds=0.01, max_attempts=2, on_attempt=partial(register, KEY)),
    }
    options: dict[str, Any] = {"callback": f"https://me:{PASSWORD}@example.com/?token={TOKEN}"}
    if how in authorization:
        settings["authorization"] = authorization[how]
    elif how == "options":
        options["authorization"] = f"Bearer {TOKEN}"
    async with DeepgramServer(api_key=KEY, script=dropping(1012)) as server:
        server.tokens.add(TOKEN)
        async with connect(server, nova(**options), **settings) as session:
            await session.send(FRAME)
            await server.connection(1)
            await server.connections[1].audio_reached(0.02)
            session.feed(source())
            with pytest.raises(LookupError):
                async for _ in session:
                    pass
            shown = repr(session) + repr(session.stats) + repr(session.close_info)
        server.faults.refuse_status = 503
        with pytest.raises(DeepgramStreamError) as caught:
            await connect(server, nova(**options), **settings).open()
        server.tokens.clear()
        server.faults.refuse_status = None
        server.faults.hang_handshake = True
        with pytest.raises(DeepgramStreamError):
            await connect(server, nova(**options), **settings, connect_timeout_seconds=0.05).open()
    assert len(records.all) >= 10
    shown += records.shown + str(caught.value)
    for secret in (KEY, TOKEN, PASSWORD):
        assert secret not in shown


@pytest.mark.parametrize("where", ["authorization", "factory", "on_connection"])
async def test_no_secret_of_a_function_that_fails(records: Records, where: str) -> None:
    """What a function of the application raises shows its secrets to the application, and not to the log."""

    def fail(*_: object) -> Any:
        raise LookupError(f"cannot use {KEY}")

    async with DeepgramServer() as server:
        client: Any = server.client()
        target = fail if where == "factory" else client
        settings: dict[str, Any] = {} if where == "factory" else {where: fail}
        with pytest.raises(LookupError, match=KEY):
            await stream(target, nova(), **settings).open()
    assert records.of(logging.INFO)
    assert KEY not in records.shown


# Names and ids


async def test_a_default_name() -> None:
    """Sessions without a name have one each, in records and repr."""
    names = [repr(stream(any_client(), nova())) for _ in range(2)]
    assert names[0] != names[1]
    assert "stream-" in names[0]
    assert repr(stream(any_client(), nova(), name="desk 7")) == "<StreamSession 'desk 7': not entered>"


async def test_a_name_that_is_none() -> None:
    """A name of another type is a TypeError."""
    with pytest.raises(TypeError, match="name"):
        stream(any_client(), nova(), name=7)  # type: ignore[arg-type]


async def test_a_request_id_for_each_connection(connect: Connect) -> None:
    """request_ids has that of each connection, in order, from the first on, and after the end."""
    async with DeepgramServer(script=dropping(1012, 2)) as server:
        session = connect(server, nova(), reconnect=SOON)
        assert not session.request_ids
        async with session:
            for number in range(3):
                await server.connection(number)
                assert session.request_ids[:1] == (server.connections[0].request_id,)
                await session.send(FRAME)
            await server.connections[2].audio_reached(0.06)
        assert session.request_ids == tuple(connection.request_id for connection in server.connections)
        assert len(set(session.request_ids)) == 3


async def test_the_request_id_that_flux_says(connect: Connect) -> None:
    """Flux's is known from its Connected on, and is one, though the handshake says it too."""
    async with DeepgramServer() as server:
        async with connect(server, flux()) as session:
            assert session.request_ids == ((await server.connection()).request_id,)
            await session.finish()
        assert len(session.request_ids) == 1


# What a session looks like


async def test_the_repr_of_each_state(connect: Connect) -> None:
    """repr() tells the name, what the session is doing, and the id of the request."""
    async with DeepgramServer() as server:
        server.faults.late_final_seconds = 0.2
        session = connect(server, nova(), name="desk")
        assert repr(session) == "<StreamSession 'desk': not entered>"
        opening = asyncio.create_task(session.open())
        while "not entered" in repr(session):
            await anyio.lowlevel.checkpoint()
        assert repr(session) == "<StreamSession 'desk': connecting>"
        await opening
        identity = f"request id {(await server.connection()).request_id}"
        assert repr(session) == f"<StreamSession 'desk': live, {identity}>"
        finishing = asyncio.create_task(session.finish())
        await (await server.connection()).received("CloseStream")
        assert repr(session) == f"<StreamSession 'desk': finishing, {identity}>"
        await finishing
        assert repr(session) == f"<StreamSession 'desk': closed, {identity}>"
        await session.aclose()


async def test_the_repr_of_a_failure(connect: Connect) -> None:
    """A session that failed tells with what, also where it never was connected."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), name="desk") as session:
            await (await server.connection()).close(1011)
            with pytest.raises(ConnectionLost):
                await anext(session)
            assert repr(session).startswith("<StreamSession 'desk': failed: ConnectionLost, request id ")
        server.faults.refuse_status = 401
        session = connect(server, nova(), name="desk")
        with pytest.raises(ConnectError):
            await session.open()
    assert repr(session) == "<StreamSession 'desk': failed: ConnectError>"


async def test_the_repr_of_an_outage(connect: Connect) -> None:
    """While there is no connection it is reconnecting."""
    async with DeepgramServer(script=dropping(1012)) as server:
        session = connect(server, nova(), name="desk", reconnect=LATER)
        async with session:
            await session.send(FRAME)
            async for event in session:
                if isinstance(event, StreamEvent.Reconnecting):
                    break
            assert repr(session).startswith("<StreamSession 'desk': reconnecting, request id ")
            raised = LookupError("leaves at once")
            with pytest.raises(LookupError):
                await session.__aexit__(LookupError, raised, None)
                raise raised
        assert "failed" in repr(session) or "closed" in repr(session)
    assert IS_LEGACY or server.connections
