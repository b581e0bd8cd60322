"""What the network is asked to predict, and how its answer is read.

Each target is a class with the network's regression target, (x, source, t) -> Tensor, and the estimate of the image
in its output, (output, z, t) -> Tensor; all of shape (B, C, H, W).
"""

from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from thaw.diffusion.degradation import Degradation, Mixture
from thaw.diffusion.preconditioning import Preconditioned

Weighting = Literal["uniform", "simple", "variational"]


class Target(Protocol):
    """A quantity that determines the image, given z_t and t."""

    def regress(self, x: Tensor, source: Tensor | None, t: Tensor) -> Tensor:
        """What the network should answer."""

    def clean(self, output: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """The image that an answer implies."""


class Noise:
    """The source: epsilon of DDPM (Ho et al. 2020, equation 14)."""

    def __init__(self, degradation: Mixture) -> None:
        self.degradation = degradation

    def regress(self, x: Tensor, source: Tensor | None, t: Tensor) -> Tensor:
        """The source itself."""
        assert source is not None, "only a mixture can have this target"
        return source

    def clean(self, output: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """X = (z - sqrt(1 - alpha_bar) epsilon) / sqrt(alpha_bar)."""
        return self.degradation.solve_clean(z, output, t)


class Clean:
    """The image (cold diffusion: Bansal et al. 2022, equation 1)."""

    def __init__(self, degradation: Degradation) -> None:
        pass

    def regress(self, x: Tensor, source: Tensor | None, t: Tensor) -> Tensor:
        """The image itself."""
        return x

    def clean(self, output: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """The output itself."""
        return output


class Velocity:
    """v = sqrt(alpha_bar) source - sqrt(1 - alpha_bar) x (Salimans and Ho 2022, section 4)."""

    def __init__(self, degradation: Mixture) -> None:
        self.degradation = degradation

    def regress(self, x: Tensor, source: Tensor | None, t: Tensor) -> Tensor:
        """The velocity of the mixture."""
        assert source is not None, "only a mixture can have this target"
        a, b = self.degradation.coefficients(t)
        return a * source - b * x

    def clean(self, output: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """X = sqrt(alpha_bar) z - sqrt(1 - alpha_bar) v."""
        a, b = self.degradation.coefficients(t)
        return a * z - b * output


class Adversarial:
    """Any image that a discriminator takes for real (Goodfellow et al. 2014)."""

    def __init__(self, degradation: Degradation) -> None:
        pass

    def regress(self, x: Tensor, source: Tensor | None, t: Tensor) -> Tensor:
        """Raises NotImplementedError: there is no one right answer."""
        raise NotImplementedError("a generator has no regression target")

    def clean(self, output: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """The output itself."""
        return output


TARGETS: dict[str, Any] = {"noise": Noise, "clean": Clean, "velocity": Velocity, "adversarial": Adversarial}


def losses(
    network: nn.Module,
    degradation: Degradation,
    target: Target,
    x: Tensor,
    t: Tensor,
    source: Tensor | None,
) -> Tensor:
    """Mean squared error of the network's answer, one number per image, of shape (B,).

    x is (B, C, H, W) in the data's range, t int64 of shape (B,) in 1..T. The degradation runs in float32: what a blur
    knows lies in its low bits.
    """
    with torch.autocast(x.device.type, enabled=False):
        z = degradation.degrade(x, t, source)
        answer = target.regress(x, source, t)
    output = network(z, t.to(z.dtype) / degradation.steps)
    return (output.float() - answer).square().flatten(1).mean(1)


class Objective:
    """What a training minimises: the mean squared error, at every t times a weight.

    `uniform` weighs the error of a preconditioned network's inner answer F alike at all t, `simple` that of the target
    (Ho et al. 2020, equation 14), `variational` that of the noise as the bound on the likelihood does (equation 12).
    The error of a preconditioned network is always taken of F, since that of the target would lose its digits where
    alpha_bar is small.
    """

    def __init__(self, network: nn.Module, degradation: Degradation, target: Target, weighting: Weighting) -> None:
        self.degradation, self.target = degradation, target
        self.inner = isinstance(network, Preconditioned)
        self.weights = torch.ones(degradation.steps + 1, dtype=torch.float64)  # (T+1,)
        if weighting == "variational":
            self.weights = variational_weights(degradation)
        if isinstance(network, Preconditioned):
            self.regress = network.regress
            if weighting != "uniform":
                t = torch.arange(degradation.steps + 1, device=network.mean.device)
                self.weights *= network.scales(t).output.flatten().double().square().cpu()

    def losses(self, network: nn.Module, x: Tensor, t: Tensor, source: Tensor | None) -> Tensor:
        """The weighted error of each image, of shape (B,), by arguments as those of `losses`."""
        weights = self.weights[t.cpu()].float().to(x.device)
        if not self.inner:
            return weights * losses(network, self.degradation, self.target, x, t, source)
        assert source is not None, "only a mixture is preconditioned"
        with torch.autocast(x.device.type, enabled=False):
            z = self.degradation.degrade(x, t, source)
            answer = self.regress(x, source, t)
        output = network(z, t.to(z.dtype) / self.degradation.steps, inner=True)
        return weights * (output.float() - answer).square().flatten(1).mean(1)


def variational_weights(degradation: Degradation) -> Tensor:
    """The weight of each step's squared error of the noise in the bound on the likelihood, float64 of shape (T+1,).

    beta_t / (2 alpha_t (1 - alpha_bar_t)) for the variance beta_t (Ho et al. 2020, equation 12), divided by its mean
    over 1..T, so that the simple loss, which has weight 1 throughout, is of the same size. Step 0 has weight 0.
    """
    assert isinstance(degradation, Mixture), "only a mixture has a schedule"
    alpha = degradation.alpha_bar[1:] / degradation.alpha_bar[:-1]
    weights = (1 - alpha) / (2 * alpha * (1 - degradation.alpha_bar[1:]))
    return torch.cat([torch.zeros(1, dtype=torch.float64), weights / weights.mean()])
