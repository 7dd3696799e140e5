"""A microphone for machines without one: plays a file of raw int16, at the pace of the clock, to a callback.

As much of `sounddevice` as a program with `RawInputStream(callback=...)` uses. As there, a thread of its own calls the
callback with a buffer that holds the audio only until the callback returns.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

_BYTES_OF_A_SAMPLE = 2

Callback = Callable[[memoryview, int, object, object], None]


class RawInputStream:
    """The file that SOUNDDEVICE_FILE names, once; then the microphone is mute."""

    def __init__(
        self, *, samplerate: int, blocksize: int, channels: int, dtype: str, callback: Callback
    ) -> None:
        if dtype != "int16":
            raise ValueError(f"this microphone has int16 samples only, not {dtype}")
        self._rate, self._frames, self._channels = samplerate, blocksize, channels
        self._callback = callback
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._play, name="sounddevice", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _play(self) -> None:
        audio = Path(os.environ["SOUNDDEVICE_FILE"]).read_bytes()
        size = self._frames * self._channels * _BYTES_OF_A_SAMPLE
        buffer = bytearray(size)
        began = time.monotonic()
        for number in range(len(audio) // size):
            due = began + (number + 1) * self._frames / self._rate
            if self._stopped.wait(max(due - time.monotonic(), 0)):
                return
            buffer[:] = audio[number * size :][:size]
            self._callback(memoryview(buffer), self._frames, None, None)
            buffer[:] = bytes(size)
