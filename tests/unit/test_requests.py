"""What a Configure has changed, to be changed again on the next connection."""

from __future__ import annotations

from typing import Any

import pytest

from deepgram_stream_iter._outbound.requests import _merged


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ({}, {"keyterms": ["a"]}, {"keyterms": ["a"]}),
        ({"keyterms": ["a"]}, {"keyterms": ["b"]}, {"keyterms": ["b"]}),
        ({"thresholds": {"a": 1, "b": 2}}, {"thresholds": {"b": 3}}, {"thresholds": {"a": 1, "b": 3}}),
        ({"thresholds": {"a": 1}}, {"thresholds": None}, {"thresholds": None}),
        ({"thresholds": None}, {"thresholds": {"a": 1}}, {"thresholds": {"a": 1}}),
    ],
)
def test_what_was_changed(before: dict[str, Any], change: dict[str, Any], after: dict[str, Any]) -> None:
    """Groups are changed by their members; where one side is no group, the later change counts."""
    assert _merged(before, change) == after
