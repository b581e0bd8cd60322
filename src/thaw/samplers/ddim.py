"""DDIM (Song et al. 2021, equation 12)."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from thaw.diffusion.degradation import Latent, Mixture
from thaw.diffusion.denoising import Denoise
from thaw.diffusion.walk import Callback, DrawNoise, at, walk


def ddim(
    denoise: Denoise,
    latent: Latent,
    steps: Sequence[int],
    *,
    degradation: Mixture,
    noise: DrawNoise,
    callback: Callback | None = None,
    half_range: float,
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0,
    clamp: bool = True,
) -> Tensor:
    """Mix the estimates of x and of the source again at each lower step, with `eta` of the ancestral noise.

    After a clamp of x to the data's range the source is solved for again, so that both still explain z_t. Returns x,
    (B, C, H, W).
    """
    z = latent.z
    for t, s in walk(steps):
        a_t, a_s = degradation.alpha_bar[t], degradation.alpha_bar[s]
        clean = denoise(z, t)
        if clamp:
            clean = clean.clamp(-half_range, half_range)
        if callback:
            callback(t, z, clean)
        source = degradation.solve_source(z, clean, at(t, z))
        sigma = eta * ((1 - a_t / a_s) * (1 - a_s) / (1 - a_t)).sqrt()
        z = a_s.sqrt().item() * clean + (1 - a_s - sigma**2).clamp(min=0).sqrt().item() * source
        if eta > 0 and s > 0:
            z = z + sigma.item() * noise(z)
    return z
