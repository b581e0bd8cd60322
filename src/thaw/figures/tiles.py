"""Laying image tiles out in a figure, each pixel of a tile a whole number of pixels of the figure."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.textpath import TextPath

from thaw.figures.drawing import WIDTH

Tiles = npt.NDArray[np.uint8]
GAP = 4
"""Pixels of the figure between two tiles."""
PAD = 8
"""Pixels of the figure around labels."""


@dataclass(frozen=True)
class Grid:
    """Tiles, uint8 of shape (rows, columns, H, W[, 3]), with labels beside the rows and above the columns.

    A wider gap follows every `group` rows. `width` is the most inches that the grid may take, labels included, and
    `largest` the most that a tile is enlarged.
    """

    tiles: Tiles
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    group: int = 0
    width: float = WIDTH
    title: str = ""
    labels: float = field(default=8.0, kw_only=True)
    """The size of the labels in points."""
    largest: int = field(default=5, kw_only=True)

    @property
    def left(self) -> int:
        """Pixels for the labels of the rows."""
        return max((_pixels(row, self.labels) for row in self.rows), default=0) + (PAD if self.rows else 0)

    @property
    def top(self) -> int:
        """Pixels for the title and the labels of the columns."""
        line = round(1.6 * self.labels * _dpi() / 72)
        return line * (bool(self.title) + self.title.count("\n") + bool(any(self.columns)))

    @property
    def scale(self) -> float:
        """How much a tile is enlarged: a whole number, or a fraction where not even the tiles themselves fit."""
        count, width = self.tiles.shape[1], self.tiles.shape[3]
        fits = (round(self.width * _dpi()) - self.left - PAD - GAP * (count - 1)) / (count * width)
        return float(min(self.largest, int(fits))) if fits >= 1 else fits

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the figure, labels included."""
        height, width = _canvas(self).shape[:2]
        shrink = min(1.0, self.scale)
        return self.left + round(width * shrink) + PAD, self.top + round(height * shrink) + PAD


def grid_figure(grid: Grid) -> Figure:
    """A figure that holds a grid and nothing else."""
    width, height = grid.size
    figure = plt.figure(figsize=(width / _dpi(), height / _dpi()), layout="none")
    draw_grid(figure, grid)
    return figure


def draw_grid(figure: Figure, grid: Grid, corner: tuple[int, int] = (0, 0)) -> None:
    """Draw a grid into a figure, `corner` pixels from its left and upper edges."""
    canvas = _canvas(grid)
    shrink = min(1.0, grid.scale)
    height, width = (round(side * shrink) for side in canvas.shape[:2])
    left, top = corner[0] + grid.left, corner[1] + grid.top
    full_width, full_height = (round(side * _dpi()) for side in figure.get_size_inches())
    bottom = full_height - top - height
    axes = figure.add_axes((left / full_width, bottom / full_height, width / full_width, height / full_height))
    axes.set_in_layout(False)
    axes.set(xlim=(0, width), ylim=(height, 0))
    if shrink == 1:
        figure.figimage(canvas, left, bottom)  # pixel by pixel; axes would resample it
        axes.patch.set_visible(False)
    else:
        axes.imshow(canvas, aspect="auto", extent=(0, width, height, 0))
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=3, labelsize=grid.labels)
    tile_height, tile_width = (side * grid.scale for side in grid.tiles.shape[2:4])
    starts = [start * shrink for start in _starts(grid)]
    axes.set_yticks([start + tile_height / 2 for start in starts] if grid.rows else [], grid.rows or None)
    step = tile_width + GAP * shrink
    columns = grid.columns if any(grid.columns) else []
    axes.set_xticks([x * step + tile_width / 2 for x in range(len(columns))], columns or None)
    axes.xaxis.tick_top()
    if grid.title:
        axes.set_title(grid.title, fontsize=grid.labels, loc="center", pad=4)


def _starts(grid: Grid) -> list[int]:
    """The first pixel of every row of tiles in the canvas."""
    step = grid.tiles.shape[2] * max(1, int(grid.scale)) + GAP
    return [y * step + (y // grid.group * 2 * GAP if grid.group else 0) for y in range(len(grid.tiles))]


def _canvas(grid: Grid) -> Tiles:
    """The enlarged tiles with white gaps between them, as one picture, uint8 (H, W, 3)."""
    factor = max(1, int(grid.scale))
    tiles = grid.tiles.repeat(factor, axis=2).repeat(factor, axis=3)
    count_x, height, width = tiles.shape[1:4]
    starts = _starts(grid)
    if tiles.ndim == 4:  # as colours, since a colour map would round the levels
        tiles = np.stack([tiles] * 3, axis=-1)
    canvas = np.full((starts[-1] + height, count_x * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    for y, x in np.ndindex(*tiles.shape[:2]):
        top, left = starts[y], x * (width + GAP)
        canvas[top : top + height, left : left + width] = tiles[y, x]
    return canvas


def _dpi() -> float:
    return float(mpl.rcParams["figure.dpi"])


def _pixels(text: str, size: float) -> int:
    """The width of a text in pixels of the figure."""
    if not text.strip():
        return 0
    points = _points(text, size, findfont(FontProperties()))
    return round(1.08 * points * _dpi() / 72)  # a little more, as drawn letters are brought to whole pixels


@functools.cache
def _points(text: str, size: float, font: str) -> float:
    """The width of a text in points, which takes as long as drawing a grid, and is asked for at every step of it."""
    return float(TextPath((0, 0), text, size=size, prop=FontProperties(fname=font)).get_extents().x1)
