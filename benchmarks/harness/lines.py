"""Line charts as SVG, with a logarithmic horizontal axis."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log

_LEFT, _TOP, _WIDTH, _HEIGHT, _LEGEND = 70, 50, 520, 300, 130
_COLOURS = ("#b3261e", "#e8710a", "#b59f00", "#188038", "#1f6feb", "#6f42c1", "#222222")

_OPENING = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" \
aria-label="{title}" font-family="sans-serif" font-size="13">
<rect width="{width}" height="{height}" fill="#ffffff"/>
<text x="10" y="24" font-size="15" font-weight="bold" fill="#222222">{title}</text>"""


def lines(title: str, across: str, series: Mapping[str, Mapping[int, float]]) -> str:
    """Return a chart with a white background. `series` has a line for each name: its heights by size."""
    width, height = _LEFT + _WIDTH + _LEGEND, _TOP + _HEIGHT + 50
    sizes = sorted({size for line in series.values() for size in line})
    most = max((value for line in series.values() for value in line.values()), default=0.0) or 1.0
    parts = [_OPENING.format(width=width, height=height, title=escape(title)), *_axes(sizes, most, across)]
    for number, (name, line) in enumerate(series.items()):
        points = [(_across(size, sizes), _up(line[size], most)) for size in sizes if size in line]
        parts.extend(_line(name, points, number))
    return "\n".join([*parts, "</svg>", ""])


def _across(size: int, sizes: Sequence[int]) -> float:
    """Return the horizontal position of a size: equal factors are equal distances."""
    span = log(sizes[-1] / sizes[0]) or 1.0
    return _LEFT + _WIDTH * log(size / sizes[0]) / span


def _up(value: float, most: float) -> float:
    return _TOP + _HEIGHT * (1 - value / most)


def _axes(sizes: Sequence[int], most: float, across: str) -> list[str]:
    bottom = _TOP + _HEIGHT
    grid = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _up(share * most, most)
        grid.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + _WIDTH}" y2="{y:.1f}" stroke="#d5d9df"/>')
        grid.append(
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#222222">{share * most:,.0f}</text>'
        )
    for size in sizes:
        x = _across(size, sizes)
        grid.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle" fill="#222222">{size:,}</text>')
    middle = _LEFT + _WIDTH // 2
    return [*grid, f'<text x="{middle}" y="{bottom + 40}" text-anchor="middle" fill="#222222">{escape(across)}</text>']


def _line(name: str, points: Sequence[tuple[float, float]], number: int) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    left, top = _LEFT + _WIDTH + 16, _TOP + 22 * number
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        f'<rect x="{left}" y="{top}" width="14" height="4" fill="{colour}"/>',
        f'<text x="{left + 20}" y="{top + 7}" fill="#222222">{escape(name)}</text>',
    ]
