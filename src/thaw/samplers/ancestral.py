"""Ancestral sampling (Ho et al. 2020, algorithm 2).

On any subsequence of steps (Nichol and Dhariwal 2021, section 4).
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from thaw.diffusion.degradation import Latent, NormalMixture
from thaw.diffusion.denoising import Denoise
from thaw.diffusion.walk import Callback, DrawNoise, walk


def ancestral(
    denoise: Denoise,
    latent: Latent,
    steps: Sequence[int],
    *,
    degradation: NormalMixture,
    noise: DrawNoise,
    callback: Callback | None = None,
    half_range: float,
    variance: Literal["lower", "upper"] = "lower",
    clamp: bool = True,
) -> Tensor:
    """Draw z_s from q(z_s | z_t, x) with the estimate of x in its place, for each step t and the next lower s.

    `variance` is that of the posterior for a known x ("lower") or beta of the step ("upper", the seeds'); no noise is
    added at s = 0. `clamp` keeps the estimate of x within the data's range. Returns x, (B, C, H, W).
    """
    z = latent.z
    for t, s in walk(steps):
        a_t, a_s = degradation.alpha_bar[t], degradation.alpha_bar[s]
        beta = 1 - a_t / a_s
        clean = denoise(z, t)
        if clamp:
            clean = clean.clamp(-half_range, half_range)
        if callback:
            callback(t, z, clean)
        mean_clean = a_s.sqrt() * beta / (1 - a_t)
        mean_z = (a_t / a_s).sqrt() * (1 - a_s) / (1 - a_t)
        z = mean_clean.item() * clean + mean_z.item() * z
        if s > 0:
            sigma = beta.sqrt() if variance == "upper" else (beta * (1 - a_s) / (1 - a_t)).sqrt()
            z = z + sigma.item() * noise(z)
    return z
