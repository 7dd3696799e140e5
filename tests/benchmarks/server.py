"""The server: a process of its own, on another core, that does next to nothing while it is measured.

What it says is named by the model that the client asks for, and begins with the first audio that it sends:

    nova-flood.N    N finals of 20 words, as fast as they are taken; `flux-flood.N`: updates of a turn
    nova-lost.N     every other connection: one final, then lost; the others: as nova-flood
    nova-burst.N.M  N interims of other segments, and M more for each further frame of audio
    nova-long.N     N short interims, and finals among them
    nova-paced.N.R  N finals of 20 words, R a second, with the time of sending as their first word
    nova-quiet      nothing
"""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from deepgram_stream_iter.testing import messages

from .messages import conversation, encode, finals, interims, stamped, updates

PACED_SECONDS = 0.5
"""Then paced messages begin, once all connections have asked for them."""
LOST = 1011
_CYCLE = 400
_GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly however many there are."""

_finals, _updates = functools.cache(finals), functools.cache(updates)


@functools.cache
def _stamped(number: int) -> tuple[bytes, bytes]:
    """Return what comes before and after the time of sending, in a whole frame."""
    head, tail = stamped(number)
    probe = Frame(Opcode.TEXT, (head + "0" * 20 + tail).encode()).serialize(mask=False)
    size = len(probe) - len(tail.encode())
    return probe[: size - 20], probe[size:]


class Peer(asyncio.Protocol):
    """One connection."""

    connections = 0

    def __init__(self) -> None:
        self._protocol = ServerProtocol(max_size=None)
        self._model: list[str] = []
        self._number = Peer.connections
        Peer.connections += 1
        self._chunks: Iterator[bytes] = iter(())
        self._frames = 0  # of audio
        self._is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Say nothing more."""
        del exc
        self._chunks, self._is_full = iter(()), True

    def pause_writing(self) -> None:
        """Wait until the client has taken what there is."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Go on."""
        self._is_full = False
        self._push()

    def data_received(self, data: bytes) -> None:
        """Answer frames."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._open(event)
            elif isinstance(event, Frame):
                self._answer(event)
        self._flush()

    def _open(self, request: Request) -> None:
        self._protocol.send_response(self._protocol.accept(request))
        self._flush()
        self._model = parse_qs(urlsplit(request.path).query).get("model", [""])[0].split(".")
        if self._model[0].startswith("flux"):
            self._transport.write(encode(messages.connected()))

    def _answer(self, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            self._frames += 1
            kind, *counts = self._model
            self._begin(kind, [int(count) for count in counts])
        elif frame.opcode is Opcode.TEXT and b"CloseStream" in bytes(frame.data):
            if self._model[0].startswith("flux"):
                self._protocol.send_close()
            else:
                self._transport.write(encode(messages.metadata()))
                self._protocol.send_close(1000)

    def _begin(self, kind: str, counts: list[int]) -> None:
        if kind == "nova-burst":
            first, then = counts
            before = first + (self._frames - 2) * then
            self._flood(interims(0, first) if self._frames == 1 else interims(before, then))
        if self._frames > 1:
            return
        if kind == "nova-lost":
            self._lose_or_flood(counts[0])
        elif kind == "nova-flood":
            self._flood(_finals(counts[0]))
        elif kind == "flux-flood":
            self._flood(_updates(counts[0]))
        elif kind == "nova-long":
            self._flood(conversation(counts[0]))
        elif kind == "nova-paced":
            count, period_seconds = counts[0], 1 / counts[1]
            place = (self._number * _GOLDEN) % 1.0
            due = (time.monotonic() + PACED_SECONDS) // period_seconds + 1 + place
            self._pace(due * period_seconds, period_seconds, 0, count)

    _lost = 0

    def _lose_or_flood(self, count: int) -> None:
        Peer._lost += 1
        if Peer._lost % 2:
            self._transport.write(encode(messages.results("hello", duration=0.02, is_final=True)))
            self._protocol.send_close(LOST)
        else:
            self._flood(_finals(count))

    def _flood(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._push()

    def _push(self) -> None:
        while not self._is_full:
            chunk = next(self._chunks, None)
            if chunk is None:
                return
            self._transport.write(chunk)

    def _pace(self, due: float, period_seconds: float, number: int, count: int) -> None:
        """Send what is due, and come back for the next; asyncio's clock is `time.monotonic()`."""
        while number < count and due <= time.monotonic() and not self._transport.is_closing():
            head, tail = _stamped(number % _CYCLE)
            self._transport.write(b"%b%020.9f%b" % (head, time.monotonic(), tail))
            number, due = number + 1, due + period_seconds
        if number < count and not self._transport.is_closing():
            asyncio.get_running_loop().call_at(due, self._pace, due, period_seconds, number, count)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()


async def serve() -> None:
    """Print the address, and serve until the input ends."""
    server = await asyncio.get_running_loop().create_server(Peer, "127.0.0.1", 0, backlog=2000)
    async with server:
        host, port = server.sockets[0].getsockname()
        print(f"ws://{host}:{port}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


class Server:
    """The server as seen by the process that measures."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self._pid = url, pid

    @property
    def cpu_seconds(self) -> float:
        """The CPU time that it has taken so far; 0 where that cannot be known."""
        try:
            taken = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(taken[11]) + int(taken[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(core: int | None) -> Iterator[Server]:
    """Run the server on a core; None: on any."""
    command = [sys.executable, "-m", __spec__.name, *([] if core is None else [str(core)])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  (this file)
        assert process.stdout is not None
        yield Server(process.stdout.readline().strip(), process.pid)


def pin(core: int | None) -> None:
    """Stay on a core, where the system has such a call."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def two_cores() -> tuple[int | None, int | None]:
    """Return a core for what is measured and one for the server; None where there are not two."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (cores[-1], cores[0]) if len(cores) > 1 else (None, None)


if __name__ == "__main__":
    pin(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    asyncio.run(serve())
