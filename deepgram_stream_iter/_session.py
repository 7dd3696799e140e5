"""StreamSession: enter, iterate, send, finish, exit.

events   Connection -> Lifecycle.arrived -> `_on_event` -> EventBuffer -> `__anext__` -> the application
audio    the application -> send() / feed() -> AudioSender -> Lifecycle.send_audio -> Connection
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import aclosing, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from ._adapters._protocol import LiveConnection
from ._audio import AudioSource, check_source, pieces
from ._buffer import EndOfEvents, EventBuffer
from ._dialer import Connector
from ._errors import ConnectionLost, DeepgramStreamError
from ._events import (
    AnyStreamEvent,
    ConfiguredEvent,
    TranscriptEvent,
)
from ._lifecycle import Lifecycle
from ._options import Settings
from ._outcome import CloseInfo
from ._requests import Requests
from ._sender import AudioSender
from ._stats import StreamStats
from ._transcript import Utterance, UtteranceAssembler

if TYPE_CHECKING:
    from typing_extensions import Self


class StreamSession:
    """One stream: an async context manager that gives itself, and an async iterator of its events.

    Made by `stream()`. Iterating ends when the stream has ended as agreed, and raises when it has not, both after all
    that had arrived was handed out. One task iterates at a time; a `break` loses nothing, and a later `async for` goes
    on from there. Sending and finishing are safe from any task.
    """

    def __init__(self, connector: Connector, settings: Settings) -> None:
        self._settings = settings
        self._life = Lifecycle(
            connector, settings, on_event=self._on_event, on_finish=self._on_finish, on_end=self._on_end
        )
        self._assembler = UtteranceAssembler()
        self._utterance: Utterance | None = None  # completed by the event handed out last
        self._completed: deque[Utterance] = deque()  # by the end of the stream, and not handed out yet
        self._requests = Requests(self._life)
        self._is_entering = self._is_iterating = self._was_error_seen = False
        self._buffer: EventBuffer | None = None  # from when it is being entered
        self._audio = AudioSender(self._life)

    # Entering and leaving

    async def __aenter__(self) -> Self:
        """Connect, start the SDK's listener and, for Flux, wait for its `Connected`.

        :raises ConnectError: when the handshake is refused, or not done within `connect_timeout_seconds`.
        :raises RuntimeError: when the session was entered before.

        Cancelling leaves no socket and no task behind.
        """
        if self._buffer is not None:
            raise RuntimeError("a session can be entered once: call stream() again for another")
        settings = self._settings
        self._buffer = EventBuffer(
            settings.max_buffer_size,
            settings.overflow,
            settings.overflow_timeout_seconds,
            self._life.conclude,
        )
        self._is_entering = True
        try:
            await self._life.open()
        except BaseException:
            self._was_error_seen = True
            self._buffer.put_away()
            raise
        finally:
            self._is_entering = False
        self._audio.configure()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Finish after a normal body; close at once after an exception, which goes on as itself.

        With `listen=False` only detach. Takes as long as `finish()`, and 2 s at most when it closes at once; cancelling
        closes at once. Late events can still be iterated and are in `transcript`.

        :raises DeepgramStreamError: the error with which the stream ended, if nobody has seen it.
        """
        buffer = self._entered_buffer()
        buffer.unbound()
        try:
            if exc_type is None and self._settings.listen:
                await self.finish()
        finally:
            try:
                await self._life.close_at_once()
            finally:
                buffer.put_away()
        if exc_type is None and self._life.error is not None and not self._was_error_seen:
            self._was_error_seen = True
            raise self._life.error

    # Events

    def __aiter__(self) -> StreamSession:
        return self

    async def __anext__(self) -> AnyStreamEvent:
        """Hand out the next event. Cancelling loses none.

        :raises StopAsyncIteration: when the stream has ended as agreed.
        :raises DeepgramStreamError: when it has not; an exception of a source given to `feed()`, as itself.
        :raises RuntimeError: when another task is iterating, or before the session is entered.
        """
        buffer = self._entered_buffer()
        if self._is_iterating:
            raise RuntimeError("another task is iterating this session; one consumer at a time")
        self._is_iterating = True
        try:
            with self._telling():
                event = await buffer.get()
        except EndOfEvents:
            raise StopAsyncIteration from None
        finally:
            self._is_iterating = False
        self._utterance = self._assembler.add(event)
        return event

    def utterances(self) -> AsyncIterator[Utterance]:
        """Iterate whole utterances (Nova, by channel) or turns (Flux) instead of events.

        Deepgram's rule: an utterance ends with `speech_final`, else with `UtteranceEnd`, else with the stream
        (`confirmed=False`). Ends, raises and is cancelled as iterating the session does, which it is.
        """
        return _Utterances(self._next_utterance)

    @property
    def accumulated_transcript(self) -> str:
        """The text of the utterance or turn that the consumer is at, by the events handed out so far.

        Complete when its `UtteranceEnd`, `speech_final` transcript or `EndOfTurn` is handed out; the first final text
        of the next utterance starts it anew. With several channels, that of the channel of the event handed out last.
        """
        return self._assembler.text

    @property
    def transcript(self) -> str:
        """All final text that has arrived, of all channels, handed out or not."""
        return self._life.ledger.transcript

    # Audio and control messages

    async def send(self, audio: AudioSource, *, pace: float | None = None) -> None:
        """Send audio: a bytes-like object, or an iterable or async iterable of them.

        Large pieces of raw audio are cut into frames of at most 100 ms (Flux: 80 ms) at sample boundaries; small ones go
        out as they are; empty ones do not, for Deepgram takes an empty frame for the end. A sync iterable is run on the
        event loop and must not block.

        :param pace: 1.0 sends raw audio at the speed of the clock, by deadlines; None as fast as the socket takes it.
        :raises TypeError: for text, or for what is no audio; nothing is sent then.
        :raises ValueError: for a `pace` with audio whose bytes are not time.
        :raises SessionClosed: after `finish()` or the end of the stream.
        :raises ConnectionLost: when the socket is closed, or takes nothing within `send_timeout_seconds`; not where the
            session reconnects: there the audio waits, and `send()` with it when it comes faster than the clock.

        Cancelling stops between two frames.
        """
        self._entered_buffer()
        check_source(audio)
        pacer = self._audio.pacer(pace)
        with self._telling():
            self._life.check_open()
            async with aclosing(pieces(audio)) as stream_of_pieces:
                async for piece in stream_of_pieces:
                    await self._audio.send(piece, pacer)

    def feed(self, source: AudioSource, *, pace: float | None = None, finish: bool = True) -> None:
        """Send a source in the background; its end is `finish()`, unless told otherwise.

        An exception in the source comes out of the iteration as itself, after the events that had arrived. The end of
        the session stops the source where it is, so iterate (or wait) in the body; an async generator is closed. A source
        that cannot be cancelled (a read in a thread) does not hold up the end, but goes on until it returns.

        :raises TypeError: :raises ValueError: :raises SessionClosed: as `send()` does.
        """
        self._entered_buffer()
        check_source(source)
        pacer = self._audio.pacer(pace)

        async def run() -> None:
            try:
                async with aclosing(pieces(source)) as stream_of_pieces:
                    async for piece in stream_of_pieces:
                        try:
                            await self._audio.send(piece, pacer)
                        except DeepgramStreamError:
                            return  # the iteration tells
            except asyncio.CancelledError:
                if not self._life.source_cancelled():
                    raise
                return
            except Exception as error:  # noqa: BLE001  (it is the application's, and comes out as itself)
                self._life.source_failed(error)
                return
            if finish:
                self._life.request_finish()

        self._life.start_sender(run)

    async def finalize(self, timeout_seconds: float = 2.0) -> TranscriptEvent | None:
        """Have Deepgram flush what it has heard (v1); return the `Transcript` that does, which is iterated too.

        :returns: None when there was no answer in time: with little audio pending, Deepgram does not answer.
        :raises RuntimeError: for Flux, which has `force_end_turn()`.
        :raises SessionClosed: as `send()` does; :raises ConnectionLost: when it cannot be sent, see `keep_alive()`.
        """
        self._only_on("v1", "Finalize", "use force_end_turn()")
        with self._telling():
            return await self._requests.finalize(timeout_seconds)

    async def configure(self, **changes: object) -> ConfiguredEvent:
        """Change settings of the running stream: the fields of Deepgram's `Configure` message.

        Nova: `keyterms`, `features`. Flux: `thresholds`, `keyterms`, `language_hints`, `numerals`. One is under way at a
        time; the next one waits.

        :raises ConfigureError: when Deepgram refuses, or does not answer within 10 s.
        :raises ValueError: for no change; :raises TypeError: for a value that is no JSON.
        :raises RuntimeError: when the installed SDK does not know Configure (for Nova it takes 7.13 or newer).
        :raises SessionClosed: as `send()` does; :raises ConnectionLost: when it cannot be sent, see `keep_alive()`.
        """
        if not changes:
            raise ValueError("configure() needs a change, such as keyterms=[...]")
        self._entered_buffer()
        self._life.check_open()
        if not self._life.adapter.can_configure:
            raise RuntimeError(
                f"the installed deepgram-sdk does not know Configure on /{self._life.adapter.endpoint}/listen: for Nova"
                " it takes 7.13 or newer"
            )
        with self._telling():
            return await self._requests.configure(changes)

    async def keep_alive(self) -> None:
        """Send a KeepAlive now (v1), besides those that `keepalive_seconds` sends.

        :raises RuntimeError: for Flux, whose socket it would kill.
        :raises SessionClosed: as `send()` does.
        :raises ConnectionLost: when the socket is closed, or takes nothing within `send_timeout_seconds`. Where the session
            reconnects: when for so long no connection had caught up; then that is not the end of the session.
        """
        self._only_on("v1", "KeepAlive", "its socket is kept alive by WebSocket pings")
        await self._control("KeepAlive")

    async def force_end_turn(self) -> None:
        """End the open turn now (Flux); an `EndOfTurn` with `trigger="manual"` follows, or a `Warning`.

        :raises RuntimeError: for Nova, which has `finalize()`.
        :raises SessionClosed: as `send()` does; :raises ConnectionLost: when it cannot be sent, see `keep_alive()`.
        """
        self._only_on("v2", "ForceEndTurn", "use finalize()")
        await self._control("ForceEndTurn")

    async def finish(self) -> CloseInfo:
        """End the stream in order: no more audio, then all that is still to come, until the server has closed.

        Sends Finalize (v1) and CloseStream. Events go on meanwhile; they can be consumed then or afterwards, for from here
        on the SDK is not held back by a full buffer. Not to be awaited in a handler of the SDK, which waits for it. Takes
        at most `finish_timeout_seconds`, and 2 s more to close on a server that does not answer; where the session
        reconnects and the connection is lost, once more as long, and as long as the audio takes to be sent again. May be
        called again, and from several tasks; cancelling leaves the ending under way. Never raises for the way in which the
        stream ended: that is in the result, and the iteration raises it.
        """
        self._entered_buffer()
        self._life.request_finish()
        return await self._life.wait_closed()

    # What there is to know

    @property
    def close_info(self) -> CloseInfo | None:
        """How the stream ended; None while it has not."""
        return self._life.close_info

    @property
    def connection(self) -> LiveConnection:
        """The SDK's own connection; after a reconnection another one, on which nobody has registered yet.

        :raises RuntimeError: before the session is entered.
        """
        connection: LiveConnection = self._life.adapter.connection
        return connection

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream; empty until it is known."""
        return self._life.request_id

    @property
    def stats(self) -> StreamStats:
        """What the session has done so far."""
        buffer, recovery = self._entered_buffer(), self._life.recovery
        return StreamStats(
            events=self._life.ledger.events,
            interims_coalesced=buffer.interims_coalesced,
            dropped=buffer.dropped,
            buffered=buffer.size,
            buffered_max=buffer.size_max,
            audio_seconds_sent=self._audio.seconds_sent,
            audio_seconds_finalized=self._life.ledger.audio_seconds_finalized,
            keepalives_sent=self._life.keepalives_sent,
            reconnects=self._life.reconnects,
            audio_seconds_replayed=recovery.audio_seconds_replayed if recovery else 0.0,
            audio_seconds_lost=recovery.audio_seconds_lost if recovery else 0.0,
        )

    # Inside

    def _entered_buffer(self) -> EventBuffer:
        if self._buffer is None or self._is_entering:
            raise RuntimeError("the session has not been entered: use `async with stream(...) as session`")
        return self._buffer

    @property
    def _its_buffer(self) -> EventBuffer:
        assert self._buffer is not None  # noqa: S101  (it is there before the life of the session begins)
        return self._buffer

    def _on_event(self, event: AnyStreamEvent) -> Coroutine[None, None, None] | None:
        self._requests.offer(event)
        return self._its_buffer.put(event)

    def _on_finish(self) -> None:
        # What is still to come is not much, and all of it is wanted: who finishes first and consumes then gets it too.
        self._its_buffer.stop_holding_back()

    def _on_end(self, error: Exception | None, last: AnyStreamEvent | None) -> None:
        self._requests.release()
        buffer = self._its_buffer
        buffer.stop_holding_back()
        if last is not None:
            buffer.put(last)
        buffer.close(error)

    @contextmanager
    def _telling(self) -> Generator[None]:
        """Note that the application sees the error with which the stream ended: the exit does not raise it again."""
        try:
            yield
        except Exception as error:
            is_the_end = isinstance(error, ConnectionLost) and self._settings.reconnect is None
            self._was_error_seen |= is_the_end or error is self._life.error
            raise

    async def _next_utterance(self) -> Utterance:
        """Iterate until an event, or the end of the stream, completes an utterance."""
        while not self._completed:
            try:
                await anext(self)
            except Exception as error:
                if isinstance(error, StopAsyncIteration) or error is self._life.error:
                    self._completed.extend(self._assembler.end())
                if not self._completed:
                    raise
                self._was_error_seen = False  # it comes out after these
            else:
                if self._utterance is not None:
                    self._completed.append(self._utterance)
        return self._completed.popleft()

    async def _control(self, kind: str, **fields: object) -> None:
        with self._telling():
            self._life.check_open()
            await self._life.send_control(kind, **fields)

    def _only_on(self, endpoint: str, kind: str, instead: str) -> None:
        self._entered_buffer()
        self._life.check_open()
        there = self._life.adapter.endpoint
        if there == "other":
            raise RuntimeError(f"this socket is not for transcripts and has no {kind}")
        if there != endpoint:
            raise RuntimeError(f"/{there}/listen has no {kind}: {instead}")


class _Utterances:
    """A class, since an async generator that is left by `break` would need a task of its own to be closed."""

    def __init__(self, advance: Callable[[], Awaitable[Utterance]]) -> None:
        self._advance = advance

    def __aiter__(self) -> _Utterances:
        return self

    async def __anext__(self) -> Utterance:
        return await self._advance()
