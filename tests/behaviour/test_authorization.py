"""The authorization that is given to stream(): asked for each connection anew, refused where it cannot hold, never shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.lowlevel
import pytest
from conftest import IS_LEGACY, Connect, any_client, emitter_only, ended, legacy_only, nova, whole_text

from deepgram_stream_iter import (
    ConnectError,
    ConnectionLost,
    DeepgramStreamError,
    Reconnect,
    StreamEvent,
    StreamSession,
    stream,
)
from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection

SOON = Reconnect(initial_delay_seconds=0.01)
KEY = "s3cret-key-of-somebody"
TOKEN = "s3cret-token-of-somebody"
HEADER = f"Bearer {TOKEN}"

Asking = Callable[[Callable[[], Any]], Callable[[], Any]]
"""Makes a plain or an async function of a plain one."""

WRONG = [
    pytest.param(None, TypeError, "must be a str such as 'Bearer TOKEN', not NoneType", id="None"),
    pytest.param(7, TypeError, "must be a str such as 'Bearer TOKEN', not int", id="number"),
    pytest.param(TOKEN.encode(), TypeError, "must be a str such as 'Bearer TOKEN', not bytes", id="bytes"),
    pytest.param(TOKEN, ValueError, "must be the whole header", id="bare"),
    pytest.param("", ValueError, "must be the whole header", id="empty"),
    pytest.param("Bearer ", ValueError, "must be the whole header", id="scheme"),
]
"""What is no header, with the error and what it says."""


class Answers:
    """An authorization that gives, or raises, these one after another, and the last from then on."""

    def __init__(self, *answers: Any) -> None:
        self.calls = 0
        self._answers = answers

    def __call__(self) -> Any:
        """Give the next one, or raise it."""
        answer = self._answers[min(self.calls, len(self._answers) - 1)]
        self.calls += 1
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture(params=["plain", "coroutine"])
def asking(request: pytest.FixtureRequest) -> Asking:
    """Run a test with an authorization of either kind."""

    def made(plain: Callable[[], Any]) -> Callable[[], Any]:
        async def coroutine() -> Any:
            await anyio.lowlevel.checkpoint()
            return plain()

        return plain if request.param == "plain" else coroutine

    return made


def dropping(count: int) -> Callable[[ServerConnection], Awaitable[None]]:
    """Script a server that drops its first connections at once, and then behaves."""
    left = count

    async def script(connection: ServerConnection) -> None:
        nonlocal left
        if left:
            left -= 1
            connection.abort()

    return script


async def until_reconnected(session: StreamSession) -> None:
    """Iterate until the connection was made again."""
    async for event in session:
        if isinstance(event, StreamEvent.Reconnected):
            return
    raise AssertionError("the stream ended before")


# What may be given


async def test_a_text_is_the_header_of_every_connection(connect: Connect) -> None:
    """A str goes with the first connection as with those that follow, in the place of the client's key."""
    async with DeepgramServer(script=dropping(2)) as server:
        server.tokens = {TOKEN}
        async with connect(server, nova(), authorization=HEADER, reconnect=SOON) as session:
            await until_reconnected(session)
            await until_reconnected(session)
    assert [connection.authorization for connection in server.connections] == [HEADER] * 3
    assert server.refused == []


async def test_a_function_is_asked_for_each_connection(connect: Connect, asking: Asking) -> None:
    """Each connection has the token that was given for it, where no other one is welcome any more."""
    given: list[str] = []
    async with DeepgramServer(script=dropping(2)) as server:

        def fresh() -> str:
            token = f"{TOKEN}-{len(given)}"
            server.tokens = {token}
            given.append(f"Bearer {token}")
            return given[-1]

        session = connect(server, nova(), authorization=asking(fresh), reconnect=SOON)
        assert given == []  # it is asked when there is something to connect
        async with session:
            assert len(given) >= 1
            await until_reconnected(session)
            await until_reconnected(session)
    assert [connection.authorization for connection in server.connections] == given
    assert len(set(given)) == 3
    assert server.refused == []


async def test_a_function_without_reconnection(connect: Connect, asking: Asking) -> None:
    """A session that does not reconnect asks once."""
    answers = Answers(HEADER)
    async with DeepgramServer(api_key=KEY) as server:
        server.tokens = {TOKEN}
        async with connect(server, nova(smart_format=True), authorization=asking(answers)):
            served = await server.connection()
    assert answers.calls == 1
    assert served.authorization == HEADER
    assert served.query["smart_format"] == ["true"]


async def test_other_headers_go_with_it(connect: Connect) -> None:
    """The headers of request_options are sent beside it."""
    options = nova(request_options={"additional_headers": {"x-trace": "17"}})
    async with DeepgramServer() as server:
        server.tokens = {TOKEN}
        async with connect(server, options, authorization=Answers(HEADER)):
            served = await server.connection()
    assert served.authorization == HEADER
    assert served.headers["x-trace"] == "17"


# What the function raises


@pytest.mark.parametrize("settings", [{}, {"reconnect": SOON}], ids=["once", "reconnect"])
async def test_what_it_raises_on_entering(connect: Connect, asking: Asking, settings: dict[str, Any]) -> None:
    """An exception of its own comes out of the entry as itself, and nothing was sent."""
    failure = LookupError("no account")
    answers = Answers(failure)
    async with DeepgramServer() as server:
        with pytest.raises(LookupError) as caught:
            await connect(server, nova(), authorization=asking(answers), **settings).__aenter__()
        assert not (server.connections)
        assert not (server.refused)
    assert caught.value is failure
    assert answers.calls == 1


async def test_what_it_raises_on_a_reconnection(connect: Connect, asking: Asking) -> None:
    """An exception of its own comes out of the iteration as itself, once, after the loss was told."""
    failure = LookupError("the account is gone")
    answers = Answers(HEADER, failure)
    events = []
    async with DeepgramServer(script=dropping(1)) as server:
        server.tokens = {TOKEN}
        async with connect(server, nova(), authorization=asking(answers), reconnect=SOON) as session:
            with pytest.raises(LookupError) as caught:
                async for event in session:
                    events.append(event.type)  # noqa: PERF401  (it raises)
            assert caught.value is failure
            assert session.close_info is not None
            assert not session.close_info.drained
    assert events == ["reconnecting"]
    assert answers.calls == 2
    assert len(server.connections) == 1
    assert server.refused == []


async def test_what_it_raises_comes_out_of_the_exit_where_nobody_iterates(connect: Connect) -> None:
    """A consumer that only waits for the end gets the exception from the exit."""
    failure = LookupError("the account is gone")
    async with DeepgramServer(script=dropping(1)) as server:
        server.tokens = {TOKEN}
        with pytest.raises(LookupError) as caught:
            async with connect(
                server, nova(), authorization=Answers(HEADER, failure), reconnect=SOON
            ) as session:
                await ended(session)
    assert caught.value is failure


@pytest.mark.parametrize(
    "failure", [FileNotFoundError(2, "no such file", "token.txt"), anyio.EndOfStream()], ids=repr
)
async def test_what_is_not_the_network(connect: Connect, asking: Asking, failure: Exception) -> None:
    """A file that is missing, or an end that is not the stream's, is not tried again, and is the application's own."""
    answers = Answers(HEADER, failure)
    async with DeepgramServer(script=dropping(1)) as server:
        server.tokens = {TOKEN}
        async with connect(server, nova(), authorization=asking(answers), reconnect=SOON) as session:
            with pytest.raises(type(failure)) as caught:
                await until_reconnected(session)
    assert caught.value is failure
    assert answers.calls == 2


async def test_a_function_that_wants_arguments() -> None:
    """It is called without, so that is refused at once."""

    def token_of(account: str) -> str:
        return f"Bearer {account}"

    unsuitable: Any = token_of
    with pytest.raises(TypeError, match="called without arguments"):
        stream(any_client(), nova(), authorization=unsuitable)


@pytest.mark.parametrize(
    "failure", [OSError("no route"), TimeoutError(), asyncio.TimeoutError(), ConnectionResetError()], ids=repr
)
async def test_what_the_network_does_to_it_is_tried_again(
    connect: Connect, asking: Asking, failure: Exception
) -> None:
    """Where it could not get at the token, on entering or later, it is asked again."""
    answers = Answers(failure, HEADER, failure, failure, HEADER)
    causes = []
    async with DeepgramServer(script=dropping(1)) as server:
        server.tokens = {TOKEN}
        async with connect(server, nova(), authorization=asking(answers), reconnect=SOON) as session:
            async for event in session:
                if isinstance(event, StreamEvent.Reconnected):
                    break
                assert isinstance(event, StreamEvent.Reconnecting)
                causes.append(event.cause)
    assert answers.calls == 5
    assert [connection.authorization for connection in server.connections] == [HEADER] * 2
    assert [type(cause) for cause in causes] == [ConnectionLost, ConnectError, ConnectError]
    assert type(failure).__name__ in str(causes[1])


async def test_what_the_network_does_to_it_without_reconnection(connect: Connect, asking: Asking) -> None:
    """Without reconnect, that is a ConnectError out of the entry."""
    async with DeepgramServer() as server:
        with pytest.raises(ConnectError, match="no route") as caught:
            await connect(server, nova(), authorization=asking(Answers(OSError("no route")))).__aenter__()
        assert not (server.connections)
        assert not (server.refused)
    assert caught.value.status is None
    assert caught.value.is_transient


async def test_a_network_that_never_gives_one(connect: Connect) -> None:
    """The attempts are used up by it as by any other failure; each cause is on the error."""
    answers = Answers(HEADER, OSError("no route"))
    reconnect = Reconnect(initial_delay_seconds=0.01, max_attempts=3)
    async with DeepgramServer(script=dropping(1)) as server:
        server.tokens = {TOKEN}
        async with connect(server, nova(), authorization=answers, reconnect=reconnect) as session:
            with pytest.raises(ConnectionLost, match="max_attempts") as caught:
                await until_reconnected(session)
    assert answers.calls == 4
    assert [type(cause) for cause in caught.value.causes] == [ConnectionLost, *[ConnectError] * 3]


@pytest.mark.parametrize("first", [True, False], ids=["entering", "reconnecting"])
@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (asyncio.CancelledError(), "was cancelled by somebody else"),
        (StopAsyncIteration(), "raised StopAsyncIteration"),
    ],
    ids=["cancelled", "stopped"],
)
async def test_what_would_pass_for_an_end(
    connect: Connect, asking: Asking, failure: BaseException, text: str, *, first: bool
) -> None:
    """A cancellation that is not ours (of a task that it waits for) and the end of its own iterator are an error, no end."""
    answers = Answers(*([failure] if first else [HEADER, failure]))
    async with DeepgramServer(script=dropping(1)) as server:
        server.tokens = {TOKEN}
        session = connect(server, nova(), authorization=asking(answers), reconnect=SOON)
        with pytest.raises(RuntimeError, match=text) as caught:
            async with session:
                await until_reconnected(session)
    assert caught.value.__cause__ is failure
    assert answers.calls == (1 if first else 2)


async def test_one_that_never_answers_is_bounded(connect: Connect) -> None:
    """connect_timeout_seconds bounds the asking too, which is cancelled."""
    cancelled = []

    async def never() -> str:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise
        return HEADER

    async with DeepgramServer() as server:
        with pytest.raises(ConnectError, match="connect_timeout_seconds"):
            await connect(server, nova(), authorization=never, connect_timeout_seconds=0.05).__aenter__()
        assert not (server.connections)
        assert not (server.refused)
    assert cancelled == [1]


# What cannot be a header


@pytest.mark.parametrize(("value", "kind_of_error", "text"), [row for row in WRONG if row.id != "None"])
async def test_a_wrong_value_is_refused_at_once(
    connect: Connect, value: Any, kind_of_error: type[Exception], text: str
) -> None:
    """stream() refuses what is no header, says what is wanted, and does not show what it got."""
    async with DeepgramServer() as server:
        with pytest.raises(kind_of_error, match=text) as caught:
            connect(server, nova(), authorization=value)
        assert not (server.connections)
        assert not (server.refused)
    assert TOKEN not in whole_text(caught.value)


@pytest.mark.parametrize(("value", "kind_of_error", "text"), WRONG)
async def test_a_wrong_answer_is_refused_on_entering(
    connect: Connect, asking: Asking, value: Any, kind_of_error: type[Exception], text: str
) -> None:
    """So is what a function gives, before anything is sent, and it is not asked again."""
    answers = Answers(value)
    async with DeepgramServer() as server:
        with pytest.raises(kind_of_error, match=text) as caught:
            await connect(server, nova(), authorization=asking(answers), reconnect=SOON).__aenter__()
        assert not (server.connections)
        assert not (server.refused)
    assert TOKEN not in whole_text(caught.value)
    assert answers.calls == 1


@pytest.mark.parametrize(("value", "kind_of_error", "text"), WRONG)
async def test_a_wrong_answer_is_refused_on_a_reconnection(
    connect: Connect, value: Any, kind_of_error: type[Exception], text: str
) -> None:
    """Later it ends the session, out of the iteration."""
    answers = Answers("Bearer first", value)
    async with DeepgramServer(script=dropping(1)) as server:
        server.tokens = {"first"}
        async with connect(server, nova(), authorization=answers, reconnect=SOON) as session:
            with pytest.raises(kind_of_error, match=text) as caught:
                await until_reconnected(session)
        assert len(server.connections) == 1
        assert server.refused == []
    assert TOKEN not in whole_text(caught.value)
    assert answers.calls == 2


# Where it cannot be given


@pytest.mark.parametrize(
    "options",
    [{"authorization": HEADER}, {"request_options": {"additional_headers": {"authorization": HEADER}}}],
    ids=["option", "header"],
)
@pytest.mark.parametrize("authorization", [HEADER, Answers(HEADER)], ids=["text", "function"])
async def test_given_twice(options: dict[str, Any], authorization: Any) -> None:
    """In the options and beside them, there is no telling which of the two it should be."""
    for given in (nova(**options), {"model": "nova-3", **options}):
        with pytest.raises(TypeError, match=r"given twice: to the options, and to stream\(\)") as caught:
            stream(any_client(), given, authorization=authorization)
        assert TOKEN not in whole_text(caught.value)


@emitter_only
async def test_given_beside_a_live_connection() -> None:
    """A connection that is open has its own already; the connection goes on."""
    async with DeepgramServer() as server, server.client().listen.v1.connect(model="nova-3") as connection:
        with pytest.raises(TypeError, match="authorization goes with a client"):
            stream(connection, authorization=HEADER)
        with pytest.raises(TypeError, match="authorization goes with a client"):
            stream(connection, authorization=Answers(HEADER), listen=False)
        async with stream(connection):
            pass


@emitter_only
@pytest.mark.parametrize("authorization", [HEADER, Answers(HEADER)], ids=["text", "function"])
async def test_given_beside_what_connect_returned(kind: str, authorization: Any) -> None:
    """So has what connect() returned, entered or not."""
    async with DeepgramServer() as server:
        client: Any = server.client() if kind == "async" else server.sync_client()
        with pytest.raises(TypeError, match="authorization goes with a client"):
            stream(client.listen.v1.connect(model="nova-3"), authorization=authorization)
        assert not (server.connections)
        assert not (server.refused)


@emitter_only
async def test_given_beside_a_factory(kind: str) -> None:
    """A factory of connections gives each its own; what is given beside it is not even asked for."""
    answers = Answers(HEADER)
    async with DeepgramServer() as server:
        client: Any = server.client() if kind == "async" else server.sync_client()
        session = stream(
            lambda: client.listen.v1.connect(model="nova-3"), authorization=answers, reconnect=SOON
        )
        with pytest.raises(TypeError, match="give it the options and the authorization"):
            await session.__aenter__()
        assert not (server.connections)
        assert not (server.refused)
    assert answers.calls == 0


@legacy_only
async def test_given_beside_a_connection_of_sdk_3_and_4(kind: str) -> None:
    """A connection, started or not, is no client: the options have the authorization there."""
    async with DeepgramServer() as server:
        listen: Any = server.client().listen
        connection = (listen.asyncwebsocket if kind == "async" else listen.websocket).v("1")
        with pytest.raises(TypeError, match="authorization goes with a client"):
            stream(connection, nova(), authorization=HEADER)
        assert not (server.connections)
        assert not (server.refused)


@legacy_only
async def test_given_beside_a_factory_that_starts_its_connections() -> None:
    """A connection that comes started has been given its own; it is not put aside in silence."""

    async def started() -> Any:
        connection: Any = server.client().listen.asyncwebsocket.v("1")
        made.append(connection)
        assert await connection.start({"model": "nova-3"})
        return connection

    made: list[Any] = []
    async with DeepgramServer() as server:
        async with stream(started, reconnect=SOON):
            pass
        with pytest.raises(TypeError, match="started already and has its options and its authorization"):
            await stream(started, authorization=HEADER, reconnect=SOON).__aenter__()
        await made[-1].finish()


# What Deepgram refuses


async def test_a_token_that_is_refused_on_a_reconnection(connect: Connect) -> None:
    """HTTP 401 ends the session at once: asking once more for the wrong thing helps nobody."""
    if IS_LEGACY:
        pytest.skip("start() of SDK 3 and 4 returns False, and does not say which status it was")
    answers = Answers("Bearer first", HEADER)
    events = []
    async with DeepgramServer(script=dropping(1)) as server:
        server.tokens = {"first"}
        async with connect(server, nova(), authorization=answers, reconnect=SOON) as session:
            with pytest.raises(ConnectError, match="the token has expired") as caught:
                async for event in session:
                    events.append(event.type)  # noqa: PERF401  (it raises)
    assert caught.value.status == 401
    assert events == ["reconnecting"]
    assert answers.calls == 2
    assert [refused.headers["Authorization"] for refused in server.refused] == [HEADER]


# What nobody sees


@pytest.mark.parametrize(
    "second",
    [HEADER, f"{HEADER}\n", TOKEN, OSError("no route"), LookupError("no account")],
    ids=["refused", "newline", "bare", "network", "raises"],
)
async def test_nothing_shows_a_secret(
    connect: Connect, asking: Asking, second: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """However a session ends over its authorization, no text of it has the key or a token of it."""
    caplog.set_level(logging.DEBUG, "deepgram_stream_iter")
    answers = Answers(f"Bearer first-{TOKEN}", second)
    reconnect = Reconnect(initial_delay_seconds=0.01, max_attempts=2)
    async with DeepgramServer(api_key=KEY, script=dropping(1)) as server:
        server.tokens = {f"first-{TOKEN}"}
        session = connect(server, nova(), authorization=asking(answers), reconnect=reconnect)
        shown = [repr(session)]
        async with session:
            with pytest.raises(Exception) as caught:  # noqa: PT011  (another one each time)
                async for event in session:
                    shown.append(repr(event))  # noqa: PERF401  (it raises)
        shown += [repr(session), repr(session.close_info), whole_text(caught.value)]
        causes = getattr(caught.value, "causes", ())
        shown += [whole_text(cause) for cause in causes]
    shown += [record.getMessage() for record in caplog.records if record.name == "deepgram_stream_iter"]
    assert KEY not in "\n".join(shown)
    assert TOKEN not in "\n".join(shown)


@pytest.mark.parametrize("faults", [{"refuse_status": 401}, {"refuse_status": 503}, {"hang_handshake": True}])
async def test_no_failure_to_connect_shows_a_secret(
    connect: Connect, asking: Asking, faults: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Nor has one to be entered."""
    caplog.set_level(logging.DEBUG, "deepgram_stream_iter")
    async with DeepgramServer(api_key=KEY, faults=Faults(**faults)) as server:
        session = connect(
            server,
            nova(),
            authorization=asking(Answers(HEADER)),
            connect_timeout_seconds=0.2,
            reconnect=Reconnect(initial_delay_seconds=0.01, max_attempts=1),
        )
        with pytest.raises(DeepgramStreamError) as caught:
            await session.__aenter__()
    ours = [record.getMessage() for record in caplog.records if record.name == "deepgram_stream_iter"]
    shown = whole_text(caught.value) + "\n".join(ours) + repr(session)
    assert KEY not in shown
    assert TOKEN not in shown
