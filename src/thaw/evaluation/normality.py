"""How far z_t is from N(0, 1): where the pure noise that sampling starts from begins to be true."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from torch import Tensor

from thaw.core.randomness import generator
from thaw.evaluation.bootstrap import resampled_indices
from thaw.evaluation.intervals import Interval, proportion_interval
from thaw.evaluation.rows import BOOTSTRAP, WILSON, Row, row

Array = npt.NDArray[np.float64]


class Distance(NamedTuple):
    """The tests of z_t at one t: their p-values, draws by images, and the median distance W_1 from N(0, 1)."""

    p: Array
    wasserstein: float

    def row(self, significance: float) -> dict[str, float]:
        """What is kept of them: the median p, where nine tenths of them lie, that of one test, and the share accepted.

        One image and one draw is what a curve of the earlier reports showed (seed 001, figure 2).
        """
        low, median, high = np.quantile(self.p, [0.05, 0.5, 0.95]).tolist()
        return {
            "median_p": median, "low_p": low, "high_p": high, "one_p": float(self.p[0, 0]),
            "accepted": float((self.p > significance).mean()), "wasserstein": self.wasserstein,
        }  # fmt: skip


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


def normality(z: Tensor) -> Distance:
    """Compare the pixels of each of the latents z, (draws, N, C, H, W), with N(0, 1)."""
    rows = z.flatten(0, 1).flatten(1).double().numpy()
    return Distance(kolmogorov_smirnov(rows).reshape(z.shape[:2]), float(np.median(wasserstein(rows))))


def first_accepted(steps: Sequence[int], p: Sequence[float], significance: float) -> int | None:
    """The first step from which p stays above the significance level, or None where it does not."""
    accepted = None
    for t, value in zip(reversed(steps), reversed(p), strict=True):
        if value <= significance:
            break
        accepted = t
    return accepted


RESAMPLES = 200


def schedule_rows(steps: Sequence[int], p: Array, significance: float, confidence: float) -> list[Row]:
    """ks_first_t and ks_accepted_at_T of p-values (t, draws, images) at the steps, with intervals over images.

    ks_first_t is left out where the median is accepted at no step to the end. Images are resampled with all of their
    draws; a resample that is never accepted counts as T.
    """
    _, draws, images = p.shape
    accepted = p[-1] > significance
    share = proportion_interval(float(accepted.mean()), images, confidence)
    rows = [row("ks_accepted_at_T", share, accepted.size, 0, WILSON)]
    first = first_accepted(steps, np.median(p, axis=(1, 2)).tolist(), significance)
    if first is not None:
        chosen = resampled_indices(images, RESAMPLES, generator("ks_first_t"))
        found = [
            first_accepted(steps, np.median(p[:, :, index], axis=(1, 2)).tolist(), significance) for index in chosen
        ]
        values = np.array([steps[-1] if t is None else t for t in found])
        low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
        rows.append(row("ks_first_t", Interval(float(first), float(low), float(high)), draws * images, 0, BOOTSTRAP))
    return rows
