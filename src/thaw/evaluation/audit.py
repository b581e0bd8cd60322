"""The faults of the earlier evaluations, each as a function, so that what they did to a score can be measured.

Each takes what the right protocol takes and gives what the faulty one would have scored. The texts of the reports say
how many samples some FIDs came from. How images became bytes or grey values stood in their code alone, so for those
faults the docstrings name the numbers that they can have touched, not those that they did.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thaw.core.randomness import generator
from thaw.data import to_uint8
from thaw.data.images import LEVELS
from thaw.evaluation.classifier import FeatureNetwork, features
from thaw.evaluation.frechet import Moments, frechet_distance, moments
from thaw.evaluation.reconstruction import reconstruction_errors
from thaw.evaluation.rows import Row

Array = npt.NDArray[np.float64]


def wrapped_bytes(x: Tensor, half_range: float) -> Tensor:
    """Grey values times 255 cast to bytes without clamping or rounding: -1 becomes 255, and 256 becomes 0.

    Uint8 of the shape of x. What a cast of floats to uint8 does to a sampler that leaves the range. It can have touched
    the FIDs of seeds 000 (tables 1 and 2), 001 (figures 6 and 12) and 002 (figures 4 and 13), none of which mentions a
    clamp.
    """
    scaled = (x.double() + half_range) / (2 * half_range) * LEVELS
    return scaled.trunc().to(torch.int64).remainder(LEVELS + 1).to(torch.uint8)


def stretched(x: Tensor, half_range: float) -> Tensor:
    """Each image rescaled on its own, its darkest pixel to the bottom and its brightest to the top of the range.

    An image of one grey value becomes the bottom.
    """
    flat = x.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    width = torch.where(high > low, high - low, torch.ones_like(high))
    shape = (-1, *[1] * (x.dim() - 1))
    return (x - low.view(shape)) / width.view(shape) * (2 * half_range) - half_range


def stretched_samples(x: Tensor, half_range: float) -> Tensor:
    """Generated images rescaled one by one before an FID, the real ones as they are; uint8 of the shape of x.

    It takes away a grey background and a weak contrast, which are what some schedules fail by.
    """
    return to_uint8(stretched(x, half_range), half_range)


def stretched_pairs(originals: Tensor, restored: Tensor, half_range: float) -> dict[str, Array]:
    """rmse, ssim and psnr after rescaling originals and restorations one by one.

    It can have touched seed 000, tables 1 and 2.
    """
    return reconstruction_errors(stretched(originals, half_range), stretched(restored, half_range), half_range)


def stretched_restorations(originals: Tensor, restored: Tensor, half_range: float) -> dict[str, Array]:
    """rmse, ssim and psnr after rescaling the restorations alone, one by one.

    It can have touched seed 000, tables 1 and 2.
    """
    return reconstruction_errors(originals, stretched(restored, half_range), half_range)


def few_samples(features: Tensor, count: int, stream: torch.Generator) -> Tensor:
    """The features of `count` of the images only, of (n, d).

    Seed 002 takes 500 (section 2.4), seed 000 takes 1000 (section 2.4), for 2048 features: a quarter and a half of an
    image for each, as 31 and 62 are for 128. Then a covariance has no full rank.
    """
    return features[torch.randperm(len(features), generator=stream)[:count]]


def one_image(first_steps: Sequence[int | None]) -> int | None:
    """The first accepted step of the curve of one image and one draw of the noise, None where it is never accepted.

    `first_steps` has that of every image and draw; the fault is to take any one of them for the schedule's. Seed 001
    gives one such step and one curve a schedule (figure 2 and below it).
    """
    return first_steps[0]


FAULTY_SAMPLES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "wrapped_bytes": wrapped_bytes,
    "stretched_samples": stretched_samples,
}
FAULTY_RESTORATIONS: dict[str, Callable[[Tensor, Tensor, float], dict[str, Array]]] = {
    "stretched_pairs": stretched_pairs,
    "stretched_restorations": stretched_restorations,
}
FEW = (31, 62)
"""As few images for 128 features as 500 and 1000 are for 2048."""
DRAWS = 20
"""Subsets of few samples that are scored: one alone may be lucky."""
COLUMNS = ("fault", "metric", "right", "faulty", "low", "high", "n")


def _row(
    fault: str, metric: str, right: float, faulty: float | None, n: int, low: float | None = None,
    high: float | None = None,
) -> Row:  # fmt: skip
    """What a metric is and what a fault makes of it; `low` and `high` bound what it could, if it takes one of many."""
    return {"fault": fault, "metric": metric, "right": right, "faulty": faulty, "low": low, "high": high, "n": n}


def sample_rows(network: FeatureNetwork, real: Moments, samples: Tensor, half_range: float) -> list[Row]:
    """fid_classifier of samples (n, C, H, W) under each faulty protocol, beside the right one."""

    def distance(found: Tensor) -> float:
        return frechet_distance(real, moments(found))

    right_features = features(network, to_uint8(samples, half_range))
    right = distance(right_features)
    rows = [
        _row(name, "fid_classifier", right, distance(features(network, faulty(samples, half_range))), len(samples))
        for name, faulty in FAULTY_SAMPLES.items()
    ]
    for count in (count for count in FEW if count < len(samples)):
        found = [distance(few_samples(right_features, count, generator("audit", count, k))) for k in range(DRAWS)]
        mean = sum(found) / DRAWS
        rows.append(_row(f"few_samples_{count}", "fid_classifier", right, mean, count, min(found), max(found)))
    return rows


def restoration_rows(originals: Tensor, restored: Tensor, half_range: float) -> list[Row]:
    """rmse, ssim and psnr of restorations (n, C, H, W) under each faulty protocol, beside the right one."""
    fair = reconstruction_errors(originals, restored, half_range)
    return [
        _row(name, metric, float(fair[metric].mean()), float(values.mean()), len(values))
        for name, scores in FAULTY_RESTORATIONS.items()
        for metric, values in scores(originals, restored, half_range).items()
    ]


def curve_row(right: float, first_steps: Sequence[int | None]) -> Row:
    """ks_first_t by the curve of one image, beside that of all."""
    known = [t for t in first_steps if t is not None]
    low, high = (min(known), max(known)) if known else (None, None)
    return _row("one_image", "ks_first_t", right, one_image(first_steps), len(first_steps), low, high)
