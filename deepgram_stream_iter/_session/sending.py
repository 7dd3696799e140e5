"""The sending half of a session: audio and control messages.

the application -> send() / feed() -> AudioSender -> Outbox -> Connection -> the SDK
"""

from __future__ import annotations

from deepgram_stream_iter._audio.sources import AudioSource, check_source
from deepgram_stream_iter._connection.ending import CloseInfo
from deepgram_stream_iter._events.kinds import ConfiguredEvent, TranscriptEvent
from deepgram_stream_iter._life.life import Life
from deepgram_stream_iter._session.base import SessionBase


class Sending(SessionBase):
    """What the application sends; safe from any task of the session's event loop."""

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
        life = self._entered_here()
        check_source(audio)
        try:
            life.outbox.check_open()
            await self._sender.send_all(audio, self._sender.pacer(pace))
        except Exception as error:
            self._note(error, life)
            raise

    def feed(self, source: AudioSource, *, pace: float | None = None, finish: bool = True) -> None:
        """Send a source in the background; its end is `finish()`, unless told otherwise.

        An exception in the source comes out of the iteration as itself, after the events that had arrived. The end of
        the session stops the source where it is, so iterate (or wait) in the body; an async generator is closed. A source
        that cannot be cancelled (a read in a thread) does not hold up the end, but goes on until it returns.

        :raises TypeError: as `send()` does.
        :raises ValueError: as `send()` does.
        :raises RuntimeError: as `send()` does.
        :raises SessionClosed: as `send()` does.
        """
        life = self._entered_here()
        life.outbox.check_open()
        sender, pacer = self._sender, self._sender.pacer(pace)
        sender.check(source)
        life.start_source(lambda: sender.feed(source, pacer), finishes=finish)

    async def finalize(self, timeout_seconds: float = 2.0) -> TranscriptEvent | None:
        """Have Deepgram flush what it has heard (v1); return the `Transcript` that does, which is iterated too.

        :returns: None when there was no answer in time: with little audio pending, Deepgram does not answer.
        :raises RuntimeError: for Flux, which has `force_end_turn()`; and as `send()` does.
        :raises SessionClosed: as `send()` does.
        :raises ConnectionLost: when it cannot be sent, see `keep_alive()`.
        """
        life = self._only_on("v1", "Finalize", "use force_end_turn()")
        with self._noting_errors(life):
            return await life.requests.finalize(timeout_seconds)

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
        life = self._entered_here()
        life.outbox.check_open()
        adapter = self._connected(life).adapter
        if not adapter.can_configure:
            raise RuntimeError(
                f"the installed deepgram-sdk does not know Configure on /{adapter.endpoint}/listen: for Nova it takes 7.13"
                " or newer"
            )
        with self._noting_errors(life):
            return await life.requests.configure(changes)

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
        Takes at most `finish_timeout_seconds`, and 2 s more to close on a server that does not answer; where the session
        reconnects and the connection is lost, once more as long, and as long as the audio takes to be sent again. May be
        called again, and from several tasks; cancelling leaves the ending under way. Never raises for the way in which the
        stream ended: that is in the result, and the iteration raises it.

        :raises RuntimeError: before the session is entered, and in another event loop than that one.
        """
        life = self._entered_here()
        life.request_finish()
        return await life.wait_closed()

    async def _control(self, life: Life, kind: str) -> None:
        with self._noting_errors(life):
            await life.outbox.send_control(kind)

    def _only_on(self, endpoint: str, kind: str, instead: str) -> Life:
        life = self._entered_here()
        life.outbox.check_open()
        there = self._connected(life).adapter.endpoint
        if there == "other":
            raise RuntimeError(f"this socket is not for transcripts and has no {kind}")
        if there != endpoint:
            raise RuntimeError(f"/{there}/listen has no {kind}: {instead}")
        return life
