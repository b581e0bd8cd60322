"""Direct restoration: the estimate of x from z_T alone."""

from collections.abc import Sequence

from torch import Tensor

from thaw.diffusion.degradation import Degradation, Latent
from thaw.diffusion.denoising import Denoise
from thaw.diffusion.walk import Callback, DrawNoise


def direct(
    denoise: Denoise,
    latent: Latent,
    steps: Sequence[int],
    *,
    degradation: Degradation,
    noise: DrawNoise,
    callback: Callback | None = None,
    half_range: float,
) -> Tensor:
    """One application of the denoiser at the first of the steps. Returns x, (B, C, H, W)."""
    clean = denoise(latent.z, steps[0])
    if callback:
        callback(steps[0], latent.z, clean)
    return clean
