"""Drives one connection: frames in, through its dialect, messages out, and the script beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

import anyio
from websockets.exceptions import ConnectionClosed

from ._connection import ServerConnection
from ._intake import ConnectionEnded
from ._protocol import Close
from ._recognition import Message

if TYPE_CHECKING:
    from ._intake import Intake
    from ._protocol import Dialect, Outgoing

Script: TypeAlias = Iterable[Message] | Callable[[ServerConnection], Awaitable[None]]
"""Messages to send as soon as a connection is open, or an async function that drives the connection."""

_IDLE = Close(1011, "NET-0001")
FAILED = Close(1011, "INTERNAL_SERVER_ERROR")


class Conversation:
    """One connection from its first message to its end."""

    def __init__(
        self,
        connection: ServerConnection,
        intake: Intake,
        dialect: Dialect,
        *,
        idle_timeout_seconds: float | None,
    ) -> None:
        self._connection = connection
        self._intake = intake
        self._dialect = dialect
        self._idle_timeout_seconds = idle_timeout_seconds if dialect.closes_when_idle else None
        self.failures: list[Exception] = []
        """What the script or the recognizer raised."""
        self._script: asyncio.Task[None] | None = None
        self._playing: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None

    async def run(self, script: Script) -> None:
        """Converse until the connection has ended and the script too."""
        try:
            await self._guarded(self._say(self._dialect.open()))
            if callable(script):
                self._script = asyncio.create_task(self._guarded(script(self._connection)))
            else:
                self._script = self._playing = asyncio.create_task(self._guarded(self._say(script)))
            await self._guarded(self._listen())
            # A script may look at how the connection ended, so its end is awaited, not brought about.
            self._intake.board.close()
            await asyncio.wait([self._script])
        finally:
            tasks = [task for task in (self._script, self._finishing) if task is not None]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def stop(self) -> None:
        """Cancel the script."""
        if self._script is not None:
            self._script.cancel()

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (ConnectionClosed, ConnectionEnded):
            # Clients leave when they please: that is no failure of whoever was talking to them.
            pass
        except Exception as failure:  # noqa: BLE001 - raised when the server exits
            self.failures.append(failure)
            await self._connection.close(*FAILED)

    async def _listen(self) -> None:
        while True:
            data = await self._next_frame()
            if self._connection.faults.frozen:
                await self._connection.wait_closed()
                return
            samples, control = self._intake.take(data)
            # What comes after CloseStream is recorded, so that tests can see it, and has no effect.
            if self._finishing is not None:
                continue
            faults = self._connection.faults
            limit = faults.drop_at_audio_seconds
            if limit is not None and self._connection.audio_seconds >= limit:
                await self._connection.close(faults.drop_code)
                return
            if control.get("type") == "CloseStream" or (data == b"" and self._dialect.ends_on_empty_frame):
                self._finishing = asyncio.create_task(self._guarded(self._finish()))
            elif isinstance(data, str):
                await self._say(self._dialect.control(control.get("type"), control, data))
            elif samples:
                await self._say(self._dialect.audio(samples))

    async def _next_frame(self) -> bytes | str:
        while True:
            with anyio.move_on_after(None if self._finishing else self._idle_timeout_seconds):
                return await self._connection.websocket.recv()
            faults = self._connection.faults
            if not (faults.mute or faults.frozen):
                # The next turn of the loop then raises ConnectionClosed.
                await self._connection.close(*_IDLE)

    async def _finish(self) -> None:
        if self._playing is not None:
            await asyncio.wait([self._playing])
        with anyio.move_on_after(self._connection.faults.late_final_seconds):
            await self._connection.wait_closed()
        await self._say(self._dialect.finish())

    async def _say(self, items: Iterable[Outgoing]) -> None:
        for item in items:
            if isinstance(item, Close):
                await self._close(item)
            else:
                await self._connection.send(item)

    async def _close(self, close: Close) -> None:
        faults = self._connection.faults
        if faults.mute:
            return
        if self._finishing is not None:
            if faults.no_close:
                return
            if faults.close_code is not None:
                close = Close(faults.close_code, faults.close_reason)
        await self._connection.close(*close)
