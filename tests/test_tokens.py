"""Temporary tokens, granted through the SDK's real HTTP client: one for each connection, and what can go wrong with it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import respx
from conftest import nova, whole_text
from test_readme import SCRIPT, run

from deepgram_stream_iter import ConnectError, ConnectionLost, Reconnect, StreamEvent, StreamSession, stream
from deepgram_stream_iter.testing import DeepgramServer, ServerConnection

SOON = Reconnect(initial_delay_seconds=0.01)
KEY = "s3cret-key-of-somebody"


@dataclass
class Grants:
    """Deepgram's `/v1/auth/grant`: answers with these first, then each time with a token that alone is welcome."""

    server: DeepgramServer
    faults: list[httpx.Response | Exception] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request for a token."""
        self.requests.append(request)
        fault = self.faults.pop(0) if self.faults and self.tokens else None
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            return fault
        self.tokens.append(f"s3cret-token-{len(self.tokens)}")
        self.server.tokens = {self.tokens[-1]}
        return httpx.Response(200, json={"access_token": self.tokens[-1], "expires_in": 30})

    @property
    def headers(self) -> list[str]:
        """The tokens as connections carry them."""
        return [f"Bearer {token}" for token in self.tokens]


@pytest.fixture
async def server() -> AsyncIterator[DeepgramServer]:
    """Give a server that drops its first connection, and plays a script to the next."""

    async def script(connection: ServerConnection) -> None:
        if connection is running.connections[0]:
            connection.abort()
            return
        for message in SCRIPT:
            await connection.send(message)

    async with DeepgramServer(api_key=KEY, script=script) as running:
        yield running


@pytest.fixture
def grants(server: DeepgramServer) -> Iterator[Grants]:
    """Give the endpoint that grants tokens, under the SDK's own HTTP client."""
    granting = Grants(server)
    with respx.mock(base_url=server.environment.base) as http:
        http.post("/v1/auth/grant").mock(side_effect=granting)
        yield granting


def session_of(server: DeepgramServer, **settings: Any) -> StreamSession:
    """Make a session that asks for its tokens as the README does; the SDK leaves it to the session to try again."""
    client = server.client(max_retries=0)

    async def fresh_token() -> str:
        granted = await client.auth.v1.tokens.grant()
        return f"Bearer {granted.access_token}"

    return stream(client, nova(), authorization=fresh_token, **{"reconnect": SOON, **settings})


async def outage(session: StreamSession) -> list[Exception]:
    """Iterate until the connection was made again; return what the attempts were made for."""
    causes = []
    async for event in session:
        if isinstance(event, StreamEvent.Reconnecting):
            causes.append(event.cause)
        if isinstance(event, StreamEvent.Reconnected):
            return causes
    raise AssertionError("the stream ended before")


async def test_the_example_of_the_readme(
    server: DeepgramServer,
    grants: Grants,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each connection carries the token that was granted for it, for the key of the client."""
    await run("tokens", server, monkeypatch)
    assert capsys.readouterr().out == "good morning\n"
    assert len(grants.tokens) == 2
    assert [connection.authorization for connection in server.connections] == grants.headers
    assert [request.headers["Authorization"] for request in grants.requests] == [f"Token {KEY}"] * 2
    assert [json.loads(request.content) for request in grants.requests] == [{}] * 2
    assert server.refused == []


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("no route"),
        httpx.ConnectTimeout("too late"),
        httpx.ReadTimeout("too late"),
        httpx.RemoteProtocolError("hung up"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_grant_that_the_network_fails_is_tried_again(
    server: DeepgramServer, grants: Grants, failure: Exception
) -> None:
    """An outage hits the grant as it hits the stream: it is asked for again, with the back-off of the session."""
    grants.faults = [failure, failure]
    async with session_of(server) as session:
        causes = await outage(session)
    assert [type(cause) for cause in causes] == [ConnectionLost, ConnectError, ConnectError]
    assert [type(failure).__name__ in str(cause) for cause in causes] == [False, True, True]
    assert len(grants.requests) == 4
    assert [connection.authorization for connection in server.connections] == grants.headers


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_grant_that_is_put_off_is_tried_again(
    server: DeepgramServer, grants: Grants, status: int
) -> None:
    """So is one that Deepgram has no time for; its Retry-After counts."""
    grants.faults = [httpx.Response(status, headers={"Retry-After": "0"}, json={})]
    async with session_of(server) as session:
        causes = await outage(session)
    assert [getattr(cause, "status", None) for cause in causes] == [None, status]
    assert [getattr(cause, "retry_after_seconds", None) for cause in causes] == [None, 0]
    assert [connection.authorization for connection in server.connections] == grants.headers


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize("body", ["json", "text"])
async def test_a_grant_that_is_refused_ends_the_session(
    server: DeepgramServer, grants: Grants, status: int, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends at once with the status, and without what the answer repeats of the key."""
    caplog.set_level(logging.DEBUG, "deepgram_stream_iter")
    text = f'{{"err_code": "FORBIDDEN", "err_msg": "Token {KEY} may not"}}'
    grants.faults = [
        httpx.Response(
            status,
            headers={"Authorization": f"Token {KEY}", "dg-request-id": "r-1"},
            text=text if body == "json" else KEY,
        )
    ]
    async with session_of(server) as session:
        with pytest.raises(ConnectError) as caught:
            await outage(session)
    assert caught.value.status == status
    assert caught.value.request_id == "r-1"
    assert len(grants.requests) == 2
    assert len(server.connections) == 1
    assert server.refused == []
    ours = [record.getMessage() for record in caplog.records if record.name == "deepgram_stream_iter"]
    shown = whole_text(caught.value) + "\n".join(ours)
    assert KEY not in shown
    assert not any(token in shown for token in grants.tokens)


async def test_a_refused_grant_on_entering(server: DeepgramServer) -> None:
    """Where there is no first token, the entry says why, and nothing was asked of the stream."""
    with respx.mock(base_url=server.environment.base) as http:
        http.post("/v1/auth/grant").respond(403, json={"err_msg": f"Token {KEY} may not"})
        with pytest.raises(ConnectError, match="HTTP 403") as caught:
            await session_of(server).__aenter__()
    assert KEY not in whole_text(caught.value)
    assert not (server.connections)
    assert not (server.refused)


async def test_a_key_that_no_header_can_hold(server: DeepgramServer) -> None:
    """A key with a newline at its end is refused by httpx, which quotes it; that is said without it, and once."""
    client = server.client(api_key=f"{KEY}\n", max_retries=0)
    asked = []

    async def fresh_token() -> str:
        asked.append(1)
        granted = await client.auth.v1.tokens.grant()
        return f"Bearer {granted.access_token}"

    with pytest.raises(ConnectError, match="such as a newline") as caught:
        await stream(client, nova(), authorization=fresh_token, reconnect=SOON).__aenter__()
    assert KEY not in whole_text(caught.value)
    assert asked == [1]
