"""The results as the report reads them, and the sentences that state them."""

import functools
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from thaw.artifacts import Artifacts, find_root
from thaw.params import Params, read_params
from thaw.reporting.metrics import METRICS, Metric
from thaw.reporting.pairs import excludes_zero, paired

NAMED = 3
"""How many variants a sentence names before it counts the rest."""


@dataclass(frozen=True)
class Measurement:
    """One metric of one variant: its value, its interval, and what it was measured on."""

    variant: str
    metric: Metric
    value: float
    low: float
    high: float
    n: int
    trainings: int
    floor: float | None

    @property
    def of_few_images(self) -> bool:
        """Whether a Fréchet distance comes from fewer than ten images for each feature."""
        return self.metric.features is not None and self.n < 10 * self.metric.features

    def show(self) -> str:
        """The value alone."""
        return self.metric.show(self.value)

    def show_interval(self) -> str:
        """The value and its interval."""
        return f"{self.show()} ({self.metric.show(self.low)} to {self.metric.show(self.high)})"


class Results:
    """Every measurement that exists; `variants` are those of the main comparison, in the order of params.yaml.

    `measured` has them by variant and metric, and `measured_of_real` by metric what as many real images score.
    """

    def __init__(self, artifacts: Artifacts) -> None:
        self.artifacts = artifacts
        self.params = read_params(artifacts.params)
        self.variants = self.params.compared
        self.measured = {
            (row["variant"], row["metric"]): _measurement(row["variant"], row)
            for row in _rows(artifacts.summary)
            if row["metric"] in METRICS
        }
        self.measured_of_real = {
            row["metric"]: _measurement("real images", row) for row in _rows(artifacts.real) if row["metric"] in METRICS
        }

    def find(self, variant: str, key: str) -> Measurement | None:
        """One measurement, or None where the metric does not apply or is not there yet."""
        return self.measured.get((variant, key))

    def ranked(self, key: str) -> list[Measurement]:
        """The measurements of one metric, best first."""
        found = [m for variant in self.variants if (m := self.find(variant, key))]
        return sorted(found, key=lambda m: m.value if METRICS[key].better == "lower" else -m.value)

    def real(self, key: str) -> Measurement | None:
        """What as many real images score by a measure of generated ones, or None where there is no such thing."""
        found = self.measured_of_real.get(key)
        if found is None:
            return None
        # The floor is the mean of many draws, where the value is of one.
        mean = found.floor if key == "fid_classifier" and found.floor is not None else found.value
        return replace(found, value=mean, trainings=0, floor=None)

    def differs(self, a: Measurement, b: Measurement) -> bool:
        """Whether two variants differ in a metric by more than noise: in pairs where they restored the same images."""
        gap = paired(self.artifacts, a.variant, b.variant, a.metric.key, self.params.evaluation.confidence)
        return differs(a, b) if gap is None else excludes_zero(gap)

    def missing(self) -> list[str]:
        """Variants of params.yaml that have no measurement."""
        present = {variant for variant, _ in self.measured}
        return [variant for variant in self.params.variants if variant not in present]


def _rows(path: Path) -> list[dict[Hashable, Any]]:
    return (pd.read_csv(path) if path.exists() else pd.DataFrame()).to_dict("records")


def _measurement(variant: str, row: dict[Hashable, Any]) -> Measurement:
    return Measurement(
        variant, METRICS[row["metric"]], row["value"], row["low"], row["high"], int(row["n"]),
        int(row["trainings"]), None if pd.isna(row["floor"]) else row["floor"],
    )  # fmt: skip


@functools.cache
def results() -> Results:
    """The results of the project that this runs in, read once."""
    return Results(Artifacts(find_root()))


def pictures(params: Params, variant: str) -> list[str]:
    """The figures of one variant: a GAN restores nothing, and goes to its samples in one step."""
    restoring = ["reconstructions", "chain"]
    adversarial = params.variant(variant).train.target == "adversarial"
    return ["samples", "milestones", *([] if adversarial else restoring), "confidence", "neighbours"]


def differs(a: Measurement, b: Measurement) -> bool:
    """Whether the difference of two measurements is more than noise, taken as independent: its interval excludes 0.

    Half the widths of the intervals are added in squares. Half the width and not the distance from the value, because
    the interval of a Fréchet distance does not lie evenly about it: it is for infinitely many samples.
    """
    return abs(a.value - b.value) > math.hypot(a.high - a.low, b.high - b.low) / 2


def ranking_sentence(
    ranked: Sequence[Measurement], differ: Callable[[Measurement, Measurement], bool] = differs
) -> str:
    """State the best of a ranking, its uncertainty, and which of the others it cannot be told apart from."""
    if not ranked:
        return "No variant has been measured yet."
    best, others = ranked[0], ranked[1:]
    word = {"lower": "lowest", "higher": "highest"}[best.metric.better or "lower"]
    sentence = f"`{best.variant}` has the {word} {best.metric.phrase or best.metric.title}, {best.show_interval()}"
    near = [m for m in others if not differ(best, m)]
    far = [m for m in others if differ(best, m)]
    if near:
        listed = join([f"`{m.variant}` ({m.show()})" for m in near])
        sentence += f"; its difference to {listed} is within the noise"
    if far:
        listed = some([f"`{m.variant}` ({m.show()})" for m in far])
        sentence += f"{', and' if near else ';'} {listed} {'follow' if len(far) > 1 else 'follows'} beyond it"
    single = [m for m in ranked if m.trainings == 1]
    if single:
        whose = "With one training each" if len(single) == len(ranked) else "Where a variant has one training only"
        sentence += f". {whose}, this says which training is better, not which method"
    return sentence + "."


def some(parts: Sequence[str]) -> str:
    """The first few of a list in words, and how many more there are."""
    rest = len(parts) - NAMED
    return join([*parts[:NAMED], *([f"{rest} more"] if rest > 0 else [])])


def join(parts: Sequence[str]) -> str:
    """A list in words."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
