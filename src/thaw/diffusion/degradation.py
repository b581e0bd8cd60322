"""What every degradation has in common.

A degradation maps an image x and a step t in {0..T} to z_t = D(x, t, source), with D(x, 0, source) = x exactly. Its
source is what it mixes into the image: Gaussian noise for DDPM, another image for morphing, nothing for blur or zoom.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from thaw.diffusion.schedules import alpha_bars, betas
from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Choice, Shape

Steps = Annotated[int, Field(ge=1, le=10_000)]
"""T: a matrix or a share is kept for each."""
SMALLEST_ALPHA_BAR = 1e-30
"""Below it the square root leaves the range in which float32 keeps its precision when divided by."""
Split = Literal["train", "test"]


class Latent(NamedTuple):
    """A starting point for sampling: z_T of shape (B, C, H, W), and the source it was made with, if it has one."""

    z: Tensor
    source: Tensor | None


class Degradation(ABC):
    """z_t = D(x, t, source) for images of one shape.

    `steps` is T, `shape` is (C, H, W), and `latents` names the ways in which z_T can be drawn.
    """

    latents: ClassVar[dict[str, Callable[..., Latent]]]

    def __init__(self, shape: Shape, steps: int) -> None:
        self.shape, self.steps = shape, steps

    @abstractmethod
    def degrade(self, x: Tensor, t: Tensor, source: Tensor | None) -> Tensor:
        """z_t, float32 of shape (B, C, H, W), for x of that shape and one step t per image, int64 of shape (B,)."""

    def draw_source(self, count: int, generator: torch.Generator, split: Split) -> Tensor | None:
        """Sources for `count` images, (count, C, H, W), or None where the degradation has no source."""
        return None

    def draw_latent(
        self, count: int, generator: torch.Generator, images: Callable[[], Tensor], name: str, **options: Any
    ) -> Latent:
        """`count` starting points for sampling, drawn in the way called `name`.

        `images` gives the training images, float32 of shape (N, C, H, W), to a latent that is fitted to them.
        """
        return self.latents[name](self, count, generator=generator, images=images, **options)


class Mixture(Degradation):
    """z_t = sqrt(alpha_bar_t) x + sqrt(1 - alpha_bar_t) source, which can be solved for x or for the source.

    `alpha_bar` is float64 of shape (T+1,) with alpha_bar_0 = 1.
    """

    def __init__(self, *, shape: Shape, key: str = "degradation", steps: Steps, schedule: Choice) -> None:
        super().__init__(shape, steps)
        self.alpha_bar = alpha_bars(betas(schedule, steps, f"{key}.schedule"))
        if self.alpha_bar[-1] < SMALLEST_ALPHA_BAR:
            raise ThawError(
                f"{PARAMS_FILE}: {key}.schedule leaves alpha_bar_T = {self.alpha_bar[-1]:.1e} after {steps} steps, too "
                "little to divide by; take fewer steps or smaller betas."
            )

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), float32, each of shape (B, 1, 1, 1)."""
        alpha_bar = self.alpha_bar[t.cpu()].view(-1, 1, 1, 1)
        return alpha_bar.sqrt().float().to(t.device), (1 - alpha_bar).sqrt().float().to(t.device)

    def degrade(self, x: Tensor, t: Tensor, source: Tensor | None) -> Tensor:
        """The mixture of image and source; x itself at t = 0."""
        assert source is not None, "a mixture is made with its source"
        a, b = self.coefficients(t)
        return a * x + b * source

    def solve_source(self, z: Tensor, clean: Tensor, t: Tensor) -> Tensor:
        """The source for which `clean` degrades to z at t >= 1, of the shape of z."""
        a, b = self.coefficients(t)
        return (z - a * clean) / b

    def solve_clean(self, z: Tensor, source: Tensor, t: Tensor) -> Tensor:
        """The image that degrades with `source` to z, of the shape of z."""
        a, b = self.coefficients(t)
        return (z - b * source) / a


class NormalMixture(Mixture):
    """A mixture whose source is drawn from N(0, I), so that its posteriors are known in closed form."""

    def draw_source(self, count: int, generator: torch.Generator, split: Split) -> Tensor:
        """Standard normal noise of shape (count, C, H, W)."""
        return torch.randn(count, *self.shape, generator=generator)
