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

from thaw.artifacts import Artifacts
from thaw.reporting.drawing import SMALL, WIDTH, Drawing, nth_color
from thaw.reporting.results import join

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
    def middle(self) -> float:
        """The middle of its upper edge, of both faces together."""
        return self.x + (self.width + self.depth) / 2

    @property
    def depth(self) -> float:
        """What the slanted face adds to the right and above."""
        return SLANT * self.height

    @property
    def right(self) -> float:
        """Its right end."""
        return self.x + self.width + self.depth


def network(artifacts: Artifacts, name: str) -> Drawing | None:
    """The blocks of one network, part by part."""
    path = artifacts.networks / f"{name}.csv"
    if not path.exists():
        return None
    table = pd.read_csv(path, keep_default_na=False, dtype={"block": str, "inputs": str})
    for column in ("height", "width"):
        table[column] = pd.to_numeric(table[column])
    parts = {str(part): rows for part, rows in table.groupby("part", sort=False)}
    kinds = [kind for kind in dict.fromkeys(table["kind"]) if kind not in ("input", "output", "time embedding")]
    colors = {kind: nth_color(number) for number, kind in enumerate(kinds)}
    gap = min(0.6, max(0.26, 5.5 / max(map(len, parts.values())) - 0.35))  # wider where there are few boxes
    laid = {part: _lay_out(rows, colors, gap) for part, rows in parts.items()}
    length = max(boxes[-1].right for boxes in laid.values()) + 2 * MARGIN
    inch = min(1.2, WIDTH / length)
    line = LINE / inch
    heights = [_height(rows, line) for rows in parts.values()]
    legend = 0.18 * len(kinds) + 0.1
    figure = plt.figure(figsize=(WIDTH, sum(heights) * inch + legend), layout="none")
    full = figure.get_size_inches()[1]
    top = full
    for (part, rows), height in zip(parts.items(), heights, strict=True):
        axes = figure.add_axes((0, (top - height * inch) / full, 1, height * inch / full))
        left = MARGIN + (WIDTH / inch - length) / 2
        axes.set(xlim=(-left, WIDTH / inch - left), ylim=(_bottom(rows, line), _bottom(rows, line) + height))
        axes.axis("off")
        weights = f"{rows['parameters'].sum():,}".replace(",", " ")
        title = f"{weights} parameters" if len(parts) == 1 else f"{part}: {weights} parameters"
        axes.text(0.01, 0.99, title, transform=axes.transAxes, ha="left", va="top", fontsize=9)
        _draw(axes, rows, laid[part], line)
        top -= height * inch
    figure.legend(
        [Patch(color=_shade(color, 1)) for color in colors.values()], list(colors), loc="lower center", fontsize=8,
        handlelength=1.1, bbox_to_anchor=(0.5, 0), borderaxespad=0.2, labelspacing=0.35,
    )  # fmt: skip
    variant = table["variant"].iloc[0]
    each = join([f"{part} of {len(rows) - 2 - _timed(rows)} blocks" for part, rows in parts.items()])
    skips = ", arcs are skip connections" if any(_skips(rows) for rows in parts.values()) else ""
    time = ", and arrows from below add the embedding of t/T" if any(_timed(rows) for rows in parts.values()) else ""
    return Drawing(
        figure,
        f"The network `{name}` as `{variant}` has it, read off the network itself. The face of a box is as high as its "
        f"image and as wide as its channels are many (both on scales of their own){skips}{time}.",
        f"A diagram of boxes in a row: {each}. {_in_words(table)}",
        [path],
    )


def _timed(rows: pd.DataFrame) -> int:
    return int((rows["block"] == TIME).sum())


def _skips(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """The connections that pass other blocks by, from the shortest to the longest."""
    names = [name for name in rows["block"] if name != TIME]
    place = {name: number for number, name in enumerate(names)}
    found: list[tuple[str, str]] = [
        (source, row["block"])
        for row in rows.to_dict("records")
        for source in row["inputs"].split()
        if place[row["block"]] - place[source] > 1
    ]
    return sorted(found, key=lambda ends: place[ends[1]] - place[ends[0]])


def _lay_out(rows: pd.DataFrame, colors: dict[str, str], gap: float) -> list[Box]:
    """A box for each block but the time embedding, from left to right."""
    largest = rows["height"].max()
    boxes: list[Box] = []
    x = 0.0
    for row in rows[rows["block"] != TIME].to_dict("records"):
        vector = pd.isna(row["height"])
        # The root, so that a seventh of the resolution can still be told from nothing.
        height = 0.18 * TALLEST if vector else TALLEST * (row["height"] / largest) ** 0.6
        width = 0.06 + 0.035 * log2(max(1, row["channels"]))
        box = Box(row["block"], x, width, height, colors.get(row["kind"], GREY))
        boxes.append(box)
        x = box.right + gap
    return boxes


def _bottom(rows: pd.DataFrame, line: float) -> float:
    """The lower edge of a part's picture; the middles of all boxes are at height 0."""
    return -TALLEST / 2 - 3.5 * line - (0.28 + 2 * line if _timed(rows) else 0)


def _height(rows: pd.DataFrame, line: float) -> float:
    levels = _levels(_skips(rows), [name for name in rows["block"] if name != TIME])
    above = TALLEST * (0.5 + SLANT / 2) + SKIP * max(levels.values(), default=0) + 2.5 * line
    return above - _bottom(rows, line)


def _levels(skips: Sequence[tuple[str, str]], names: Sequence[str]) -> dict[tuple[str, str], int]:
    """How high each skip connection runs, so that none lies on another: above every shorter one that it covers."""
    place = {name: number for number, name in enumerate(names)}
    levels: dict[tuple[str, str], int] = {}
    for source, target in skips:
        covered = [
            level
            for (other, end), level in levels.items()
            if place[other] < place[target] and place[source] < place[end]
        ]
        levels[source, target] = max(covered, default=0) + 1
    return levels


def _draw(axes: Axes, rows: pd.DataFrame, boxes: Sequence[Box], line: float) -> None:
    records = {row["block"]: row for row in rows.to_dict("records")}
    resolution = None
    for number, box in enumerate(boxes):
        row = records[box.name]
        _box(axes, box)
        ends = number in (0, len(boxes) - 1)
        axes.text(box.x + box.width / 2, -box.height / 2 - 0.3 * line, f"{row['channels']:g}", ha="center", va="top",
                  fontsize=SMALL)  # fmt: skip
        size = "" if pd.isna(row["height"]) else f"{row['height']:.0f}×{row['width']:.0f}"
        if size and size != resolution:
            axes.text(box.x + box.width / 2, -box.height / 2 - 1.3 * line, size, ha="center", va="top", fontsize=SMALL,
                      color="#666666")  # fmt: skip
        resolution = size
        if ends:
            axes.text(box.x + box.width / 2, -box.height / 2 - 2.3 * line, box.name, ha="center", va="top",
                      fontsize=8.5, style="italic")  # fmt: skip
    for left, right in pairwise(boxes):
        if left.name in str(records[right.name]["inputs"]).split():
            _arrow(axes, (left.x + left.width + left.depth / 2 + 0.01, 0.0), (right.x - 0.01, 0.0), "#444444")
    for (source, target), level in _levels(_skips(rows), [box.name for box in boxes]).items():
        _arc(axes, _named(boxes, source), _named(boxes, target), level)
    if TIME in records:
        _time(axes, records[TIME], [box for box in boxes if records[box.name]["time"]], line)


def _named(boxes: Sequence[Box], name: str) -> Box:
    return next(box for box in boxes if box.name == name)


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
        _arrow(
            axes,
            (box.x + box.width / 2, y + 0.75 * line),
            (box.x + box.width / 2, -box.height / 2 - 2.4 * line),
            "#b08a2e",
        )


def _in_words(table: pd.DataFrame) -> str:
    """What each box is, for someone who cannot see them."""
    inner = table[~table["kind"].isin(("input", "output"))]
    return (
        "; ".join(
            f"{row['block']}: {row['kind']}, {row['channels']:g} channels"
            + ("" if pd.isna(row["height"]) else f" of {row['height']:.0f}×{row['width']:.0f}")
            for row in inner.to_dict("records")
        )
        + "."
    )
