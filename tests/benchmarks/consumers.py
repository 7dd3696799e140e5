"""Each way of taking what the server sends: how much CPU time of this process it needs.

A way connects, asks for the messages with a frame of audio, and is measured from there to the last message.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import anyio
from websockets.asyncio.client import connect

from deepgram_stream_iter import Overflow, Reconnect, StreamEvent, StreamSession, stream

from .dialects import FRAME, IS_LEGACY, RAW_AUDIO, Sdk, Send
from .messages import UTTERANCE

Way: TypeAlias = Callable[[Sdk, str, int], Awaitable[float]]
"""Takes so many messages of a model's; returns the CPU seconds."""
Session = Callable[[Sdk, str], AbstractAsyncContextManager[StreamSession]]


# Without this package


async def raw(sdk: Sdk, model: str, count: int) -> float:
    """No SDK: the socket and `json.loads`."""
    url = f"{sdk.url}/{'v2' if model.startswith('flux') else 'v1'}/listen?model={model}"
    async with connect(url, compression=None) as socket:
        await socket.send(FRAME)
        began = time.process_time()
        for _ in range(count):
            json.loads(await socket.recv())
        return time.process_time() - began


async def callback(sdk: Sdk, model: str, count: int) -> float:
    """Count in the SDK's callback."""
    left, done = count, asyncio.Event()

    def handler(_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    async with sdk.listen(model, handler) as send:
        return await _timed(send, done.wait())


async def own(sdk: Sdk, model: str, count: int) -> float:
    """Iterate the SDK's connection: the SDK's own `async for`."""
    async with sdk.connect(model) as connection:
        return await _timed(connection.send_media, _iterate(connection, count))


async def naive_queue(sdk: Sdk, model: str, count: int) -> float:
    """Fill an `asyncio.Queue` from the callback."""
    waiting: asyncio.Queue[object] = asyncio.Queue()

    async def consume() -> None:
        for _ in range(count):
            await waiting.get()

    async with sdk.listen(model, waiting.put_nowait) as send:
        return await _timed(send, consume())


async def naive_anyio(sdk: Sdk, model: str, count: int) -> float:
    """Fill an anyio memory object stream from the callback."""
    filled, waiting = anyio.create_memory_object_stream[object](math.inf)
    with filled, waiting:
        async with sdk.listen(model, filled.send_nowait) as send:
            return await _timed(send, _iterate(waiting, count))


# With it


def plain(**settings: Any) -> Session:
    """Return a session of a client."""

    def open_session(sdk: Sdk, model: str) -> AbstractAsyncContextManager[StreamSession]:
        return stream(sdk.client, {"model": model, **RAW_AUDIO}, **settings)

    return open_session


@asynccontextmanager
async def attached(sdk: Sdk, model: str) -> AsyncIterator[StreamSession]:
    """Attach to a live connection."""
    async with sdk.connect(model) as connection, stream(connection) as session:
        yield session


@asynccontextmanager
async def reconnected(sdk: Sdk, model: str) -> AsyncIterator[StreamSession]:
    """Lose the first connection, so that the times of the second are moved."""
    async with reconnecting(sdk, model.replace("flood", "lost")) as session:
        await session.send(FRAME)
        async for event in session:
            if isinstance(event, StreamEvent.Reconnected):
                break
        yield session


keeping = plain(reconnect=Reconnect(replay_seconds=86_400.0))
"""Keeps all the audio of a run, because nothing becomes final."""
reconnecting = plain(reconnect=Reconnect(initial_delay_seconds=0.0))


def iterated(session_of: Session) -> Way:
    """Iterate the events."""

    async def way(sdk: Sdk, model: str, count: int) -> float:
        async with session_of(sdk, model) as session:
            return await _timed(session.send, _iterate(session, count))

    return way


def read(session_of: Session) -> Way:
    """Iterate the events, and read the times of every word."""

    async def consume(session: StreamSession, count: int) -> None:
        left = count
        async for event in session:
            if isinstance(event, StreamEvent.Transcript | StreamEvent.TurnUpdate):
                for word in event.words:
                    word.start  # noqa: B018  (reading it is what is measured)
                    word.end  # noqa: B018
            left -= 1
            if not left:
                return

    async def way(sdk: Sdk, model: str, count: int) -> float:
        async with session_of(sdk, model) as session:
            return await _timed(session.send, consume(session, count))

    return way


async def utterances(sdk: Sdk, model: str, count: int) -> float:
    """Iterate the utterances."""
    async with plain()(sdk, model) as session:
        return await _timed(session.send, _iterate(session.utterances(), count // UTTERANCE))


async def _iterate(messages: Any, count: int) -> None:
    left = count
    async for _ in messages:
        left -= 1
        if not left:
            return


async def _timed(send: Send, consumed: Awaitable[object]) -> float:
    began = time.process_time()
    await send(FRAME)
    await consumed
    return time.process_time() - began


# Sending


def sdk_send(*, pausing: bool = False) -> Way:
    """Send with the SDK's own method."""

    async def way(sdk: Sdk, model: str, count: int) -> float:
        async with sdk.listen(model, _ignore) as send:
            return await _sent(send, count, pausing=pausing)

    return way


def session_send(session_of: Session, *, pausing: bool = False) -> Way:
    """Send with the session's."""

    async def way(sdk: Sdk, model: str, count: int) -> float:
        async with session_of(sdk, model) as session:
            return await _sent(session.send, count, pausing=pausing)

    return way


async def _sent(send: Send, count: int, *, pausing: bool) -> float:
    began = time.process_time()
    for _ in range(count):
        await send(FRAME)
        if pausing:
            await asyncio.sleep(0)
    return time.process_time() - began


def _ignore(_: object) -> None:
    return


def overflowing(overflow: Overflow) -> Session:
    """Return a session with that policy."""
    return plain(overflow=overflow)


BASELINE: Way = callback if IS_LEGACY else own
