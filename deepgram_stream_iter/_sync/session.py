"""StreamSession of `deepgram_stream_iter.sync`: what the application calls."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from deepgram_stream_iter._adapters._protocol import LiveConnection
from deepgram_stream_iter._audio.sources import AudioSource, check_source, is_buffer, is_plain_iterable
from deepgram_stream_iter._connection.ending import CloseInfo
from deepgram_stream_iter._events.kinds import AnyStreamEvent, ConfiguredEvent, StreamEvent, TranscriptEvent
from deepgram_stream_iter._life.sources import OnError
from deepgram_stream_iter._settings import BufferSettings, Overflow
from deepgram_stream_iter._stats import StreamStats
from deepgram_stream_iter._sync.consumer import CrossingConsumer
from deepgram_stream_iter._sync.engine import NOT_ENTERED, Engine
from deepgram_stream_iter._sync.feed import Feed
from deepgram_stream_iter._sync.loop_thread import LoopReleased, check_thread
from deepgram_stream_iter._sync.running import Running
from deepgram_stream_iter._sync.subscription import Subscription, Utterances
from deepgram_stream_iter._transcript import Utterance

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self, Unpack

E = TypeVar("E", bound=StreamEvent)
F = TypeVar("F", bound=StreamEvent)
G = TypeVar("G", bound=StreamEvent)

_FOR_ASYNC_WITH = "`async with` and `async for` are for that of deepgram_stream_iter.stream()"


class StreamSession:
    """One stream: a context manager that returns itself, and an iterator of its events; `sync.stream()` makes it.

    Each method does what the one of `deepgram_stream_iter.StreamSession` does, and is described there; it blocks the
    calling thread, which may be any, and several at once. One thread iterates at a time.
    """

    _running: Running | None = None
    _consumer: CrossingConsumer[AnyStreamEvent] | None = None

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_entered = threading.Lock()  # once, by one of several threads

    def __enter__(self) -> Self:
        return self.open()

    def open(self) -> Self:
        """Connect, for an application that starts and ends in different functions, see `StreamSession.open`.

        :raises ConnectError: as there.
        :raises RuntimeError: as there; and in the thread of the event loop, where handlers of an async client are called.
        """
        check_thread()
        if not self._is_entered.acquire(blocking=False):
            raise RuntimeError("a session can be entered once: call stream() again for another")
        running = self._running = Running(self._engine)
        try:
            running.open()
        finally:
            self._consumer = self._engine.consumer(running)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Leave as `close()` does after a normal body; close at once after an exception, which goes on as itself."""
        if self._running is not None:
            self._running.leave(is_orderly=exc_type is None)

    def close(self) -> None:
        """Finish, and close, see `StreamSession.aclose`; a Ctrl-C closes at once.

        :raises DeepgramStreamError: the error with which the stream ended, if nobody has seen it.
        """
        self.__exit__(None, None, None)

    def __del__(self) -> None:
        running = self._running
        if running is None or running.is_left:
            return
        # This may run in any thread, and while that holds any lock.
        try:
            running.warn(source=self)
        finally:
            running.drop()

    # By mistake

    async def __aenter__(self) -> NoReturn:
        raise TypeError(f"this session is entered with `with`; {_FOR_ASYNC_WITH}")

    async def __aexit__(self, *_: object) -> NoReturn:
        raise TypeError(f"this session is left by `with`; {_FOR_ASYNC_WITH}")

    def __aiter__(self) -> NoReturn:
        raise TypeError(f"this session is iterated with `for`; {_FOR_ASYNC_WITH}")

    # What is received

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> AnyStreamEvent:
        """Hand out the next event; see `StreamSession.__anext__`."""
        if self._consumer is None:
            raise RuntimeError(NOT_ENTERED)
        try:
            return self._consumer.next_here()
        except StopAsyncIteration:
            raise StopIteration from None

    def utterances(self) -> Iterator[Utterance]:
        """Iterate whole utterances (Nova, by channel) or turns (Flux) instead; see `StreamSession.utterances`."""
        self._engine.utterances()  # keeps the words from now on
        return Utterances(self._next_utterance)

    def _next_utterance(self) -> Utterance:
        if self._consumer is None:
            raise RuntimeError(NOT_ENTERED)
        return self._consumer.next_utterance_here()

    @overload
    def subscribe(self, **settings: Unpack[BufferSettings]) -> Subscription[AnyStreamEvent]: ...

    @overload
    def subscribe(self, kind: type[E], /, **settings: Unpack[BufferSettings]) -> Subscription[E]: ...

    @overload
    def subscribe(
        self, kind: type[E], second: type[F], /, **settings: Unpack[BufferSettings]
    ) -> Subscription[E | F]: ...

    @overload
    def subscribe(
        self, kind: type[E], second: type[F], third: type[G], /, **settings: Unpack[BufferSettings]
    ) -> Subscription[E | F | G]: ...

    @overload
    def subscribe(
        self,
        kind: type[StreamEvent],
        second: type[StreamEvent],
        third: type[StreamEvent],
        fourth: type[StreamEvent],
        /,
        *kinds: type[StreamEvent],
        **settings: Unpack[BufferSettings],
    ) -> Subscription[AnyStreamEvent]: ...

    def subscribe(
        self,
        *kinds: type[StreamEvent],
        max_buffer_size: int = 256,
        overflow: Overflow = "coalesce",
        overflow_timeout_seconds: float = 10.0,
    ) -> Subscription[Any]:
        """Return an independent consumer of the events from now on; see `StreamSession.subscribe`."""
        if self._running is None:
            raise RuntimeError(NOT_ENTERED)
        settings = (max_buffer_size, overflow, overflow_timeout_seconds)
        try:
            subscribed = self._entered.lease.call(self._engine.start_subscription, kinds, *settings)
        except LoopReleased:
            subscribed = self._engine.subscribe_to_the_end(kinds, *settings)
        return Subscription(self._running, subscribed)

    @property
    def accumulated_transcript(self) -> str:
        """The text of the utterance or turn that the consumer is at; see `StreamSession.accumulated_transcript`."""
        return self._engine.accumulated_transcript

    @property
    def transcript(self) -> str:
        """All final text that has arrived, of all channels, handed out or not."""
        return self._engine.transcript

    # What is sent

    def send(self, audio: AudioSource, *, pace: float | None = None) -> None:
        """Send audio, see `StreamSession.send`; an iterable is iterated in the calling thread, and may block."""
        check_source(audio)
        if not is_plain_iterable(audio):
            self._entered.ask(self._engine.send, audio, pace=pace)
            return
        self._entered.ask(self._engine.send, (), pace=pace)  # is refused before the first piece is taken
        is_head = True
        for piece in audio:
            # In a list it is checked as the head of a source, and refused where it is no audio.
            self._entered.ask(
                self._engine.send, piece if is_buffer(piece) and not is_head else [piece], pace=pace
            )
            is_head = is_head and not memoryview(piece).nbytes

    def send_nowait(self, audio: Buffer) -> None:
        """Send a piece of audio from any thread or audio callback; see `StreamSession.send_nowait`."""
        self._entered.check_not_left()
        self._engine.send_nowait(audio)

    def skip(self, seconds: float) -> None:
        """Count audio that is left out here, without waiting; see `StreamSession.skip`."""
        self._entered.check_not_left()
        self._engine.skip(seconds)

    def feed(
        self,
        source: AudioSource,
        *,
        pace: float | None = None,
        finish: bool = True,
        on_error: OnError = "raise",
    ) -> Feed:
        """Send a source in the background, see `StreamSession.feed`; an iterable runs in a thread of its own, and may block."""
        fed = self._entered.ask(self._engine.start_feed, source, pace=pace, finish=finish, on_error=on_error)
        return Feed(self._entered, fed)

    def finalize(self, timeout_seconds: float = 2.0) -> TranscriptEvent | None:
        """Have Deepgram flush what it has heard (v1); see `StreamSession.finalize`."""
        self._entered.check_waiting()
        return self._entered.ask(self._engine.finalize, timeout_seconds)

    def configure(self, **changes: object) -> ConfiguredEvent:
        """Change settings of the running stream; see `StreamSession.configure`."""
        self._entered.check_waiting()
        return self._entered.ask(self._engine.configure, **changes)

    def keep_alive(self) -> None:
        """Send a KeepAlive now (v1); see `StreamSession.keep_alive`."""
        self._entered.ask(self._engine.keep_alive)

    def force_end_turn(self) -> None:
        """End the open turn now (Flux); see `StreamSession.force_end_turn`."""
        self._entered.ask(self._engine.force_end_turn)

    def finish(self) -> CloseInfo:
        """End the stream in order, and wait until the server has closed; see `StreamSession.finish`."""
        self._entered.check_waiting()
        with contextlib.suppress(LoopReleased):
            return self._entered.lease.call(self._engine.finish)
        return self._engine.over().info

    def wait_closed(self) -> CloseInfo:
        """Wait until the stream has ended; see `StreamSession.wait_closed`."""
        self._entered.check_waiting()
        with contextlib.suppress(LoopReleased):
            return self._entered.lease.call(self._engine.wait_closed)
        over = self._engine.over()
        if over.error is not None:
            raise over.error
        return over.info

    # What there is to know

    def __repr__(self) -> str:
        return repr(self._engine)

    @property
    def close_info(self) -> CloseInfo | None:
        """How the stream ended; None while it has not."""
        return self._engine.close_info

    @property
    def connection(self) -> LiveConnection:
        """The SDK's own connection; see `StreamSession.connection`."""
        return self._engine.connection

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream; empty until it is known."""
        return self._engine.request_id

    @property
    def request_ids(self) -> tuple[str, ...]:
        """Deepgram's ids, one a connection."""
        return self._engine.request_ids

    @property
    def stats(self) -> StreamStats:
        """What the session has done so far.

        The waits end when the iterating thread fetches the events, all that wait at once, and not with each one's turn.
        """
        stats = self._engine.stats
        pending = self._consumer.pending if self._consumer is not None else 0
        buffered = stats.buffered + pending
        return dataclasses.replace(stats, buffered=buffered, buffered_max=max(stats.buffered_max, buffered))

    @property
    def _entered(self) -> Running:
        if self._running is None:
            raise RuntimeError(NOT_ENTERED)
        return self._running
