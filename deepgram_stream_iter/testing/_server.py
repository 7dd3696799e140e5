"""The server: listens on loopback, refuses or accepts, keeps the connections, and ends them all."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel
import deepgram
from websockets.asyncio.server import serve

from ._connection import CLOSE_TIMEOUT_SECONDS, ServerConnection
from ._conversation import FAILED, Conversation
from ._faults import Faults
from ._handshake import V2, refusal, split
from ._intake import Intake, Noticeboard
from ._protocol import recognizer_of
from ._protocol_v1 import ListenV1
from ._protocol_v2 import ListenV2
from ._wire import Wire, Wires

if TYPE_CHECKING:
    from types import TracebackType

    import websockets.asyncio.server
    from deepgram import AsyncDeepgramClient, DeepgramClient
    from deepgram.environment import DeepgramClientEnvironment
    from typing_extensions import Self
    from websockets.http11 import Request, Response

    from ._conversation import Script
    from ._handshake import Refused
    from ._protocol import Dialect
    from ._recognition import RecognizerLike

_HTTP = frozenset({"base", "agent_rest"})
"""The addresses of an SDK environment that are no WebSocket's."""
_ACCEPTING_STEPS = 3
_GRACE_SECONDS = 0.1
_EXIT_SECONDS = 2.0

_log = logging.getLogger(__name__)

# What websockets logs is every client that left without a goodbye: the daily bread of these tests. What fails
# in the server itself is raised when it exits.
_websockets_log = logging.getLogger(f"{__name__}.websockets")
_websockets_log.setLevel(logging.CRITICAL)


class DeepgramServer:
    """A local Deepgram for /v1/listen and /v2/listen, on a free port of the loopback interface.

    Messages come from a `script`, a `recognizer` or both; `idle_timeout_seconds` (None: never) is how long
    /v1/listen waits for a frame. Leaving the context ends every connection at once, and raises what a script
    or recognizer raised::

        async with DeepgramServer(script=[messages.results("hello", is_final=True)]) as server:
            async with server.client().listen.v1.connect(model="nova-3") as connection:
                result = await connection.recv()
    """

    def __init__(
        self,
        *,
        script: Script | None = None,
        recognizer: RecognizerLike | None = None,
        api_key: str = "local-key",
        faults: Faults | None = None,
        idle_timeout_seconds: float | None = 10.0,
    ) -> None:
        self.api_key = api_key
        self.tokens = {api_key}
        """What is welcome as `Authorization: Bearer`; may be changed at any time."""
        self.connections: list[ServerConnection] = []
        """The accepted connections, in order."""
        self.refused: list[Refused] = []
        """The refused handshakes, in order."""
        # A script of messages is played to each connection, so an iterator is read out once.
        self._script: Script = script if callable(script) else tuple(script or ())
        self._recognizer = recognizer
        self._faults = faults or Faults()
        self._idle_timeout_seconds = idle_timeout_seconds
        self._wires = Wires(self._faults)
        self._board = Noticeboard()
        self._conversations: set[Conversation] = set()
        self._failures: list[Exception] = []
        self._server: websockets.asyncio.server.Server | None = None

    @property
    def faults(self) -> Faults:
        """What the server does wrong; change its fields at any time. A connection may be given its own."""
        return self._faults

    @property
    def url(self) -> str:
        """The address, `ws://127.0.0.1:PORT`."""
        return f"ws://{self._address}"

    @property
    def environment(self) -> DeepgramClientEnvironment:
        """The SDK environment (SDK 5 and newer) whose addresses are all this server's."""
        from deepgram.environment import DeepgramClientEnvironment  # noqa: PLC0415  (not in SDK 3 and 4)

        http, ws = f"http://{self._address}", self.url
        names = inspect.signature(DeepgramClientEnvironment).parameters  # not the same in every version
        return DeepgramClientEnvironment(**{name: http if name in _HTTP else ws for name in names})

    def client(self, **kwargs: object) -> AsyncDeepgramClient:
        """Return an SDK client for this server; `kwargs` are the client's and replace the right API key.

        On SDK 3 and 4, whose one client is for both, `kwargs` are those of its `DeepgramClientOptions`.
        """
        return cast("AsyncDeepgramClient", self._client("AsyncDeepgramClient", kwargs))

    def sync_client(self, **kwargs: object) -> DeepgramClient:
        """Return a sync SDK client for this server."""
        return cast("DeepgramClient", self._client("DeepgramClient", kwargs))

    def _client(self, name: str, kwargs: dict[str, object]) -> object:
        sdk: Any = deepgram
        if hasattr(sdk, "DeepgramClientOptions"):
            given = {"api_key": self.api_key, "url": f"http://{self._address}", **kwargs}
            return sdk.DeepgramClient(config=sdk.DeepgramClientOptions(**given))
        return getattr(sdk, name)(**{"api_key": self.api_key, "environment": self.environment, **kwargs})

    async def connection(self, index: int = 0) -> ServerConnection:
        """Wait until connection number `index` was accepted; return it.

        :raises ConnectionError: the server exited before.
        """
        await self._board.until(
            lambda: len(self.connections) > index, f"connection {index} came ({len(self.connections)} did)"
        )
        return self.connections[index]

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._handle,
            "127.0.0.1",
            0,
            process_request=self._admit,
            process_response=self._stamp,
            compression=None,
            # A handshake that hangs does so until the server exits.
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT_SECONDS,
            max_size=None,
            # A full queue would stop the reading, and then a close waits for the client's answer until its time-out.
            max_queue=None,
            logger=_websockets_log,
            create_connection=Wire.bound_to(self._wires),
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        server = self._running
        await _stop_accepting(server)
        server.close(close_connections=False)
        self._wires.abort()
        self._board.close()
        # Scripts that were about to look at the end of their connection get to do so, and to fail over it.
        with anyio.move_on_after(_GRACE_SECONDS, shield=True):
            await server.wait_closed()
        for conversation in self._conversations:
            conversation.stop()
        with anyio.fail_after(_EXIT_SECONDS, shield=True):
            await server.wait_closed()
        if self._failures and (exc_value is None or isinstance(exc_value, Exception)):
            for failure in self._failures[1:]:
                _log.error("another script or recognizer failed", exc_info=failure)
            raise self._failures[0]

    @property
    def _running(self) -> websockets.asyncio.server.Server:
        if self._server is None:
            raise RuntimeError("the server runs inside `async with` only")
        return self._server

    @property
    def _address(self) -> str:
        host, port = next(iter(self._running.sockets)).getsockname()
        return f"{host}:{port}"

    async def _admit(
        self, websocket: websockets.asyncio.server.ServerConnection, request: Request
    ) -> Response | None:
        if self._faults.hang_handshake:
            await websocket.wait_closed()
            return None
        refused = refusal(
            request.path, request.headers, faults=self._faults, api_key=self.api_key, tokens=self.tokens
        )
        if refused is None:
            return None
        self.refused.append(refused)
        text = refused.body(cast("Wire", websocket).request_id)
        response = websocket.respond(HTTPStatus(refused.status), text)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        if refused.error:
            response.headers["dg-error"] = refused.error
        if self._faults.refuse_status is not None and self._faults.retry_after is not None:
            after = self._faults.retry_after
            response.headers["Retry-After"] = after if isinstance(after, str) else f"{after:g}"
        return response

    def _stamp(
        self, websocket: websockets.asyncio.server.ServerConnection, _: Request, response: Response
    ) -> None:
        response.headers["dg-request-id"] = cast("Wire", websocket).request_id

    async def _handle(self, websocket: websockets.asyncio.server.ServerConnection) -> None:
        wire = cast("Wire", websocket)
        request = cast("Request", wire.request)
        intake = Intake(split(request.path)[1])
        connection = ServerConnection(wire, request, intake)
        self.connections.append(connection)
        self._board.notify()
        try:
            dialect = self._dialect_of(connection, intake)
        except Exception as failure:  # noqa: BLE001 - a recognizer's own; raised when the server exits
            self._failures.append(failure)
            intake.board.close()
            await connection.close(*FAILED)
            return
        conversation = Conversation(
            connection, intake, dialect, idle_timeout_seconds=self._idle_timeout_seconds
        )
        self._conversations.add(conversation)
        try:
            await conversation.run(self._script)
        finally:
            self._conversations.discard(conversation)
            self._failures += conversation.failures

    def _dialect_of(self, connection: ServerConnection, intake: Intake) -> Dialect:
        recognizer = recognizer_of(self._recognizer)
        query, request_id = connection.query, connection.request_id
        if connection.path == V2:
            return ListenV2(
                query, request_id, recognizer, lambda: connection.messages_sent, lambda: connection.faults
            )
        return ListenV1(query, request_id, recognizer, intake.clock, lambda: connection.faults)


async def _stop_accepting(server: websockets.asyncio.server.Server) -> None:
    # asyncio leaks the socket of a client that comes in the very step in which the listener is closed. So let
    # go of the listener first, and give clients already accepted the few steps in which they become connections.
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        # Windows' event loop has no readers.
        with contextlib.suppress(NotImplementedError):
            loop.remove_reader(listener.fileno())
    for _ in range(_ACCEPTING_STEPS):
        await anyio.lowlevel.cancel_shielded_checkpoint()
