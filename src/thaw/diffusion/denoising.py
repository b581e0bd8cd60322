"""The denoiser: what a sampler sees of a network, its target and its degradation."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from thaw.core.hardware import autocast
from thaw.diffusion.degradation import Degradation
from thaw.diffusion.objectives import Target

Denoise = Callable[[Tensor, int], Tensor]
"""z_t of shape (B, C, H, W) and its step t to the estimate of x, of the same shape."""


def denoiser(network: nn.Module, degradation: Degradation, target: Target) -> Denoise:
    """The estimate of the image behind z_t, by a trained network."""

    def denoise(z: Tensor, t: int) -> Tensor:
        step = torch.full((len(z),), t, device=z.device)
        with autocast(z.device):
            output = network(z, step.to(z.dtype) / degradation.steps)
        return target.clean(output.float(), z, step)

    return denoise


def posterior_mean(points: Tensor, alpha_bar: Tensor) -> Denoise:
    """The exact denoiser E[x | z_t] of a finite set of images under Gaussian noise.

    `points` is (N, C, H, W), alpha_bar float64 of shape (T+1,). With w_i the softmax over i of
    -|z - sqrt(alpha_bar) x_i|^2 / (2 (1 - alpha_bar)), the answer is the sum of w_i x_i (Karras et al. 2022, B.3).
    """
    flat = points.flatten(1).double()  # (N, D)

    def denoise(z: Tensor, t: int) -> Tensor:
        a = alpha_bar[t]
        distance = torch.cdist(z.flatten(1).double(), a.sqrt() * flat).square()  # (B, N)
        weights = torch.softmax(-distance / (2 * (1 - a)), dim=1)
        return (weights @ flat).to(z.dtype).view_as(z)

    return denoise


def subsequence(start: int, count: int) -> list[int]:
    """At most `count` steps, evenly spread, from `start` down to 0: the indices of the latents that are visited.

    The first is `start`, the last is 0, and each is smaller than the one before. Raises ValueError where start or
    count is below 1.
    """
    if start < 1 or count < 1:
        raise ValueError("a sampler takes at least one step from t >= 1")
    count = min(count, start)
    return [round(start * (count - k) / count) for k in range(count + 1)]
