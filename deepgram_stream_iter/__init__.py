"""Deepgram's live speech-to-text callbacks as an async iterator of typed events."""

from ._connection.ending import CloseInfo
from ._errors import (
    BufferOverflow,
    CallbackError,
    ConfigureError,
    ConnectError,
    ConnectionLost,
    DeepgramStreamError,
    ServerError,
    SessionClosed,
    StalledError,
)
from ._events.kinds import AnyStreamEvent, StreamEvent
from ._events.words import Word
from ._options import StreamingOptions
from ._session import Feed, StreamSession, Subscription
from ._settings import Overflow, Reconnect, ReconnectAttempt
from ._stats import StreamStats
from ._stream import stream
from ._transcript import Utterance

__all__ = [
    "AnyStreamEvent",
    "BufferOverflow",
    "CallbackError",
    "CloseInfo",
    "ConfigureError",
    "ConnectError",
    "ConnectionLost",
    "DeepgramStreamError",
    "Feed",
    "Overflow",
    "Reconnect",
    "ReconnectAttempt",
    "ServerError",
    "SessionClosed",
    "StalledError",
    "StreamEvent",
    "StreamSession",
    "StreamStats",
    "StreamingOptions",
    "Subscription",
    "Utterance",
    "Word",
    "stream",
]
