"""Which handshakes the server refuses, and why (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ._faults import Faults

V1 = "/v1/listen"
V2 = "/v2/listen"

_BOOLEANS = frozenset(
    {
        "detect_entities",
        "diarize",
        "dictation",
        "interim_results",
        "mip_opt_out",
        "multichannel",
        "numerals",
        "profanity_filter",
        "punctuate",
        "smart_format",
        "vad_events",
    }
)
_NUMBERS = frozenset({"channels", "eot_timeout_ms", "sample_rate", "utterance_end_ms"})
_THRESHOLDS = frozenset({"eager_eot_threshold", "eot_threshold"})
_MIN_UTTERANCE_END_MS = 1000


class Refused(NamedTuple):
    """A handshake that the server turned down."""

    path: str
    """As requested, with the query."""
    headers: Mapping[str, str]
    status: int
    error: str
    """What went into `dg-error`."""
    reason: str

    def body(self, request_id: str) -> str:
        """Return the JSON text that Deepgram sends with a refusal."""
        return json.dumps({"err_code": self.error, "err_msg": self.reason, "request_id": request_id})


def split(target: str) -> tuple[str, dict[str, list[str]]]:
    """Split a request's target into its path and its query."""
    parts = urlsplit(target)
    return parts.path, parse_qs(parts.query, keep_blank_values=True)


def refusal(
    target: str,
    headers: Mapping[str, str],
    *,
    faults: Faults,
    api_key: str,
    tokens: Collection[str],
) -> Refused | None:
    """Judge a handshake; return None where it is welcome."""
    if faults.refuse_status is not None:
        reason = "refused by a fault"
        return Refused(target, headers, faults.refuse_status, faults.refuse_error, reason)
    path, query = split(target)
    if path not in {V1, V2}:
        return Refused(target, headers, 404, "NOT_FOUND", f"there is no {path}")
    authorization = headers.get("Authorization", "")
    if not _is_authorized(authorization, api_key, tokens):
        return Refused(target, headers, 401, "INVALID_AUTH", "Invalid credentials.")
    if complaint := next(_complaints(path, query), ""):
        return Refused(target, headers, 400, "INVALID_QUERY_PARAMETER", complaint)
    return None


def _is_authorized(authorization: str, api_key: str, tokens: Collection[str]) -> bool:
    scheme, _, secret = authorization.partition(" ")
    return (scheme.lower() == "token" and secret == api_key) or (
        scheme.lower() == "bearer" and secret in tokens
    )


def _complaints(path: str, query: Mapping[str, list[str]]) -> Iterator[str]:
    model = query.get("model", [""])[0]
    if not model:
        yield "model is missing"
    elif model.startswith("flux") != (path == V2):
        yield f"{model} is not served on {path}"
    for name, values in query.items():
        for value in values:
            if name in _BOOLEANS and value not in {"true", "false"}:
                yield f"{name} must be true or false, not {value}"
            if name in _NUMBERS and not value.isdecimal():
                yield f"{name} must be a whole number, not {value}"
            if name in _THRESHOLDS and not value.replace(".", "", 1).isdecimal():
                yield f"{name} must be a number, not {value}"
    # What is no number was complained of above, and only the first complaint counts.
    if "utterance_end_ms" in query and int(query["utterance_end_ms"][0]) < _MIN_UTTERANCE_END_MS:
        yield f"utterance_end_ms must be at least {_MIN_UTTERANCE_END_MS}"
    if "utterance_end_ms" in query and query.get("interim_results") != ["true"]:
        yield "utterance_end_ms needs interim_results=true"
