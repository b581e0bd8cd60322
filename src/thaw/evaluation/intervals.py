"""Intervals that need no resampling.

The report and the commands that compare use them too, so there is neither torch in them nor scipy.stats, whose import
takes longer than such a command may. The quantiles are those that scipy.stats calls.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

Array = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """A value and the bounds of its interval."""

    value: float
    low: float
    high: float


def proportion_interval(share: float, count: int, confidence: float) -> Interval:
    """A share of `count` independent images and its score interval (Wilson 1927), which holds near 0 and 1 too.

    A bootstrap of images that all agree would give an interval of no width.
    """
    z = ndtri((1 + confidence) / 2)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    width = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return Interval(share, float(min(share, middle - width)), float(max(share, middle + width)))


def student_interval(value: float, error: float, degrees: int, confidence: float) -> Interval:
    """The interval of a value whose standard error was estimated with so many degrees of freedom."""
    width = float(stdtrit(degrees, (1 + confidence) / 2)) * error
    return Interval(value, value - width, value + width)


def hull(a: Interval, b: Interval) -> Interval:
    """The smallest interval that holds two intervals of one value, the first's."""
    return Interval(a.value, min(a.low, b.low), max(a.high, b.high))


def paired_difference(a: Array, b: Array, confidence: float) -> Interval:
    """The mean of a - b over images that both were measured on, with Student's interval for pairs.

    Both are (trainings, images), in the same order of images: what makes an image easy or hard for both cancels. The
    trainings of each widen the interval as in `with_trainings`.
    """
    first, second = a.mean(0), b.mean(0)
    gap = first - second
    error = float(gap.std(ddof=1) / np.sqrt(len(gap)))
    return _with_both(student_interval(float(gap.mean()), error, len(gap) - 1, confidence), a, b, confidence)


def paired_share_difference(a: Array, b: Array, confidence: float) -> Interval:
    """The same for shares: values of 0 and 1, or means of such over trainings.

    Half a pair is added to each of the four ways in which two answers can agree or differ (Agresti and Min 2005), so
    that a few images, all one way, do not make a difference certain. The value is without them.
    """
    gap = a.mean(0) - b.mean(0)
    count = len(gap) + 2
    middle = gap.sum() / count
    error = np.sqrt(((np.square(gap).sum() + 1) / count - middle**2) / count)
    width = float(ndtri((1 + confidence) / 2) * error)
    value = float(gap.mean())
    interval = Interval(value, min(value, float(middle - width)), max(value, float(middle + width)))
    return _with_both(interval, a, b, confidence)


def _with_both(interval: Interval, a: Array, b: Array, confidence: float) -> Interval:
    for values in (a, b):
        interval = with_trainings(interval, values.mean(1), confidence)
    return interval


def with_trainings(interval: Interval, by_training: Array, confidence: float) -> Interval:
    """The interval widened by the spread between trainings, where there are several.

    The spread is that of Student's t for the mean of the trainings. It is added in squares to each side's width, as for
    independent errors: all trainings of a variant are sampled from the same noise and restore the same images, so the
    error of the images is common to them and no part of their spread.
    """
    count = len(by_training)
    if count < 2:
        return interval
    spread = stdtrit(count - 1, (1 + confidence) / 2) * by_training.std(ddof=1) / np.sqrt(count)
    below = float(np.hypot(interval.value - interval.low, spread))
    above = float(np.hypot(interval.high - interval.value, spread))
    return Interval(interval.value, interval.value - below, interval.value + above)
