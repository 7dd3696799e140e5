"""Relay the audio of browsers (socket.io) to Deepgram, and its transcripts back, with Flask-SocketIO on SDK 7."""

import copy
import os
import sys
from typing import Any, cast

from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from flask import Flask, request
from flask_socketio import SocketIO

OPTIONS: Any = {"model": "nova-3", "interim_results": "true", "encoding": "linear16", "sample_rate": 16000}
app = Flask(__name__)
# Without async_handlers=False each piece of audio would be handled in a thread of its own, in any order.
socketio = SocketIO(app, async_mode="threading", async_handlers=False, cors_allowed_origins="*")
streams: dict[str, Any] = {}


def transcribe(browser: str) -> None:
    def on_message(message: Any) -> None:
        if getattr(message, "type", "") == "Results":
            text = message.channel.alternatives[0].transcript
            if message.is_final and text:
                print(text)
                socketio.emit("transcript", {"text": text}, to=browser)

    def on_error(error: object) -> None:
        print("error:", error, file=sys.stderr)

    try:
        with client.listen.v1.connect(**OPTIONS) as connection:
            connection.on(EventType.MESSAGE, on_message)
            connection.on(EventType.ERROR, on_error)
            streams[browser] = connection
            socketio.emit("ready", to=browser)
            connection.start_listening()
    finally:
        streams.pop(browser, None)
        socketio.emit("done", to=browser)


@socketio.on("start")
def start() -> None:
    socketio.start_background_task(transcribe, browser_id())


@socketio.on("audio")
def audio(data: bytes) -> None:
    streams[browser_id()].send_media(data)


@socketio.on("stop")
@socketio.on("disconnect")
def stop(*_: object) -> None:
    if live := streams.get(browser_id()):
        live.send_close_stream()


def browser_id() -> str:
    return str(cast("Any", request).sid)  # Flask-SocketIO puts it there


def environment() -> DeepgramClientEnvironment:
    here = copy.copy(DeepgramClientEnvironment.PRODUCTION)
    if url := os.environ.get("DEEPGRAM_URL"):
        here.base, here.production = url, url.replace("http", "ws", 1)
    return here


client = DeepgramClient(environment=environment())
socketio.run(app, port=int(os.environ.get("PORT", "5000")), allow_unsafe_werkzeug=True)
