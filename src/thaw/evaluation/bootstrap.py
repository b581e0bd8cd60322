"""Intervals: what could have come out with other images, and with other trainings."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

Array = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """A value and the bounds of its interval."""

    value: float
    low: float
    high: float


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


def reverse_percentile(value: float, replicates: Array, confidence: float) -> Interval:
    """The interval 2 v - q(1 - a/2) .. 2 v - q(a/2), for a statistic that resampling biases.

    Resampling repeats images, which narrows a covariance: replicates of a Frechet distance lie above the value by about
    as much as the value lies above the truth, and the reflection takes both away (Efron and Tibshirani 1993, section
    13.4, "basic" interval). The lower bound is not below 0, and the upper one not below the value, which for a few
    images of a good model holds more bias than the interval is wide.
    """
    low, high = np.quantile(replicates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, max(0.0, float(2 * value - high)), max(value, float(2 * value - low)))


def with_trainings(interval: Interval, by_training: Array, confidence: float) -> Interval:
    """The interval widened by the spread between trainings, where there are several.

    The spread is that of Student's t for the mean of the trainings. It is added in squares to each side's width, as for
    independent errors, although it holds some of the sampling error too: the interval is rather too wide than too
    narrow.
    """
    count = len(by_training)
    if count < 2:
        return interval
    spread = stats.t.ppf((1 + confidence) / 2, count - 1) * by_training.std(ddof=1) / np.sqrt(count)
    below = float(np.hypot(interval.value - interval.low, spread))
    above = float(np.hypot(interval.high - interval.value, spread))
    return Interval(interval.value, interval.value - below, interval.value + above)
