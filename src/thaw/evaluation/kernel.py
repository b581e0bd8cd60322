"""The kernel distance between two sets of features (Binkowski et al. 2018), which few samples do not bias."""

import numpy as np
import torch
from torch import Tensor

from thaw.evaluation.intervals import Interval, student_interval

BATCH = 1000
"""Rows of the kernel matrix held at a time."""


def kernel_distance(real: Tensor, fake: Tensor, confidence: float, within: float) -> Interval:
    """The unbiased estimate of the squared maximum mean discrepancy with the kernel (a.b / d + 1)^3, and its interval.

    Features are float64, (m, d) and (n, d), of at least three images each; `within` is `within_real` of the real ones,
    which is the same for every model. The interval has the delete-one jackknife's error over the generated images; the
    real ones are taken as given, as for the Frechet distance. It may reach below 0, as the estimate itself may.
    """
    m, n = len(real), len(fake)
    own, across = _row_sums(fake, fake) - _diagonal(fake), _row_sums(fake, real)
    value = float(within + own.sum() / (n * (n - 1)) - 2 * across.sum() / (n * m))
    without = (own.sum() - 2 * own) / ((n - 1) * (n - 2)) - 2 * (across.sum() - across) / ((n - 1) * m)
    error = np.sqrt((n - 1) / n * (without - without.mean()).square().sum().item())
    return student_interval(value, float(error), n - 1, confidence)


def within_real(real: Tensor) -> float:
    """The mean kernel of two different images of (m, d): the part of the distance that no model changes."""
    m = len(real)
    return float((_row_sums(real, real) - _diagonal(real)).sum() / (m * (m - 1)))


def _row_sums(a: Tensor, b: Tensor) -> Tensor:
    width = a.shape[1]
    return torch.cat([(part @ b.T / width + 1).pow(3).sum(1) for part in a.split(BATCH)])


def _diagonal(a: Tensor) -> Tensor:
    return (a.square().sum(1) / a.shape[1] + 1).pow(3)
