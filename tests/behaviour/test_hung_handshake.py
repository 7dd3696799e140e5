"""A sync client whose handshake hangs: the time-out and Ctrl-C are obeyed, and neither thread nor socket stays."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import pkgutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import deepgram
import pytest
from conftest import IS_LEGACY, nova

from deepgram_stream_iter import ConnectError, StreamSession, stream
from deepgram_stream_iter.testing import DeepgramServer

BOUND_SECONDS = 2
"""What is dropped ends at once; the SDK's own time-out is 10 s."""
STAGES = ["tcp", "tls", "websocket"]
SYNC_CONNECT = (
    "deepgram.clients.common.v1.abstract_sync_websocket.connect"
    if IS_LEGACY
    else "websockets.sync.client.connect"
)

PROGRAM = """
import asyncio, sys
sys.path[:0] = {path!r}
from test_hung_handshake import session_of

async def main():
    async with session_of({port}, connect_timeout_seconds={connect_timeout_seconds}):
        pass

asyncio.run(main())
"""

ABANDONING = """
import asyncio, sys
sys.path[:0] = {path!r}
from test_hung_handshake import session_of

async def main():
    return await session_of({port}).__aenter__()

session = asyncio.new_event_loop().run_until_complete(main())
print("entered", flush=True)
"""


def session_of(port: int, scheme: str = "", **settings: Any) -> StreamSession:
    """Return a session through a sync client that connects to this port; `scheme="s"` is for TLS."""
    sdk: Any = deepgram
    http, ws = f"http{scheme}://127.0.0.1:{port}", f"ws{scheme}://127.0.0.1:{port}"
    if IS_LEGACY:
        client = sdk.DeepgramClient(config=sdk.DeepgramClientOptions(api_key="k", url=http))
        return stream(lambda: client.listen.websocket.v("1"), nova(), **settings)
    from deepgram.environment import DeepgramClientEnvironment  # noqa: PLC0415  (not in SDK 3 and 4)

    names = inspect.signature(DeepgramClientEnvironment).parameters
    environment = DeepgramClientEnvironment(
        **{name: http if name in {"base", "agent_rest"} else ws for name in names}
    )
    return stream(sdk.DeepgramClient(api_key="k", environment=environment), nova(), **settings)


@contextlib.contextmanager
def hanging(stage: str) -> Iterator[socket.socket]:
    """Yield a listening socket of which no connection gets past this stage."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        with contextlib.suppress(TimeoutError):
            while stage == "tcp":  # until the queue of the listener is full: then it takes no other
                filling = sockets.enter_context(socket.socket())
                filling.settimeout(0.2)
                filling.connect(listener.getsockname())
        yield listener


async def connects_in_vain(listener: socket.socket, stage: str) -> None:
    """Enter a session whose connection gets no further than this stage."""
    scheme = "s" if stage == "tls" else ""
    with pytest.raises(ConnectError, match="connect_timeout_seconds"):
        async with session_of(listener.getsockname()[1], scheme, connect_timeout_seconds=0.2):
            pytest.fail("nobody answers")


def assert_they_end(threads: set[threading.Thread]) -> None:
    """Wait for threads that are being ended."""
    deadline = time.monotonic() + BOUND_SECONDS
    for thread in threads:
        while thread.ident is None:
            time.sleep(0)  # it is being started, and cannot be joined yet
        thread.join(max(0, deadline - time.monotonic()))
    assert [thread.name for thread in threads if thread.is_alive()] == []


@pytest.mark.parametrize("stage", STAGES)
async def test_no_thread_stays(stage: str) -> None:
    """When the connecting is given up, in whichever stage it hangs, its thread ends at once and its socket is closed."""
    with hanging(stage) as listener:
        before = set(threading.enumerate())
        await connects_in_vain(listener, stage)
        assert_they_end(set(threading.enumerate()) - before)


async def test_each_address_of_the_host_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with several addresses is not tried on at the next one once the connecting is given up."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **named: resolve(*given, **named) * 3)
    with hanging("tcp") as listener:
        before = set(threading.enumerate())
        await connects_in_vain(listener, "tcp")
        assert_they_end(set(threading.enumerate()) - before)


async def test_a_late_success_is_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that comes about after its session was cancelled is closed at once, and leaves no thread."""
    is_given_up, is_connecting = threading.Event(), anyio.Event()
    loop = asyncio.get_running_loop()
    connect = pkgutil.resolve_name(SYNC_CONNECT)

    def connect_late(*given: Any, **named: Any) -> Any:
        loop.call_soon_threadsafe(is_connecting.set)
        assert is_given_up.wait(10)
        return connect(*given, **named)

    monkeypatch.setattr(SYNC_CONNECT, connect_late)
    async with DeepgramServer(api_key="k") as server:
        before = set(threading.enumerate())
        port = int(server.url.rpartition(":")[2])
        session = session_of(port)
        entering = asyncio.create_task(session.__aenter__())
        await is_connecting.wait()
        server.faults.frozen = True  # no answer to a close frame either
        entering.cancel()
        loop.call_later(0.1, is_given_up.set)
        with pytest.raises(asyncio.CancelledError):
            await entering
        await server.connection()
        await anyio.to_thread.run_sync(assert_they_end, set(threading.enumerate()) - before)


async def run(program: str, **values: object) -> asyncio.subprocess.Process:
    """Start a program in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program.format(path=sys.path, **values),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def request_of(listener: socket.socket) -> socket.socket:
    """Accept a connection, and read the request that will have no answer."""
    loop = asyncio.get_running_loop()
    listener.settimeout(0)
    accepted, _ = await loop.sock_accept(listener)
    accepted.settimeout(0)
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        received = await loop.sock_recv(accepted, 4096)
        assert received, "the time-out came before the request"
        request += received
    return accepted


@pytest.mark.slow
@pytest.mark.parametrize("how", ["time-out", "Ctrl-C"])
async def test_the_process_ends(how: str) -> None:
    """After the time-out, and after Ctrl-C, the interpreter does not wait for a handshake that hangs."""
    with hanging("websocket") as listener:
        port, limit_seconds = listener.getsockname()[1], 1.0 if how == "time-out" else 30.0
        process = await run(PROGRAM, port=port, connect_timeout_seconds=limit_seconds)
        with await request_of(listener):
            began = time.monotonic()
            if how == "Ctrl-C":
                process.send_signal(signal.SIGINT)
                limit_seconds = 0.0
            _, errors = await process.communicate()
            assert time.monotonic() - began < limit_seconds + BOUND_SECONDS
    assert (
        "ConnectError: Could not connect" if how == "time-out" else "KeyboardInterrupt"
    ) in errors.decode()
    assert process.returncode == (1 if how == "time-out" else -signal.SIGINT)


async def test_a_session_that_is_never_left_does_not_hold_the_process() -> None:
    """A program that ends without leaving its session ends all the same: no thread of the session holds it."""
    async with DeepgramServer(api_key="k") as server:
        process = await run(ABANDONING, port=int(server.url.rpartition(":")[2]))
        assert process.stdout is not None
        line = await process.stdout.readline()
        assert line == b"entered\n", await process.communicate()
        with anyio.fail_after(10):  # a thread that held it would do so for ever
            await process.communicate()
