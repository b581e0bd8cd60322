"""Sheets: image tiles side by side in one lossless PNG, without labels or gaps, for figures to cut apart again."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from thaw.files import reading, replacing

T = TypeVar("T")

STRIP_IMAGES = 4
STRIP_COLUMNS = 11
"""A strip shows a process in eleven columns: every tenth of its T steps, both ends included."""
MILESTONES = 5
"""Milestones on a sheet, at most."""


def shown(milestones: Sequence[T]) -> list[T]:
    """The milestones that sheets show: at most MILESTONES of them, evenly chosen, the first and the last among them."""
    count = min(MILESTONES, len(milestones))
    return [milestones[round(k * (len(milestones) - 1) / max(1, count - 1))] for k in range(count)]


def write_sheet(path: Path, rows: Sequence[npt.NDArray[np.uint8]]) -> None:
    """Write rows of tiles, each uint8 of shape (columns, C, H, W), as one picture; all rows have as many columns."""
    bands = [np.concatenate(list(np.moveaxis(row, 1, -1)), axis=1) for row in rows]  # (H, columns W, C)
    pixels = np.concatenate(bands, axis=0)
    with replacing(path) as temporary:
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(temporary, optimize=True)


def read_sheet(path: Path, size: int) -> npt.NDArray[np.uint8]:
    """The tiles of a sheet, uint8 of shape (rows, columns, size, size) or (rows, columns, size, size, 3).

    Raises ThawError as `reading` does, also where the picture is not made of tiles of that size.
    """
    with reading(path), Image.open(path) as picture:
        pixels = np.asarray(picture)
        (rows, below), (columns, beside) = (divmod(side, size) for side in pixels.shape[:2])
        if below or beside:
            raise ValueError(f"{picture.width} x {picture.height} pixels are no tiles of {size} x {size}")
        return pixels.reshape(rows, size, columns, size, *pixels.shape[2:]).swapaxes(1, 2)
