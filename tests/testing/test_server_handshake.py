from __future__ import annotations

import asyncio
import json

import pytest
from deepgram.core.api_error import ApiError
from dialling import V1, V2, dial, hear
from websockets.exceptions import InvalidStatus

from deepgram_stream_iter.testing import DeepgramServer


@pytest.mark.parametrize(
    ("target", "status", "reason"),
    [
        ("/v1/speak?model=nova-3", 404, "there is no /v1/speak"),
        ("/v1/listen", 400, "model is missing"),
        ("/v1/listen?model=flux-general-en", 400, "not served on /v1/listen"),
        ("/v2/listen?model=nova-3", 400, "not served on /v2/listen"),
        (V1 + "&smart_format=True", 400, "smart_format must be true or false"),
        (V1 + "&utterance_end_ms=999&interim_results=true", 400, "at least 1000"),
        (V1 + "&utterance_end_ms=1000", 400, "needs interim_results"),
        (V1 + "&utterance_end_ms=1000&interim_results=false", 400, "needs interim_results"),
        (V1 + "&channels=two", 400, "channels must be a whole number"),
        (V2 + "&eot_threshold=high", 400, "eot_threshold must be a number"),
    ],
)
async def test_a_wrong_query_is_refused(target: str, status: int, reason: str) -> None:
    """What the service would not serve is refused, with a request id, an error code and a reason."""
    async with DeepgramServer() as server:
        with pytest.raises(InvalidStatus) as refused:
            await dial(server, target)
        response = refused.value.response
        assert response.status_code == status
        assert response.headers["dg-request-id"]
        body = json.loads(response.body)
        assert reason in body["err_msg"]
        assert body["err_code"] == response.headers["dg-error"]
        assert body["request_id"] == response.headers["dg-request-id"]
        assert [(it.path, it.status) for it in server.refused] == [(target, status)]
        assert server.connections == []


@pytest.mark.parametrize("authorization", ["Token wrong", "Bearer wrong", "Basic local-key", "local-key"])
async def test_wrong_credentials_are_refused(authorization: str) -> None:
    """Anything but the API key or a known token is 401 INVALID_AUTH, and kept among the refused."""
    async with DeepgramServer() as server:
        with pytest.raises(InvalidStatus) as refused:
            await dial(server, authorization=authorization)
        assert refused.value.response.status_code == 401
        assert refused.value.response.headers["dg-error"] == "INVALID_AUTH"
        assert server.refused[0].headers["Authorization"] == authorization


async def test_the_sdk_sees_the_refusal() -> None:
    """The SDK turns the 401 into its ApiError."""
    async with DeepgramServer() as server:
        with pytest.raises(ApiError) as refused:
            async with server.client(api_key="wrong").listen.v1.connect(model="nova-3"):
                pass
        assert refused.value.status_code == 401


async def test_tokens_may_be_changed() -> None:
    """The set of bearer tokens can be changed while the server runs."""
    async with DeepgramServer() as server:
        server.tokens.clear()
        server.tokens.add("fresh")
        async with server.client(access_token="fresh").listen.v2.connect(model="flux-general-en"):
            assert (await server.connection()).authorization.lower() == "bearer fresh"
        with pytest.raises(InvalidStatus):
            await dial(server, authorization="Bearer local-key")


async def test_the_request_is_recorded() -> None:
    """An accepted connection has its path, query, headers and the request id of the 101."""
    async with DeepgramServer() as server, dial(server, V2 + "&keyterm=a&keyterm=b") as websocket:
        connection = await server.connection()
        assert connection.path == "/v2/listen"
        assert connection.query["keyterm"] == ["a", "b"]
        assert connection.headers["authorization"] == connection.authorization == "Token local-key"
        assert websocket.response is not None
        assert websocket.response.headers["dg-request-id"] == connection.request_id
        assert (await hear(websocket))["request_id"] == connection.request_id


@pytest.mark.parametrize(
    ("after", "header"), [(2.5, "2.5"), (30, "30"), ("Wed, 21 Oct 2015 07:28:00 GMT",) * 2]
)
async def test_a_refusal_by_fault(after: float | str, header: str) -> None:
    """`refuse_status` refuses all comers with the given error and Retry-After."""
    async with DeepgramServer() as server:
        server.faults.refuse_status = 429
        server.faults.refuse_error = "TOO_MANY_REQUESTS"
        server.faults.retry_after = after
        with pytest.raises(InvalidStatus) as refused:
            await dial(server)
        headers = refused.value.response.headers
        assert refused.value.response.status_code == 429
        assert (headers["dg-error"], headers["Retry-After"]) == ("TOO_MANY_REQUESTS", header)
        server.faults.refuse_error = ""
        with pytest.raises(InvalidStatus) as refused:
            await dial(server)
        assert "dg-error" not in refused.value.response.headers
        server.faults.refuse_status = None
        async with dial(server):
            assert (await server.connection()).path == "/v1/listen"


async def test_a_handshake_that_hangs() -> None:
    """`hang_handshake` answers nothing, and holds up neither the next client nor the exit."""
    async with DeepgramServer() as server:
        server.faults.hang_handshake = True
        waiting = dial(server)
        waiting.open_timeout = 0.05
        # Python 3.10 has two errors of this name.
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            await waiting
        server.faults.hang_handshake = False
        async with dial(server):
            assert len(server.connections) == 1
