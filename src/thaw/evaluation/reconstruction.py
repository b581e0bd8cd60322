"""How near a restored image is to its original. One convention: grey values in [0, 1], nothing rescaled by image."""

import numpy as np
import numpy.typing as npt
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from thaw.metrics import LARGEST_PSNR

SIGMA, RADIUS = 1.5, 5
"""Of the window, in pixels; scikit-image ends it at 3.5 sigma."""
BLOCK = 1000
"""Images compared at a time."""

Array = npt.NDArray[np.float64]


def reconstruction_errors(originals: Tensor, restored: Tensor, half_range: float) -> dict[str, Array]:
    """rmse, ssim and psnr (in dB) of each restored image, arrays of shape (N,).

    Both are (N, C, H, W) in the data's range; they are brought to [0, 1] and clamped there. SSIM has the Gaussian
    window of Wang et al. (2004): sigma 1.5, without the sample correction of the covariances. PSNR is at most
    LARGEST_PSNR, so that one perfect restoration does not make the mean infinite.
    """
    a, b = (
        ((x.double() / half_range + 1) / 2).clamp(0, 1).movedim(1, -1).numpy() for x in (originals, restored)
    )  # (N, H, W, C)
    blocks = [slice(first, first + BLOCK) for first in range(0, len(a), BLOCK)]
    ssim = np.concatenate([_similarity(a[block], b[block]) for block in blocks])
    with np.errstate(divide="ignore"):
        psnr = [min(peak_signal_noise_ratio(x, y, data_range=1), LARGEST_PSNR) for x, y in zip(a, b, strict=True)]
    rmse = np.sqrt(((a - b) ** 2).mean((1, 2, 3)))
    return {"rmse": rmse, "ssim": ssim, "psnr": np.array(psnr)}


def _similarity(a: Array, b: Array) -> Array:
    """The SSIM of each of (N, H, W, C), by one call: the images stand below each other in one tall image.

    scikit-image takes the mean over the windows that lie within an image, so those that reach into the next image go
    the way of those that reach over the border.
    """
    if min(a.shape[1:3]) <= 2 * RADIUS:
        raise ValueError(f"images of {a.shape[1]}x{a.shape[2]} pixels have no room for a window of {2 * RADIUS + 1}")
    _, similarity = structural_similarity(
        *(x.reshape(-1, *x.shape[2:]) for x in (a, b)), data_range=1, channel_axis=-1, gaussian_weights=True,
        sigma=SIGMA, use_sample_covariance=False, full=True,
    )  # fmt: skip
    inside = slice(RADIUS, -RADIUS)
    means: Array = similarity.reshape(a.shape)[:, inside, inside].mean((1, 2, 3))
    return means
