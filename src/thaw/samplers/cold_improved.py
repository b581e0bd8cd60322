"""Improved cold sampling (Bansal et al. 2022, algorithm 2)."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from thaw.diffusion.degradation import Degradation, Latent
from thaw.diffusion.denoising import Denoise
from thaw.diffusion.walk import Callback, DrawNoise, at, source_of, walk


def cold_improved(
    denoise: Denoise,
    latent: Latent,
    steps: Sequence[int],
    *,
    degradation: Degradation,
    noise: DrawNoise,
    callback: Callback | None = None,
    half_range: float,
    source: Literal["held", "estimated"] = "held",
) -> Tensor:
    """Change z by what the degradation of the estimate changes: z_s = z_t - D(x, t) + D(x, s).

    To first order in the error of the estimate this undoes the error, where the naive update keeps it. Returns x,
    (B, C, H, W).
    """
    z = latent.z
    for t, s in walk(steps):
        clean = denoise(z, t)
        if callback:
            callback(t, z, clean)
        again = source_of(source, latent.source, degradation, z, clean, t)
        z = z - degradation.degrade(clean, at(t, z), again) + degradation.degrade(clean, at(s, z), again)
    return z
