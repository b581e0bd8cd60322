"""Small random images, and what the tests of degradations and of networks do with them."""

import torch
from torch import Tensor, nn

from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.params import Choice, Shape


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, shape: Shape = (1, 8, 8), seed: int = 0) -> Tensor:
    """Uniform random values in [-0.5, 0.5]."""
    return torch.rand(count, *shape, generator=stream(seed)) - 0.5


def smooth_pictures(count: int, shape: Shape) -> Tensor:
    """Images whose means differ more than those of noise."""
    return 0.3 * pictures(count, shape) + 0.5 * pictures(count, (shape[0], 1, 1), seed=1)


def at(t: int, count: int) -> Tensor:
    return torch.full((count,), t)


def no_images() -> Tensor:
    raise AssertionError("this latent needs no training images")


def noise(shape: Shape, steps: int, low: float, high: float) -> GaussianNoise:
    """Gaussian noise whose beta goes from `low` to `high`."""
    return GaussianNoise(shape=shape, steps=steps, schedule=Choice(name="linear", beta_min=low, beta_max=high))


def single(values: Tensor) -> Tensor:
    """Values as images of one pixel."""
    return values.reshape(-1, 1, 1, 1)


def example(shape: Shape, count: int = 3) -> tuple[Tensor, Tensor]:
    """z and tau for a network."""
    generator = stream(1)
    return torch.randn(count, *shape, generator=generator), torch.rand(count, generator=generator)


def awake(network: nn.Module) -> nn.Module:
    """The network with values in the weights that begin at zero, so that every path through it counts."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


class Timeless(nn.Module):
    """A layer called as a network is."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        return self.layer(z)
