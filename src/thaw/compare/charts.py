"""Line charts as SVG, for pictures that a command draws while somebody waits: matplotlib takes longer to import."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 250, 150
"""The area of a panel that holds its lines, in pixels."""
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 30, 44
"""The margins of a panel, for its title and the labels of its axes."""
LEGEND = 30
COLORS = ("#0072B2", "#D55E00")
"""The first two of Okabe and Ito's palette, as in the other figures."""


@dataclass(frozen=True)
class Line:
    """A curve; `low` and `high` are the bounds of the band about it, where it has one."""

    x: Sequence[float]
    y: Sequence[float]
    color: str
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    dotted: bool = False


@dataclass(frozen=True)
class Panel:
    """A chart: its curves, what its axes are called, and which of them are logarithmic."""

    title: str
    label: str
    lines: list[Line] = field(default_factory=list)
    log: str = ""
    """`y`, `xy` or nothing."""


@dataclass(frozen=True)
class Axis:
    """From data to pixels: `low` and `high` become `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float, log: bool) -> "Axis":
        """An axis that all values fit on, with a little room; a logarithmic one leaves out what is not positive."""
        found = [_scaled(value, log) for value in values if math.isfinite(value) and (value > 0 or not log)]
        low, high = (min(found), max(found)) if found else (0.0, 1.0)
        room = 0.04 * (high - low) or 0.5
        return cls(low - room, high + room, start, end, log)

    def place(self, value: float) -> float:
        """The pixel of a value."""
        scaled = _scaled(max(value, 1e-300) if self.log else value, self.log)
        share = min(1.0, max(0.0, (scaled - self.low) / (self.high - self.low)))
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values that lie on the axis: about five, or powers of ten where it is logarithmic."""
        if not self.log:
            step = _step(self.high - self.low)
            return [k * step for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        span = self.high - self.low
        heads = (1, 2, 5) if span < 1.6 else (1, 3) if span < 2.2 else (1,)
        every = max(1, math.ceil(span / 6))
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        marks = [head * 10.0**power for power in powers if power % every == 0 for head in heads]
        return [mark for mark in marks if self.low <= math.log10(mark) <= self.high]


def _scaled(value: float, log: bool) -> float:
    return math.log10(value) if log else value


def _step(span: float) -> float:
    rough = span / 6
    power = 10.0 ** math.floor(math.log10(rough))
    return next(head * power for head in (1, 2, 5, 10) if head * power >= rough)


def draw(panels: Sequence[Panel], legend: Sequence[str], across: int) -> str:
    """An SVG document with the panels in rows of `across`, and the names of the two colours below them."""
    across = min(across, len(panels))
    width = across * (LEFT + WIDTH + RIGHT)
    height = -(-len(panels) // across) * (TOP + HEIGHT + BOTTOM)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + LEGEND}" width="{width}" '
        f'height="{height + LEGEND}" font-family="sans-serif" font-size="11" fill="#222" role="img">',
        f"<title>{escape(', '.join(panel.title for panel in panels))}: {escape(' and '.join(legend))}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        row, column = divmod(number, across)
        parts += _panel(panel, column * (LEFT + WIDTH + RIGHT) + LEFT, row * (TOP + HEIGHT + BOTTOM) + TOP)
    for number, (name, color) in enumerate(zip(legend, COLORS, strict=False)):
        x = width * (number + 1) / (len(legend) + 1) - 60
        parts.append(f'<path d="M{x:.0f} {height + 10} h24" stroke="{color}" stroke-width="2.5"/>')
        parts.append(f'<text x="{x + 30:.0f}" y="{height + 14}" font-size="12">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, left: float, top: float) -> Iterator[str]:
    right, bottom = left + WIDTH, top + HEIGHT
    x = Axis.over([v for line in panel.lines for v in line.x], left, right, "x" in panel.log)
    heights = [v for line in panel.lines for v in (*line.y, *line.low, *line.high)]
    y = Axis.over(heights, bottom, top, "y" in panel.log)
    yield f'<text x="{left}" y="{top - 10}" font-size="12.5" font-weight="600">{escape(panel.title)}</text>'
    for value in y.ticks():
        at = y.place(value)
        yield f'<path d="M{left} {at:.1f} H{right}" stroke="#ddd"/>'
        yield f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{_number(value)}</text>'
    for value in x.ticks():
        at = x.place(value)
        yield f'<path d="M{at:.1f} {bottom} v4" stroke="#222"/>'
        yield f'<text x="{at:.1f}" y="{bottom + 17}" text-anchor="middle">{_number(value)}</text>'
    yield f'<path d="M{left} {top} V{bottom} H{right}" fill="none" stroke="#222"/>'
    yield f'<text x="{(left + right) / 2}" y="{bottom + 33}" text-anchor="middle">{escape(panel.label)}</text>'
    for line in panel.lines:
        if line.low:
            around = [*zip(line.x, line.low, strict=True), *reversed(list(zip(line.x, line.high, strict=True)))]
            yield f'<path d="M{_path(around, x.place, y.place)}Z" fill="{line.color}" fill-opacity="0.15"/>'
        dots = ' stroke-dasharray="2 3"' if line.dotted else ""
        along = _path(list(zip(line.x, line.y, strict=True)), x.place, y.place)
        yield f'<path d="M{along}" fill="none" stroke="{line.color}" stroke-width="1.6"{dots}/>'


def _path(points: Sequence[tuple[float, float]], x: Callable[[float], float], y: Callable[[float], float]) -> str:
    return "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in points)


def _number(value: float) -> str:
    """A tick's label, short: thousands as k, and powers of ten where there would be many zeros."""
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:.6g}"
