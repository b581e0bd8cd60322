"""Results at one state of the project, and the differences between two, each with whether it is more than noise.

The rules are those of `thaw.reporting.results.differs`, and tests/test_comparison.py holds the two against each other.
Tables are read without pandas, which alone takes longer to import than a command may take.
"""

import csv
import functools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from thaw.artifacts import Artifacts
from thaw.evaluation.intervals import paired_difference, paired_share_difference
from thaw.reporting.metrics import METRICS, SHARES, Metric

Array = npt.NDArray[np.float64]
BETTER, WORSE, CHANGED, NOISE, SAME = "better", "worse", "changed", "within noise", "the same"
INCOMPARABLE, ABSENT = "not comparable", "absent"
BEYOND = (BETTER, WORSE, CHANGED)

BIASED = ("fid_classifier", "fid_inception", "precision", "recall", "unique_fraction")
"""Metrics whose expected value depends on how many samples they are measured on."""
OF_THE_CLASSIFIER = (
    "fid_classifier", "fid_infinite", "kid_classifier", "precision", "recall", "class_entropy", *SHARES,
)  # fmt: skip


class Estimate(NamedTuple):
    """A measured value, its interval, the number of images, and the number of trainings."""

    value: float
    low: float
    high: float
    n: int
    trainings: int


class Gap(NamedTuple):
    """A difference with its interval, and whether it was taken image by image."""

    value: float
    low: float
    high: float
    paired: bool

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0

    def survives(self, comparisons: int, confidence: float) -> bool:
        """Whether the interval would still exclude zero, were it wide enough for so many comparisons (Bonferroni)."""
        one, all_of_them = (NormalDist().inv_cdf(1 - (1 - confidence) / 2 / count) for count in (1, comparisons))
        half = self.value - self.low if self.value > 0 else self.high - self.value
        return self.beyond_noise and abs(self.value) > half * all_of_them / one


@dataclass(frozen=True)
class Difference:
    """One metric on two sides, what lies between them, and what to make of it; `reason` says why they do not compare.

    `verdict` is about the second side: better, worse, changed where neither way is better, within noise, the same,
    not comparable, or absent where one side has no such metric.
    """

    metric: Metric
    before: Estimate | None
    after: Estimate | None
    gap: Gap | None
    verdict: str
    reason: str = ""

    @property
    def tested(self) -> bool:
        """Whether chance had a say in the verdict."""
        return self.verdict in (*BEYOND, NOISE)


class Snapshot:
    """The results of a working tree or of a revision, by variant; `params` is params.yaml as it stands there."""

    def __init__(self, label: str, artifacts: Artifacts, params: dict[str, Any]) -> None:
        self.label, self.artifacts, self.params = label, artifacts, params
        self.estimates = functools.cache(self._estimates)
        self.scores = functools.cache(self._scores)

    @property
    def variants(self) -> list[str]:
        """The variants of params.yaml."""
        return list(self.params.get("variants", {}))

    @property
    def confidence(self) -> float:
        """The level of every interval."""
        return float(self.params.get("evaluation", {}).get("confidence", 0.95))

    @functools.cached_property
    def classifier(self) -> str | None:
        """The checksum of the network that samples are measured with."""
        path = self.artifacts.classifier_metrics
        return json.loads(path.read_text()).get("sha256") if path.exists() else None

    def task(self, variant: str) -> tuple[Any, Any]:
        """What the training loss of a variant is a loss of: its degradation and its target."""
        own = self.params["variants"].get(variant, {}).get("train", {})
        train = {**self.params.get("defaults", {}).get("train", {}), **own}
        return train.get("degradation"), train.get("target")

    def _estimates(self, variant: str) -> dict[str, Estimate]:
        """Every metric that was measured of a variant."""
        return {
            row["metric"]: Estimate(
                float(row["value"]),
                float(row["low"]),
                float(row["high"]),
                int(row["n"]),
                int(row.get("trainings") or 0),
            )
            for row in read_table(self.artifacts.intervals(variant))
            if row["metric"] in METRICS
        }

    def _scores(self, variant: str) -> tuple[list[str], dict[str, Array]]:
        """The restored images of a variant, and the scores of each by metric, (trainings, images)."""
        rows = read_table(self.artifacts.restorations(variant))
        images = list(dict.fromkeys(row["image"] for row in rows))
        trainings = list(dict.fromkeys(row["training"] for row in rows))
        order = {(row["training"], row["image"]): row for row in rows}
        if len(order) != len(images) * len(trainings) or not rows:
            return [], {}
        metrics = [metric for metric in rows[0] if metric in METRICS and all(row[metric] for row in rows)]
        return images, {
            metric: np.array([[float(order[t, image][metric]) for image in images] for t in trainings])
            for metric in metrics
        }


class Side(NamedTuple):
    """A variant at one state of the project."""

    snapshot: Snapshot
    variant: str


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV; none where there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def differences(before: Side, after: Side) -> list[Difference]:
    """Every metric that either side has, in the order of the report."""
    first, second = (side.snapshot.estimates(side.variant) for side in (before, after))
    return [
        _difference(METRICS[key], before, after, first.get(key), second.get(key))
        for key in METRICS
        if key in first or key in second
    ]


def _difference(metric: Metric, before: Side, after: Side, a: Estimate | None, b: Estimate | None) -> Difference:
    if a is None or b is None:
        return Difference(metric, a, b, None, ABSENT)
    if reason := _incomparable(metric.key, before, after, a, b):
        return Difference(metric, a, b, None, INCOMPARABLE, reason)
    if a == b:
        return Difference(metric, a, b, None, SAME)
    gap = _paired(metric.key, before, after) or _independent(a, b)
    return Difference(metric, a, b, gap, _verdict(metric, gap))


def _verdict(metric: Metric, gap: Gap) -> str:
    if not gap.beyond_noise:
        return NOISE
    if metric.better is None:
        return CHANGED
    return BETTER if (gap.value < 0) == (metric.better == "lower") else WORSE


def _incomparable(key: str, before: Side, after: Side, a: Estimate, b: Estimate) -> str:
    """Why two values of a metric say nothing about each other, or nothing where they do."""
    if before.snapshot.params.get("data") != after.snapshot.params.get("data"):
        return "they are of other images (`data` differs)"
    if key in OF_THE_CLASSIFIER and before.snapshot.classifier != after.snapshot.classifier:
        return "they were measured with another classifier"
    if key == "test_loss" and before.snapshot.task(before.variant) != after.snapshot.task(after.variant):
        return "losses of different targets or degradations measure different things"
    if key in BIASED and a.n != b.n:
        return f"they depend on the number of samples ({a.n} and {b.n})"
    return ""


def _independent(a: Estimate, b: Estimate) -> Gap:
    """The difference b - a, the errors taken as independent: half the widths of the intervals add in squares."""
    half = math.hypot(a.high - a.low, b.high - b.low) / 2
    return Gap(b.value - a.value, b.value - a.value - half, b.value - a.value + half, paired=False)


def _paired(key: str, before: Side, after: Side) -> Gap | None:
    """The difference b - a over the images that both restored; None where those are not the same."""
    (images, first), (others, second) = (side.snapshot.scores(side.variant) for side in (before, after))
    if not images or images != others or key not in first or key not in second:
        return None
    compare = paired_share_difference if key in SHARES else paired_difference
    gap = compare(second[key], first[key], after.snapshot.confidence)
    return Gap(*gap, paired=True)


def chance(found: Iterable[Difference], confidence: float) -> str:
    """A sentence on how many of the differences chance alone would have put beyond the noise."""
    tested = [difference for difference in found if difference.tested]
    if not tested:
        return ""
    gaps = [difference.gap for difference in tested if difference.gap]
    beyond = sum(gap.beyond_noise for gap in gaps)
    left = sum(gap.survives(len(gaps), confidence) for gap in gaps)
    level, count = f"{100 * confidence:g} %", len(tested)
    if count == 1:
        return f"One difference was tested, at {level}."
    return (
        f"{beyond} of {count} differences are beyond the noise. Each was tested at {level}, so about "
        f"{max(1, round((1 - confidence) * count))} of {count} would be if nothing differed at all; {left} still are "
        "with intervals wide enough for all of them together (Bonferroni)."
    )


def counted(found: Sequence[Difference]) -> dict[str, int]:
    """How many differences have each verdict, in the order of importance; verdicts that none has are left out."""
    order = (WORSE, BETTER, CHANGED, NOISE, SAME, INCOMPARABLE, ABSENT)
    return {word: count for word in order if (count := sum(difference.verdict == word for difference in found))}
