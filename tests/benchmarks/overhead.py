"""What a session costs above the SDK's own callbacks, measured in one run.

    python tests/benchmarks/overhead.py [messages]

A server in a process of its own sends final transcripts of 20 words as fast as they are taken. Rounds of three kinds
alternate in this process: the SDK with a callback that only counts; the SDK with a callback that puts the message into
an `asyncio.Queue` and a loop that takes it out (what one writes without this package); and a session that is iterated.
Printed are CPU seconds of this process (median), and the ratios to the queue, round by round.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

from deepgram import AsyncDeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment

from deepgram_stream_iter import StreamingOptions, stream
from deepgram_stream_iter.testing import DeepgramServer, messages

ROUNDS = 7
TEXT = " ".join(["word"] * 20)


def serve(count: int, pipe: Connection) -> None:
    """Serve until the other end of the pipe is closed."""

    async def run() -> None:
        script = [messages.results(TEXT, start=float(n), is_final=True) for n in range(count)]
        async with DeepgramServer(script=script) as server:
            pipe.send(server.url)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(run())


async def callbacks(client: AsyncDeepgramClient, count: int) -> None:
    """Take the messages with a plain callback."""
    left = [count]
    async with client.listen.v1.connect(model="nova-3") as connection:
        done = asyncio.Event()

        def handler(_: object) -> None:
            left[0] -= 1
            if not left[0]:
                done.set()

        connection.on(EventType.MESSAGE, handler)
        listening = asyncio.create_task(connection.start_listening())
        await done.wait()
        listening.cancel()


async def queue(client: AsyncDeepgramClient, count: int) -> None:
    """Take the messages through a queue."""
    async with client.listen.v1.connect(model="nova-3") as connection:
        waiting: asyncio.Queue[object] = asyncio.Queue()
        connection.on(EventType.MESSAGE, waiting.put_nowait)
        listening = asyncio.create_task(connection.start_listening())
        for _ in range(count):
            await waiting.get()
        listening.cancel()


async def session(client: AsyncDeepgramClient, count: int) -> None:
    """Take the messages by iterating a session."""
    async with stream(client, StreamingOptions(model="nova-3")) as events:
        left = count
        async for _ in events:
            left -= 1
            if not left:
                break


async def measure(url: str, count: int) -> None:
    """Alternate the kinds and print what they cost."""
    environment = DeepgramClientEnvironment(base=url, production=url, agent=url, agent_rest=url)
    client = AsyncDeepgramClient(api_key="local-key", environment=environment)
    kinds: dict[str, Callable[[AsyncDeepgramClient, int], Awaitable[None]]] = {
        "callbacks": callbacks,
        "queue": queue,
        "session": session,
    }
    costs: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(ROUNDS + 1):
        for name, run in kinds.items():
            began = time.process_time()
            await run(client, count)
            costs[name].append(time.process_time() - began)
    medians = {name: statistics.median(seconds[1:]) for name, seconds in costs.items()}
    ratios = [ours / theirs for ours, theirs in zip(costs["session"][1:], costs["queue"][1:], strict=True)]
    for name, seconds in medians.items():
        print(f"{name:10} {seconds / count * 1e6:7.1f} us of CPU a message")
    print(f"session to queue {statistics.median(ratios):7.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")


def main() -> None:
    """Run the benchmark."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(count, theirs))
    server.start()
    try:
        asyncio.run(measure(ours.recv(), count))
    finally:
        ours.send(None)
        server.join()


if __name__ == "__main__":
    main()
