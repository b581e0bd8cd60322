"""Pixelate: ever fewer and larger pixels, whose removal is super-resolution (Bansal et al. 2022, section 4.3)."""

import torch

from thaw.diffusion.degradation import Steps
from thaw.diffusion.linear import Separable, group_means
from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Shape


class Pixelate(Separable):
    """At step t the image is a grid of H - t by H - t blocks, each uniform with the mean of its pixels.

    The sides of the blocks differ by at most one pixel. The latents are Gaussians over (H - T)^2 blocks.
    """

    def __init__(self, *, shape: Shape, key: str = "degradation", steps: Steps) -> None:
        size = shape[-1]
        if steps >= size:
            raise ThawError(
                f"{PARAMS_FILE}: {key}.steps is {steps}, but an image of {size} pixels can lose at most {size - 1} "
                "rows; take a smaller number."
            )
        super().__init__(shape, torch.stack([group_means(size, size - t) for t in range(steps + 1)]))
