"""StreamSession: enter it, receive, send, leave it."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

import anyio

from deepgram_stream_iter._adapters._protocol import LiveConnection
from deepgram_stream_iter._life.life import Life
from deepgram_stream_iter._outbound.sender import AudioSender
from deepgram_stream_iter._session.entered import Entered
from deepgram_stream_iter._session.receiving import Receiving
from deepgram_stream_iter._session.sending import Sending
from deepgram_stream_iter._stats import StreamStats

if TYPE_CHECKING:
    from typing_extensions import Self

_FOR_WITH = "programs without an event loop use `with` and `for` with stream() of deepgram_stream_iter.sync"


class StreamSession(Receiving, Sending):
    """One stream: an async context manager that returns itself, and an async iterator of its events.

    Made by `stream()`. Iterating ends when the stream has ended as agreed, and raises when it has not, both after all
    that had arrived was handed out. One task iterates at a time; a `break` loses nothing, and a later `async for` goes
    on from there. Sending and finishing are safe from any task of the event loop in which the session was entered.
    """

    async def __aenter__(self) -> Self:
        """Enter as `open()` does."""
        return await self.open()

    async def open(self) -> Self:
        """Connect, start the SDK's listener and, for Flux, wait for its `Connected`; return the session itself.

        For an application that starts and ends it in different methods; whoever opens it closes it, with `aclose()`, or
        enters it in a `contextlib.AsyncExitStack`. Cancelling leaves no socket and no task behind.

        :raises ConnectError: when the handshake is refused, or not done within `connect_timeout_seconds`.
        :raises RuntimeError: when the session was entered before, and when `aclose()` is called meanwhile.
        """
        if self._life is not None:
            raise RuntimeError("a session can be entered once: call stream() again for another")
        life = self._life = Life(self._connector, self._settings)
        entered = Entered(life, self._settings)
        try:
            connection = await life.open()
            self._audio = AudioSender(life.outbox, connection, life.inbox)
        except BaseException:
            entered.is_error_seen = True
            raise
        finally:
            self._entered_as = entered
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Leave as `aclose()` does after a normal body; close at once after an exception, which goes on as itself.

        :raises DeepgramStreamError: :raises RuntimeError: as `aclose()` does.
        """
        await self._leave(is_orderly=exc_type is None)

    async def aclose(self) -> None:
        """Finish, and close; does nothing where the session was not entered, and when it is called again.

        Called while `open()` still connects, it ends that. With `listen=False` only detach. Takes as long as `finish()`,
        and 2 s at most when it closes at once; cancelling closes at once. Late events can still be iterated and are in
        `transcript`.

        :raises DeepgramStreamError: the error with which the stream ended, if nobody has seen it.
        :raises RuntimeError: in another event loop than that in which the session was entered.
        """
        if self._entered_as is not None:
            await self._leave(is_orderly=True)
        elif self._life is not None:
            await self._life.close_at_once()

    async def _leave(self, *, is_orderly: bool) -> None:
        entered = self._entered_here()
        life = entered.life
        life.inbox.buffer.unbound()
        try:
            if is_orderly and self._settings.listen:
                await self.finish()
            elif is_orderly:
                with anyio.move_on_after(self._settings.finish_timeout_seconds):
                    await self._wait_for_unsent()
        finally:
            await life.close_at_once()
        if is_orderly and life.over is not None and life.over.error is not None and not entered.is_error_seen:
            entered.is_error_seen = True
            raise life.over.error

    # By mistake

    def __enter__(self) -> NoReturn:
        raise TypeError(f"this session is entered with `async with`; {_FOR_WITH}")

    def __exit__(self, *_: object) -> NoReturn:
        raise TypeError(f"this session is left by `async with`; {_FOR_WITH}")

    def __iter__(self) -> NoReturn:
        raise TypeError(f"this session is iterated with `async for`; {_FOR_WITH}")

    # What there is to know

    def __repr__(self) -> str:
        state = self._life.state if self._life is not None else "not entered"
        identity = f", request id {self.request_id}" if self.request_id else ""
        return f"<StreamSession {self._settings.name!r}: {state}{identity}>"

    @property
    def connection(self) -> LiveConnection:
        """The SDK's own connection; after a reconnection another one, on which `on_connection` registers your handlers anew.

        :raises RuntimeError: before the session is entered.
        """
        connection: LiveConnection = self._connection.adapter.connection
        return connection

    @property
    def request_id(self) -> str:
        """Deepgram's id of the stream, that of its last connection; empty until it is known."""
        return (self.request_ids or ("",))[-1]

    @property
    def request_ids(self) -> tuple[str, ...]:
        """Deepgram's ids, one a connection."""
        return self._life.tally.request_ids if self._life is not None else ()

    @property
    def stats(self) -> StreamStats:
        """What the session has done so far.

        :raises RuntimeError: before the session is entered.
        """
        life = self._entered.life
        counts, ledger, recovery = life.inbox.buffer.counts, life.inbox.ledger, life.inbox.recovery
        return StreamStats(
            connect_seconds=life.tally.connect_seconds,
            events=ledger.events,
            events_by_kind=dict(ledger.events_by_kind),
            interims_coalesced=counts.interims_coalesced,
            dropped=counts.dropped,
            buffered=life.inbox.size,
            buffered_max=counts.size_max,
            wait_seconds_p50=counts.waits.p50_seconds,
            wait_seconds_max=counts.waits.max_seconds,
            latency_seconds=ledger.latency_seconds,
            latency_seconds_max=ledger.latency_seconds_max,
            audio_seconds_sent=life.inbox.clock.seconds_sent,
            audio_seconds_finalized=ledger.audio_seconds_finalized,
            keepalives_sent=life.tally.keepalives_sent,
            reconnects=max(0, life.tally.connects - 1),
            audio_seconds_replayed=recovery.audio_seconds_replayed if recovery else 0.0,
            audio_seconds_lost=ledger.audio_seconds_lost,
        )
