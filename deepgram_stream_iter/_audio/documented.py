"""What Deepgram documents about the form of audio, and what to write in place of what it does not. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping

# All as of 2026-11-21. Encodings: the SDK's types (7.17, `listen_v1encoding.py` and `listen_v2encoding.py`), and
# https://developers.deepgram.com/docs/encoding, which requires a sample_rate with each of them.
_ON_BOTH = ("linear16", "linear32", "mulaw", "alaw", "opus", "ogg-opus")
_ENCODINGS = {"v1": (*_ON_BOTH, "flac", "amr-nb", "amr-wb", "speex", "g729"), "v2": _ON_BOTH}
# https://developers.deepgram.com/changelog/2025/10/16
_FLUX_RATES = (8000, 16000, 24000, 44100, 48000)
# https://developers.deepgram.com/docs/sample-rate lists none for Nova but these two. Any other encoding goes with any rate
# at which sound is recorded; what lies outside is meant as kHz (16) or as bits a second (256000).
_ONLY_RATE = {"amr-nb": 8000, "amr-wb": 16000}
_RATES = range(4_000, 192_001)
# https://developers.deepgram.com/docs/multichannel
_CHANNELS = range(1, 21)


def check_form(
    encoding: str | None,
    sample_rate: int | None,
    channels: int | None,
    endpoint: str,
    query: Mapping[str, object],
) -> None:
    """Refuse options that Deepgram does not document; the query has what `extra` adds to them, which is not looked at.

    :raises ValueError: with what to write instead.
    """
    if encoding is not None:
        if encoding not in _ENCODINGS[endpoint]:
            raise ValueError(
                f"encoding must be one of {', '.join(_ENCODINGS[endpoint])} on /{endpoint}/listen, not {encoding!r}; leave it"
                f" out for a file that says it itself, such as a WAV. {_later('encoding')}"
            )
        if "sample_rate" not in query:
            raise ValueError(
                f"encoding={encoding!r} needs a sample_rate beside it, such as sample_rate=16000; leave out both for a file"
                " that says them itself"
            )
    if channels is not None:
        _check_whole("channels", channels, _CHANNELS, "a whole number from 1 to 20")
    if sample_rate is None:
        return
    if encoding in _ONLY_RATE:
        only = _ONLY_RATE[encoding]
        _check_whole("sample_rate", sample_rate, (only,), f"{only} for {encoding}")
    elif encoding is not None and endpoint == "v2":
        listed = ", ".join(map(str, _FLUX_RATES))
        _check_whole("sample_rate", sample_rate, _FLUX_RATES, f"one of {listed} for Flux")
    else:
        _check_whole(
            "sample_rate", sample_rate, _RATES, "in samples a second (not kHz), such as 8000 or 16000"
        )


def _check_whole(name: str, value: object, known: Container[int], wanted: str) -> None:
    # As it travels: a number out of the environment is a text, and 16000.0 would travel as that.
    text = str(value)
    if not text.isdecimal() or int(text) not in known:
        raise ValueError(f"{name} must be {wanted}, not {value!r}. {_later(name)}")


def _later(name: str) -> str:
    return f"What Deepgram has added since goes into extra={{{name!r}: ...}}."
