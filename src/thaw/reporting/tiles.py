"""Laying image tiles out in a figure."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

Tiles = npt.NDArray[np.uint8]
GAP = 2


def draw_tiles(
    axes: Axes, tiles: Tiles, rows: list[str] | None = None, columns: list[str] | None = None, gap: int = GAP
) -> None:
    """Draw tiles, uint8 of shape (rows, columns, H, W[, 3]), with a white gap between them and labels beside them."""
    count_y, count_x, height, width = tiles.shape[:4]
    canvas = np.full(
        (count_y * (height + gap) - gap, count_x * (width + gap) - gap, *tiles.shape[4:]), 255, dtype=np.uint8
    )
    for y in range(count_y):
        for x in range(count_x):
            top, left = y * (height + gap), x * (width + gap)
            canvas[top : top + height, left : left + width] = tiles[y, x]
    axes.imshow(canvas, vmin=0, vmax=255)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_yticks([y * (height + gap) + height / 2 for y in range(count_y)] if rows else [], rows)
    axes.set_xticks([x * (width + gap) + width / 2 for x in range(count_x)] if columns else [], columns)
    axes.xaxis.tick_top()
