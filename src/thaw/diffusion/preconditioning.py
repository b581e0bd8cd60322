"""Preconditioning: a network inside the best linear estimate (Karras et al. 2022, section 5, in DDPM's variables).

With m and s the mean and standard deviation of the data's pixels, a = sqrt(alpha_bar_t), b = sqrt(1 - alpha_bar_t),
c = z_t - a m and v = a^2 s^2 + b^2, the network F sees c / sqrt(v), and

    noise:  epsilon = (b / v) c + (a s / sqrt(v)) F
    clean:  x       = m + (a s^2 / v) c - (b s / sqrt(v)) F

so that F = 0 is the best estimate that is linear in z_t, and both ask F for (a s epsilon - b (x - m) / s) / sqrt(v),
whose variance is 1 at every t for pixels of mean m and deviation s.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from thaw.diffusion.degradation import NormalMixture


class Scales(NamedTuple):
    """The factors of one t for each image, float32 of shape (B, 1, 1, 1)."""

    shift: Tensor
    """a m, taken from z."""
    input: Tensor
    """1 / sqrt(v), of what F sees."""
    skip: Tensor
    """Of c in the answer."""
    output: Tensor
    """Of F in the answer."""
    source: Tensor
    """a s / sqrt(v), of the source in what F is asked for."""
    image: Tensor
    """b / sqrt(v), of the normalised image in it."""


class Preconditioned(nn.Module):
    """A network's answer for a target of `noise` or `clean`, with F = `network` inside it.

    Called as every network, with z (B, C, H, W) and tau = t/T (B,), it answers epsilon or x, in float32; with `inner`
    it gives F itself. The data's `mean` and `deviation`, each of shape (1,), are kept with the weights.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, degradation: NormalMixture, target: Literal["noise", "clean"]) -> None:
        super().__init__()
        self.network, self.degradation, self.target = network, degradation, target
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("deviation", torch.ones(1))

    def fit(self, x: Tensor) -> None:
        """Take mean and deviation from images of any number, (N, C, H, W); where the deviation is 0, 1."""
        deviation, mean = torch.std_mean(x.double(), correction=0)
        self.mean.fill_(mean)
        self.deviation.fill_(deviation or 1.0)

    def scales(self, t: Tensor) -> Scales:
        """The factors of steps t, int64 of shape (B,)."""
        a, b = self.degradation.coefficients(t)
        m, s = self.mean, self.deviation
        v = (a * s).square() + b.square()
        root = v.sqrt()
        if self.target == "noise":
            skip, output = b / v, a * s / root
        else:
            skip, output = a * s.square() / v, -b * s / root
        return Scales(a * m, 1 / root, skip, output, a * s / root, b / root)

    def forward(self, z: Tensor, tau: Tensor, inner: bool = False) -> Tensor:
        """The answer, or F, of the shape of z."""
        f = self.scales((tau.double() * self.degradation.steps).round().long())
        centred = z - f.shift
        answer: Tensor = self.network(f.input * centred, tau).float()
        if inner:
            return answer
        answer = f.skip * centred + f.output * answer
        return answer + self.mean if self.target == "clean" else answer

    def regress(self, x: Tensor, source: Tensor, t: Tensor) -> Tensor:
        """What F is asked for, of the shape of x."""
        f = self.scales(t)
        return f.source * source - f.image * (x - self.mean) / self.deviation
