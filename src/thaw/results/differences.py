"""Differences between measurements, and whether each is more than noise: one rule for the report and the commands."""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from thaw.files import read_csv, read_json, reading
from thaw.metrics import METRICS, Metric
from thaw.params import read_yaml
from thaw.results.layout import Artifacts
from thaw.results.measurements import Measurement, read_measurements
from thaw.results.wording import percent

BETTER, WORSE, CHANGED, NOISE, SAME = "better", "worse", "changed", "within noise", "the same"
INCOMPARABLE, ABSENT = "not comparable", "absent"
BEYOND = (BETTER, WORSE, CHANGED)


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

    def show(self, metric: Metric) -> tuple[str, str]:
        """The difference and its interval in brackets, with signs."""
        value, low, high = (f"{bound:+.{metric.digits}f}" for bound in self[:3])
        return value, f"[{low}, {high}]"


@dataclass(frozen=True)
class Difference:
    """One metric on two sides, what lies between them, and what to make of it; `reason` says why they do not compare.

    `verdict` is about the second side: better, worse, changed where neither way is better, within noise, the same,
    not comparable, or absent where one side has no such metric.
    """

    metric: Metric
    before: Measurement | None
    after: Measurement | None
    gap: Gap | None
    verdict: str
    reason: str = ""

    @property
    def beyond_noise(self) -> bool:
        """Whether the two differ by more than noise."""
        return self.verdict in BEYOND


def difference(before: Measurement, after: Measurement) -> Difference:
    """The difference after - before and its verdict: in pairs where both have the scores of the same images."""
    metric = after.metric
    if before.numbers == after.numbers:
        return Difference(metric, before, after, None, SAME)
    gap = paired(before, after) or _independent(before, after)
    way = CHANGED if metric.better is None else BETTER if (gap.value < 0) == (metric.better == "lower") else WORSE
    return Difference(metric, before, after, gap, way if gap.beyond_noise else NOISE)


def differs(a: Measurement, b: Measurement) -> bool:
    """Whether two measurements differ by more than noise."""
    return difference(a, b).beyond_noise


def _independent(before: Measurement, after: Measurement) -> Gap:
    """The difference, the errors taken as independent: half the widths of the intervals add in squares.

    Half the width and not the distance from the value, because the interval of a Fréchet distance does not lie evenly
    about it: it is for infinitely many samples.
    """
    half = math.hypot(before.high - before.low, after.high - after.low) / 2
    value = after.value - before.value
    return Gap(value, value - half, value + half, paired=False)


def paired(before: Measurement, after: Measurement) -> Gap | None:
    """The difference over the images that both were measured on; None where those are not the same."""
    first, second = image_scores(before), image_scores(after)
    if first is None or second is None or first[0] != second[0]:
        return None
    # SciPy takes long to import, and many a page and command pairs nothing.
    from thaw.evaluation.intervals import paired_difference, paired_share_difference

    compare = paired_share_difference if after.metric.share else paired_difference
    return Gap(*compare(second[1], first[1], after.confidence), paired=True)


def image_scores(measurement: Measurement) -> tuple[list[int], npt.NDArray[np.float64]] | None:
    """The numbers of the images and their scores, (trainings, images), where a measurement has them.

    Raises ThawError as `reading` does.
    """
    path = measurement.images
    if path is None or not path.exists():
        return None
    images, scores = _scores(path, path.stat().st_mtime_ns)
    return (images, scores[measurement.metric.key]) if measurement.metric.key in scores else None


@functools.cache
def _scores(path: Path, changed: int) -> tuple[list[int], dict[str, npt.NDArray[np.float64]]]:
    """The scores in a file as it is since `changed`, by metric: pages compare each variant with many others."""
    with reading(path):
        rows = {(int(row["training"]), int(row["image"])): row for row in read_csv(path)}
        trainings, images = (sorted({key[axis] for key in rows}) for axis in (0, 1))
        if len(rows) != len(trainings) * len(images) or not rows:
            return [], {}
        columns = next(iter(rows.values()))
        metrics = [key for key in columns if key in METRICS and all(row[key] for row in rows.values())]
        return images, {
            key: np.array([[float(rows[training, image][key]) for image in images] for training in trainings])
            for key in metrics
        }


class State:
    """The results of a working tree or of a revision, which `label` names; `unreadable` says why they are not read.

    `params` is params.yaml as it stands there, which the present schema may refuse.
    """

    def __init__(self, label: str, artifacts: Artifacts, unreadable: str = "") -> None:
        self.label, self.artifacts, self.unreadable = label, artifacts, unreadable
        self.params: dict[str, Any] = read_yaml(artifacts.params)
        self.variants = list(self.params.get("variants", {}))
        self.confidence = float(self.params.get("evaluation", {}).get("confidence", 0.95))
        self.measured = functools.cache(self._measured)

    @functools.cached_property
    def classifiers(self) -> tuple[str | None, ...]:
        """The checksums of the networks that samples are measured with and read by."""
        entry = read_json(self.artifacts.reference("classifier.json"))
        return entry.get("sha256"), entry.get("readers_sha256")

    def task(self, variant: str) -> tuple[Any, Any]:
        """What the training loss of a variant is a loss of: its degradation and its target."""
        own = self.params["variants"].get(variant, {}).get("train", {})
        train = {**self.params.get("defaults", {}).get("train", {}), **own}
        return train.get("degradation"), train.get("target")

    def _measured(self, variant: str) -> dict[str, Measurement]:
        """Every metric that was measured of a variant."""
        path = self.artifacts.table(variant, "intervals")
        return {m.metric.key: m for m in read_measurements(self.artifacts, path, self.confidence, variant)}


class Side(NamedTuple):
    """A variant at one state of the project."""

    state: State
    variant: str

    @property
    def measured(self) -> dict[str, Measurement]:
        """Every metric that was measured of it."""
        return self.state.measured(self.variant)


def differences(before: Side, after: Side) -> list[Difference]:
    """Every metric that either side has, in the order of the report."""
    found = []
    for key, metric in METRICS.items():
        a, b = before.measured.get(key), after.measured.get(key)
        if a and b:
            reason = _incomparable(metric, before, after, a.n != b.n)
            found.append(Difference(metric, a, b, None, INCOMPARABLE, reason) if reason else difference(a, b))
        elif a or b:
            found.append(Difference(metric, a, b, None, ABSENT))
    return found


def _incomparable(metric: Metric, before: Side, after: Side, other_count: bool) -> str:
    """Why two values of a metric say nothing about each other, or nothing where they do."""
    if before.state.params.get("data") != after.state.params.get("data"):
        return "they are of other images (`data` differs)"
    if metric.of_classifier and before.state.classifiers != after.state.classifiers:
        return "they were measured with another classifier"
    if metric.applies_to == "denoisers" and before.state.task(before.variant) != after.state.task(after.variant):
        return "losses of different targets or degradations measure different things"
    if metric.biased and other_count:
        counts = (side.measured[metric.key].n for side in (before, after))
        return "they depend on the number of samples ({} and {})".format(*counts)
    return ""


def chance(found: Iterable[Difference], confidence: float) -> str:
    """A sentence on how many of the differences chance alone would have put beyond the noise."""
    gaps = [difference.gap for difference in found if difference.gap]
    if len(gaps) < 2:
        return f"One difference was tested, at {percent(confidence)}." if gaps else ""
    beyond = sum(gap.beyond_noise for gap in gaps)
    left = sum(gap.survives(len(gaps), confidence) for gap in gaps)
    return (
        f"{beyond} of {len(gaps)} differences are beyond the noise. Each was tested at {percent(confidence)}, so about "
        f"{max(1, round((1 - confidence) * len(gaps)))} of {len(gaps)} would be if nothing differed at all; {left} "
        "still are with intervals wide enough for all of them together (Bonferroni)."
    )


def counted(found: Sequence[Difference]) -> dict[str, int]:
    """How many differences have each verdict, in the order of importance; verdicts that none has are left out."""
    order = (WORSE, BETTER, CHANGED, NOISE, SAME, INCOMPARABLE, ABSENT)
    return {word: count for word in order if (count := sum(difference.verdict == word for difference in found))}
