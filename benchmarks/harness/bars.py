"""Horizontal bar charts as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_ROW = 26
_LABELS = 320
_BARS = 420
_FIGURES = 90
_TOP = 40

_OPENING = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" \
aria-label="{title}" font-family="sans-serif" font-size="13">
<rect width="{width}" height="{height}" fill="#ffffff"/>
<text x="10" y="24" font-size="15" font-weight="bold" fill="#222222">{title}, {unit}</text>"""


@dataclass(frozen=True)
class Bar:
    """One bar. A line across its end runs from the lowest round to the highest."""

    label: str
    value: float
    lowest: float
    highest: float
    is_ours: bool
    is_limit: bool


def bars(title: str, unit: str, rows: Sequence[Bar]) -> str:
    """Return a chart with a white background, which is readable on light and dark pages."""
    width, height = _LABELS + _BARS + _FIGURES, _TOP + _ROW * len(rows) + 10
    longest = max((row.highest for row in rows), default=0.0) or 1.0
    lines = [_OPENING.format(width=width, height=height, title=escape(title), unit=escape(unit))]
    for number, row in enumerate(rows):
        lines.extend(_bar(row, _TOP + _ROW * number, _BARS / longest))
    return "\n".join([*lines, "</svg>", ""])


def _bar(row: Bar, top: int, scale: float) -> list[str]:
    middle, end = top + _ROW // 2, _LABELS + row.value * scale
    colour = "#1f6feb" if row.is_ours else "#c0c6cf" if row.is_limit else "#7d8896"
    lowest, highest = _LABELS + row.lowest * scale, _LABELS + row.highest * scale
    return [
        f'<text x="{_LABELS - 8}" y="{middle + 4}" text-anchor="end" fill="#222222">{escape(row.label)}</text>',
        f'<rect x="{_LABELS}" y="{top + 4}" width="{row.value * scale:.1f}" height="{_ROW - 8}" fill="{colour}"/>',
        f'<line x1="{lowest:.1f}" y1="{middle}" x2="{highest:.1f}" y2="{middle}" stroke="#222222"/>',
        f'<text x="{max(end, highest) + 6:.1f}" y="{middle + 4}" fill="#222222">{row.value:,.0f}</text>',
    ]
