"""Zoom: the image's centre, ever smaller, enlarged to the whole (seed 002, section 3.2)."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from thaw.diffusion.degradation import Degradation, Latent, Steps
from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Shape


class Zoom(Degradation):
    """Crop ceil(t/2) rows and columns at the top and left and floor(t/2) at the other sides, and resize back.

    The resize takes the nearest pixel by torch's rule for `nearest`, floor(i * cropped / size), as the seed did.
    """

    def __init__(self, *, shape: Shape, key: str = "degradation", steps: Steps) -> None:
        super().__init__(shape, steps)
        size = shape[-1]
        if steps >= size:
            raise ThawError(
                f"{PARAMS_FILE}: {key}.steps is {steps}, but an image of {size} pixels can be zoomed by at most "
                f"{size - 1} rows; take a smaller number."
            )
        # table[t, i] is the row (and column) of x that is shown at row i of z_t.
        self.table = torch.stack(
            [torch.arange(size) * (size - t) // size + (t + 1) // 2 for t in range(steps + 1)]
        )  # (T+1, H)

    def degrade(self, x: Tensor, t: Tensor, source: Tensor | None) -> Tensor:
        """The zoomed images: rows and columns gathered by table, so that a batch may mix steps."""
        rows = self.table.to(x.device)[t]  # (B, H)
        batch = torch.arange(len(x), device=x.device)[:, None, None, None]
        channel = torch.arange(x.shape[1], device=x.device)[:, None, None]
        return x[batch, channel, rows[:, None, :, None], rows[:, None, None, :]]

    def centres(
        self,
        count: int,
        *,
        generator: torch.Generator,
        images: Callable[[], Tensor],
        noise: Annotated[float, Field(ge=0)] = 0.0,
    ) -> Latent:
        """Whole centres of training images, enlarged, plus `noise` times N(0, 1) for each of their pixels."""
        centres = self.remaining(images())
        drawn = centres[torch.randint(len(centres), (count,), generator=generator)]
        return Latent(self._enlarge(drawn + noise * torch.randn(drawn.shape, generator=generator)), None)

    def pixels(self, count: int, *, generator: torch.Generator, images: Callable[[], Tensor]) -> Latent:
        """Centres whose pixels are drawn independently from all central pixels of the training images (the seed's)."""
        centres = self.remaining(images())
        levels = centres.movedim(1, 0).flatten(1)  # (C, N h w)
        index = torch.randint(levels.shape[1], (count, *centres.shape[2:]), generator=generator)
        return Latent(self._enlarge(levels[:, index].movedim(0, 1)), None)

    latents = {"pixels": pixels, "centres": centres}  # noqa: RUF012

    def remaining(self, x: Tensor) -> Tensor:
        """What is left of x at t = T, (N, C, h, w) with h = H - T."""
        shown = self.table[-1].unique()
        return x[:, :, shown][:, :, :, shown]

    def _enlarge(self, centre: Tensor) -> Tensor:
        nearest = self.table[-1] - self.table[-1][0]  # (H,)
        return centre[:, :, nearest][:, :, :, nearest]
