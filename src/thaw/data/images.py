"""Images in memory: their range, their size and their split into parts."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from thaw.errors import ThawError

LEVELS = 255  # steps between the 256 grey levels of a byte
TEST_FRACTION = 0.1  # of the images that come without a test set of their own
FIT_BATCH = 1000  # bounds the memory that resizing takes beside its result


@dataclass(frozen=True, eq=False)
class Images:
    """Images, with their labels where they have any.

    `pixels` is uint8 (N, C, H, W); `labels` is int64 (N,), or None.
    """

    pixels: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.pixels)

    def subset(self, indices: Tensor) -> "Images":
        """Take the images at `indices`, int64 (M,), in that order."""
        return Images(self.pixels[indices], None if self.labels is None else self.labels[indices])


@dataclass(frozen=True, eq=False)
class Dataset:
    """One dataset in its three parts, with the range that the models see it in."""

    name: str
    train: Images
    validation: Images
    test: Images
    half_range: float

    def to_range(self, pixels: Tensor) -> Tensor:
        """`thaw.data.to_range` with this dataset's half_range."""
        return to_range(pixels, self.half_range)

    def to_uint8(self, x: Tensor) -> Tensor:
        """`thaw.data.to_uint8` with this dataset's half_range."""
        return to_uint8(x, self.half_range)


def to_range(pixels: Tensor, half_range: float) -> Tensor:
    """Map uint8 pixels of any shape to float32 in [-half_range, half_range]."""
    return pixels.float() / LEVELS * (2 * half_range) - half_range


def to_uint8(x: Tensor, half_range: float) -> Tensor:
    """Map floats of any shape to the nearest of the 256 levels over [-half_range, half_range], clamped to that range.

    Undoes `to_range` exactly.
    """
    return ((x.float() + half_range) / (2 * half_range) * LEVELS).round().clamp(0, LEVELS).to(torch.uint8)


def split(images: Images, fraction: float, seed: int) -> tuple[Images, Images]:
    """Part off round(fraction · N) images, chosen by a seeded permutation: (the rest, the part).

    Both come in the permutation's order, so any first n of either is a random sample of it.
    Raises ThawError where one of the two would be empty.
    """
    part = round(fraction * len(images))
    if not 0 < part < len(images):
        raise ThawError(
            f"params.yaml: data.path has {len(images)} images to split, of which a part of {fraction:g} would be "
            f"{part} and leave one side empty; put more images there, or change data.validation_fraction."
        )
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images.subset(order[part:]), images.subset(order[:part])


def fit(pixels: Tensor, size: int) -> Tensor:
    """Bring uint8 (N, C, H, W) to (N, C, size, size).

    The shorter side is resized to `size` (bilinear, antialiased), then the centre is cropped.
    """
    if pixels.shape[-2:] == (size, size):
        return pixels
    height, width = (round(side * size / min(pixels.shape[-2:])) for side in pixels.shape[-2:])
    top, left = (height - size) // 2, (width - size) // 2
    batches = []
    for batch in pixels.split(FIT_BATCH):
        # In floats, because torch's integer kernel is another one on processors without AVX2.
        resized = interpolate(batch.float(), (height, width), mode="bilinear", antialias=True)
        centre = resized[..., top : top + size, left : left + size]
        batches.append(centre.round().clamp(0, LEVELS).to(torch.uint8))
    return torch.cat(batches)


def from_picture(picture: Image.Image, size: int, channels: int) -> Tensor:
    """Convert a Pillow image of any mode to uint8 (channels, size, size); grey from colour is ITU-R 601 luma."""
    if picture.mode.startswith("I;16"):
        # Pillow would saturate 16 bits at 255 instead of scaling them.
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    picture = picture.convert("L" if channels == 1 else "RGB")
    pixels = torch.from_numpy(np.array(picture)).reshape(1, picture.height, picture.width, channels)
    return fit(pixels.permute(0, 3, 1, 2), size)[0]
