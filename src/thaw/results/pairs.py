"""Differences between two variants over the test images that both restored."""

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from thaw.artifacts import Artifacts
from thaw.evaluation.intervals import Interval, paired_difference, paired_share_difference
from thaw.reporting.metrics import SHARES

Array = npt.NDArray[np.float64]


def image_scores(artifacts: Artifacts, variant: str, metric: str) -> tuple[list[int], Array] | None:
    """The numbers of the restored images and their scores, (trainings, images); None where there are none."""
    path = artifacts.restorations(variant)
    return _image_scores(path, path.stat().st_mtime_ns, metric) if path.exists() else None


@functools.cache
def _image_scores(path: Path, changed: int, metric: str) -> tuple[list[int], Array] | None:
    """The scores in a file as it is since `changed`; a page of the report compares each variant with many others."""
    table = pd.read_csv(path)
    if table.empty or metric not in table:
        return None
    wide = table.pivot(index="training", columns="image", values=metric)
    return [int(image) for image in wide.columns], wide.to_numpy(dtype=float)


def paired(artifacts: Artifacts, a: str, b: str, metric: str, confidence: float) -> Interval | None:
    """The difference a - b of a restoration metric in pairs; None where the two did not restore the same images."""
    first, second = (image_scores(artifacts, variant, metric) for variant in (a, b))
    if first is None or second is None or first[0] != second[0]:
        return None
    compare = paired_share_difference if metric in SHARES else paired_difference
    return compare(first[1], second[1], confidence)


def excludes_zero(gap: Interval) -> bool:
    """Whether a difference is more than noise."""
    return gap.low > 0 or gap.high < 0
