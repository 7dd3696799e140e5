"""No key and no token in any message, repr, log record or traceback of ours."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from conftest import FRAME, Connect, nova, whole_text

from deepgram_stream_iter import DeepgramStreamError, StreamingOptions
from deepgram_stream_iter.testing import DeepgramServer, Faults

KEY = "s3cret-key-of-somebody"
TOKEN = "s3cret-token-of-somebody"


@pytest.mark.parametrize("spoilt", ["{}\n", "{}\r\n", "{}\u00e9"])
@pytest.mark.parametrize("how", ["key", "authorization"])
async def test_a_key_that_no_header_can_hold(connect: Connect, how: str, spoilt: str) -> None:
    """A key with a newline at its end, as out of a file, is a ConnectError that says so and does not show it."""
    key = spoilt.format(KEY if how == "key" else f"Bearer {TOKEN}")
    options = nova() if how == "key" else nova(authorization=key)
    async with DeepgramServer(api_key=key if how == "key" else "local") as server:
        with pytest.raises(Exception) as caught:  # noqa: PT011  (some SDKs strip it, some raise of themselves)
            async with connect(server, options):
                raise LookupError
    assert KEY not in whole_text(caught.value)
    assert TOKEN not in whole_text(caught.value)


@pytest.mark.parametrize("faults", [{"refuse_status": 401}, {"refuse_status": 500}, {"hang_handshake": True}])
async def test_a_failure_to_connect_shows_no_secret(
    connect: Connect, faults: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the error with its whole chain nor our log at DEBUG has the key or the token."""
    caplog.set_level(logging.DEBUG, "deepgram_stream_iter")
    options = nova(authorization=f"Bearer {TOKEN}")
    async with DeepgramServer(api_key=KEY, faults=Faults(**faults)) as server:
        with pytest.raises(DeepgramStreamError) as caught:
            await connect(server, options, connect_timeout_seconds=0.2).__aenter__()
    text = whole_text(caught.value) + caplog.text
    assert KEY not in text
    assert TOKEN not in text


async def test_a_lost_connection_shows_no_secret(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """The same for a stream that is lost, finished late, or asked for a repr."""
    caplog.set_level(logging.DEBUG)
    options = nova(authorization=f"Bearer {TOKEN}", request_options={"additional_headers": {"x-key": KEY}})
    async with DeepgramServer(api_key=KEY) as server:
        server.tokens.add(TOKEN)
        session = connect(server, options, finish_timeout_seconds=0.1)
        async with session:
            assert (await server.connection()).authorization == f"Bearer {TOKEN}"
            await session.send(FRAME)
            await (await server.connection()).close(1011)
            with pytest.raises(DeepgramStreamError) as caught:
                await anext(session)
        server.faults.no_close = True
        server.faults.no_metadata = True
        with pytest.raises(DeepgramStreamError, match="finish_timeout_seconds") as late:
            async with connect(server, options, finish_timeout_seconds=0.1):
                pass
    ours = "\n".join(record.getMessage() for record in caplog.records if "deepgram_stream" in record.name)
    shown = (
        whole_text(caught.value)
        + whole_text(late.value)
        + ours
        + repr(session)
        + repr(options)
        + repr(session.close_info)
    )
    assert KEY not in shown
    assert TOKEN not in shown


def test_options_show_no_secret_when_they_are_refused() -> None:
    """An error about options does not print the authorization."""
    with pytest.raises(TypeError) as caught:
        StreamingOptions(model="nova-3", authorization=f"Bearer {TOKEN}", smartformat=True)  # type: ignore[call-arg]
    assert TOKEN not in whole_text(caught.value)
    with pytest.raises(ValueError, match="eot_threshold") as refused:
        StreamingOptions(model="nova-3", authorization=f"Bearer {TOKEN}", eot_threshold=0.5)
    assert TOKEN not in whole_text(refused.value)
