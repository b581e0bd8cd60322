"""How far z_t is from N(0, 1): where the pure noise that sampling starts from begins to be true."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor

from thaw.diffusion.degradation import Degradation
from thaw.randomness import generator

Array = npt.NDArray[np.float64]


class Distance(NamedTuple):
    """Over images and draws at one t: the median p-value, the share of tests not rejected, the median W_1."""

    median_p: float
    accepted: float
    wasserstein: float


def kolmogorov_smirnov(z: Array) -> Array:
    """p-values of the two-sided one-sample test of each row of z (N, D) against N(0, 1), shape (N,).

    The exact distribution of the statistic, as scipy.stats.ks_1samp has it; here for all rows at once.
    """
    count = z.shape[1]
    cdf = stats.norm.cdf(np.sort(z, axis=1))
    above = (np.arange(1, count + 1) / count - cdf).max(1)
    below = (cdf - np.arange(count) / count).max(1)
    p: Array = stats.kstwo.sf(np.maximum(above, below), count)
    return p


def wasserstein(z: Array) -> Array:
    """The distance W_1 of each row of z (N, D) from D equally likely quantiles of N(0, 1), shape (N,)."""
    count = z.shape[1]
    quantiles = stats.norm.ppf((np.arange(count) + 0.5) / count)
    distance: Array = np.abs(np.sort(z, axis=1) - quantiles).mean(1)
    return distance


def normality(degradation: Degradation, x: Tensor, t: int, draws: int, significance: float) -> Distance:
    """Compare the pixels of each z_t, of images x (N, C, H, W) and several draws of the source, with N(0, 1)."""
    step = torch.full((len(x),), t)
    rows = [
        degradation.degrade(x, step, degradation.draw_source(len(x), generator("normality", t, draw), "test"))
        for draw in range(draws)
    ]
    z = torch.cat(rows).flatten(1).double().numpy()
    p = kolmogorov_smirnov(z)
    return Distance(float(np.median(p)), float((p > significance).mean()), float(np.median(wasserstein(z))))


def first_accepted(steps: list[int], median_p: list[float], significance: float) -> int | None:
    """The first step from which the median p stays above the significance level, or None where it does not."""
    accepted = None
    for t, p in zip(reversed(steps), reversed(median_p), strict=True):
        if p <= significance:
            break
        accepted = t
    return accepted
