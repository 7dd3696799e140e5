"""What the tests share: options for the two endpoints, and a watch over what a test leaves behind."""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import deepgram
import pytest
from sync_as_async import Session as SyncAsAsync

from deepgram_stream_iter import AnyStreamEvent, StreamEvent, StreamingOptions, StreamSession, stream
from deepgram_stream_iter.testing import DeepgramServer, Hypothesis, SpokenWord

os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)
"""Without certificates: a client would read all of them, which takes it 30 ms, and no test speaks TLS."""
os.environ.pop("SSL_CERT_FILE", None)

if importlib.util.find_spec("hypothesis"):  # the matrix does without it
    hypothesis = importlib.import_module("hypothesis")
    # How long one example takes says how busy the machine is; a test has its time limit as a whole.
    hypothesis.settings.register_profile("parallel", deadline=None)
    hypothesis.settings.load_profile("parallel")

SDK = tuple(int(part) for part in importlib.metadata.version("deepgram-sdk").split(".")[:3])
IS_LEGACY = SDK < (5,)
"""The SDK speaks the dialect of `start()` and `finish()`."""
emitter_only = pytest.mark.skipif(IS_LEGACY, reason="SDK 3 and 4 speak another dialect: see test_legacy.py")
legacy_only = pytest.mark.skipif(not IS_LEGACY, reason="the dialect of SDK 3 and 4")

TOO_STRICT = (
    "SDK 5.0 stops listening over messages with types or fields that came after it, Flux's words among them"
)

IN_MATRIX_ONLY = {"test_faults.py", "test_ahead_of_the_clock.py"}
"""They take a third of the time of all tests of sync sessions, so these run them where the matrix says SYNC_SESSIONS."""
only_async = pytest.mark.async_sessions_only
needs_cancellation = only_async(
    reason="a call that blocks a thread cannot be cancelled; what interrupts it is tested in test_sync_leaving.py"
)
refuses_other_loops = only_async(reason="a sync session belongs to no event loop, and any thread may call it")
cancels_its_source = only_async(
    reason="what a sync session is fed runs in a thread, and is stopped when it returns: see test_sync_session.py"
)
orders_tasks = only_async(
    reason="which of two threads comes first nobody knows: see test_two_threads_iterate()"
)
looks_inside = only_async(reason="it looks at the tasks of the loop, and into the async session")

EventType: Any = None if IS_LEGACY else importlib.import_module("deepgram.core.events").EventType
LegacyEvents: Any = getattr(deepgram, "LiveTranscriptionEvents", None)

FRAME = bytes(640)
"""20 ms of 16 kHz mono linear16."""


def nova(**options: Any) -> StreamingOptions:
    """Options for /v1/listen with raw audio."""
    given: dict[str, Any] = {
        "model": "nova-3",
        "encoding": "linear16",
        "sample_rate": 16000,
        "interim_results": True,
        **options,
    }
    return StreamingOptions(**given)


def flux(**options: Any) -> StreamingOptions:
    """Options for /v2/listen with raw audio."""
    if IS_LEGACY:
        pytest.skip("SDK 3 and 4 have no Flux")
    if SDK[:2] == (5, 0):
        pytest.skip(TOO_STRICT)
    given: dict[str, Any] = {
        "model": "flux-general-en",
        "encoding": "linear16",
        "sample_rate": 16000,
        **options,
    }
    return StreamingOptions(**given)


async def texts(session: StreamSession) -> list[str]:
    """Iterate to the end; return the final texts."""
    return [text for event in [event async for event in session] if (text := final_text(event))]


def final_text(event: AnyStreamEvent) -> str:
    """Give the text of a final transcript or of an ended turn; empty for all else."""
    match event:
        case StreamEvent.Transcript(is_final=True) | StreamEvent.EndOfTurn():
            return event.transcript
        case _:
            return ""


async def arrived(session: StreamSession, count: int) -> None:
    """Wait until so many events have arrived, handed out or not."""
    while session.stats.events < count:  # noqa: ASYNC110  (nobody tells)
        await asyncio.sleep(0.001)


async def ended(session: StreamSession) -> None:
    """Wait until a session has ended, as who is not told of its error."""
    while session.close_info is None:  # noqa: ASYNC110  (nobody tells)
        await asyncio.sleep(0.001)


class LateWord:
    """A recognizer that has a word to say at the end only."""

    def accept(self, audio: bytes) -> list[Hypothesis]:
        """Say nothing."""
        del audio
        return []

    def flush(self) -> list[Hypothesis]:
        """Say the word."""
        return [Hypothesis(words=(SpokenWord("late", 0.0, 0.5),), start=0.0, end=0.5, is_final=True)]


def whole_text(error: BaseException) -> str:
    """Everything that a traceback, a repr or a debugger's look at the chain would show."""
    shown = ["".join(traceback.format_exception(error))]
    link: BaseException | None = error
    while link is not None:
        shown += [str(link), repr(link), repr(link.args), repr(vars(link))]
        link = link.__cause__ or link.__context__
    return "\n".join(shown)


def set_transport(monkeypatch: pytest.MonkeyPatch, kind: str, **settings: Any) -> None:
    """Give the SDK's socket other timings than the SDK does: nobody wants to wait for its 20 s in a test."""
    if IS_LEGACY:
        name = f"deepgram.clients.common.v1.abstract_{kind}_websocket.connect"
    elif kind == "async":
        name = "deepgram.listen.v1.client.websockets_client_connect"
    else:
        name = "websockets.sync.client.connect"
    connect = pkgutil.resolve_name(name)

    def connect_with_settings(*arguments: Any, **given: Any) -> Any:
        return connect(*arguments, **{**given, **settings})

    monkeypatch.setattr(name, connect_with_settings)


def any_client() -> Any:
    """Give an async client of the installed SDK that is not meant to connect."""
    return deepgram.DeepgramClient(api_key="x") if IS_LEGACY else deepgram.AsyncDeepgramClient(api_key="x")


def on_message(connection: Any, kind: str, handler: Callable[[object], object]) -> None:
    """Register a handler for transcripts as an application does, with the signature that the SDK wants."""
    if not IS_LEGACY:
        connection.on(EventType.MESSAGE, handler)
        return

    def plain(_: object, result: object, **__: object) -> None:
        handler(result)

    async def coroutine(_: object, result: object, **__: object) -> None:
        handler(result)

    connection.on(LegacyEvents.Transcript, coroutine if kind == "async" else plain)


class Connect:
    """Makes a session of the kind that a test runs with."""

    def __init__(self, session_kind: str, client_kind: str) -> None:
        self._client_kind = client_kind
        self.stream: Callable[..., StreamSession] = stream
        """What makes it: `stream()`, or that of the sync sessions behind the names of the async one."""
        if session_kind == "sync-session":
            self.stream = cast("Callable[..., StreamSession]", SyncAsAsync)

    def __call__(self, server: DeepgramServer, options: StreamingOptions, **settings: Any) -> StreamSession:
        """Return one, not entered yet, through the client of this kind."""
        client: Any = server.client() if self._client_kind == "async" else server.sync_client()
        if not IS_LEGACY:
            return self.stream(client, options, **settings)
        # One client for both kinds: they part at the connection.
        sockets = client.listen.asyncwebsocket if self._client_kind == "async" else client.listen.websocket
        is_anew = settings.keys() & {"reconnect", "authorization"}
        return self.stream((lambda: sockets.v("1")) if is_anew else sockets.v("1"), options, **settings)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with each kind of session: an async one on either client of the SDK, and a sync one.

    A sync one stands on the sync client, as programs without an event loop have it; test_sync_session.py runs it on both.
    """
    if "session_kind" not in metafunc.fixturenames:
        return
    has_mark = metafunc.definition.get_closest_marker
    is_left_out = metafunc.definition.path.name in IN_MATRIX_ONLY and "SYNC_SESSIONS" not in os.environ
    kinds = ["async"] if has_mark("async_client_only") else ["async", "sync"]
    if "connect" in metafunc.fixturenames and not (
        has_mark("async_client_only") or has_mark("async_sessions_only") or is_left_out
    ):
        kinds.append("sync-session")
    metafunc.parametrize("session_kind", kinds, indirect=True)


@pytest.fixture
def session_kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of session that a test runs with: async or sync (by the client of an async one) or sync-session."""
    return str(request.param)


@pytest.fixture
def kind(session_kind: str) -> str:
    """Return the kind of client that a test runs with: the SDK has an async and a sync one."""
    return "async" if session_kind == "async" else "sync"


@pytest.fixture
def connect(session_kind: str) -> Connect:
    """Return what makes a session of this kind."""
    return Connect(session_kind, "async" if session_kind == "async" else "sync")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return one worker more than there are cores, because most tests wait; none where the output is to be seen."""
    return 0 if config.option.capture == "no" else min(os.cpu_count() or 1, 7) + 1


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-timeout print the stacks of a test that hangs to stderr, because a worker's stdout leads nowhere."""
    if hasattr(config, "workerinput"):
        writer = type(config.get_terminal_writer())(sys.__stderr__)
        config.get_terminal_writer = lambda: writer  # type: ignore[method-assign]


@pytest.fixture(autouse=True, scope="module")
def only_garbage_of_tests() -> None:
    """Exempt what is there before a file's first test from the collections, because scanning the SDK takes 25 ms."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
async def nothing_left(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """Fail a test that leaves a task behind; sockets and streams left open warn when collected, and so fail too.

    So does one that leaves an exception behind, of which asyncio would tell in the application's log.
    """
    before, threads = asyncio.all_tasks(), set(threading.enumerate())
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if IS_LEGACY and left:  # its listener sleeps for half a second when it has told Close
        left = (await asyncio.wait(left, timeout=1))[1]
    assert not left, f"tasks left behind: {left}"
    for thread in set(threading.enumerate()) - threads:
        if "AnyIO" in thread.name:  # of the tests' own to_thread calls
            continue
        while thread.ident is None:  # noqa: ASYNC110  (it is being started, and cannot be joined yet)
            await asyncio.sleep(0)
        thread.join(3)  # one that is on its way out is no leak
        assert not thread.is_alive(), f"thread left behind: {thread}"
    gc.collect()
    said = [record.getMessage() for when in ("call", "teardown") for record in caplog.get_records(when)]
    assert not [message for message in said if "never retrieved" in message]
