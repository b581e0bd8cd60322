"""Rows of intervals.csv: a metric, its interval, what it was measured on, and how the interval was made."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thaw.core.randomness import generator
from thaw.evaluation.bootstrap import mean_interval
from thaw.evaluation.intervals import Interval, proportion_interval, with_trainings
from thaw.files import read_csv, reading
from thaw.metrics import METRICS

Row = dict[str, Any]
Array = npt.NDArray[np.float64]

BOOTSTRAP = "percentile bootstrap"
REVERSE = "reverse percentile bootstrap"
SUBSAMPLES = "subsamples without replacement"
WILSON = "Wilson score"


def row(metric: str, interval: Interval, n: int, trainings: int, method: str, floor: float | None = None) -> Row:
    """One row, its interval cut off at what the metric can be, and wide enough to hold the value to the last digit."""
    around = min(interval.low, interval.value), max(interval.high, interval.value)
    low, high = np.clip(around, *METRICS[metric].bounds).tolist()
    return {"metric": metric, "value": interval.value, "low": low, "high": high, "n": n,
            "trainings": trainings, "method": method, "floor": floor}  # fmt: skip


def mean_row(metric: str, values: Array, confidence: float, resamples: int) -> Row:
    """A metric that is a mean over images: values of shape (trainings, images)."""
    interval = mean_interval(values, confidence, resamples, generator(metric))
    interval = with_trainings(interval, values.mean(1), confidence)
    return row(metric, interval, values.shape[1], values.shape[0], BOOTSTRAP)


def share_row(metric: str, agree: npt.NDArray[np.bool_], confidence: float) -> Row:
    """A metric that is the share of images of which something is true: booleans of shape (trainings, images)."""
    interval = proportion_interval(float(agree.mean()), agree.shape[1], confidence)
    interval = with_trainings(interval, agree.mean(1), confidence)
    return row(metric, interval, agree.shape[1], agree.shape[0], WILSON)


def averaged_row(metric: str, by_training: list[Interval], n: int, confidence: float, method: str,
                 floor: float | None = None) -> Row:  # fmt: skip
    """A metric that each training has its own interval of: the means of values and bounds, as the errors are common."""
    value, low, high = np.array(by_training).mean(0).tolist()
    values = np.array([found.value for found in by_training])
    interval = with_trainings(Interval(value, low, high), values, confidence)
    return row(metric, interval, n, len(by_training), method, floor)


def read_rows(path: Path) -> list[Row]:
    """The rows that another stage wrote. Raises ThawError as `reading` does."""
    with reading(path):
        return [
            {
                **found, "n": int(found["n"]), "trainings": int(found["trainings"]), "floor": None,
                **{name: float(found[name]) for name in ("value", "low", "high")},
            }
            for found in read_csv(path, needed=True)
        ]  # fmt: skip


def seed_of(*purpose: object) -> int:
    """A seed for numpy, a function of the purpose as `generator` is for torch."""
    return int(torch.randint(2**31, (), generator=generator(*purpose)))  # type: ignore[arg-type]
