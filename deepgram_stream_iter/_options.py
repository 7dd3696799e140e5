"""What to ask of Deepgram: StreamingOptions, and how they reach `connect()`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from deepgram_stream_iter._audio.documented import check_form

if TYPE_CHECKING:
    from typing_extensions import Self

Endpoint: TypeAlias = Literal["v1", "v2", "other"]
"""/v1/listen, /v2/listen, or a socket of the SDK that is not for transcripts."""
Strings: TypeAlias = str | Sequence[str]
"""One value, or several: they travel as a repeated parameter."""

_V1_ONLY = frozenset(
    {
        *("callback", "callback_method", "channels", "detect_entities", "diarize", "diarize_model"),
        *("dictation", "endpointing", "interim_results", "keywords", "language", "multichannel", "punctuate"),
        *("replace", "search", "smart_format", "utterance_end_ms", "vad_events", "version"),
    }
)
_V2_ONLY = frozenset({"eager_eot_threshold", "eot_threshold", "eot_timeout_ms"})
_SECRET = frozenset({"authorization", "request_options"})


@dataclass(frozen=True, kw_only=True, repr=False)
class StreamingOptions:
    """What to ask of Deepgram; the names and meanings are those of `listen.v1.connect()` and `listen.v2.connect()`.

    A model whose name starts with `flux` goes to /v2/listen, any other to /v1/listen. None leaves an option to
    Deepgram. Booleans travel as `true` and `false`, sequences as repeated parameters.

    :raises TypeError: for a misspelt name, with the right one.
    :raises ValueError: for an option that the model's endpoint does not have, an `encoding` without `sample_rate`, and an
        `encoding`, `sample_rate` or `channels` that Deepgram does not document.
    """

    model: str
    callback: str | None = None
    callback_method: str | None = None
    channels: int | None = None
    detect_entities: bool | None = None
    diarize: bool | None = None
    diarize_model: str | None = None
    dictation: bool | None = None
    eager_eot_threshold: float | None = None
    encoding: str | None = None
    """The audio's encoding, such as `linear16`; None for files (WAV, Ogg, WebM), which say it themselves."""
    endpointing: int | bool | None = None
    """Milliseconds of silence that make an endpoint; False for none."""
    eot_threshold: float | None = None
    eot_timeout_ms: int | None = None
    interim_results: bool | None = None
    keyterm: Strings | None = None
    keywords: Strings | None = None
    language: str | None = None
    language_hint: Strings | None = None
    mip_opt_out: bool | None = None
    multichannel: bool | None = None
    numerals: bool | None = None
    profanity_filter: bool | None = None
    punctuate: bool | None = None
    redact: bool | Strings | None = None
    replace: Strings | None = None
    sample_rate: int | None = None
    """Samples a second of one channel; Deepgram wants it with `encoding`."""
    search: Strings | None = None
    smart_format: bool | None = None
    tag: Strings | None = None
    utterance_end_ms: int | None = None
    """At least 1000, and only with `interim_results`."""
    vad_events: bool | None = None
    version: str | None = None
    authorization: str | None = None
    """The whole header, such as `Bearer TOKEN`; None takes the client's key."""
    request_options: Mapping[str, object] | None = None
    """The SDK's own, for additional headers."""
    extra: Mapping[str, object] | Strings | None = None
    """A mapping: options that this version does not know, by name. Strings: Deepgram's own `extra` (`key:value`)."""

    if not TYPE_CHECKING:  # a checker reads the precise signature off the fields

        def __new__(cls, **options: object) -> Self:
            names = {field.name for field in fields(cls)}
            for unknown in sorted(options.keys() - names):
                if unknown == "addons":  # of `start()` of SDK 3 and 4
                    raise TypeError(
                        f"StreamingOptions has no option 'addons': write extra={options[unknown]!r} instead"
                    )
                import difflib  # noqa: PLC0415  (who makes no mistake does without)

                close = difflib.get_close_matches(unknown, names, n=1)
                hint = (
                    f"did you mean {close[0]!r}?" if close else "see its documentation for those there are."
                )
                raise TypeError(
                    f"StreamingOptions has no option {unknown!r}: {hint}"
                    f" An option that Deepgram added later goes into extra={{{unknown!r}: ...}}."
                )
            return super().__new__(cls)

    def __post_init__(self) -> None:
        model = cast("object", self.model)
        if not isinstance(model, str) or not model:
            raise TypeError(f"model must be the name of a model, such as 'nova-3', not {model!r}")
        for name in self._given():
            if name in (_V1_ONLY if self.endpoint == "v2" else _V2_ONLY):
                raise ValueError(
                    f"/{self.endpoint}/listen, where the model {self.model!r} is served, has no option {name!r}."
                    f" If Deepgram has added it since, pass it as extra={{{name!r}: ...}}."
                )
        check_form(self.encoding, self.sample_rate, self.channels, self.endpoint, self.query())

    def __repr__(self) -> str:
        shown = (
            f"{name}={'...' if name in _SECRET else repr(value)}" for name, value in self._given().items()
        )
        return f"StreamingOptions({', '.join(shown)})"

    @property
    def endpoint(self) -> Endpoint:
        """`v2` for Flux, `v1` for every other model."""
        return "v2" if self.model.startswith("flux") else "v1"

    def query(self) -> dict[str, str | list[str]]:
        """Return the query parameters as they travel."""
        return query_of({name: value for name, value in self._given().items() if name not in _SECRET})

    def headers(self) -> dict[str, str] | None:
        """Return the headers beside those that the client sends, for an SDK whose `start()` takes them."""
        headers = dict(
            cast("Mapping[str, str]", (self.request_options or {}).get("additional_headers") or {})
        )
        if self.authorization is not None:
            headers["Authorization"] = self.authorization
        return headers or None

    def connect_arguments(self, connect: Callable[..., object]) -> dict[str, object]:
        """Return the arguments for this `connect()`; what it does not know goes through its `request_options`."""
        known = inspect.signature(connect).parameters
        query = self.query()
        arguments: dict[str, object] = {name: value for name, value in query.items() if name in known}
        rest = {name: value for name, value in query.items() if name not in known}
        if self.authorization is not None:
            arguments["authorization"] = self.authorization
        if rest or self.request_options is not None:
            request_options = dict(self.request_options or {})
            given = request_options.get("additional_query_parameters")
            request_options["additional_query_parameters"] = {
                **(given if isinstance(given, Mapping) else {}),
                **rest,
            }
            arguments["request_options"] = request_options
        return arguments

    def _given(self) -> dict[str, object]:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if value is not None}


def check_authorization(value: object) -> str:
    """Refuse what cannot be the header of that name; the text of the error does not show it.

    :raises TypeError: :raises ValueError: with what is wanted.
    """
    if not isinstance(value, str):
        raise TypeError(f"authorization must be a str such as 'Bearer TOKEN', not {type(value).__name__}")
    if not value.partition(" ")[2]:
        raise ValueError("authorization must be the whole header: 'Bearer TOKEN' or 'Token API_KEY'")
    return value


def query_of(options: Mapping[str, object]) -> dict[str, str | list[str]]:
    """Return options as they travel, None left out; a mapping as `extra` adds options to them, unchecked.

    :raises TypeError: for a mapping anywhere else.
    :raises ValueError: for what is no query parameter in `extra`.
    """
    query = {name: _wire(value) for name, value in options.items() if value is not None and name != "extra"}
    extra = options.get("extra")
    if not isinstance(extra, Mapping):
        return query if extra is None else {**query, "extra": _wire(extra)}
    further = cast("Mapping[str, object]", extra)
    if wrong := _SECRET & further.keys():
        raise ValueError(f"{', '.join(sorted(wrong))} is no query parameter: pass it as an option of its own")
    return {**query, **{name: _wire(value) for name, value in further.items() if value is not None}}


def _wire(value: object) -> str | list[str]:
    if isinstance(value, Mapping):
        raise TypeError("an option is one value or several, not a mapping: its values would be lost")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [str(_wire(item)) for item in cast("Iterable[object]", value)]
    return str(value)
