"""Gaussian noise: the degradation of DDPM (Ho et al. 2020, equation 4)."""

from collections.abc import Callable

import torch
from torch import Tensor

from thaw.diffusion.degradation import Latent, NormalMixture


class GaussianNoise(NormalMixture):
    """z_t = sqrt(alpha_bar_t) x + sqrt(1 - alpha_bar_t) epsilon, epsilon ~ N(0, I)."""

    def normal(self, count: int, *, generator: torch.Generator, images: Callable[[], Tensor]) -> Latent:
        """z_T ~ N(0, I), which is its own source: where alpha_bar_T is not small, this is not quite q(z_T)."""
        z = self.draw_source(count, generator, "test")
        return Latent(z, z)

    latents = {"normal": normal}  # noqa: RUF012
