"""Naive cold sampling (Bansal et al. 2022, algorithm 1)."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
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
    step_noise: Annotated[float, Field(ge=0)] = 0.0,
) -> Tensor:
    """Restore, then degrade the estimate to the next lower step: z_s = D(x, s). Returns x, (B, C, H, W).

    The network sees z_t with `step_noise` times N(0, 1) added to every pixel (seed 002, section 4): where z_t leaves
    open what x is, the noise decides, and the estimate is less of a mean.
    """
    z = latent.z
    for t, s in walk(steps):
        clean = denoise(z + step_noise * noise(z) if step_noise else z, t)
        if callback:
            callback(t, z, clean)
        z = degradation.degrade(clean, at(s, z), source_of(source, latent.source, degradation, z, clean, t))
    return z
