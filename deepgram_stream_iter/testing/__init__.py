"""A local Deepgram live speech-to-text server, for this project's tests and for its users'."""

from __future__ import annotations

from . import messages
from ._connection import ServerConnection
from ._conversation import Script
from ._faults import Faults
from ._intake import Frame
from ._recognition import (
    Hypothesis,
    Message,
    Recognized,
    Recognizer,
    RecognizerLike,
    SpeechStart,
    SpokenWord,
)
from ._server import DeepgramServer

__all__ = [
    "DeepgramServer",
    "Faults",
    "Frame",
    "Hypothesis",
    "Message",
    "Recognized",
    "Recognizer",
    "RecognizerLike",
    "Script",
    "ServerConnection",
    "SpeechStart",
    "SpokenWord",
    "messages",
]
