"""What the tests of the local server share: a bare websocket client and a recognizer that says what it is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from deepgram_stream_iter.testing import DeepgramServer, Hypothesis, Recognized, SpokenWord

if TYPE_CHECKING:
    from collections.abc import Iterable

SECOND = bytes(32_000)
"""One second of 16 kHz linear16."""
V1 = "/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000"
V2 = "/v2/listen?model=flux-general-en&encoding=linear16&sample_rate=16000"


def dial(server: DeepgramServer, target: str = V1, authorization: str = "Token local-key") -> connect:
    """Connect without the SDK."""
    headers = {"Authorization": authorization}
    return connect(server.url + target, additional_headers=headers, compression=None, proxy=None)


async def tell(websocket: ClientConnection, kind: str, **fields: object) -> None:
    """Send a control message."""
    await websocket.send(json.dumps({"type": kind, **fields}))


async def hear(websocket: ClientConnection) -> dict[str, Any]:
    """Receive one message."""
    message: dict[str, Any] = json.loads(await websocket.recv())
    return message


async def hear_all(websocket: ClientConnection) -> list[dict[str, Any]]:
    """Receive messages until the connection ends."""
    heard: list[dict[str, Any]] = []
    try:
        while True:
            heard.append(await hear(websocket))
    except ConnectionClosed:
        return heard


def kinds(heard: Iterable[dict[str, Any]]) -> list[str]:
    """Return the types of messages; the event, for a turn's."""
    return [message.get("event") or message["type"] for message in heard]


def text_of(result: dict[str, Any]) -> str:
    """Return the transcript of a `Results`."""
    transcript: str = result["channel"]["alternatives"][0]["transcript"]
    return transcript


def said(
    text: str, start: float = 0.0, end: float = 1.0, *, final: bool = False, pause: bool = False
) -> Hypothesis:
    """Return a hypothesis whose words share its time evenly."""
    words = text.split()
    step = (end - start) / max(len(words), 1)
    spoken = tuple(SpokenWord(word, start + i * step, start + (i + 1) * step) for i, word in enumerate(words))
    return Hypothesis(words=spoken, start=start, end=end, is_final=final, speech_final=pause)


class Prompted:
    """A recognizer that returns the next of its lines for each piece of audio, and `rest` when flushed."""

    def __init__(self, *lines: Iterable[Recognized], rest: Iterable[Recognized] = ()) -> None:
        self._lines = iter(lines)
        self._rest = rest
        self.heard: list[bytes] = []

    def accept(self, audio: bytes, /) -> Iterable[Recognized]:
        """Return the next line."""
        self.heard.append(audio)
        return next(self._lines, ())

    def flush(self) -> Iterable[Recognized]:
        """Return the rest, once."""
        rest, self._rest = self._rest, ()
        return rest
