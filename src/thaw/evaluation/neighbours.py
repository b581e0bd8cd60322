"""What nearest neighbours tell: fidelity and coverage in features, and copies of training images in pixels."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thaw.evaluation.bootstrap import subsampling_error
from thaw.evaluation.intervals import Interval, hull, proportion_interval, student_interval

NEIGHBOURHOOD = 3
"""The neighbour whose distance is the radius of a ball, for precision and recall."""
FIFTH = 5
"""The same for density and coverage, as their authors recommend."""
DRAWS = 20
"""Subsamples behind an interval."""
BATCH = 1000


class Likeness(NamedTuple):
    """How like the real images the generated ones are, and how many of the real ones they are like.

    `precision` is the share of generated images among the real ones, `recall` the share of real among the generated.
    `density` is the number of real images that a generated one is among, relative to FIFTH, and `coverage` the share of
    real images that have a generated one among them.
    """

    precision: Interval
    recall: Interval
    density: Interval
    coverage: Interval


def likeness(real: Tensor, fake: Tensor, confidence: float, stream: torch.Generator) -> Likeness:
    """Improved precision and recall (Kynkaanniemi et al. 2019), and density and coverage (Naeem et al. 2020).

    Features are (n, d), as many of real as of generated images. The first two are torch-fidelity's: an image counts
    where it lies in the ball that reaches from one of the other kind to its third neighbour. All four depend on n, so
    the intervals come from subsamples of n/2, and n is at least 8. Raises ValueError where the numbers differ.
    """
    from torch_fidelity.metric_prc import prc_features_to_metric  # takes seconds to import

    if len(real) != len(fake):
        raise ValueError(f"there are {len(real)} real images for {len(fake)} generated ones, but should be as many")
    real, fake = real.float(), fake.float()

    def measure(a: Tensor, b: Tensor) -> tuple[float, float, float, float]:
        found = prc_features_to_metric(a, b, prc_neighborhood=NEIGHBOURHOOD, prc_batch_size=BATCH, save_cpu_ram=False,
                                       verbose=False)  # fmt: skip
        return float(found["precision"]), float(found["recall"]), *density_and_coverage(b, a)

    def subsample(index: npt.NDArray[np.int64]) -> tuple[float, float, float, float]:
        return measure(fake[index], real[index])

    count = len(fake)
    errors = subsampling_error(subsample, count, DRAWS, stream)
    intervals = [
        student_interval(value, error, DRAWS - 1, confidence)
        for value, error in zip(measure(fake, real), errors, strict=True)
    ]
    # Where every image agrees, so do subsamples, and only the score interval says how little that may mean.
    precision, recall, coverage = (
        hull(intervals[i], proportion_interval(intervals[i].value, count, confidence)) for i in (0, 1, 3)
    )
    return Likeness(precision, recall, intervals[2], coverage)


def density_and_coverage(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """Density and coverage of features (n, d) and (m, d), equations 3 and 4 of Naeem et al. (2020).

    A generated image is among the real ones as often as it is nearer to one of them than that one's fifth neighbour;
    where there are fewer, than its last.
    """
    neighbour = min(FIFTH, len(real) - 1)
    inside = covered = 0.0
    for part in real.split(BATCH):
        radius = _distances(part, real).kthvalue(neighbour + 1, dim=1).values  # the nearest is the image itself
        near = _distances(part, fake) < radius[:, None]
        inside += near.sum().item()
        covered += near.any(1).sum().item()
    return inside / (neighbour * len(fake)), covered / len(real)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # Not by a matrix product, whose rounding would tell an image from itself.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


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
