"""Fade: a Gaussian mask that grows from the centre, whose removal is inpainting (Bansal et al. 2022, section 4.2)."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from thaw.diffusion.degradation import Steps
from thaw.diffusion.linear import Linear
from thaw.params import Shape


class Fade(Linear):
    """z_t = m_t x, where m_t is the product over i = 1..t of 1 - exp(-r^2 / (2 s_i^2)).

    r is the distance from the centre, and s_i grows evenly to s_T, which is `spread` times the image's side. What is
    masked goes to the middle of the data's range, not to black, which on black backgrounds would hide where the mask
    is. Were z_T empty, all samples would be one: their variety comes from the faint rest at the borders, which is what
    the latent `gaussian` is fitted to. `masks` is m, float32 of shape (T+1, H, W).
    """

    def __init__(self, *, shape: Shape, steps: Steps, spread: Annotated[float, Field(gt=0)] = 0.25) -> None:
        super().__init__(shape, steps)
        rows, columns = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2 for size in shape[1:])
        squared = rows[:, None] ** 2 + columns**2  # (H, W)
        widths = spread * max(shape[1:]) * torch.arange(1, steps + 1, dtype=torch.float64) / steps
        once = -torch.expm1(-squared / (2 * widths[:, None, None] ** 2))  # (T, H, W)
        self.masks = torch.cat([torch.ones(1, *shape[1:]), once.cumprod(0).float()])

    def degrade(self, x: Tensor, t: Tensor, source: Tensor | None) -> Tensor:
        """The masked images; x itself at t = 0."""
        return self.masks.to(x.device)[t][:, None] * x.float()

    def project(self, x: Tensor) -> Tensor:
        """The pixels of z_T, (N, C H W)."""
        return (self.masks[-1] * x).flatten(1)

    def expand(self, coordinates: Tensor) -> Tensor:
        """Pixels as an image."""
        return coordinates.view(-1, *self.shape)
