"""Augmentation of what a discriminator sees, so that few images last longer (Karras et al. 2020; seed 003 section 2.2).

Real and generated images go through the same random transformations, which are differentiable. Each is left out often
enough (p below about 0.8) for the generator not to learn them.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

ROTATION = math.pi / 12
"""Largest angle: upside down, neither a digit nor a room is one."""
TRANSLATION = 0.125
"""Largest shift, of the image's size."""
SCALE = 0.2
"""Standard deviation of the logarithm to base 2."""
BRIGHTNESS, CONTRAST = 0.2, 0.5
"""Standard deviations: of what is added, of half_range, and of the logarithm to base 2 of the factor."""

FIXED = 0.5
"""The probability p of a fixed augmentation."""
HIGHEST = 0.8
"""Where an adaptive p ends, because beyond it transformations leak into the samples."""
TARGET = 0.6
"""The mean sign of the discriminator's answer to real images that an adaptive p aims at."""
INTERVAL = 4
"""Steps between two changes of an adaptive p."""
ADAPTATION = 50_000
"""Images in which an adaptive p can go from 0 to 1: a tenth of the paper's, as these trainings are short."""


def augment(images: Tensor, p: float, half_range: float, stream: torch.Generator) -> Tensor:
    """Images (B, C, H, W), each transformation of each with probability p.

    All are scaled, rotated and shifted. Only three channels are mirrored and coloured: they are taken for a
    photograph, while one channel may be a digit or a letter, whose mirror image is none.
    """
    if p == 0:
        return images
    count = len(images)

    def sometimes(values: Tensor, neutral: float) -> Tensor:
        return torch.where(torch.rand(count, generator=stream) < p, values, neutral).to(images.device)

    def normal() -> Tensor:
        return torch.randn(count, generator=stream)

    def uniform(largest: float) -> Tensor:
        return largest * (2 * torch.rand(count, generator=stream) - 1)

    scale = sometimes(torch.exp2(SCALE * normal()), 1)
    angle = sometimes(uniform(ROTATION), 0)
    right, down = sometimes(uniform(TRANSLATION), 0), sometimes(uniform(TRANSLATION), 0)
    if images.shape[1] == 1:
        return move(images, scale, scale, angle, right, down)
    mirror = sometimes(1 - 2 * torch.randint(2, (count,), generator=stream).float(), 1)
    brightness = sometimes(half_range * BRIGHTNESS * normal(), 0)
    contrast = sometimes(torch.exp2(CONTRAST * normal()), 1)
    hue = sometimes(uniform(math.pi), 0)
    return colour(move(images, scale * mirror, scale, angle, right, down), brightness, contrast, hue)


def move(images: Tensor, across: Tensor, along: Tensor, angle: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Images (B, C, H, W) enlarged by `across` and `along` and turned by `angle` about their centre, and then shifted.

    Each argument is one number an image, (B,): factors for width and height (a negative one mirrors), radians
    clockwise, and shares of the width and the height. Interpolation is bilinear, and beyond its edge an image is its
    reflection.
    """
    # grid_sample asks where each pixel comes from, in coordinates from -1 to 1: the inverse of the movement.
    cos, sin = angle.cos(), angle.sin()
    turned = torch.stack([cos / across, sin / across, -sin / along, cos / along], dim=1).view(-1, 2, 2)
    origin = -turned @ (2 * torch.stack([right, down], dim=1)[:, :, None])
    grid = F.affine_grid(torch.cat([turned, origin], dim=2), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), padding_mode="reflection", align_corners=False)


def colour(images: Tensor, brightness: Tensor, contrast: Tensor, hue: Tensor) -> Tensor:
    """Images (B, 3, H, W) brightened, given contrast about mid-grey, and turned about the grey axis.

    Each argument is one number an image, (B,): what is added to all pixels, a factor, and radians.
    """
    # Rodrigues' formula for the axis (1, 1, 1) / sqrt(3).
    axis = images.new_full((3, 3), 1 / 3)
    cross = images.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    cos, sin = hue.cos()[:, None, None], hue.sin()[:, None, None]
    turn = cos * torch.eye(3, device=images.device) + sin * cross + (1 - cos) * axis
    turned = torch.einsum("bij,bjhw->bihw", contrast[:, None, None] * turn, images)
    return turned + brightness[:, None, None, None]


def variations(image: Tensor, count: int, half_range: float, stream: torch.Generator) -> Tensor:
    """`count` images for a picture, (count, C, H, W): the given one, (C, H, W), and others that were transformed."""
    copies = image.expand(count - 1, *image.shape)
    return torch.cat([image[None], augment(copies, 1, half_range, stream)])


@dataclass
class Probability:
    """The probability p of an adaptive augmentation, raised while the discriminator overfits.

    Every few steps it goes up by a constant amount where the mean sign of the answers to real images since then,
    r_t = E[sign(D(x))], is above its target, and down where it is below (Karras et al. 2020, section 3.1).
    """

    p: float = 0.0
    signs: float = 0.0
    steps: int = 0

    def observe(self, sign: float, images: int) -> None:
        """Take the mean sign of the answers to the real images of a step, and their number."""
        self.signs, self.steps = self.signs + sign, self.steps + 1
        if self.steps == INTERVAL:
            change = math.copysign(INTERVAL * images / ADAPTATION, self.signs / INTERVAL - TARGET)
            # Rounded, so that going up and down again leads back to 0, at which nothing is computed.
            self.p, self.signs, self.steps = round(min(max(self.p + change, 0.0), HIGHEST), 9), 0.0, 0
