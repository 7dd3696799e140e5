"""The arithmetic of the benchmarks' report; nothing is measured here."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from benchmarks.chart import chart
from benchmarks.report import Row, of_json, ratios, table, to_json, too_slow


def row(values: list[float], baseline: list[float], bound: float | None = 1.05) -> Row:
    """Return the row of a session."""
    of_rounds = ratios(values, baseline)
    limit = None if bound is None else 1.3
    return Row.of_ratios(
        "flood", "session: plain", values, of_rounds, unit="us", sdk="7.17.0", bound=bound, limit=limit
    )


def test_a_ratio_is_that_within_a_round() -> None:
    """A round in which the machine was slow for both is as good as any other."""
    busy = row([110.0, 1100.0, 105.0], [100.0, 1000.0, 100.0])
    assert (busy.ratio, busy.ratio_min, busy.ratio_max) == pytest.approx((1.1, 1.05, 1.1))
    assert busy.value == 110.0


@pytest.mark.parametrize(("cost", "reached", "failed"), [(104.0, 1, 0), (120.0, 0, 0), (131.0, 0, 1)])
def test_a_target_is_not_the_limit(cost: float, reached: int, failed: int) -> None:
    """A row misses its target above that, and fails the run only above its limit."""
    one = row([cost], [100.0])
    assert (one.is_reached, len(too_slow([one]))) == (bool(reached), failed)


def test_a_row_without_a_target_fails_nothing() -> None:
    """What is measured for comparison may take as long as it likes."""
    one = row([300.0], [100.0], bound=None)
    assert (one.is_reached, too_slow([one])) == (None, [])


def test_a_row_without_a_ratio_is_judged_by_its_value() -> None:
    """Milliseconds and bytes have targets of their own, and no limit of ratios fails them."""
    slow = Row(sdk="7.17.0", group="import", name="CPU time", value=31.0, unit="ms", bound=30.0)
    assert slow.is_reached is False
    assert too_slow([slow]) == []


def test_rows_survive_the_way_through_json() -> None:
    """The rows of a run on another SDK come back as they were."""
    rows = [row([1.0], [2.0]), Row(sdk="4.8.1", group="import", name="CPU time", value=1.0, unit="ms")]
    assert of_json(to_json(rows, {"python": "CPython"})) == rows


def test_the_chart_and_the_table_show_each_ratio() -> None:
    """Every row with a ratio has a bar and a number; names are escaped."""
    rows = [
        row([158.0], [100.0]),
        Row(sdk="7.17.0", group="flood", name="a < b", value=1.0, unit="us", ratio=1.0),
    ]
    root = ET.fromstring(chart([("flood", rows), ("nothing", [])], ["on what"]))  # noqa: S314  (ours)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"plain", "1.58", "a < b", "flood", "on what"} <= set(texts)
    assert "nothing" not in texts
    assert "1.05 MISSED" in table(rows)
