"""Every way to leave a sync session: it ends in time, the server sees that, and the program ends as Python says.

Each program runs in a process of its own, because interrupts and the interpreter's exit are what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deepgram_stream_iter.testing import DeepgramServer, Faults, ServerConnection, messages

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="another kind of signals")

BOUND_SECONDS = 6.0
"""Two seconds to leave, and what a busy machine takes to end a process; to wait for the server would take 12."""
MANY_SECONDS = 50.0
"""A program that is interrupted at each of hundreds of lines does its work that often."""
PRELUDE = """
import gc, inspect, os, signal, sys, threading, time
import deepgram
from deepgram_stream_iter import StreamingOptions
from deepgram_stream_iter.sync import stream

URL, KIND = os.environ["DEEPGRAM_URL"], os.environ["KIND"]
OPTIONS = StreamingOptions(model="nova-3", encoding="linear16", sample_rate=16000)
FRAME = bytes(640)


def client():
    if hasattr(deepgram, "DeepgramClientOptions"):
        config = deepgram.DeepgramClientOptions(url=URL.replace("ws", "http", 1))
        return deepgram.DeepgramClient("local-key", config)
    from deepgram.environment import DeepgramClientEnvironment as Environment
    names = inspect.signature(Environment).parameters
    environment = Environment(**{name: URL for name in names})
    made = deepgram.AsyncDeepgramClient if KIND == "async" else deepgram.DeepgramClient
    return made(api_key="local-key", environment=environment)


def session(**settings):
    if hasattr(deepgram, "DeepgramClientOptions"):
        listen = client().listen
        target = (listen.asyncwebsocket if KIND == "async" else listen.websocket).v("1")
        if "authorization" in settings:
            return stream(lambda: target, OPTIONS, **settings)
        return stream(target, OPTIONS, **settings)
    return stream(client(), OPTIONS, **settings)


def say(text):
    print(text, flush=True)


def left():
    # A thread that runs the loop, and any that does not end: those of a sync client do a moment later.
    targets = {t: getattr(t, "_target", None) for t in threading.enumerate()}
    loops = [t for t in targets if getattr(targets[t], "__name__", "") == "run_blocking_portal"]
    others = [t for t in threading.enumerate() if t is not threading.main_thread()]
    for other in others:
        other.join(2)
    return [t.name for t in {*loops, *(t for t in others if t.is_alive())}]


def interrupted(*_):
    say("interrupted")
    raise KeyboardInterrupt


def interrupts(call, within="", step=1):
    # Call again and again, interrupted where a Ctrl-C may do it: a line or return later each time, until it gets through.
    for number in range(1, 2000, step):
        lines = number

        def trace(frame, what, _):
            nonlocal lines
            if not frame.f_globals.get("__name__", "").startswith(within):
                return None
            lines -= what in ("line", "return")
            if not lines:
                raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            call()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        if lines > 0:
            return
        yield

"""
SCRIPT = [messages.results("one", is_final=True)]


class Program:
    """A program that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def said(self, line: str) -> None:
        """Read the next line of its output, which has to be this one."""
        assert self._process.stdout is not None
        got = (await self._process.stdout.readline()).decode().strip()
        if got != line:
            assert self._process.stderr is not None
            self._process.kill()
            raise AssertionError(f"said {got!r}: {(await self._process.stderr.read()).decode()}")

    async def tell(self) -> None:
        """Write a line to its input."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    async def ends(self, within_seconds: float = BOUND_SECONDS) -> tuple[int | None, str, str]:
        """Wait until it ends, for as long as leaving may take; return its exit code, and what else it said."""
        out, err = await asyncio.wait_for(self._process.communicate(), within_seconds)
        return self._process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def running(server: DeepgramServer, kind: str, body: str) -> AsyncIterator[Program]:
    """Run a program; at the end it is gone, whatever it does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PRELUDE + textwrap.dedent(body),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "DEEPGRAM_URL": server.url,
            "KIND": kind,
            "PYTHONWARNINGS": "ignore,always:unclosed <StreamSession:ResourceWarning",
            "SSL_CERT_DIR": str(Path(__file__).parent),
        },
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def is_closed(connection: ServerConnection) -> None:
    """Wait until the server sees the end, for as long as leaving may take."""
    await asyncio.wait_for(connection.wait_closed(), BOUND_SECONDS)


# Exceptions


async def test_an_exception_of_the_body(kind: str) -> None:
    """It comes out as itself, and the stream is closed at once, without CloseStream."""
    body = """
        with session() as s:
            s.send(FRAME)
            next(s)
            raise LookupError("mine")
    """
    async with DeepgramServer(script=SCRIPT) as server, running(server, kind, body) as program:
        connection = await server.connection()
        await is_closed(connection)
        code, _, err = await program.ends()
        assert connection.controls == []
    assert code == 1
    assert err.strip().endswith("LookupError: mine")
    assert "During handling" not in err


@pytest.mark.parametrize("where", ["body", "thread"])
async def test_sys_exit(kind: str, where: str) -> None:
    """sys.exit() closes at once; in a thread it ends that thread only."""
    body = """
        def main():
            with session() as s:
                next(s)
                sys.exit(7)
    """
    body += {
        "body": "\n        main()\n",
        "thread": """
        thread = threading.Thread(target=main)
        thread.start()
        thread.join()
        say(left())
    """,
    }[where]
    async with DeepgramServer(script=SCRIPT) as server, running(server, kind, body) as program:
        connection = await server.connection()
        await is_closed(connection)
        code, out, err = await program.ends()
        assert connection.controls == []
    assert (code, out.strip(), err) == ((7, "", "") if where == "body" else (0, "[]", ""))


async def test_a_thread_that_dies(kind: str) -> None:
    """An exception in a thread closes its session; the program goes on, and the loop's thread has ended."""
    body = """
        def main():
            with session() as s:
                next(s)
                raise LookupError("mine")

        thread = threading.Thread(target=main)
        thread.start()
        thread.join()
        say(left())
    """
    async with DeepgramServer(script=SCRIPT) as server, running(server, kind, body) as program:
        connection = await server.connection()
        await is_closed(connection)
        code, out, err = await program.ends()
        assert connection.controls == []
    assert (code, out.strip()) == (0, "[]")
    assert err.strip().endswith("LookupError: mine")


# Ctrl-C


async def test_interrupted_while_iterating(kind: str) -> None:
    """A Ctrl-C while it waits for an event leaves at once, and is KeyboardInterrupt."""
    body = """
        with session() as s:
            for event in s:
                say(event.transcript)
    """
    async with DeepgramServer(script=SCRIPT) as server, running(server, kind, body) as program:
        await program.said("one")
        program.interrupt()
        code, _, err = await program.ends()
        connection = await server.connection()
        await is_closed(connection)
        assert connection.controls == []
    assert code == -signal.SIGINT
    assert err.strip().endswith("KeyboardInterrupt")


async def test_interrupted_and_iterated_on(kind: str) -> None:
    """An application that catches the KeyboardInterrupt iterates on from there, and loses no event."""
    body = """
        texts = []
        with session() as s:
            while True:
                try:
                    for event in s:
                        if event.type == "transcript":
                            texts.append(event.transcript)
                        if len(texts) == 1:
                            say("one")
                    break
                except KeyboardInterrupt:
                    say("interrupted")
        say(" ".join(texts))
    """
    words = [f"w{number}" for number in range(100)]

    async def script(connection: ServerConnection) -> None:
        await connection.send(SCRIPT[0])
        await interrupted.wait()
        for word in words:
            await connection.send(messages.results(word, is_final=True))
        await connection.close()

    interrupted = asyncio.Event()
    async with DeepgramServer(script=script) as server, running(server, kind, body) as program:
        await program.said("one")
        program.interrupt()
        await program.said("interrupted")
        interrupted.set()
        await program.said(" ".join(["one", *words]))
        code, _, err = await program.ends()
    assert (code, err) == (0, "")


async def test_interrupted_at_any_line(kind: str) -> None:
    """Wherever in a call a Ctrl-C comes, the loop of all sessions goes on, for this session and another one."""
    body = """
        other = session().open()
        with session() as s:
            for _ in interrupts(s.keep_alive):
                other.keep_alive()
            s.keep_alive()
            other.close()
            s.finish()
        say(left())
    """
    async with DeepgramServer(script=SCRIPT) as server, running(server, kind, body) as program:
        code, out, err = await program.ends(MANY_SECONDS)
    assert (code, out.strip()) == (0, "[]"), err


async def test_iterated_on_after_an_interrupt_at_any_line(kind: str) -> None:
    """Wherever in the iteration a Ctrl-C comes, the same thread may iterate on, and another one after it."""
    body = """
        def read(iterator):
            got.append(next(iterator))

        got = []
        with session(max_buffer_size=5000) as s:
            for iterator in (s, s.utterances()):
                for _ in interrupts(lambda: read(iterator), within="deepgram_stream_iter._sync"):
                    before = len(got)
                    read(iterator)
                    thread = threading.Thread(target=read, args=(iterator,))
                    thread.start()
                    thread.join()
                    assert len(got) == before + 2
        say(left())
    """
    script = [messages.results("one", start=float(n), is_final=True, speech_final=True) for n in range(1000)]
    async with DeepgramServer(script=script) as server, running(server, kind, body) as program:
        code, out, err = await program.ends(MANY_SECONDS)
    assert (code, out.strip()) == (0, "[]"), err


async def test_interrupted_while_leaving(kind: str) -> None:
    """A Ctrl-C while the exit waits for a server that says nothing closes at once."""
    body = """
        with session(finish_timeout_seconds=60):
            pass
    """
    async with DeepgramServer(faults=Faults(mute=True)) as server, running(server, kind, body) as program:
        connection = await server.connection()
        await connection.received("CloseStream")
        program.interrupt()
        code, _, err = await program.ends()
        await is_closed(connection)
    assert code == -signal.SIGINT
    assert err.strip().endswith("KeyboardInterrupt")


async def test_interrupted_twice_while_leaving(kind: str) -> None:
    """A second Ctrl-C, while a server that has stopped reading holds up the close, leaves at once as well."""
    body = """
        signal.signal(signal.SIGINT, interrupted)
        s = session(finish_timeout_seconds=60).open()
        say("open")
        sys.stdin.readline()
        s.close()
    """
    async with DeepgramServer() as server, running(server, kind, body) as program:
        connection = await server.connection()
        await program.said("open")
        await program.tell()
        await connection.received("CloseStream")
        connection.faults = Faults(frozen=True)
        program.interrupt()
        await program.said("interrupted")
        program.interrupt()
        code, _, err = await program.ends()
    assert code == -signal.SIGINT
    assert err.strip().endswith("KeyboardInterrupt")


async def test_interrupted_while_entering(kind: str) -> None:
    """A Ctrl-C during a handshake that hangs leaves no thread and no socket behind."""
    body = """
        async def authorization():
            say("connecting")
            return "Token local-key"

        try:
            with session(connect_timeout_seconds=60, authorization=authorization):
                pass
        except KeyboardInterrupt:
            say(left())
    """
    async with DeepgramServer(faults=Faults(hang_handshake=True)) as server:
        async with running(server, kind, body) as program:
            await program.said("connecting")
            program.interrupt()
            await program.said("[]")
            code, _, err = await program.ends()
    assert code == 0
    assert "Traceback" not in err  # SDK 3 and 4 say that they could not start


async def test_interrupted_at_any_line_of_entering(kind: str) -> None:
    """Wherever in the entering a Ctrl-C comes, it leaves no thread and no connection behind."""
    body = """
        def enter():
            s = session()
            s.open()
            sys.settrace(None)

        for _ in interrupts(enter, within="deepgram_stream_iter._sync", step=2):
            pass
        gc.collect()
        left()  # what was interrupted is closed in the background
        say(left())
    """
    async with DeepgramServer() as server, running(server, kind, body) as program:
        await program.said("[]")
        code, _, _ = await program.ends(MANY_SECONDS)
        for connection in server.connections:
            await is_closed(connection)
    assert code == 0


# Left open


async def test_the_interpreter_exits_with_a_session_open(kind: str) -> None:
    """A main thread that ends without leaving closes the session, warns, and does not hang."""
    body = """
        s = session().open()
        next(s)
    """
    async with DeepgramServer(script=SCRIPT) as server, running(server, kind, body) as program:
        connection = await server.connection()
        code, _, err = await program.ends()
        await is_closed(connection)
        assert connection.close_code == 1000
    assert code == 0
    assert err.count("ResourceWarning: unclosed <StreamSession 'stream-1': live") == 1


async def test_the_interpreter_exits_with_a_thread_inside(kind: str) -> None:
    """A daemon thread that sits inside its `with` is left there; the session is closed all the same."""
    body = """
        def main():
            with session() as s:
                for event in s:
                    inside.set()

        inside = threading.Event()
        threading.Thread(target=main, daemon=True).start()
        inside.wait()
    """
    async with DeepgramServer(script=SCRIPT) as server, running(server, kind, body) as program:
        connection = await server.connection()
        code, _, err = await program.ends()
        await is_closed(connection)
        assert connection.close_code == 1000
    assert code == 0
    assert err.count("ResourceWarning: unclosed <StreamSession 'stream-1': live") == 1


async def test_the_interpreter_exits_on_a_server_that_hangs(kind: str) -> None:
    """Two seconds are all that the exit waits for a server that reads nothing any more."""
    body = """
        s = session().open()
        next(s)
    """

    async def script(connection: ServerConnection) -> None:
        await connection.send(SCRIPT[0])
        connection.faults = Faults(frozen=True)

    async with DeepgramServer(script=script) as server, running(server, kind, body) as program:
        code, _, err = await program.ends()
    assert code == 0
    assert "Traceback" not in err  # SDK 3 and 4 say that the connection is lost


async def test_dropped(kind: str) -> None:
    """A session that is dropped warns, and is closed at once without holding up who dropped it."""
    body = """
        s = session().open()
        next(s)
        del s
        say("dropped")
        sys.stdin.readline()
        say(left())
    """
    async with DeepgramServer(script=SCRIPT) as server, running(server, kind, body) as program:
        connection = await server.connection()
        await program.said("dropped")
        await is_closed(connection)
        await program.tell()
        code, _, err = await program.ends()
    assert code == 0
    assert "ResourceWarning: unclosed <StreamSession 'stream-1': live" in err
    assert err.count("unclosed") == 1


async def test_dropped_in_a_cycle_and_collected_on_the_loop(kind: str) -> None:
    """A session that the garbage collector finds in the thread of the loop, among its own tasks, is closed as well."""
    body = """
        async def authorization():
            say(gc.collect() > 0)
            return "Token local-key"

        s = session().open()
        s.itself = s
        next(s)
        gc.disable()
        del s
        with session(authorization=authorization) as s:
            sys.stdin.readline()
            say(s.finish().drained)
    """
    async with DeepgramServer(script=SCRIPT) as server, running(server, kind, body) as program:
        connection = await server.connection()
        await program.said("True")
        await is_closed(connection)
        await program.tell()
        await program.said("True")
        code, _, err = await program.ends()
    assert code == 0
    assert err.count("ResourceWarning: unclosed") == 1


async def test_a_loop_that_is_ended_by_the_application(kind: str) -> None:
    """A function that ends the thread of the loop ends its sessions, hangs nobody, and the next one has a loop."""
    body = """
        async def audio():
            yield FRAME
            sys.exit(1)

        with session() as s:
            s.feed(audio())
            for event in s:
                pass
        say("left")
        with session() as s:
            say(s.finish().drained)
    """
    async with DeepgramServer() as server, running(server, kind, body) as program:
        await program.said("left")
        await program.said("True")
        code, _, err = await program.ends()
    assert code == 0, err


async def test_a_loop_that_is_ended_while_entering(kind: str) -> None:
    """A function that ends the thread of the loop ends the entering with a public error, and the next one has a loop."""
    body = """
        from deepgram_stream_iter import SessionClosed

        async def authorization():
            sys.exit(1)

        try:
            session(authorization=authorization).open()
        except (SessionClosed, SystemExit):
            say("closed")
        with session() as s:
            say(s.finish().drained)
    """
    async with DeepgramServer() as server, running(server, kind, body) as program:
        await program.said("closed")
        await program.said("True")
        code, _, err = await program.ends()
    assert code == 0, err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_forked(kind: str) -> None:
    """A process that is forked off has a loop of its own, and neither uses nor ends the session of its parent."""
    body = """
        from deepgram_stream_iter import SessionClosed

        s = session().open()
        next(s)
        child = os.fork()
        if not child:
            refused = 0
            for call in (lambda: s.send(FRAME), lambda: s.send_nowait(FRAME), lambda: s.skip(1.0), lambda: next(s)):
                try:
                    call()
                except SessionClosed:
                    refused += 1
            if refused == 4:
                del s, call
                gc.collect()
                with session() as s:
                    os._exit(5 if s.finish().drained else 6)
            os._exit(7)
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        say(s.finish().drained)
        s.close()
    """
    async with DeepgramServer(script=SCRIPT) as server, running(server, kind, body) as program:
        code, out, err = await program.ends()
    assert (code, out.split(), err) == (0, ["5", "True"], "")


async def test_an_executor_that_hangs(kind: str) -> None:
    """What the application left in the loop's executor holds up the exit for no more than its second or two."""
    body = """
        import asyncio

        async def authorization():
            asyncio.get_running_loop().run_in_executor(None, hangs.wait)
            return "Token local-key"

        hangs = threading.Event()
        with session(authorization=authorization) as s:
            s.finish()
            started = time.monotonic()
        say(time.monotonic() - started < 2.5)
        hangs.set()
    """
    async with DeepgramServer() as server, running(server, kind, body) as program:
        code, out, err = await program.ends()
    assert (code, out.strip()) == (0, "True"), err
