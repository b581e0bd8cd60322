"""The Frechet distance between Gaussians fitted to features (Heusel et al. 2017, section 2)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from thaw.core.tensors import read_tensors
from thaw.evaluation.bootstrap import resampled_indices, reverse_percentile
from thaw.evaluation.intervals import Interval
from thaw.files import reading


class Moments(NamedTuple):
    """Mean (d,) and covariance (d, d) of features, float64, and how many there were."""

    mean: Tensor
    covariance: Tensor
    images: int


def moments(features: Tensor) -> Moments:
    """The moments of features (n, d), with the unbiased covariance."""
    return Moments(features.mean(0), torch.cov(features.T), len(features))


def read_moments(path: Path, prefix: str = "") -> Moments:
    """The real images' moments in reference/statistics.safetensors, whose names may begin with a prefix.

    Raises ThawError as `reading` does.
    """
    with reading(path):
        stored, header = read_tensors(path)
        return Moments(stored[f"{prefix}mean"], stored[f"{prefix}covariance"], header["count"])


def symmetric_root(covariance: Tensor) -> Tensor:
    """C^(1/2) of a covariance (d, d), float64."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root


def frechet_distance(a: Moments, b: Moments, root: Tensor | None = None) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    The trace of the root is the sum of the roots of the eigenvalues of C_a^(1/2) C_b C_a^(1/2), which is symmetric.
    `root` is C_a^(1/2), for whoever compares many with the same a.
    """
    root = symmetric_root(a.covariance) if root is None else root
    product = torch.linalg.eigvalsh(root @ b.covariance @ root)
    trace = a.covariance.trace() + b.covariance.trace() - 2 * product.clamp(min=0).sqrt().sum()
    return float((a.mean - b.mean).square().sum() + trace)


class _Extracted(nn.Module):
    """Takes a network's place in torchmetrics where its features are there already, each of so many numbers."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def fid_classifier(real: Moments, fake: Tensor) -> float:
    """The distance of features of generated images, float64 (n, d), from those of the real ones, by torchmetrics."""
    from torchmetrics.image.fid import FrechetInceptionDistance  # takes seconds to import, which others need not wait

    metric = FrechetInceptionDistance(feature=_Extracted(len(real.mean)), reset_real_features=False)
    # torchmetrics keeps sums; these are the sums that the moments came from.
    metric.real_features_sum = real.mean * real.images
    metric.real_features_cov_sum = real.covariance * (real.images - 1) + real.images * torch.outer(real.mean, real.mean)
    metric.real_features_num_samples = torch.tensor(real.images)
    metric.update(fake, real=False)
    return float(metric.compute())


def frechet_interval(
    real: Moments, fakes: Sequence[Tensor], confidence: float, resamples: int, stream: torch.Generator
) -> Interval:
    """The mean over trainings of the distance of their features (n, d), with the reverse-percentile interval.

    All trainings are sampled from the same noise, so the same images are drawn again for each. The interval is for the
    distance of infinitely many images, since the reflection takes the bias of so few away.
    """
    root = symmetric_root(real.covariance)
    value = float(np.mean([frechet_distance(real, moments(fake), root) for fake in fakes]))
    replicates = [
        np.mean([frechet_distance(real, moments(fake[torch.from_numpy(index)]), root) for fake in fakes])
        for index in resampled_indices(len(fakes[0]), resamples, stream)
    ]
    return reverse_percentile(value, np.array(replicates), confidence)


class Extrapolation(NamedTuple):
    """Frechet distances of subsets by their size, and the line a + b / n through them: `limit` is a, `slope` b."""

    sizes: list[int]
    distances: list[float]
    limit: float
    slope: float


SUBSETS = 10
REPEATS = 4
SMALLEST = 1 / 3
"""Of the images, in the smallest subset: below it the bias no longer goes with 1 / n."""


def extrapolate(real: Moments, fake: Tensor, stream: torch.Generator) -> Extrapolation:
    """The distance for infinitely many generated images (Chong and Forsyth 2020, section 4): its bias goes with 1 / n.

    `fake` are features (n, d). The distance of subsets of growing size, each the mean of several random ones, is
    fitted by a line in 1 / n.
    """
    count, root = len(fake), symmetric_root(real.covariance)
    sizes = np.linspace(max(2, SMALLEST * count), count, SUBSETS).round().astype(int).tolist()
    distances = [
        float(
            np.mean(
                [
                    frechet_distance(real, moments(fake[torch.randperm(count, generator=stream)[:size]]), root)
                    for _ in range(REPEATS if size < count else 1)
                ]
            )
        )
        for size in sizes
    ]
    slope, limit = np.polyfit(1 / np.array(sizes), distances, 1)
    return Extrapolation(sizes, distances, float(limit), float(slope))


def floor(
    others: Tensor, count: int, draws: int, stream: torch.Generator, distance: Callable[[Tensor], float]
) -> tuple[float, float, float]:
    """The distance that `count` real images keep from the real ones: mean, lowest and highest of several draws.

    `others` are features (N, d) of real images other than those that `distance` measures from; each draw takes `count`
    of them without replacement. What a perfect model would score with as many samples.
    """
    distances = [distance(others[torch.randperm(len(others), generator=stream)[:count]]) for _ in range(draws)]
    return float(np.mean(distances)), min(distances), max(distances)
