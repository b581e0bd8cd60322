"""Erase: nothing of the image is left, so that what restores it is a generator (seed 003, section 1.2)."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from thaw.diffusion.degradation import Degradation, Latent, Split
from thaw.params import Shape


class Erase(Degradation):
    """z_0 = x and z_1 = source, drawn from N(0, I): the latent of a GAN (Goodfellow et al. 2014) as a degradation."""

    def __init__(self, *, shape: Shape, steps: Literal[1] = 1) -> None:
        super().__init__(shape, steps)

    def degrade(self, x: Tensor, t: Tensor, source: Tensor | None) -> Tensor:
        """The source; x itself at t = 0."""
        assert source is not None, "what replaces the image is its source"
        return torch.where(t.view(-1, 1, 1, 1) == 0, x, source)

    def draw_source(self, count: int, generator: torch.Generator, split: Split) -> Tensor:
        """Standard normal noise of shape (count, C, H, W)."""
        return torch.randn(count, *self.shape, generator=generator)

    def normal(self, count: int, *, generator: torch.Generator, images: Callable[[], Tensor]) -> Latent:
        """Standard normal noise, which is its own source."""
        z = self.draw_source(count, generator, "test")
        return Latent(z, z)

    latents = {"normal": normal}  # noqa: RUF012
