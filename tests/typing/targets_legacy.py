"""Only type-checked, never run: what a stream can be made of on SDK 3 and 4, whose types pyright infers from their code."""

from __future__ import annotations

from deepgram import (  # pyright: ignore[reportMissingTypeStubs]
    AsyncListenWebSocketClient,
    DeepgramClient,
    DeepgramClientOptions,
    ListenWebSocketClient,
    ListenWebSocketOptions,
    LiveOptions,
)
from typing_extensions import assert_type

from deepgram_stream_iter import Reconnect, StreamingOptions, StreamSession, stream

OPTIONS = StreamingOptions(model="nova-3")


async def connections(client: DeepgramClient) -> None:
    """Accept a connection, async or sync, with options of each form."""
    async with stream(client.listen.asyncwebsocket.v("1"), OPTIONS) as session:
        assert_type(session, StreamSession)
    stream(client.listen.asyncwebsocket.v("1"), LiveOptions(model="nova-3", smart_format=True))
    stream(client.listen.asyncwebsocket.v("1"), ListenWebSocketOptions(model="nova-3"))
    stream(client.listen.asyncwebsocket.v("1"), {"model": "nova-3"})
    stream(client.listen.websocket.v("1"), OPTIONS)
    stream(client.listen.websocket.v("1"), LiveOptions(model="nova-3"))
    stream(client.listen.asynclive.v("1"), OPTIONS)
    stream(client.listen.live.v("1"), OPTIONS)


def started(connection: AsyncListenWebSocketClient, sync: ListenWebSocketClient) -> None:
    """Accept a connection that was started, without options."""
    stream(connection, listen=False)
    stream(sync)


def made_anew(client: DeepgramClient) -> None:
    """Accept what makes connections: the client, and functions, plain and async."""

    async def factory() -> AsyncListenWebSocketClient:
        return AsyncListenWebSocketClient(DeepgramClientOptions(api_key="..."))

    stream(client, OPTIONS, reconnect=True)
    stream(client, LiveOptions(model="nova-3"), reconnect=Reconnect())
    stream(lambda: client.listen.asyncwebsocket.v("1"), LiveOptions(model="nova-3"), reconnect=True)
    stream(lambda: client.listen.websocket.v("1"), OPTIONS, reconnect=True)
    stream(factory, OPTIONS, reconnect=True)


def refused(client: DeepgramClient) -> None:
    """Find what is wrong: an ignore that were not needed would be reported."""

    async def nothing() -> None: ...

    stream(client.listen.asyncwebsocket, OPTIONS)  # pyright: ignore[reportArgumentType]
    stream(client.listen, OPTIONS)  # pyright: ignore[reportArgumentType]
    stream(lambda: client, OPTIONS)  # pyright: ignore[reportArgumentType]
    stream(nothing, OPTIONS)  # pyright: ignore[reportArgumentType]
    stream("nova-3", OPTIONS)  # pyright: ignore[reportArgumentType]
    stream(client, "nova-3")  # pyright: ignore[reportArgumentType]
    stream(client, LiveOptions)  # pyright: ignore[reportArgumentType]
