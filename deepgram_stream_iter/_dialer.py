"""Makes the connections of a session, one after another, and says when to try again."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import anyio
import anyio.abc

from ._adapters._protocol import Adapter
from ._connection import Connection, Owner
from ._errors import ConnectError
from ._options import DAY_SECONDS, ReconnectAttempt, Settings, check_number
from ._outcome import never_ready
from ._recovery.back_off import BackOff, is_retryable

T = TypeVar("T")

Connector: TypeAlias = Callable[[], Awaitable[Adapter]]
"""Makes the adapter of a new connection; asks for the authorization, where that is the application's to give."""


class Dialer:
    """Dials, and dials again where that is allowed and worth it."""

    def __init__(self, connector: Connector, settings: Settings, owner: Owner) -> None:
        self._connector, self._settings, self._owner = connector, settings, owner
        self.back_off = BackOff(settings.reconnect) if settings.reconnect else None
        """None where the session does not reconnect."""
        self.connections: set[Connection] = set()
        """All that are not closed yet."""
        self._has_connected = False

    def is_to_follow(self, failure: Exception | None) -> bool:
        """Tell whether another connection is to follow on one that ended so, or could not be made."""
        return self.back_off is not None and is_retryable(failure)

    async def connect(self, tasks: anyio.abc.TaskGroup) -> Exception | None:
        """Make a connection, which runs in `tasks`; give the error where it does not become ready."""
        connection: Connection | None = None
        failure: Exception | None = None
        with anyio.move_on_after(self._settings.connect_timeout_seconds):
            try:
                adapter = await _applications_own(self._connector())
            except Exception as error:  # noqa: BLE001  (the application's function may raise anything: it is told)
                failure = error
            else:
                connection = Connection(adapter, self._settings, self._owner)
                self.connections.add(connection)
                tasks.start_soon(self._run, connection)
                await connection.settled.wait()
                if not connection.was_ready:
                    code, _ = adapter.close_frame
                    failure = never_ready(code, connection.error, connection.request_id)
        if connection is not None and connection.was_ready:  # in the very moment of the time-out, it may be
            self._has_connected = True
            return None
        if failure is None:
            reason = f"no answer within {self._settings.connect_timeout_seconds} s (connect_timeout_seconds)"
            failure = ConnectError(
                f"Could not connect to Deepgram: {reason}", reason=reason, is_transient=True
            )
        if self.back_off is not None and self.is_to_follow(failure):
            self.back_off.failed(failure)
        if connection is not None:
            connection.end(failure)
            connection.close()
        return failure

    async def next_attempt(self) -> ReconnectAttempt | Exception:
        """Ask the back-off, then the application, for another attempt; give the error that there is instead."""
        attempt, on_attempt = self._its_back_off.next(), self._its_back_off.reconnect.on_attempt
        if attempt is None:
            most = self._its_back_off.reconnect.max_attempts
            return self.gave_up(f"gave up after {most} attempts: max_attempts")
        if on_attempt is not None:
            try:
                await _applications_own(_told(on_attempt, attempt))
                check_number("the delay of an attempt", attempt.delay, least=0, most=DAY_SECONDS)
            except Exception as error:  # noqa: BLE001  (it is the application's, and comes out as itself)
                return error
        return self.gave_up("on_attempt stopped it") if attempt.is_stopped else attempt

    def gave_up(self, why: str) -> Exception:
        """Make the error that ends the session: the last failure itself, where there never was a connection."""
        lost = self._its_back_off.gave_up(why)
        return lost if self._has_connected else lost.causes[-1]

    async def close(self) -> None:
        """Close all connections there are; bounded, for each of them is."""
        for connection in self.connections:
            connection.close()
        with anyio.CancelScope(shield=True):
            for connection in tuple(self.connections):
                await connection.closed.wait()

    @property
    def _its_back_off(self) -> BackOff:
        assert self.back_off is not None  # noqa: S101  (`is_to_follow` was asked before)
        return self.back_off

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run()
        except Exception as error:  # noqa: BLE001  (ours, and not foreseen: it ends the session, and is told)
            connection.end(error)
        finally:
            self.connections.discard(connection)


async def _told(on_attempt: Callable[[ReconnectAttempt], object], attempt: ReconnectAttempt) -> None:
    answer = on_attempt(attempt)
    if inspect.isawaitable(answer):
        await answer


async def _applications_own(call: Awaitable[T]) -> T:
    """Await a function of the application; none of its exceptions passes for a cancellation of ours, or for an end."""
    try:
        return await call
    except asyncio.CancelledError as error:
        if anyio.get_current_task().has_pending_cancellation():
            raise
        raise RuntimeError("a function that was given to stream() was cancelled by somebody else") from error
    except StopAsyncIteration as error:  # what Python does about one out of a generator
        raise RuntimeError("a function that was given to stream() raised StopAsyncIteration") from error
