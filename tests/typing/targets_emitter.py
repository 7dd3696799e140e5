"""Only type-checked, never run: what a stream can be made of on SDK 5 to 7, whose `listen` only pyright infers."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager

from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.listen.v1.socket_client import AsyncV1SocketClient, V1SocketClient
from deepgram.listen.v2.socket_client import AsyncV2SocketClient, V2SocketClient
from typing_extensions import assert_type

from deepgram_stream_iter import Reconnect, StreamingOptions, StreamSession, stream

OPTIONS = StreamingOptions(model="nova-3")


async def clients(client: AsyncDeepgramClient, sync: DeepgramClient) -> None:
    """Accept a client, async or sync, with options of each form."""
    async with stream(client, OPTIONS, reconnect=True) as session:
        assert_type(session, StreamSession)
    stream(sync, OPTIONS, reconnect=Reconnect())
    stream(client, {"model": "nova-3"})


def connections(client: AsyncDeepgramClient, sync: DeepgramClient) -> None:
    """Accept what `connect()` returned."""
    stream(client.listen.v1.connect(model="nova-3"))
    stream(client.listen.v2.connect(model="flux-general-en"))
    stream(sync.listen.v1.connect(model="nova-3"))
    stream(sync.listen.v2.connect(model="flux-general-en"))


async def entered(client: AsyncDeepgramClient, sync: DeepgramClient) -> None:
    """Accept a connection that the application has entered."""
    async with client.listen.v1.connect(model="nova-3") as nova:
        assert_type(nova, AsyncV1SocketClient)
        stream(nova, listen=False)
    async with client.listen.v2.connect(model="flux-general-en") as flux:
        assert_type(flux, AsyncV2SocketClient)
        stream(flux)
    with sync.listen.v1.connect(model="nova-3") as nova:
        assert_type(nova, V1SocketClient)
        stream(nova, listen=False)
    with sync.listen.v2.connect(model="flux-general-en") as flux:
        assert_type(flux, V2SocketClient)
        stream(flux)


def factories(client: AsyncDeepgramClient, sync: DeepgramClient) -> None:
    """Accept a function that makes connections, plain or async."""

    async def factory() -> AbstractAsyncContextManager[AsyncV1SocketClient]:
        return client.listen.v1.connect(model="nova-3")

    async def of_a_sync_client() -> AbstractContextManager[V2SocketClient]:
        return sync.listen.v2.connect(model="flux-general-en")

    stream(lambda: client.listen.v1.connect(model="nova-3"), reconnect=True)
    stream(lambda: client.listen.v2.connect(model="flux-general-en"), reconnect=True)
    stream(lambda: sync.listen.v1.connect(model="nova-3"), reconnect=True)
    stream(factory, reconnect=True)
    stream(of_a_sync_client, reconnect=True)


def refused(client: AsyncDeepgramClient) -> None:
    """Find what is wrong: an ignore that were not needed would be reported."""

    async def nothing() -> None: ...

    stream(client.listen, OPTIONS)  # pyright: ignore[reportArgumentType]
    stream(client.listen.v1, OPTIONS)  # pyright: ignore[reportArgumentType]
    stream(client.listen.v1.connect)  # pyright: ignore[reportArgumentType]
    stream(client.listen.v1.media, OPTIONS)  # pyright: ignore[reportArgumentType]
    stream(lambda: client, OPTIONS)  # pyright: ignore[reportArgumentType]
    stream(nothing)  # pyright: ignore[reportArgumentType]
    stream("nova-3", OPTIONS)  # pyright: ignore[reportArgumentType]
    stream(client, "nova-3")  # pyright: ignore[reportArgumentType]
