"""The chart: how many times the SDK's own cost each way of consuming takes, as horizontal bars in an SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from .report import Row

_WIDTH, _MARGIN, _NAMES, _LINE, _BAR = 760, 24, 268, 24, 13
_HEAD, _SECTION, _FOOT = 70, 38, 40
_LEGEND = 76
_VALUES = 58
"""Room for the number behind the longest bar."""
_SEEN = 0.005
"""A range is drawn if it is wider."""
_STYLE = """
  text { font-family: sans-serif; font-size: 13px; fill: #24292f }
  .title { font-size: 17px; font-weight: bold }
  .quiet { font-size: 12px; fill: #57606a }
  .section { font-weight: bold }
  .page { fill: #ffffff; stroke: #d0d7de }
  .ours { fill: #0f766e }
  .other { fill: #a3acb6 }
  .one { stroke: #24292f; stroke-width: 1; stroke-dasharray: 3 3 }
  .range { stroke: #24292f; stroke-width: 1; opacity: 0.65 }
  .grid { stroke: #d8dee4; stroke-width: 1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .page { fill: #0d1117; stroke: #30363d }
    .ours { fill: #2dd4bf }
    .other { fill: #59636e }
    .one, .range { stroke: #e6edf3 }
    .grid { stroke: #21262d }
  }
"""


def chart(sections: Sequence[tuple[str, Sequence[Row]]], subtitle: Sequence[str]) -> str:
    """Return the bars of each section's rows, under a title that says what they mean."""
    shown = [(name, [row for row in rows if row.ratio is not None]) for name, rows in sections]
    shown = [(name, rows) for name, rows in shown if rows]
    most = max((row.ratio_max or row.ratio or 0.0 for _, rows in shown for row in rows), default=1.0)
    top = max(1.25, math.ceil(most * 4) / 4)
    left, wide = _MARGIN + _NAMES, _WIDTH - 2 * _MARGIN - _NAMES - _VALUES
    head = _HEAD + 17 * (len(subtitle) - 1)
    height = head + sum(_SECTION + _LINE * len(rows) for _, rows in shown) + _FOOT
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title">',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
        _text(_MARGIN, 36, "CPU time a message, times the SDK's own async for", "title", 'id="title"'),
        *_legend(),
        *(_text(_MARGIN, 58 + 17 * index, line, "quiet") for index, line in enumerate(subtitle)),
    ]

    def x(ratio: float) -> float:
        return round(left + ratio / top * wide, 1)

    begin, end = head + 12, height - _FOOT + 6
    step = 0.25 if top <= 2 else 0.5
    for mark in (step * number for number in range(int(top / step) + 1)):
        if mark != 1:
            lines.append(f'<line class="grid" x1="{x(mark)}" x2="{x(mark)}" y1="{begin}" y2="{end}"/>')
        lines.append(_text(x(mark), end + 17, f"{mark:g}", "quiet", 'text-anchor="middle"'))
    y = head
    for name, rows in shown:
        y += _SECTION
        lines.append(_text(_MARGIN, y - 12, name, "section"))
        for row in rows:
            lines += _bar(row, x, y)
            y += _LINE
    lines.append(f'<line class="one" x1="{x(1)}" x2="{x(1)}" y1="{begin}" y2="{end}"/>')
    return "\n".join([*lines, "</svg>", ""])


def _bar(row: Row, x: Callable[[float], float], y: float) -> list[str]:
    ratio = row.ratio or 0.0
    least, most = row.ratio_min or ratio, row.ratio_max or ratio
    kind = "ours" if row.name.startswith("session") else "other"
    begin, middle = x(0), y + _BAR / 2
    lines = [
        _text(_MARGIN, y + _BAR - 2, row.name.removeprefix("session: ")),
        f'<rect class="{kind}" x="{begin}" y="{y}" width="{x(ratio) - begin:.1f}" height="{_BAR}" rx="2"/>',
    ]
    if most - least > _SEEN:
        lines.append(f'<line class="range" x1="{x(least)}" x2="{x(most)}" y1="{middle}" y2="{middle}"/>')
    return [*lines, _text(x(most) + 6, y + _BAR - 2, f"{ratio:.2f}")]


def _legend() -> list[str]:
    x = _WIDTH - _MARGIN - 200
    return [
        f'<rect class="ours" x="{x}" y="{_LEGEND - 11}" width="{_BAR}" height="{_BAR}" rx="2"/>',
        _text(x + 19, _LEGEND, "this package", "quiet"),
        f'<rect class="other" x="{x + 110}" y="{_LEGEND - 11}" width="{_BAR}" height="{_BAR}" rx="2"/>',
        _text(x + 129, _LEGEND, "without it", "quiet"),
    ]


def _text(x: float, y: float, text: str, kind: str = "", more: str = "") -> str:
    attributes = " ".join(part for part in (f'class="{kind}"' if kind else "", more) if part)
    return f'<text x="{x:g}" y="{y:g}"{" " if attributes else ""}{attributes}>{escape(text)}</text>'
