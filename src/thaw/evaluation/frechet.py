"""The Frechet distance between Gaussians fitted to features (Heusel et al. 2017, section 2)."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from thaw.evaluation.bootstrap import Interval, resampled_indices, reverse_percentile
from thaw.evaluation.classifier import INFERENCE_BATCH, FeatureNetwork


class Moments(NamedTuple):
    """Mean (d,) and covariance (d, d) of features, float64, and how many there were."""

    mean: Tensor
    covariance: Tensor
    images: int


def moments(features: Tensor) -> Moments:
    """The moments of features (n, d), with the unbiased covariance."""
    return Moments(features.mean(0), torch.cov(features.T), len(features))


def frechet_distance(a: Moments, b: Moments) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    The trace of the root is the sum of the roots of the eigenvalues of C_a^(1/2) C_b C_a^(1/2), which is symmetric.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = torch.linalg.eigvalsh(root @ b.covariance @ root)
    trace = a.covariance.trace() + b.covariance.trace() - 2 * product.clamp(min=0).sqrt().sum()
    return float((a.mean - b.mean).square().sum() + trace)


def fid_classifier(network: FeatureNetwork, real: Moments, fake: Tensor) -> float:
    """The distance of generated images, uint8 (n, C, H, W), from the real ones, by torchmetrics in float64."""
    from torchmetrics.image.fid import FrechetInceptionDistance  # takes seconds to import, which others need not wait

    metric = FrechetInceptionDistance(feature=copy.deepcopy(network), reset_real_features=False)
    metric.set_dtype(torch.float64)  # which converts the network as well, hence the copy
    # torchmetrics keeps sums; these are the sums that the moments came from.
    metric.real_features_sum = real.mean * real.images
    metric.real_features_cov_sum = real.covariance * (real.images - 1) + real.images * torch.outer(real.mean, real.mean)
    metric.real_features_num_samples = torch.tensor(real.images)
    for part in fake.split(INFERENCE_BATCH):
        metric.update(part, real=False)
    return float(metric.compute())


def frechet_interval(
    real: Moments, fakes: Sequence[Tensor], confidence: float, resamples: int, stream: torch.Generator
) -> Interval:
    """The mean over trainings of the distance of their features (n, d), with the reverse-percentile interval."""
    value = float(np.mean([frechet_distance(real, moments(fake)) for fake in fakes]))
    replicates = np.mean(
        [
            [
                frechet_distance(real, moments(fake[torch.from_numpy(index)]))
                for index in resampled_indices(len(fake), resamples, stream)
            ]
            for fake in fakes
        ],
        axis=0,
    )
    return reverse_percentile(value, replicates, confidence)


def floor(real: Moments, others: Tensor, count: int, draws: int, stream: torch.Generator) -> tuple[float, float, float]:
    """The distance that `count` real images keep from the real ones: mean, lowest and highest of several draws.

    `others` are features (N, d) of real images that `real` does not contain; each draw takes `count` of them without
    replacement. What a perfect model would score with as many samples.
    """
    distances = [
        frechet_distance(real, moments(others[torch.randperm(len(others), generator=stream)[:count]]))
        for _ in range(draws)
    ]
    return float(np.mean(distances)), min(distances), max(distances)
