"""What nearest neighbours tell: fidelity and coverage in features, and copies of training images in pixels."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thaw.evaluation.bootstrap import subsampling_error
from thaw.evaluation.intervals import Interval, hull, proportion_interval, student_interval

NEIGHBOURHOOD = 3
DRAWS = 20
"""Subsamples behind an interval."""
BATCH = 1000


class Coverage(NamedTuple):
    """The share of generated images among the real ones (precision), and of real among the generated (recall)."""

    precision: Interval
    recall: Interval


def coverage(real: Tensor, fake: Tensor, confidence: float, stream: torch.Generator) -> Coverage:
    """Improved precision and recall (Kynkaanniemi et al. 2019), by torch-fidelity, of as many real as fake features.

    Features are (n, d) each. An image counts where it lies in the ball that reaches from one of the other kind to its
    third neighbour. Both depend on n, so the intervals come from subsamples of n/2, and n is at least 8. Raises
    ValueError where the numbers differ.
    """
    from torch_fidelity.metric_prc import prc_features_to_metric  # takes seconds to import

    if len(real) != len(fake):
        raise ValueError(f"there are {len(real)} real images for {len(fake)} generated ones, but should be as many")
    real, fake = real.float(), fake.float()

    def measure(a: Tensor, b: Tensor) -> tuple[float, float]:
        found = prc_features_to_metric(a, b, prc_neighborhood=NEIGHBOURHOOD, prc_batch_size=BATCH, save_cpu_ram=False,
                                       verbose=False)  # fmt: skip
        return float(found["precision"]), float(found["recall"])

    def subsample(index: npt.NDArray[np.int64]) -> tuple[float, float]:
        return measure(fake[index], real[index])

    count = len(fake)
    errors = subsampling_error(subsample, count, DRAWS, stream)
    # Where every image agrees, so do subsamples, and only the score interval says how little that may mean.
    intervals = (
        hull(student_interval(value, error, DRAWS - 1, confidence), proportion_interval(value, count, confidence))
        for value, error in zip(measure(fake, real), errors, strict=True)
    )
    return Coverage(*intervals)


class Nearest(NamedTuple):
    """The nearest of many images to each of a few: distances, and which image it is, both (n,)."""

    distance: Tensor
    image: Tensor


def nearest(images: Tensor, among: Tensor) -> Nearest:
    """The Euclidean distance of each image (n, C, H, W) to the nearest of `among` (N, C, H, W), in float32."""
    others = among.flatten(1)
    found = [torch.cdist(part, others).min(1) for part in images.flatten(1).split(BATCH)]
    return Nearest(torch.cat([f.values for f in found]), torch.cat([f.indices for f in found]))


def memorized(distance: Tensor, of_test: Tensor, quantile: float) -> Tensor:
    """Which images are nearer to a training image than all but a share `quantile` of the test images are, bool (n,).

    Both are distances to the nearest training image. Where nothing is memorised, about that share of a faithful model's
    images is nearer, for its images are as new as test images are.
    """
    return distance < torch.quantile(of_test, quantile)
