"""The SDK as its own users use it, in the dialect of the installed version."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import deepgram

VERSION = importlib.metadata.version("deepgram-sdk")
MAJOR = int(VERSION.partition(".")[0])
IS_SLOW = MAJOR < 7
"""A message takes the SDK ten times as long as it takes SDK 7."""
IS_LEGACY = MAJOR < 5
"""The SDK speaks the dialect of `start()` and `finish()`: no reading but by callbacks, and no Flux."""

FRAME = bytes(640)
"""20 ms of 16 kHz mono linear16."""
RAW_AUDIO = {"encoding": "linear16", "sample_rate": 16000}

Handler = Callable[[Any], object]
Send = Callable[[bytes], Awaitable[object]]


class Sdk(Protocol):
    """What is measured of an SDK."""

    url: str
    client: Any
    baseline: str
    """What the others are compared with."""

    def connect(self, model: str) -> AbstractAsyncContextManager[Any]:
        """Return a live connection that nobody listens to yet."""
        ...

    def unopened(self, model: str) -> Any:
        """Return what `stream()` makes a connection of."""
        ...

    def listen(self, model: str, handler: Handler) -> AbstractAsyncContextManager[Send]:
        """Call the handler with each transcript; the value sends audio."""
        ...


class Emitter:
    """SDK 5, 6 and 7."""

    baseline = "SDK's own async for"

    def __init__(self, url: str) -> None:
        self.url = url
        environment = importlib.import_module("deepgram.environment").DeepgramClientEnvironment
        names = inspect.signature(environment).parameters
        http = url.replace("ws", "http", 1)
        urls = {name: http if name in {"base", "agent_rest"} else url for name in names}
        client = getattr(deepgram, "AsyncDeepgramClient")  # noqa: B009  (not in SDK 3 and 4)
        self.client: Any = client(api_key="local-key", environment=environment(**urls))
        self._message = importlib.import_module("deepgram.core.events").EventType.MESSAGE

    def connect(self, model: str) -> AbstractAsyncContextManager[Any]:
        """Return a live connection that nobody listens to yet."""
        connection: AbstractAsyncContextManager[Any] = self.unopened(model)
        return connection

    def unopened(self, model: str) -> Any:
        """Return what `stream()` makes a connection of."""
        listen = self.client.listen.v2 if model.startswith("flux") else self.client.listen.v1
        return listen.connect(model=model, **{name: str(value) for name, value in RAW_AUDIO.items()})

    @asynccontextmanager
    async def listen(self, model: str, handler: Handler) -> AsyncIterator[Send]:
        """Call the handler with each transcript; the value sends audio."""
        async with self.connect(model) as connection:
            connection.on(self._message, handler)
            listening = asyncio.create_task(connection.start_listening())
            yield connection.send_media
            listening.cancel()


class Legacy:
    """SDK 3 and 4."""

    baseline = "SDK callback that keeps nothing"

    def __init__(self, url: str) -> None:
        self.url = url
        sdk: Any = deepgram
        config = sdk.DeepgramClientOptions(api_key="local-key", url=url.replace("ws", "http", 1))
        config.verbose = logging.CRITICAL  # it logs every connection that is lost
        self.client: Any = sdk.DeepgramClient(config=config)
        self._message = sdk.LiveTranscriptionEvents.Transcript

    @asynccontextmanager
    async def connect(self, model: str) -> AsyncIterator[Any]:
        """Return a live connection that nobody listens to yet."""
        connection = self.unopened(model)
        assert await connection.start({"model": model, **RAW_AUDIO})
        yield connection
        await connection.finish()

    def unopened(self, model: str) -> Any:
        """Return what `stream()` makes a connection of."""
        del model
        return self.client.listen.asyncwebsocket.v("1")

    @asynccontextmanager
    async def listen(self, model: str, handler: Handler) -> AsyncIterator[Send]:
        """Call the handler with each transcript; the value sends audio."""

        async def on_message(_: object, result: Any, **__: object) -> None:
            handler(result)

        connection = self.unopened(model)
        connection.on(self._message, on_message)
        assert await connection.start({"model": model, **RAW_AUDIO})
        yield connection.send
        await connection.finish()


def installed(url: str) -> Sdk:
    """Return the installed SDK, with a client of the server at the address."""
    return Legacy(url) if IS_LEGACY else Emitter(url)
