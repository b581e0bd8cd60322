"""Blur: ever more Gaussian blurs, one after the other (seed 000, section 3.3; Bansal et al. 2022, section 4.1)."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from thaw.diffusion.degradation import Latent, Steps
from thaw.diffusion.linear import Separable
from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Shape

KERNEL_SIZE = 11


class Blur(Separable):
    """t blurs with a kernel of 11 pixels and `variance`, reflected at the borders: z_t = B^t x (B^t)^T."""

    def __init__(
        self,
        *,
        shape: Shape,
        key: str = "degradation",
        steps: Steps,
        variance: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        _, height, width = shape
        if height != width or height <= KERNEL_SIZE // 2:
            raise ThawError(
                f"{PARAMS_FILE}: {key} blurs with a kernel of {KERNEL_SIZE} pixels that is reflected at the borders, "
                f"which needs square images of at least {KERNEL_SIZE // 2 + 1} pixels, but these are {height} x "
                f"{width}; change data.pixels or take another degradation."
            )
        once = _blur_matrix(height, variance)
        blurs = [torch.eye(height, dtype=torch.float64)]
        for _ in range(steps):
            blurs.append(once @ blurs[-1])
        super().__init__(shape, torch.stack(blurs))

    def level(
        self,
        count: int,
        *,
        generator: torch.Generator,
        images: Callable[[], Tensor],
        noise: Annotated[float, Field(ge=0)] = 0.0,
    ) -> Latent:
        """Uniform images, their level from the normal of the blurred training images' means (the seed's).

        Every pixel has `noise` times N(0, 1) added. After 100 blurs digits are not uniform yet, so that these are
        latents which the network has never seen.
        """
        levels = self.gaussian(count, generator=generator, images=images).z.mean((2, 3), keepdim=True)
        z = levels.expand(count, *self.shape)
        return Latent(z + noise * torch.randn(z.shape, generator=generator), None)

    latents = Separable.latents | {"level": level}


def _blur_matrix(size: int, variance: float) -> Tensor:
    """One blur along one axis, float64 of shape (size, size)."""
    reach = KERNEL_SIZE // 2
    offsets = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-offsets.double().square() / (2 * variance))
    taps = (torch.arange(size)[:, None] + offsets).abs()  # (H, 11), reflected at the first pixel
    taps = (size - 1) - ((size - 1) - taps).abs()  # and at the last
    blur = torch.zeros(size, size, dtype=torch.float64)
    return blur.scatter_add_(1, taps, (kernel / kernel.sum()).repeat(size, 1))
