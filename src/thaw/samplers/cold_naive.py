"""Naive cold sampling (Bansal et al. 2022, algorithm 1)."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from thaw.diffusion.degradation import Degradation, Latent
from thaw.diffusion.denoising import Denoise
from thaw.diffusion.walk import Callback, DrawNoise, at, source_of, walk


def cold_naive(
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
    """Restore, then degrade the estimate to the next lower step: z_s = D(x, s). Returns x, (B, C, H, W)."""
    z = latent.z
    for t, s in walk(steps):
        clean = denoise(z, t)
        if callback:
            callback(t, z, clean)
        z = degradation.degrade(clean, at(s, z), source_of(source, latent.source, degradation, z, clean, t))
    return z
