"""The generator and the discriminator of DCGAN (Radford et al. 2016; seed 003 section 2.2).

Batch normalisation is left out of both. In the generator its running statistics would have to be averaged with the
weights, and they lag behind them; normalisation over an image's own groups of channels has no statistics to keep. The
discriminator needs none.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from thaw.core.layers import Width
from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Count, Shape

SMALLEST, LARGEST = 4, 8
"""Pixels at the lowest resolution; DCGAN has 4."""
GROUP = 16
"""Channels, at most, that are normalised together."""


class Dcgan(nn.Module):
    """The generator: a linear layer to the lowest resolution, then transposed convolutions up to the image.

    `latent` is the number of its inputs and `width` the channels at half the image's size, doubled at every halving.
    `augmentation` is what the discriminator sees while training: images as they are, or as `thaw.training.augmentation`
    changes them with a fixed or an adaptive probability. The output is a tanh, whose ends make plain backgrounds, times
    `half_range`, which training sets to that of the data and which is kept with the weights. Raises ThawError where
    halving the size does not lead to 4 to 8 pixels, or an image has fewer than `latent` values.
    """

    half_range: Tensor

    def __init__(
        self, *, shape: Shape, key: str = "network",
        latent: Count = 100, width: Width = 64,
        augmentation: Literal["none", "fixed", "adaptive"] = "none",
    ) -> None:  # fmt: skip
        super().__init__()
        channels, height, breadth = shape
        if channels * height * breadth < latent:
            raise ThawError(
                f"{PARAMS_FILE}: {key}.latent is {latent}, but an image has only {channels * height * breadth} values "
                "to take it from; take a smaller number."
            )
        self.shape, self.latent, self.augmentation = shape, latent, augmentation
        lowest, levels = height, 0
        while lowest % 2 == 0 and lowest // 2 >= SMALLEST:
            lowest, levels = lowest // 2, levels + 1
        if lowest > LARGEST or levels == 0:
            raise ThawError(
                f"{PARAMS_FILE}: data.pixels is {height}, but {key} (dcgan) halves it until {SMALLEST} to {LARGEST} "
                "pixels are left; take such a number times a power of 2, as 28, 32 or 64."
            )
        self.lowest = lowest
        self.widths = [width * 2**level for level in reversed(range(levels))]
        self.input = nn.Linear(latent, self.widths[0] * lowest**2)
        layers: list[nn.Module] = []
        for ins, outs in zip(self.widths, [*self.widths[1:], channels], strict=True):
            layers += [_norm(ins), nn.ReLU(), nn.ConvTranspose2d(ins, outs, 4, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers)
        self.register_buffer("half_range", torch.tensor([0.5]))
        self.apply(_initialise)

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        """Images (B, C, H, W) from z of that shape, of which the first `latent` values are read.

        The rest is there because every model here maps z_T to an image of its shape. A GAN has one step, so its
        time tau says nothing.
        """
        h = self.input(z.flatten(1)[:, : self.latent])
        h = self.layers(h.view(-1, self.widths[0], self.lowest, self.lowest))
        return self.half_range * h.tanh()

    def discriminator(self) -> nn.Module:
        """A new discriminator of the generator's shape and width: images (B, C, H, W) to logits (B, 1)."""
        layers: list[nn.Module] = []
        widths = [self.shape[0], *reversed(self.widths)]
        for ins, outs in pairwise(widths):
            layers += [nn.Conv2d(ins, outs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * self.lowest**2, 1))
        return network.apply(_initialise)


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(channels // GROUP if channels % GROUP == 0 else 1, channels)


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02^2), as Radford et al. 2016 draw them."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
