"""How various generated images are: which classes they show, and how many of them are new."""

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import entropy
from torch import Tensor

from thaw.evaluation.classifier import FeatureNetwork, predict
from thaw.evaluation.intervals import Interval

DISTINCT = 0.01
"""The share of real images that are nearer to another one than what counts as distinct."""


def class_shares(network: FeatureNetwork, pixels: Tensor) -> list[float]:
    """The share of each class among uint8 images (n, C, H, W), as the classifier sees them; the shares sum to 1."""
    counts = torch.bincount(predict(network, pixels), minlength=network.output.out_features)
    return (counts.double() / len(pixels)).tolist()


def class_entropy(shares: npt.ArrayLike) -> float:
    """The entropy in bits of shares of classes that sum to 1: log2 of the number of classes where all are as common."""
    return float(entropy(np.asarray(shares), base=2))


def class_entropy_interval(shares: list[float], count: int, confidence: float, resamples: int, seed: int) -> Interval:
    """The entropy of the classes of `count` images, with the reverse-percentile bootstrap interval.

    Resampling lowers an entropy as sampling does, so the interval is reflected at the value.
    """
    value = class_entropy(shares)
    drawn = np.random.default_rng(seed).multinomial(count, np.asarray(shares) / np.sum(shares), resamples) / count
    low, high = np.quantile([class_entropy(row) for row in drawn], [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(min(value, 2 * value - high)), float(min(2 * value - low, np.log2(len(shares)))))


def unique_fraction(images: Tensor, real: Tensor) -> float:
    """The share of images that are like no other one among them.

    Two images are alike when their Euclidean distance is at most the one that 1 % of as many real images have to their
    nearest neighbour, so real images score 0.99. Both are (n, C, H, W), in the same range, with n >= 2; ValueError
    where there are fewer real ones than generated ones, or fewer than two.
    """
    if not 2 <= len(images) <= len(real):
        raise ValueError("unique_fraction takes at least two images, and as many real ones")
    limit = torch.quantile(_nearest(real[: len(images)]), DISTINCT)
    return (_nearest(images) > limit).double().mean().item()


def _nearest(images: Tensor) -> Tensor:
    """The distance of every image to its nearest neighbour, float64 of shape (n,)."""
    flat = images.flatten(1).double()
    found = []
    for first in range(0, len(flat), 1000):
        distances = torch.cdist(flat[first : first + 1000], flat, compute_mode="use_mm_for_euclid_dist")
        own = torch.arange(len(distances))
        distances[own, first + own] = torch.inf
        found.append(distances.amin(1))
    return torch.cat(found)
