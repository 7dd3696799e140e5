"""Wrong audio, told before it is sent: Deepgram would transcribe noise, or nothing. Pure, driven by the sender."""

from __future__ import annotations

import sys
import wave
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from deepgram_stream_iter._audio.format import SAMPLE_WIDTHS, flat
from deepgram_stream_iter._audio.heads import HEAD_SIZE, file_kind, wav_format
from deepgram_stream_iter._audio.sources import is_buffer

if TYPE_CHECKING:
    from typing_extensions import Buffer

_KINDS = {
    **dict.fromkeys("bhilqn", "int"),
    **dict.fromkeys("HILQN", "uint"),
    **dict.fromkeys("efdg", "float"),
}
"""The element formats of Python's buffers, without their sizes."""
# Deepgram's page on `encoding` has linear32 as floating point, and so it is used. The changelog of Flux, of 2025-10-16,
# calls it "32-bit signed", which refuses neither there. Both as of 2026-11-21: https://developers.deepgram.com/docs/encoding
# and https://developers.deepgram.com/changelog/2025/10/16
_ELEMENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "v1": {"linear16": ("int16",), "linear32": ("float32",)},
    "v2": {"linear16": ("int16",), "linear32": ("float32", "int32")},
}
_MEANT = {
    "linear16": " (little-endian 16-bit integers)",
    "linear32": " (little-endian 32-bit floating point)",
}
_TO_INT16 = {
    "int16": "samples.astype('<i2')",
    "int32": "(samples >> 16).astype('<i2'), or samples.astype('<i2') where the values are those of 16 bits",
    "int64": "samples.astype('<i2')",
    **dict.fromkeys(("float16", "float32", "float64"), "(samples * 32767).astype('<i2')"),
}
_TO_FLOAT32 = {
    "int16": "(samples / 32768).astype('<f4')",
    "int32": "(samples / 2**31).astype('<f4')",
    **dict.fromkeys(("float16", "float32", "float64"), "samples.astype('<f4')"),
}
_NATIVE = "<" if sys.byteorder == "little" else ">"
_LINEAR16_BITS = 16
_ROWS_AND_COLUMNS = 2
_FLUX_FILES = ("WAV", "Ogg", "WebM")
"""See https://developers.deepgram.com/docs/encoding, as of 2026-11-21."""


class AudioChecks:
    """What the audio of a connection has to be, by the parameters of its request; anything where those are not known."""

    def __init__(self, query: Mapping[str, str | Sequence[str]], endpoint: str) -> None:
        self._query, self._endpoint = query, endpoint
        self._is_known = bool(query) and endpoint in _ELEMENTS
        self._encoding = str(query.get("encoding", ""))

    def check_source(self, source: object) -> None:
        """Refuse what a source says of itself: a piece, or an open WAV file.

        :raises TypeError: as `check` does.
        :raises ValueError: as `check` does.
        """
        if isinstance(source, wave.Wave_read):
            if self._is_known:
                self._check_wave(source)
        elif is_buffer(source):
            self.check(source, is_head=True)

    def check(self, piece: Buffer, *, is_head: bool) -> None:
        """Refuse a piece of audio that is not what the request says; `is_head` for the first of a source.

        A file is recognized by its first piece alone, because what came before a verdict would have to wait for it: an MP3
        without ID3 shows nothing in a piece that is shorter than its first frame, nor a WAV its format before that is in it.

        :raises TypeError: for elements that are no samples of the `encoding`.
        :raises ValueError: for an array with another number of channels, the head of a file where bare samples were
            announced, and that of a WAV that contradicts.
        """
        if not self._is_known:
            return
        if not isinstance(piece, bytes):
            view = memoryview(piece)
            self._check_elements(view)
            self._check_channels(view)
        if is_head:
            self._check_head(bytes(flat(piece)[:HEAD_SIZE]))

    def _check_elements(self, view: memoryview) -> None:
        code = view.format.lstrip("@=<>!")
        if view.itemsize == 1 and not (code in ("b", "?") and self._encoding in _MEANT):
            return  # bytes of anything
        order = view.format[0] if view.format[0] in "<>!" else _NATIVE
        kind = _KINDS.get(code)
        element = f"{kind}{8 * view.itemsize}" if kind else "bool" if code == "?" else repr(view.format)
        is_swapped = kind is not None and order != "<"
        if is_swapped or element not in _ELEMENTS[self._endpoint].get(self._encoding, ()):
            wanted = f"encoding={self._encoding!r}" if self._encoding else "an `encoding`"
            raise TypeError(
                f"a buffer of {'big-endian ' * is_swapped}{element} is not what {wanted} says{_MEANT.get(self._encoding, '')}:"
                f" {_advice(element, self._encoding, is_swapped=is_swapped)}. bytes(audio) is sent unchecked."
            )

    def _check_channels(self, view: memoryview) -> None:
        """Refuse an array with a column for each channel, as audio libraries return it, that has more or fewer of them."""
        shape = view.shape or ()
        if len(shape) != _ROWS_AND_COLUMNS or view.itemsize != SAMPLE_WIDTHS.get(self._encoding):
            return
        rows, columns = shape
        said = str(self._query.get("channels", 1))
        if not view.nbytes or str(columns) == said or (said == "1" and rows == 1):
            return
        instead = f"connect with channels={columns}" + ", or send one of them, samples[:, 0]" * (said == "1")
        if str(rows) == said:
            instead = "it has a row for each channel, so send samples.T"
        elif self._endpoint == "v2":
            instead = "Flux takes one channel, so mix them, or send one of them, samples[:, 0]"
        raise ValueError(
            f"an array of shape ({rows}, {columns}) has {columns} channel{'s' * (columns > 1)}, and the options say {said}:"
            f" {instead}. bytes(audio) is sent unchecked."
        )

    def _check_head(self, head: bytes) -> None:
        kind = file_kind(head)
        if kind is None:
            return
        wav = wav_format(head) if kind == "WAV" else None
        if self._encoding in SAMPLE_WIDTHS:
            instead = "leave out encoding and sample_rate, because the file says them itself"
            if self._endpoint == "v2" and kind not in _FLUX_FILES:
                instead = f"Flux takes no {kind}, so decode it to {self._encoding} first"
            if wav is not None and wav.is_pcm:
                instead += ", or send its samples: wave.open(path)"
            raise ValueError(
                f"this audio begins like a file ({kind}), and encoding={self._encoding!r} is for bare samples: {instead}"
            )
        if wav is not None and not self._encoding:
            self._check_numbers(
                "leave it out, because the file says it itself", wav.sample_rate, wav.channels
            )

    def _check_wave(self, source: wave.Wave_read) -> None:
        bits, sample_rate = 8 * source.getsampwidth(), source.getframerate()
        if f"int{bits}" not in _ELEMENTS[self._endpoint].get(self._encoding, ()):
            said = (
                f"the options say encoding={self._encoding!r}" if self._encoding else "no encoding is given"
            )
            instead = "send the file itself, open(path, 'rb'), without encoding and sample_rate"
            if bits == _LINEAR16_BITS:
                instead = f"connect with encoding='linear16' and sample_rate={sample_rate}"
            elif self._endpoint == "v2":
                instead = "Flux takes WAV files of 16 bits, so convert it"
            raise ValueError(f"the WAV file has {bits}-bit samples, and {said}: {instead}")
        self._check_numbers("connect with what the file says", sample_rate, source.getnchannels())

    def _check_numbers(self, instead: str, sample_rate: int, channels: int) -> None:
        # One channel is the default with an encoding; without one Deepgram asks the file.
        default = {"channels": "1"} if self._encoding else {}
        for name, own in (("sample_rate", sample_rate), ("channels", channels)):
            said = self._query.get(name, default.get(name, str(own)))
            if said != str(own):
                if name == "channels" and self._endpoint == "v2":
                    instead = "Flux takes one channel, so mix them"
                raise ValueError(f"the WAV file has {name}={own}, and the options say {said}: {instead}")


def _advice(element: str, encoding: str, *, is_swapped: bool) -> str:
    """Return what to write instead; the arrays are NumPy's, because nearly all such buffers are."""
    conversions, dtype = (_TO_FLOAT32, "float32") if encoding == "linear32" else (_TO_INT16, "int16")
    send = f"send {conversions.get(element, f'samples recorded with dtype={dtype!r}')}"
    suited = None if is_swapped else {"int16": "linear16", "float32": "linear32"}.get(element)
    if encoding in _MEANT:
        return f"{send}, or connect with encoding={suited!r}" if suited else send
    if suited:
        return f"connect with encoding={suited!r} and the sample_rate"
    return f"connect with encoding='linear16' and the sample_rate, and {send}"
