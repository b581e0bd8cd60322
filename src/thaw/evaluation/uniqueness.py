"""How unique z_T is: the third condition on a degradation is that no two images end alike (seed 000, section 3.3)."""

from typing import NamedTuple

import torch
from torch import Tensor

from thaw.core.randomness import generator
from thaw.data import to_uint8
from thaw.diffusion.degradation import Degradation


class Uniqueness(NamedTuple):
    """What z_T still tells of its image, over n images.

    `distinct` is the share whose z_T, in 256 grey levels, equals no other's; `nearest_image` the share whose z_T is
    nearest to that of the same image with another draw of the source; `nearest_class` the share whose nearest other
    z_T is of the same class, and `chance` what it would be for the commonest class. The last two are None for images
    without labels.
    """

    n: int
    distinct: float
    nearest_image: float
    nearest_class: float | None
    chance: float | None


def uniqueness(degradation: Degradation, x: Tensor, labels: Tensor | None, half_range: float) -> Uniqueness:
    """The uniqueness of z_T of at least two images x, (N, C, H, W), with labels (N,) where there are any."""
    count = len(x)
    t = torch.full((count,), degradation.steps)
    first, second = (
        degradation.degrade(x, t, degradation.draw_source(count, generator("uniqueness", draw), "test"))
        for draw in range(2)
    )
    grey = to_uint8(first, half_range).flatten(1)
    _, copies = torch.unique(grey, dim=0, return_counts=True)
    first, second = first.flatten(1).double(), second.flatten(1).double()
    same = _distances(second, first).argmin(1) == torch.arange(count)
    kept = chance = None
    if labels is not None:
        neighbour = _distances(first, first).fill_diagonal_(torch.inf).argmin(1)
        kept = (labels[neighbour] == labels).double().mean().item()
        chance = labels.bincount().max().item() / count
    return Uniqueness(count, (copies == 1).sum().item() / count, same.double().mean().item(), kept, chance)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # Not by a matrix product, whose rounding would tell an image from itself.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
