"""Grey levels: how often each occurs, and how dark a background is, which a Frechet distance hardly weighs."""

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import binary_dilation
from torch import Tensor

BRIGHT = 0.5
"""The grey value above which a pixel belongs to a stroke."""
MARGIN = 2
"""Pixels around the strokes that are not yet background: the soft edge of a digit ends within them."""

Array = npt.NDArray[np.float64]


def background_levels(grey: Tensor) -> Array:
    """The mean grey of the pixels outside the dilated strokes of each image, which has one channel.

    `grey` is (N, 1, H, W) in [0, 1]; the result is (N,), NaN for an image without any background.
    """
    pixels = grey.double().numpy()[:, 0]
    square = np.ones((1, 3, 3), dtype=bool)  # dilates within an image, not from one to the next
    outside = ~binary_dilation(pixels > BRIGHT, square, iterations=MARGIN)
    count = outside.sum((1, 2))
    with np.errstate(invalid="ignore"):
        levels: Array = (pixels * outside).sum((1, 2)) / count
    return levels


def grey_levels(pixels: Tensor) -> list[dict[str, int]]:
    """How often each of the 256 grey levels occurs in uint8 images of any shape: rows of `level` and `count`."""
    counts = torch.bincount(pixels.flatten(), minlength=256).tolist()
    return [{"level": level, "count": count} for level, count in enumerate(counts)]
