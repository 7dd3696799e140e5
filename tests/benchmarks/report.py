"""What came out: rows, and the table, the JSON and the chart that are made of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the ratio of each round: what a busy machine does to both is not in it."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that was measured."""

    sdk: str
    group: str
    name: str
    value: float
    unit: str
    ratio: float | None = None
    """Times what it is compared with: the median of the rounds."""
    ratio_min: float | None = None
    ratio_max: float | None = None
    bound: float | None = None
    """What is to be reached: of the ratio, where there is one, else of the value."""
    limit: float | None = None
    """The ratio above which something is broken, however busy the machine is."""
    note: str = ""

    @classmethod
    def of_ratios(  # noqa: PLR0913  (the fields of a row)
        cls,
        group: str,
        name: str,
        values: Sequence[float],
        of_rounds: Sequence[float],
        *,
        unit: str,
        sdk: str,
        bound: float | None = None,
        limit: float | None = None,
        note: str = "",
    ) -> Row:
        """Return the row of a value and of its ratio in each round."""
        return cls(
            sdk=sdk,
            group=group,
            name=name,
            value=statistics.median(values),
            unit=unit,
            ratio=statistics.median(of_rounds),
            ratio_min=min(of_rounds),
            ratio_max=max(of_rounds),
            bound=bound,
            limit=limit,
            note=note,
        )

    @property
    def is_reached(self) -> bool | None:
        """Whether it is within its bound; None where there is none."""
        if self.bound is None:
            return None
        return (self.value if self.ratio is None else self.ratio) <= self.bound


def too_slow(rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose median ratio exceeds their limit."""
    return [row for row in rows if row.limit is not None and row.ratio is not None and row.ratio > row.limit]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table of text."""
    lines: list[str] = []
    section = None
    for row in rows:
        if section != (row.sdk, row.group):
            section = row.sdk, row.group
            lines += ["", f"SDK {row.sdk}: {row.group}"]
        ratio = "" if row.ratio is None else f"{row.ratio:7.3f}"
        spread = "" if row.ratio_min is None else f"{row.ratio_min:.3f} to {row.ratio_max:.3f}"
        target = "" if row.bound is None else f"{row.bound:g} {'reached' if row.is_reached else 'MISSED'}"
        line = (
            f"  {row.name:48} {row.value:10.2f} {row.unit:8} {ratio:>7}  {spread:16} {target:14} {row.note}"
        )
        lines.append(line.rstrip())
    return "\n".join(lines[1:])


def to_json(rows: Sequence[Row], measured_on: dict[str, str]) -> str:
    """Return the rows, and what they were measured on, as JSON."""
    shown = [{**asdict(row), "is_reached": row.is_reached} for row in rows]
    return json.dumps({"measured_on": measured_on, "rows": shown}, indent=1) + "\n"


def of_json(text: str) -> list[Row]:
    """Return the rows of such JSON."""
    names = {field.name for field in fields(Row)}
    return [
        Row(**{name: value for name, value in row.items() if name in names})
        for row in json.loads(text)["rows"]
    ]
