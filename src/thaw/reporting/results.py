"""The results as the report reads them, and the sentences that state them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from thaw.artifacts import Artifacts
from thaw.params import Params, read_params
from thaw.reporting.metrics import METRICS, Metric


@dataclass(frozen=True)
class Measurement:
    """One metric of one variant: its value, its 95 % interval, and what it was measured on."""

    variant: str
    metric: Metric
    value: float
    low: float
    high: float
    n: int
    trainings: int
    floor: float | None

    def show(self) -> str:
        """The value alone."""
        return self.metric.show(self.value)

    def show_interval(self) -> str:
        """The value and its interval."""
        return f"{self.show()} ({self.metric.show(self.low)} to {self.metric.show(self.high)})"


class Results:
    """Every measurement that exists; `variants` are those of the main comparison, in the order of params.yaml."""

    def __init__(self, artifacts: Artifacts) -> None:
        self.artifacts = artifacts
        self.params = read_params(artifacts.params)
        self.variants = self.params.compared
        self.table = self._read(artifacts.summary)

    @staticmethod
    def _read(path: Path) -> pd.DataFrame:
        columns = ["variant", "metric", "value", "low", "high", "n", "trainings", "method", "floor"]
        return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=columns)

    def find(self, variant: str, key: str) -> Measurement | None:
        """One measurement, or None where the metric does not apply or is not there yet."""
        rows = self.table[(self.table["variant"] == variant) & (self.table["metric"] == key)]
        if rows.empty:
            return None
        row = rows.iloc[0]
        floor = None if pd.isna(row["floor"]) else float(row["floor"])
        return Measurement(
            variant, METRICS[key], float(row["value"]), float(row["low"]), float(row["high"]), int(row["n"]),
            int(row["trainings"]), floor,
        )  # fmt: skip

    def ranked(self, key: str) -> list[Measurement]:
        """The measurements of one metric, best first."""
        found = [m for variant in self.variants if (m := self.find(variant, key))]
        return sorted(found, key=lambda m: m.value if METRICS[key].better == "lower" else -m.value)

    def missing(self) -> list[str]:
        """Variants of params.yaml that have no measurement."""
        present = set(self.table["variant"])
        return [variant for variant in self.params.variants if variant not in present]


def pictures(params: Params, variant: str) -> list[str]:
    """The figures of one variant: a GAN restores nothing, and goes to its samples in one step."""
    restoring = ["reconstructions", "chain"]
    adversarial = params.variant(variant).train.target == "adversarial"
    return ["samples", "milestones", *([] if adversarial else restoring)]


def differs(a: Measurement, b: Measurement) -> bool:
    """Whether the difference of two independent measurements is more than noise: its 95 % interval excludes 0.

    The half-widths that face each other are added in squares.
    """
    upper, lower = (a, b) if a.value > b.value else (b, a)
    return upper.value - lower.value > math.hypot(upper.value - upper.low, lower.high - lower.value)


def ranking_sentence(ranked: Sequence[Measurement]) -> str:
    """State the best of a ranking, its uncertainty, and which of the others it cannot be told apart from."""
    if not ranked:
        return "No variant has been measured yet."
    best, others = ranked[0], ranked[1:]
    word = {"lower": "lowest", "higher": "highest"}[best.metric.better or "lower"]
    sentence = f"`{best.variant}` has the {word} {best.metric.phrase or best.metric.title}, {best.show_interval()}"
    near = [m for m in others if not differs(best, m)]
    far = [m for m in others if differs(best, m)]
    if near:
        listed = join([f"`{m.variant}` ({m.show()})" for m in near])
        sentence += f"; its difference to {listed} is within the noise"
    if far:
        listed = join([f"`{m.variant}` ({m.show()})" for m in far])
        sentence += f"{', and' if near else ';'} {listed} {'follow' if len(far) > 1 else 'follows'} beyond it"
    if best.trainings == 1:
        sentence += ". With one training each, this says which training is better, not which method"
    return sentence + "."


def join(parts: Sequence[str]) -> str:
    """A list in words."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
