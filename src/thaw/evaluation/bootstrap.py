"""Intervals by resampling: what could have come out with other images."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from thaw.evaluation.intervals import Array, Interval


def resampled_indices(count: int, resamples: int, stream: torch.Generator) -> npt.NDArray[np.int64]:
    """Indices of `resamples` samples with replacement, (resamples, count)."""
    return torch.randint(count, (resamples, count), generator=stream).numpy()


def mean_interval(values: Array, confidence: float, resamples: int, stream: torch.Generator) -> Interval:
    """The mean of per-image values and its percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    `values` is (trainings, images): every training has seen the same images, so images are resampled for all at once.
    """
    per_image = values.mean(0)
    means = per_image[resampled_indices(len(per_image), resamples, stream)].mean(1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(per_image.mean()), float(low), float(high))


def stratified_mean_interval(
    values: Array, strata: npt.NDArray[np.int64], confidence: float, resamples: int, stream: torch.Generator
) -> Interval:
    """The mean over images of known strata, resampled within each: values (trainings, images), strata (images,)."""
    per_image = values.mean(0)
    sums = np.zeros(resamples)
    for stratum in np.unique(strata):
        inside = per_image[strata == stratum]
        sums += inside[resampled_indices(len(inside), resamples, stream)].sum(1)
    low, high = np.quantile(sums / len(per_image), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(per_image.mean()), float(low), float(high))


def reverse_percentile(value: float, replicates: Array, confidence: float) -> Interval:
    """The interval 2 v - q(1 - a/2) .. 2 v - q(a/2), for a statistic that resampling biases.

    Resampling repeats images, which narrows a covariance: replicates of a Frechet distance lie above the value by about
    as much as the value lies above the truth, and the reflection takes both away (the "basic" interval of Davison and
    Hinkley 1997, section 5.2). The lower bound is not below 0, and the upper one not below the value, which for a few
    images of a good model holds more bias than the interval is wide.
    """
    low, high = np.quantile(replicates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, max(0.0, float(2 * value - high)), max(value, float(2 * value - low)))


def subsampling_error(
    statistic: Callable[[npt.NDArray[np.int64]], float | Sequence[float]], count: int, draws: int,
    stream: torch.Generator, largest: int = 1000,
) -> Array:  # fmt: skip
    """The standard error of a statistic of `count` images, or of each of several, from `draws` subsamples.

    They are drawn without replacement, for what repeated images would change, such as distances to nearest neighbours.
    The statistic of b of n images varies about that of all by a variance of (1/b - 1/n) / (1/n) times its own, which is
    divided out (the delete-d jackknife, Shao and Wu 1989); b is n/2, at most `largest`. `statistic` takes the indices
    of a subsample. Its degrees of freedom are `draws` - 1.
    """
    size = min(count // 2, largest)
    values = [statistic(torch.randperm(count, generator=stream)[:size].numpy()) for _ in range(draws)]
    error: Array = np.std(values, ddof=1, axis=0) * np.sqrt(size / (count - size))
    return error
