"""The diagrams of the networks, drawn from tables that the networks themselves wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, PathPatch, Polygon
from matplotlib.path import Path as Line

from thaw.figures.drawing import SMALL, WIDTH, Drawing, nth_color, read_table
from thaw.figures.families import table_paths
from thaw.params import Params
from thaw.results.layout import Artifacts
from thaw.results.wording import join

TALLEST = 1.0
"""The height of an image at full resolution, in inches before a diagram is brought to its width."""
SLANT = 0.32
"""How far the depth of a box reaches to the right and up, as a share of its height."""
MARGIN = 0.25
LINE = 0.135
"""The height of a line of small type, in inches."""
SKIP = 0.15
"""The height of a skip connection above the boxes, and between two that cross."""
GREY = "#8c8c8c"
TIME = "time"


@dataclass(frozen=True)
class Box:
    """A block at its place: its front face from (x, bottom), as wide as its channels and as high as its image."""

    name: str
    x: float
    width: float
    height: float
    color: str

    @property
    def depth(self) -> float:
        """What the slanted face adds to the right and above."""
        return SLANT * self.height

    @property
    def right(self) -> float:
        """Its right end."""
        return self.x + self.width + self.depth


class Part:
    """One part of a network: its blocks, a box for each of them but the time embedding, and its skip connections.

    `skips` has the ends of each connection that passes other blocks by, and how high it runs.
    """

    def __init__(self, rows: pd.DataFrame, colors: Mapping[str, str], gap: float) -> None:
        self.weights = f"{rows['parameters'].sum():,}".replace(",", " ")
        self.records = {row["block"]: row for row in rows.to_dict("records")}
        self.time = self.records.pop(TIME, None)
        self.boxes: dict[str, Box] = {}
        x, largest = 0.0, rows["height"].max()
        for name, row in self.records.items():
            # The root, so that a seventh of the resolution can still be told from nothing.
            height = 0.18 * TALLEST if pd.isna(row["height"]) else TALLEST * (row["height"] / largest) ** 0.6
            width = 0.06 + 0.035 * log2(max(1, row["channels"]))
            self.boxes[name] = Box(name, x, width, height, colors.get(row["kind"], GREY))
            x = self.boxes[name].right + gap
        self.length = x - gap
        self.skips = self._skips()

    def _skips(self) -> dict[tuple[str, str], int]:
        """From the shortest to the longest; none lies on another: each runs above every shorter one that it covers."""
        place = {name: number for number, name in enumerate(self.records)}
        ends = [(source, name) for name, row in self.records.items() for source in row["inputs"].split()]
        levels: dict[tuple[str, str], int] = {}
        for source, target in sorted(ends, key=lambda ends: place[ends[1]] - place[ends[0]]):
            if place[target] - place[source] > 1:
                covered = [
                    level
                    for (other, end), level in levels.items()
                    if place[other] < place[target] and place[source] < place[end]
                ]
                levels[source, target] = max(covered, default=0) + 1
        return levels

    def extent(self, line: float) -> tuple[float, float]:
        """The lower and the upper edge of its picture; the middles of all boxes are at height 0."""
        bottom = -TALLEST / 2 - 3.5 * line - (0.28 + 2 * line if self.time else 0)
        return bottom, TALLEST * (0.5 + SLANT / 2) + SKIP * max(self.skips.values(), default=0) + 2.5 * line


def network(artifacts: Artifacts, params: Params, name: str) -> Drawing | None:
    """The blocks of one network, part by part, as the first variant has it."""
    paths = table_paths(artifacts, params, "network")
    path = next((paths[v] for v in paths if params.variant(v).train.network.name == name), None)
    if path is None:
        return None
    table = read_table(path, keep_default_na=False, dtype={"block": str, "inputs": str})
    for column in ("height", "width"):
        table[column] = pd.to_numeric(table[column])
    kinds = [kind for kind in dict.fromkeys(table["kind"]) if kind not in ("input", "output", "time embedding")]
    colors = {kind: nth_color(number) for number, kind in enumerate(kinds)}
    grouped = {str(part): rows for part, rows in table.groupby("part", sort=False)}
    gap = min(0.6, max(0.26, 5.5 / max(map(len, grouped.values())) - 0.35))  # wider where there are few boxes
    parts = {name: Part(rows, colors, gap) for name, rows in grouped.items()}
    length = max(part.length for part in parts.values()) + 2 * MARGIN
    inch = min(1.2, WIDTH / length)
    line = LINE / inch
    extents = [part.extent(line) for part in parts.values()]
    full = sum(high - low for low, high in extents) * inch + 0.18 * len(kinds) + 0.1
    figure = plt.figure(figsize=(WIDTH, full), layout="none")
    left, top = MARGIN + (WIDTH / inch - length) / 2, full
    for (part_name, part), (low, high) in zip(parts.items(), extents, strict=True):
        height = (high - low) * inch
        top -= height
        axes = figure.add_axes((0, top / full, 1, height / full))
        axes.set(xlim=(-left, WIDTH / inch - left), ylim=(low, high))
        axes.axis("off")
        title = f"{part.weights} parameters" if len(parts) == 1 else f"{part_name}: {part.weights} parameters"
        axes.text(0.01, 0.99, title, transform=axes.transAxes, ha="left", va="top", fontsize=9)
        _draw(axes, part, line)
    figure.legend(
        [Patch(color=_shade(color, 1)) for color in colors.values()], list(colors), loc="lower center", fontsize=8,
        handlelength=1.1, bbox_to_anchor=(0.5, 0), borderaxespad=0.2, labelspacing=0.35,
    )  # fmt: skip
    variant = table["variant"].iloc[0]
    each = join([f"{part_name} of {len(part.boxes) - 2} blocks" for part_name, part in parts.items()])
    skips = ", arcs are skip connections" if any(part.skips for part in parts.values()) else ""
    time = ", and arrows from below add the embedding of t/T" if any(part.time for part in parts.values()) else ""
    return Drawing(
        figure,
        f"The network `{name}` as {params.title(variant)} has it, read off the network itself. The face of a box is as "
        f"high as its image and as wide as its channels are many (both on scales of their own){skips}{time}.",
        f"A diagram of boxes in a row: {each}. {_in_words(table)}",
        [path],
    )


def _draw(axes: Axes, part: Part, line: float) -> None:
    boxes, resolution = list(part.boxes.values()), None

    def write(box: Box, lines: float, text: str, **style: Any) -> None:
        """Write below a box, so many lines down."""
        place = box.x + box.width / 2, -box.height / 2 - lines * line
        axes.text(*place, text, ha="center", va="top", **{"fontsize": SMALL, **style})

    for box in boxes:
        row = part.records[box.name]
        _box(axes, box)
        write(box, 0.3, f"{row['channels']:g}")
        size = "" if pd.isna(row["height"]) else f"{row['height']:.0f}×{row['width']:.0f}"
        if size and size != resolution:
            write(box, 1.3, size, color="#666666")
        resolution = size
        if box in (boxes[0], boxes[-1]):
            write(box, 2.3, box.name, fontsize=8.5, style="italic")
    for left, right in pairwise(boxes):
        if left.name in part.records[right.name]["inputs"].split():
            _arrow(axes, (left.x + left.width + left.depth / 2 + 0.01, 0.0), (right.x - 0.01, 0.0), "#444444")
    for (source, target), level in part.skips.items():
        _arc(axes, part.boxes[source], part.boxes[target], level)
    if part.time:
        _time(axes, part.time, [box for box in boxes if part.records[box.name]["time"]], line)


def _box(axes: Axes, box: Box) -> None:
    """A box in parallel perspective: the front, and the lighter top and the darker side."""
    left, right, low, high, depth = box.x, box.x + box.width, -box.height / 2, box.height / 2, box.depth / 2
    faces = [
        ([(left, low), (right, low), (right, high), (left, high)], 1.0),
        ([(left, high), (right, high), (right + depth, high + depth), (left + depth, high + depth)], 1.25),
        ([(right, low), (right + depth, low + depth), (right + depth, high + depth), (right, high)], 0.8),
    ]
    for corners, light in faces:
        axes.add_patch(Polygon(corners, closed=True, facecolor=_shade(box.color, light), edgecolor="white",
                               linewidth=0.6, zorder=3))  # fmt: skip


def _shade(color: str, light: float) -> tuple[float, float, float]:
    red, green, blue = (min(1.0, light * (0.35 + 0.65 * part)) for part in to_rgb(color))
    return red, green, blue


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=6, color=color, linewidth=0.9,
                                   shrinkA=0, shrinkB=0, zorder=4))  # fmt: skip


def _arc(axes: Axes, source: Box, target: Box, level: int) -> None:
    """A skip connection: up, along above everything between, and down, with round corners."""
    start, end = (source.x + source.width / 2 + source.depth / 2, target.x + target.width / 2)
    low_start, low_end = source.height / 2 + source.depth / 2, target.height / 2 + 0.02
    y, r = TALLEST * (0.5 + SLANT / 2) + SKIP * level, 0.09
    corners = [(start, low_start), (start, y - r), (start, y), (start + r, y), (end - r, y), (end, y), (end, y - r)]
    codes = [Line.MOVETO, Line.LINETO, Line.CURVE3, Line.CURVE3, Line.LINETO, Line.CURVE3, Line.CURVE3]
    axes.add_patch(PathPatch(Line(corners, codes), fill=False, edgecolor=GREY, linewidth=1.1, zorder=2))
    _arrow(axes, (end, y - r), (end, low_end), GREY)


def _time(axes: Axes, row: Mapping[Any, Any], boxes: Sequence[Box], line: float) -> None:
    """The time embedding as a bar below all boxes, with an arrow to each that reads it."""
    y = -TALLEST / 2 - 3.3 * line - 0.28
    text = f"embedding of $t/T$ ({row['channels']} numbers)"
    left = min(min((box.x for box in boxes), default=0.0), 0.4)
    right = max(max((box.right for box in boxes), default=0.0), left + 14 * line)
    axes.add_patch(FancyBboxPatch((left, y - 0.75 * line), right - left, 1.5 * line,
                                  boxstyle="round,pad=0,rounding_size=0.08", facecolor="#f3e6c8",
                                  edgecolor="#b08a2e", linewidth=0.8))  # fmt: skip
    axes.text((left + right) / 2, y, text, ha="center", va="center", fontsize=SMALL)
    for box in boxes:
        x = box.x + box.width / 2
        _arrow(axes, (x, y + 0.75 * line), (x, -box.height / 2 - 2.4 * line), "#b08a2e")


def _in_words(table: pd.DataFrame) -> str:
    """What each box is, for someone who cannot see them."""
    inner = table[~table["kind"].isin(("input", "output"))]
    boxes = [
        f"{row['block']}: {row['kind']}, {row['channels']:g} channels"
        + ("" if pd.isna(row["height"]) else f" of {row['height']:.0f}×{row['width']:.0f}")
        for row in inner.to_dict("records")
    ]
    return f"{'; '.join(boxes)}."
