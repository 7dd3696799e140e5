from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections import UserList, deque
from collections.abc import Callable
from typing import Any, get_args

import pytest
from deepgram import AsyncDeepgramClient

from deepgram_stream_iter._options import StreamingOptions
from deepgram_stream_iter._settings import Overflow, Settings

LISTEN = AsyncDeepgramClient(api_key="x").listen
CONNECT: dict[str, Callable[..., object]] = {"v1": LISTEN.v1.connect, "v2": LISTEN.v2.connect}
PARAMETERS = {endpoint: set(inspect.signature(connect).parameters) for endpoint, connect in CONNECT.items()}
MODELS = {"v1": "nova-3", "v2": "flux-general-en"}
FORMS: dict[str, dict[str, object]] = {
    "encoding": {"encoding": "linear16", "sample_rate": 16000},
    "sample_rate": {"sample_rate": 16000},
    "channels": {"channels": 2},
}
"""Values of the options that are checked."""
FIELDS = {field.name for field in dataclasses.fields(StreamingOptions)}
SETTINGS = Settings(
    max_buffer_size=1,
    overflow="coalesce",
    overflow_timeout_seconds=1.0,
    keepalive_seconds=None,
    connect_timeout_seconds=1.0,
    send_timeout_seconds=1.0,
    finish_timeout_seconds=1.0,
    stall_timeout_seconds=None,
    listen=True,
    max_unsent_seconds=1.0,
    name="",
    on_connection=None,
    reconnect=None,
)
make: Any = StreamingOptions  # the wrong arguments are the point


def test_the_options_are_those_of_the_sdk() -> None:
    """Every parameter of either `connect()` is a field, and every field but `extra` is a parameter of one."""
    assert PARAMETERS["v1"] | PARAMETERS["v2"] | {"extra"} == FIELDS


@pytest.mark.parametrize("endpoint", ["v1", "v2"])
@pytest.mark.parametrize("name", sorted(FIELDS - {"model", "extra"}))
def test_the_options_of_an_endpoint(endpoint: str, name: str) -> None:
    """An option is taken for the models whose `connect()` has it; for others the error says where and what to do."""
    arguments: dict[str, object] = {"model": MODELS[endpoint], name: "value", **FORMS.get(name, {})}
    if name in PARAMETERS[endpoint]:
        assert make(**arguments).endpoint == endpoint
    else:
        with pytest.raises(ValueError, match=f"/{endpoint}/listen.*{name}.*extra="):
            make(**arguments)


@pytest.mark.parametrize("endpoint", ["v1", "v2"])
def test_none_is_not_given(endpoint: str) -> None:
    """None leaves an option to Deepgram, also one that the endpoint does not have."""
    nothing = dict.fromkeys(FIELDS - {"model"})
    assert make(model=MODELS[endpoint], **nothing).query() == {"model": MODELS[endpoint]}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("interim_result", "did you mean 'interim_results'?"),
        ("smartformat", "did you mean 'smart_format'?"),
        ("sampleRate", "did you mean 'sample_rate'?"),
        ("zzz", "see its documentation"),
    ],
)
def test_misspelt_names(name: str, hint: str) -> None:
    """A name that there is not is refused with the nearest one, and with the way around."""
    with pytest.raises(TypeError) as caught:
        make(model="nova-3", **{name: True})
    assert hint in str(caught.value)
    assert f"extra={{{name!r}: ...}}" in str(caught.value)


@pytest.mark.parametrize("model", ["", None, 3])
def test_a_model_is_needed(model: object) -> None:
    """An empty model, or one that is no text, is refused with an example of one."""
    with pytest.raises(TypeError, match="nova-3"):
        make(model=model)


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (True, "true"),
        (False, "false"),
        (300, "300"),
        (0, "0"),
        (0.5, "0.5"),
        ("text", "text"),
        (["a", "b"], ["a", "b"]),
        (("a", "b"), ["a", "b"]),
        ({"a"}, ["a"]),
        (frozenset({"a"}), ["a"]),
        ([True, 1], ["true", "1"]),
        ([], []),
        (UserList("ab"), ["a", "b"]),
        (deque("ab"), ["a", "b"]),
    ],
)
def test_how_values_travel(value: object, wire: object) -> None:
    """Booleans travel in lower case, sequences as lists, the rest as its text; in `extra` just as in an option."""
    assert make(model="nova-3", keyterm=value).query()["keyterm"] == wire
    assert make(model="nova-3", extra={"new": value}).query()["new"] == wire


@pytest.mark.parametrize(
    "form",
    [
        {"model": "nova-3", "encoding": "linear16", "sample_rate": 11025, "channels": 20},
        {"model": "nova-3", "encoding": "g729", "sample_rate": 8000},
        {"model": "nova-3", "encoding": "amr-wb", "sample_rate": 16000},
        {"model": "nova-3", "encoding": "mulaw", "sample_rate": "8000"},
        {"model": "nova-3", "encoding": "linear32", "sample_rate": 192_000},
        {"model": "nova-3", "sample_rate": 22050, "channels": 2},
        {"model": "flux-general-en", "encoding": "ogg-opus", "sample_rate": 48000},
        {"model": "flux-general-en", "encoding": "linear16", "sample_rate": 24000},
        {"model": "flux-general-en", "sample_rate": 22050},
        {"model": "nova-3", "encoding": "linear16", "extra": {"sample_rate": 1}},
        {"model": "nova-3", "extra": {"encoding": "new", "channels": 64}},
        {"model": "flux-general-en", "extra": {"encoding": "flac", "sample_rate": 22050}},
    ],
    ids=str,
)
def test_documented_forms_of_audio(form: dict[str, Any]) -> None:
    """Every encoding, rate and number of channels that Deepgram documents is taken, and in `extra` any other."""
    assert make(**form).query()["model"] == form["model"]


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"encoding": "pcm", "sample_rate": 16000}, r"^encoding must be one of linear16, .* not 'pcm'"),
        ({"encoding": "wav"}, "leave it out for a file"),
        ({"encoding": "LINEAR16", "sample_rate": 16000}, r"extra=\{'encoding': \.\.\.\}"),
        ({"encoding": ["linear16"], "sample_rate": 16000}, "^encoding must be"),
        ({"encoding": "linear16"}, "needs a sample_rate beside it"),
        ({"encoding": "opus", "extra": {"sample_rate": None}}, "needs a sample_rate beside it"),
        ({"encoding": "linear16", "sample_rate": 16}, "not kHz"),
        ({"encoding": "linear16", "sample_rate": 256_000}, r"extra=\{'sample_rate': \.\.\.\}"),
        ({"encoding": "linear16", "sample_rate": 16000.0}, "^sample_rate must be"),
        ({"encoding": "linear16", "sample_rate": "16 kHz"}, "^sample_rate must be"),
        ({"encoding": "amr-nb", "sample_rate": 16000}, "8000 for amr-nb"),
        ({"sample_rate": -8000}, "^sample_rate must be"),
        ({"channels": 0}, "^channels must be a whole number from 1 to 20"),
        ({"channels": 21}, r"extra=\{'channels': \.\.\.\}"),
        ({"channels": True}, "^channels must be"),
        ({"model": "flux-general-en", "encoding": "flac", "sample_rate": 16000}, "on /v2/listen"),
        (
            {"model": "flux-general-en", "encoding": "linear16", "sample_rate": 32000},
            "8000, 16000.* for Flux",
        ),
    ],
    ids=str,
)
def test_forms_of_audio_that_are_not_documented(form: dict[str, Any], told: str) -> None:
    """What Deepgram does not document is refused, and the error says what to write instead."""
    with pytest.raises(ValueError, match=told):
        make(**{"model": "nova-3", **form})


def test_a_mapping_is_no_value() -> None:
    """Its values would be lost; only `extra` itself may be one."""
    with pytest.raises(TypeError, match="a mapping"):
        make(model="nova-3", keywords={"hello": 2})
    with pytest.raises(TypeError, match="a mapping"):
        make(model="nova-3", extra={"new": {"a": 1}})


def test_both_kinds_of_extra() -> None:
    """A mapping holds options by name, None left out; strings are Deepgram's own `extra`."""
    given = StreamingOptions(model="nova-3", extra={"new": True, "absent": None})
    assert given.query() == {"model": "nova-3", "new": "true"}
    assert StreamingOptions(model="nova-3", extra=["a:1", "b:2"]).query()["extra"] == ["a:1", "b:2"]
    assert StreamingOptions(model="nova-3", extra="a:1").query()["extra"] == "a:1"


@pytest.mark.parametrize("endpoint", ["v1", "v2"])
def test_known_options_are_arguments(endpoint: str) -> None:
    """What `connect()` knows is given by name, as it travels; secrets go as they are and not into the query."""
    given = make(model=MODELS[endpoint], numerals=True, sample_rate=16000, authorization="Bearer t")
    arguments = given.connect_arguments(CONNECT[endpoint])
    query = {"model": MODELS[endpoint], "numerals": "true", "sample_rate": "16000"}
    assert given.query() == query
    assert arguments == {**query, "authorization": "Bearer t"}
    assert hasattr(CONNECT[endpoint](**arguments), "__aenter__")


def test_unknown_options_go_beside() -> None:
    """What `connect()` does not know joins the query parameters that were given, and changes nobody's mapping."""
    request_options = {
        "additional_headers": {"X-Own": "1"},
        "additional_query_parameters": {"given": "kept", "newer": "old"},
    }
    before = copy.deepcopy(request_options)
    given = StreamingOptions(model="nova-3", extra={"newer": [1, 2]}, request_options=request_options)
    assert given.connect_arguments(CONNECT["v1"]) == {
        "model": "nova-3",
        "request_options": {
            "additional_headers": {"X-Own": "1"},
            "additional_query_parameters": {"given": "kept", "newer": ["1", "2"]},
        },
    }
    assert request_options == before


def test_an_older_sdk_is_given_the_rest_too() -> None:
    """An option that the installed `connect()` lacks still reaches Deepgram, through `request_options`."""

    def connect(*, model: str, request_options: object = None) -> None: ...

    arguments = StreamingOptions(model="nova-3", keyterm=["a"]).connect_arguments(connect)
    assert arguments["request_options"] == {"additional_query_parameters": {"keyterm": ["a"]}}


def test_secrets_are_not_shown() -> None:
    """A repr shows what was given, in order, and of secrets only that they are there."""
    options = StreamingOptions(
        model="nova-3", punctuate=False, authorization="Bearer secret", request_options={"x": "secret"}
    )
    shown = "model='nova-3', punctuate=False, authorization=..., request_options=..."
    assert repr(options) == str(options) == f"StreamingOptions({shown})"


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, dataclasses.replace, lambda it: pickle.loads(pickle.dumps(it))],  # noqa: S301
    ids=["copy", "deepcopy", "replace", "pickle"],
)
def test_options_travel(duplicate: Callable[[StreamingOptions], StreamingOptions]) -> None:
    """Options are values: equal to a copy of any kind, unequal to others, and immutable."""
    options = StreamingOptions(model="nova-3", keyterm=("a", "b"), extra="a:1")
    assert duplicate(options) == options
    assert duplicate(options).query() == options.query()
    assert hash(duplicate(options)) == hash(options)
    assert options != dataclasses.replace(options, keyterm="a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.model = "nova-2"  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {name: value}
            for name in (field.name for field in dataclasses.fields(SETTINGS))
            if name.endswith("_seconds")
            for value in (0, -1.0, float("nan"))
        ),
        {"max_buffer_size": -1},
        {"max_buffer_size": True},
        {"overflow": "block"},
        {"keepalive_seconds": 10},
        {"keepalive_seconds": float("inf")},
    ],
    ids=str,
)
def test_settings_out_of_range(changes: dict[str, Any]) -> None:
    """A setting out of its range is refused, and the error names it."""
    (name,) = changes
    with pytest.raises(ValueError, match=f"^{name} must be"):
        dataclasses.replace(SETTINGS, **changes)


@pytest.mark.parametrize("overflow", get_args(Overflow))
def test_settings_at_their_bounds(overflow: Overflow) -> None:
    """Each policy is taken, with a buffer of one, without a keepalive and with times of any length."""
    settings = dataclasses.replace(
        SETTINGS, overflow=overflow, send_timeout_seconds=float("inf"), finish_timeout_seconds=1e-9
    )
    assert (settings.overflow, settings.keepalive_seconds) == (overflow, None)
    assert dataclasses.replace(SETTINGS, keepalive_seconds=9.9).keepalive_seconds == 9.9
