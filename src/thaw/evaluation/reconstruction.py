"""How near a restored image is to its original. One convention: grey values in [0, 1], nothing rescaled by image."""

import numpy as np
import numpy.typing as npt
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

LARGEST_PSNR = float(10 * np.log10(12 * 255**2))
"""The PSNR of rounding to 256 grey levels, whose mean squared error is (1/255)^2 / 12."""

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
    ssim = [
        structural_similarity(
            x, y, data_range=1, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for x, y in zip(a, b, strict=True)
    ]
    with np.errstate(divide="ignore"):
        psnr = [min(peak_signal_noise_ratio(x, y, data_range=1), LARGEST_PSNR) for x, y in zip(a, b, strict=True)]
    rmse = np.sqrt(((a - b) ** 2).mean((1, 2, 3)))
    return {"rmse": rmse, "ssim": np.array(ssim), "psnr": np.array(psnr)}
