"""The sending half of a session: audio and control messages.

the application -> send() / feed() -> AudioSender -> Outbox -> Connection -> the SDK
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import anyio

from deepgram_stream_iter._audio.sources import AudioSource, check_source, is_buffer
from deepgram_stream_iter._connection.ending import CloseInfo
from deepgram_stream_iter._events.kinds import ConfiguredEvent, TranscriptEvent
from deepgram_stream_iter._life.sources import OnError, Source
from deepgram_stream_iter._loop.signal import Signal
from deepgram_stream_iter._session.base import SessionBase
from deepgram_stream_iter._session.entered import Entered
from deepgram_stream_iter._session.feed import Feed
from deepgram_stream_iter._settings import DAY_SECONDS, check_number

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Sending(SessionBase):
    """What the application sends; safe from any task of the session's event loop."""

    _feed: Feed | None = None  # the last one
    _unsent_sent: Signal | None = None  # is set when what `send_nowait()` was given is sent

    async def send(self, audio: AudioSource, *, pace: float | None = None) -> None:
        """Send audio: a bytes-like object, or an iterable or async iterable of them.

        Large pieces of raw audio are cut into frames of at most 100 ms (Flux: 80 ms) at sample boundaries; small ones go
        out as they are; empty ones do not, because Deepgram takes an empty frame for the end. A sync iterable is run on
        the event loop and must not block. Cancelling stops between two frames.

        :param pace: 1.0 sends raw audio at the speed of the clock, by deadlines; None as fast as the socket takes it.
        :raises TypeError: for text, or for what is no audio; nothing is sent then.
        :raises ValueError: for a `pace` with audio whose bytes are not time.
        :raises RuntimeError: before the session is entered, and in another event loop than that one.
        :raises SessionClosed: after `finish()` or the end of the stream.
        :raises ConnectionLost: when the socket is closed, or takes nothing within `send_timeout_seconds`; not where the
            session reconnects: there the audio waits, and `send()` with it, once `replay_seconds` of audio wait for their
            finals or for a connection, and it comes faster than the clock.
        """
        entered = self._entered_here()
        check_source(audio)
        try:
            entered.life.outbox.check_open()
            await self._wait_for_unsent()
            await self._sender.send_all(audio, self._sender.pacer(pace))
        except Exception as error:
            entered.note(error)
            raise

    def send_nowait(self, audio: Buffer) -> None:
        """Send a piece of audio from any thread, any event loop, or an audio callback; never blocks, never waits.

        Pieces go out in the order of the calls, before what `send()`, `finalize()` and `finish()` are called for later.
        When more than `max_unsent_seconds` of audio wait, because the socket takes less than comes, the oldest goes: an
        `AudioGap` tells which seconds, and all later times stay where the source has them. (Audio whose bytes are not time
        is counted as 32 kB a second, and its gap has no end.)

        :raises TypeError: for what is not bytes-like, or not samples of the `encoding`; nothing is sent then.
        :raises ValueError: for the head of a file where samples were announced.
        :raises RuntimeError: before the session is entered.
        :raises SessionClosed: after `finish()` or the end of the stream.
        :raises DeepgramStreamError: the error with which the stream ended.
        """
        entered = self._entered
        if not is_buffer(audio):
            raise TypeError(f"send_nowait() takes one bytes-like piece of audio, not {type(audio).__name__}")
        entered.check_open()
        self._sender.put(audio)
        entered.call_soon(self._send_unsent)

    def skip(self, seconds: float) -> Awaitable[None]:
        """Count audio that is left out here (behind a VAD gate, while muted): all later times are where the source has them.

        From the call on it has its place between the pieces of audio, so that it may be called from any thread, as
        `send_nowait()` may. Awaiting what is returned waits until all audio before is sent. Deepgram is sent nothing for
        it, so a pause that should end an utterance has to be sent as audio.

        :raises ValueError: for what is no number of seconds above 0 and up to a day, and for audio whose bytes are not time.
        :raises RuntimeError: before the session is entered; when it is awaited, in another event loop.
        :raises SessionClosed: as `send_nowait()` does.
        """
        entered = self._entered
        check_number("seconds", seconds, most=DAY_SECONDS)
        entered.check_open()
        self._sender.skip(seconds)
        entered.call_soon(self._send_unsent)
        return _Sent(self._wait_for_unsent)

    def feed(
        self,
        source: AudioSource,
        *,
        pace: float | None = None,
        finish: bool = True,
        in_thread: bool = False,
        on_error: OnError = "raise",
    ) -> Feed:
        """Send a source in the background; its end is `finish()`, unless told otherwise.

        The end of the session stops the source where it is, so iterate in the body, or await what is returned; an async
        generator is closed. A source that cannot be cancelled (a read in a thread) does not hold up the end, but goes on
        until it returns. One source is fed at a time.

        :param in_thread: advance a plain iterable in a thread of its own, because it blocks.
        :param on_error: what an exception in the source does. `raise`: it ends the stream at once. `finish`: it ends the
            stream in order, as for a phone that hangs up, so that the last words are there. Either way it comes out of the
            iteration as itself, after all that had arrived.
        :raises TypeError: as `send()` does.
        :raises ValueError: as `send()` does.
        :raises RuntimeError: as `send()` does, and while another source is fed.
        :raises SessionClosed: as `send()` does.
        """
        entered = self._entered_here()
        if on_error not in get_args(OnError):
            raise ValueError(f"on_error must be one of {get_args(OnError)}, not {on_error!r}")
        entered.check_open()
        if self._feed is not None and self._feed.is_running:
            raise RuntimeError(
                "another source is being fed: wait() for what feed() returned before the next one, or mix them yourself"
            )
        sender, pacer = self._sender, self._sender.pacer(pace)
        sender.check(source, in_thread=in_thread)
        send = partial(sender.feed, source, pacer, in_thread=in_thread, fails_in_order=on_error == "finish")
        fed = Source(send=send, finishes=finish, on_error=on_error)
        entered.life.sources.start(fed)
        self._feed = Feed(entered, fed)
        return self._feed

    async def finalize(self, timeout_seconds: float = 2.0) -> TranscriptEvent | None:
        """Have Deepgram flush what it has heard (v1); return the `Transcript` that does, which is iterated too.

        :returns: None when there was no answer in time: with little audio pending, Deepgram does not answer.
        :raises RuntimeError: for Flux, which has `force_end_turn()`; and as `send()` does.
        :raises SessionClosed: as `send()` does.
        :raises ConnectionLost: when it cannot be sent, see `keep_alive()`.
        """
        entered = self._only_on("v1", "Finalize", "use force_end_turn()")
        with entered.noting_errors():
            with anyio.move_on_after(timeout_seconds) as waiting:
                await self._wait_for_unsent()
            return None if waiting.cancelled_caught else await entered.life.requests.finalize(timeout_seconds)

    async def configure(self, **changes: object) -> ConfiguredEvent:
        """Change settings of the running stream: the fields of Deepgram's `Configure` message.

        Nova: `keyterms`, `features`. Flux: `thresholds`, `keyterms`, `language_hints`, `numerals`. One is under way at a
        time; the next one waits.

        :raises ConfigureError: when Deepgram refuses, or does not answer within 10 s.
        :raises ValueError: for no change.
        :raises TypeError: for a value that is no JSON.
        :raises RuntimeError: when the installed SDK does not know Configure (for Nova it takes 7.13 or newer); and as
            `send()` does.
        :raises SessionClosed: as `send()` does.
        :raises ConnectionLost: when it cannot be sent, see `keep_alive()`.
        """
        if not changes:
            raise ValueError("configure() needs a change, such as keyterms=[...]")
        entered = self._entered_here()
        entered.check_open()
        adapter = self._connection.adapter
        if not adapter.can_configure:
            raise RuntimeError(
                f"the installed deepgram-sdk does not know Configure on /{adapter.endpoint}/listen: for Nova it takes 7.13"
                " or newer"
            )
        with entered.noting_errors():
            await self._wait_for_unsent()
            return await entered.life.requests.configure(changes)

    async def keep_alive(self) -> None:
        """Send a KeepAlive now (v1), besides those that `keepalive_seconds` sends.

        :raises RuntimeError: for Flux, whose socket it would kill; and as `send()` does.
        :raises SessionClosed: as `send()` does.
        :raises ConnectionLost: when the socket is closed, or takes nothing within `send_timeout_seconds`. Where the session
            reconnects: when for so long no connection had caught up; then that is not the end of the session.
        """
        await self._control(
            self._only_on("v1", "KeepAlive", "its socket is kept alive by WebSocket pings"), "KeepAlive"
        )

    async def force_end_turn(self) -> None:
        """End the open turn now (Flux); an `EndOfTurn` with `trigger="manual"` follows, or a `Warning`.

        :raises RuntimeError: for Nova, which has `finalize()`; and as `send()` does.
        :raises SessionClosed: as `send()` does.
        :raises ConnectionLost: when it cannot be sent, see `keep_alive()`.
        """
        await self._control(self._only_on("v2", "ForceEndTurn", "use finalize()"), "ForceEndTurn")

    async def finish(self) -> CloseInfo:
        """End the stream in order: no more audio, then all that is still to come, until the server has closed.

        Sends Finalize (v1) and CloseStream. Events go on meanwhile; they can be consumed then or afterwards, because from
        here on a full buffer no longer pauses the SDK. Not to be awaited in a handler of the SDK, which waits for it.
        Takes at most `finish_timeout_seconds`, and 2 s more to close on a server that does not answer; once more as long
        where audio of `send_nowait()` waits for the socket, and where the session reconnects and the connection is lost, and
        then as long as the audio takes to be sent again. May be called again, and from several tasks; cancelling leaves the
        ending under way. Never raises for the way in which the stream ended: that is in the result, and the iteration raises
        it.

        :raises RuntimeError: before the session is entered, and in another event loop than that one.
        """
        life = self._entered_here().life
        if self._audio is None or self._audio.close_unsent():
            life.request_finish()
        else:
            life.sources.run(self._finish_after_unsent)  # in a task of its own, see `_wait_for_unsent`
        return (await life.wait_closed()).info

    async def wait_closed(self) -> CloseInfo:
        """Wait until the stream has ended and nothing is open any more; return how it ended. Cancelling changes nothing.

        For a program that iterates nothing. Somebody has to end the stream: the source that is fed, `finish()`, or the
        server.

        :raises DeepgramStreamError: as the iteration does; an exception of a source given to `feed()`, as itself.
        :raises RuntimeError: before the session is entered, and in another event loop.
        """
        entered = self._entered_here()
        with entered.noting_errors():
            over = await entered.life.wait_closed()
            if over.error is not None:
                raise over.error
        return over.info

    async def _control(self, entered: Entered, kind: str) -> None:
        with entered.noting_errors():
            await self._wait_for_unsent()
            await entered.life.outbox.send_control(kind)

    async def _wait_for_unsent(self) -> None:
        """Wait until what `send_nowait()` was given is sent: in a task of its own, so that cancelling loses none of it."""
        self._entered.check_loop()
        if self._audio is not None and self._audio.has_unsent:
            await self._send_unsent().wait()

    def _send_unsent(self) -> Signal:
        """Have it sent, by one task at a time; return what is set when it is."""
        if self._unsent_sent is None or self._unsent_sent.is_set:
            self._unsent_sent = self._entered.life.sources.run(self._sender.send_unsent)
        return self._unsent_sent

    async def _finish_after_unsent(self) -> None:
        try:
            with anyio.move_on_after(self._settings.finish_timeout_seconds):
                # More may come while it is sent, and none of it is refused before the last was sent.
                while not self._sender.close_unsent() and await self._sender.send_unsent():
                    pass
        finally:
            self._entered.life.request_finish()

    def _only_on(self, endpoint: str, kind: str, instead: str) -> Entered:
        entered = self._entered_here()
        entered.check_open()
        there = self._connection.adapter.endpoint
        if there == "other":
            raise RuntimeError(f"this socket is not for transcripts and has no {kind}")
        if there != endpoint:
            raise RuntimeError(f"/{there}/listen has no {kind}: {instead}")
        return entered


class _Sent:
    """What may be awaited, and need not be."""

    def __init__(self, wait: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, Any, None]:
        return self._wait().__await__()
