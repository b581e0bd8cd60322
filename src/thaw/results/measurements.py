"""What was measured, with its interval, and all of it that the report reads."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from thaw.files import read_csv, reading
from thaw.metrics import METRICS, Metric
from thaw.params import Params, read_params
from thaw.results.layout import Artifacts, find_root
from thaw.results.wording import model


@dataclass(frozen=True)
class Measurement:
    """One metric of one variant: its value, its interval, and what it was measured on.

    `n` is the number of images, `floor` what as many real images score. `images` is the table with the score of every
    image, where there is one: two measurements of the same images are compared in pairs.
    """

    variant: str
    metric: Metric
    value: float
    low: float
    high: float
    n: int
    trainings: int
    floor: float | None = None
    confidence: float = 0.95
    images: Path | None = None
    title: str = ""

    @property
    def named(self) -> str:
        """The variant, as the report's text calls it."""
        return model(self.variant, self.title)

    @property
    def numbers(self) -> dict[str, float]:
        """What makes two measurements the same."""
        return {name: getattr(self, name) for name in ("value", "low", "high", "n", "trainings")}

    @property
    def of_few_images(self) -> bool:
        """Whether a Fréchet distance comes from fewer than ten images for each feature."""
        return self.metric.features is not None and self.n < 10 * self.metric.features

    def show(self) -> str:
        """The value alone."""
        return self.metric.show(self.value)

    @property
    def bounds(self) -> str:
        """The interval in brackets; nothing for a value that is not estimated from a sample."""
        return "" if self.low == self.high else f"[{self.metric.show(self.low)}, {self.metric.show(self.high)}]"

    def show_interval(self) -> str:
        """The value and its interval, for a sentence."""
        return f"{self.show()} ({self.metric.show(self.low)} to {self.metric.show(self.high)})"


def read_measurements(artifacts: Artifacts, path: Path, confidence: float, variant: str = "") -> Iterator[Measurement]:
    """The measurements in a table of intervals: of one variant, or of those that its column `variant` names.

    Metrics without an entry in METRICS are left out. Raises ThawError as `reading` does.
    """
    with reading(path):
        for row in read_csv(path):
            if metric := METRICS.get(row["metric"]):
                name = row.get("variant") or variant
                yield Measurement(
                    name, metric, float(row["value"]), float(row["low"]), float(row["high"]), int(row["n"]),
                    int(row.get("trainings") or 0), float(row["floor"]) if row.get("floor") else None, confidence,
                    artifacts.table(name, "restorations") if metric.applies_to == "restorations" else None,
                )  # fmt: skip


class Results:
    """Every measurement that exists; `variants` are those of the main comparison, in the order of params.yaml.

    `measured` has them by variant and metric, and `measured_of_real` by metric what as many real images score.
    """

    def __init__(self, artifacts: Artifacts) -> None:
        self.artifacts = artifacts
        self.params = read_params(artifacts.params)
        self.variants = self.params.compared
        read = functools.partial(read_measurements, artifacts, confidence=self.params.evaluation.confidence)
        found = (replace(m, title=self.params.title(m.variant)) for m in read(artifacts.summary))
        self.measured = {(m.variant, m.metric.key): m for m in found}
        self.measured_of_real = {m.metric.key: m for m in read(artifacts.reference("real.csv"), variant="real images")}

    def find(self, variant: str, key: str) -> Measurement | None:
        """One measurement, or None where the metric does not apply or is not there yet."""
        return self.measured.get((variant, key))

    def ranked(self, key: str) -> list[Measurement]:
        """The measurements of one metric, best first."""
        found = [m for variant in self.variants if (m := self.find(variant, key))]
        return sorted(found, key=lambda m: m.value if METRICS[key].better == "lower" else -m.value)

    def real(self, key: str) -> Measurement | None:
        """What as many real images score by a metric of samples, or None where there is no such thing."""
        found = self.measured_of_real.get(key)
        # The floor is the mean of many draws, where the value is of one.
        return replace(found, value=found.floor) if found and found.floor is not None else found

    def named(self, variant: str) -> str:
        """A variant, as the report's text calls it."""
        return model(variant, self.params.title(variant))

    def missing(self) -> list[str]:
        """Variants of params.yaml that have no measurement."""
        measured = {variant for variant, _ in self.measured}
        return [variant for variant in self.params.variants if variant not in measured]


@functools.cache
def results() -> Results:
    """The results of the project that this runs in, read once."""
    return Results(Artifacts(find_root()))


def pictures(params: Params, variant: str) -> list[str]:
    """The figures of one variant: a GAN restores nothing, and goes to its samples in one step."""
    restores = params.variant(variant).train.target != "adversarial"
    restoring = ["milestone_restorations", "reconstructions", "chain"] if restores else []
    return ["samples", "milestones", *restoring, "confidence", "neighbours"]
