"""The types that samplers share, and the walk down the steps that all of them make."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from thaw.diffusion.degradation import Degradation, Mixture

Callback = Callable[[int, Tensor, Tensor], None]
"""Sees t, z_t and the estimate of x made from it."""
DrawNoise = Callable[[Tensor], Tensor]
"""z of shape (B, C, H, W) to fresh standard normal noise of that shape."""


def walk(steps: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The pairs (t, s) of a step and the next lower one.

    Raises ValueError where the steps do not decrease or do not end with 0.
    """
    if len(steps) < 2 or steps[-1] != 0 or any(t <= s for t, s in pairwise(steps)):
        raise ValueError(f"steps should decrease and end with 0, but are {list(steps)}")
    return pairwise(steps)


def at(t: int, like: Tensor) -> Tensor:
    """The step t for every image of a batch, int64 of shape (B,)."""
    return torch.full((len(like),), t, device=like.device)


def source_of(
    source: str, held: Tensor | None, degradation: Degradation, z: Tensor, clean: Tensor, t: int
) -> Tensor | None:
    """The source with which a cold sampler degrades again: the latent's own, or the one that z and x imply.

    A mixture without a known source has only the second.
    """
    if isinstance(degradation, Mixture) and (source == "estimated" or held is None):
        return degradation.solve_source(z, clean, at(t, z))
    return held
