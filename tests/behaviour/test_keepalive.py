"""Behaviour 5: the connection is kept alive while no audio flows, and only then."""

from __future__ import annotations

import json

import pytest
from conftest import FRAME, Connect, flux, nova

from deepgram_stream_iter.testing import DeepgramServer


async def test_a_text_keepalive_when_nothing_was_sent(connect: Connect) -> None:
    """After keepalive_seconds of silence a KeepAlive goes out as a text frame, again and again."""
    async with DeepgramServer(idle_timeout_seconds=0.4) as server:
        async with connect(server, nova(), keepalive_seconds=0.05) as session:
            connection = await server.connection()
            await connection.received("KeepAlive", 3)
            assert all(isinstance(frame.data, str) for frame in connection.frames)
            assert json.loads(connection.frames[0].data) == {"type": "KeepAlive"}
            assert session.stats.keepalives_sent >= 2  # a sync client may not have returned from the third
        assert connection.close_code == 1000


async def test_no_keepalive_while_audio_flows(connect: Connect) -> None:
    """Audio puts the KeepAlive off: each comes keepalive_seconds after the last frame, or later."""
    async with DeepgramServer() as server:
        async with connect(server, nova(), keepalive_seconds=0.15) as session:
            await session.send([FRAME] * 20, pace=1.0)  # 0.4 s
            connection = await server.connection()
            await connection.received("KeepAlive")
            times = [frame.time for frame in connection.frames]
            assert isinstance(connection.frames[20].data, str)
            assert times[20] - times[19] >= 0.1


async def test_no_keepalive_for_flux(connect: Connect) -> None:
    """A KeepAlive would kill a Flux socket, so none is sent."""
    async with DeepgramServer() as server:
        async with connect(server, flux(), keepalive_seconds=0.01) as session:
            await session.send([FRAME] * 10, pace=1.0)
            with pytest.raises(RuntimeError, match="pings"):
                await session.keep_alive()
            await session.finish()
            assert [control["type"] for control in (await server.connection()).controls] == ["CloseStream"]


async def test_keepalive_can_be_switched_off(connect: Connect) -> None:
    """keepalive_seconds=None sends none, and the server's idle time-out strikes."""
    async with DeepgramServer(idle_timeout_seconds=0.1) as server:
        async with connect(server, nova(), keepalive_seconds=None) as session:
            with pytest.raises(ConnectionError, match="NET-0001"):
                await anext(session)


async def test_keep_alive_by_hand(connect: Connect) -> None:
    """keep_alive() sends one now."""
    async with DeepgramServer() as server:
        async with connect(server, nova()) as session:
            await session.keep_alive()
            await (await server.connection()).received("KeepAlive")
            assert session.stats.keepalives_sent == 1
