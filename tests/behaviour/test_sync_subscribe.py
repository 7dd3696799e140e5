"""subscribe() of a sync session: consumers in other threads, beside the session's own iteration."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import anyio.to_thread
import pytest
from conftest import IS_LEGACY, nova

from deepgram_stream_iter import AnyStreamEvent, BufferOverflow, ConnectionLost, StreamEvent
from deepgram_stream_iter.sync import StreamSession, stream
from deepgram_stream_iter.testing import DeepgramServer, messages

T = TypeVar("T")


class Server:
    """A server that a sync program in another thread has say something."""

    def __init__(self, server: DeepgramServer, kind: str) -> None:
        self._server, self._kind = server, kind
        self._loop = asyncio.get_running_loop()

    def session(self, **settings: Any) -> StreamSession:
        """Make a session with a client of this kind."""
        client: Any = self._server.client() if self._kind == "async" else self._server.sync_client()
        if IS_LEGACY:
            sockets = client.listen.asyncwebsocket if self._kind == "async" else client.listen.websocket
            client = sockets.v("1")
        return stream(client, nova(), **settings)

    def say(self, *texts: str) -> None:
        """Send finals."""
        for text in texts:
            self._call("send", messages.results(text, is_final=True))

    def close(self, code: int) -> None:
        """Close the connection."""
        self._call("close", code)

    def _call(self, name: str, *arguments: object) -> None:
        async def call() -> None:
            await getattr(await self._server.connection(), name)(*arguments)

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)


async def run(kind: str, program: Callable[[Server], T]) -> T:
    """Run a sync program against a server."""
    async with DeepgramServer() as server:
        return await anyio.to_thread.run_sync(program, Server(server, kind))


def everything_of(events: Iterable[AnyStreamEvent]) -> list[AnyStreamEvent]:
    """Iterate to the end."""
    return [*events]


def said(events: list[AnyStreamEvent]) -> list[str]:
    """Return the texts of transcripts."""
    return [event.transcript for event in events if isinstance(event, StreamEvent.Transcript)]


async def test_all_get_the_very_same_events(kind: str) -> None:
    """The session and subscriptions in threads of their own hand out the same objects, and end with the stream."""

    def program(server: Server) -> None:
        with server.session() as session, concurrent.futures.ThreadPoolExecutor(2) as threads:
            subscriptions: list[Iterable[AnyStreamEvent]] = [
                session.subscribe(),
                session.subscribe(StreamEvent.Transcript),
            ]
            consuming = [threads.submit(everything_of, each) for each in subscriptions]
            server.say("one", "two")
            session.finish()
            own = list(session)
            everything, transcripts = (each.result(10) for each in consuming)
        assert [event.type for event in own] == ["transcript", "transcript", "metadata"]
        assert all(event is same for event, same in zip(everything, own, strict=True))
        assert all(event is same for event, same in zip(transcripts, own[:2], strict=True))

    await run(kind, program)


async def test_utterances_of_a_subscription(kind: str) -> None:
    """subscribe().utterances() lives as long as its iterator."""

    def program(server: Server) -> None:
        with server.session() as session:
            utterances = session.subscribe().utterances()
            gc.collect()
            server.say("one", "two")
            session.finish()
            (utterance,) = utterances
            assert (utterance.text, utterance.confirmed) == ("one two", False)
            with pytest.raises(ValueError, match="without kinds"):
                session.subscribe(StreamEvent.Transcript).utterances()

    await run(kind, program)


async def test_one_event_of_a_kind(kind: str) -> None:
    """A subscription that is not kept lives as long as its wait."""

    def program(server: Server) -> None:
        with server.session() as session, concurrent.futures.ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(lambda: next(session.subscribe(StreamEvent.Metadata)))
            while not session._engine._entered.life.inbox._subscribers:
                pass
            server.say("one")
            session.finish()
            assert waiting.result(10).type == "metadata"

    await run(kind, program)


async def test_an_error_reaches_each(kind: str) -> None:
    """The error of the stream comes out of each, behind its events, and not of the exit then."""

    def program(server: Server) -> None:
        with server.session() as session:
            subscription = session.subscribe()
            server.say("one")
            assert said([next(subscription)]) == ["one"]
            server.close(1011)
            with pytest.raises(ConnectionLost, match="1011"):
                next(subscription)

    await run(kind, program)


async def test_a_slow_subscriber_ends_alone(kind: str) -> None:
    """Its BufferOverflow is behind the events that it has, and the stream goes on."""

    def program(server: Server) -> None:
        with server.session() as session:
            slow = session.subscribe(max_buffer_size=1, overflow="error")
            for word in ("one", "two", "three"):
                server.say(word)
                assert said([next(session)]) == [word]
            assert said([next(slow), next(slow)]) == ["one", "two"]
            with pytest.raises(BufferOverflow, match="the stream goes on"):
                next(slow)
            server.say("four")
            assert said([next(session)]) == ["four"]

    await run(kind, program)


async def test_leaving_and_dropping(kind: str) -> None:
    """A subscription that was left or closed gets no more events; one that is dropped leaves nothing."""

    def program(server: Server) -> None:
        with server.session() as session:
            with session.subscribe() as left:
                closed = session.subscribe()
                server.say("one")
                assert said([next(session)]) == ["one"]
                closed.close()
            for _ in range(50):
                session.subscribe()
            gc.collect()
            server.say("two")
            assert said([next(session)]) == ["two"]
            assert said(list(left)) == said(list(closed)) == ["one"]
            assert not session._engine._entered.life.inbox._subscribers

    await run(kind, program)


async def test_a_subscription_alone(kind: str) -> None:
    """With max_buffer_size=0 the subscribers are all there is, after the session was left too."""

    def program(server: Server) -> None:
        with server.session(max_buffer_size=0) as session:
            subscription = session.subscribe()
            server.say("one")
            with pytest.raises(RuntimeError, match="max_buffer_size=0"):
                next(session)
            session.finish()
        assert [event.type for event in subscription] == ["transcript", "metadata"]
        assert session.wait_closed().drained

    await run(kind, program)
