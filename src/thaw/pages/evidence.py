"""What the pages call to say how far numbers can be trusted: wrong protocols, published numbers."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from thaw.files import read_csv
from thaw.metrics import METRICS
from thaw.pages.tables import bracketed, table
from thaw.results.layout import Artifacts
from thaw.results.measurements import results
from thaw.results.wording import join

Rows = list[dict[str, str]]

OF_DIGITS = ("000", "001", "002")
"""The reports whose images are MNIST's; those of 003 are of bedrooms."""

PROTOCOLS = {
    "wrapped_bytes": "bytes that wrap around instead of clamping",
    "stretched_samples": "samples rescaled one by one, real images not",
    "few_samples_31": "31 samples, as 500 for 2048 features",
    "few_samples_62": "62 samples, as 1000 for 2048 features",
    "stretched_pairs": "originals and restorations rescaled one by one",
    "stretched_restorations": "restorations rescaled one by one",
}
"""The faulty protocols of audit.csv that score images, in the report's order and words."""


@dataclass(frozen=True)
class Moved:
    """What a fault did to a metric: the changes by variant, who is best before and after, the largest move in rank."""

    fault: str
    metric: str
    changes: dict[str, float]
    best: str
    faulty_best: str
    places: int

    @property
    def by_factor(self) -> bool:
        """Whether the changes are factors, as those of errors are; SSIM and decibels change by differences."""
        return METRICS[self.metric].better == "lower"

    def show(self, change: float) -> str:
        """A change as the report prints it."""
        return f"× {change:.2f}" if self.by_factor else f"{change:+.3g}"

    def sentence(self, named: Callable[[str], str]) -> str:
        """How far the protocol alone moved the scores, and whether it changed who is best; by the variants' names."""
        low, high = min(self.changes.values()), max(self.changes.values())
        still = 1.0 if self.by_factor else 0.0
        furthest = max(self.changes, key=lambda variant: abs(self.changes[variant] - still))
        fault, metric = PROTOCOLS[self.fault].capitalize(), METRICS[self.metric].short
        text = f"{fault}: {metric} {self.show(low)} to {self.show(high)}, furthest for {named(furthest)}"
        if self.faulty_best != self.best:
            return f"{text}; the best becomes {named(self.faulty_best)} instead of {named(self.best)}."
        if not self.places:
            return f"{text}; the order of the variants stays."
        return f"{text}; {named(self.best)} stays the best, others move by up to {self.places} places."


def audits(artifacts: Artifacts, variants: Sequence[str]) -> Rows:
    """The rows of the audits of the variants, with the variant in a column of its own."""
    return [{**row, "variant": name} for name in variants for row in read_csv(artifacts.table(name, "audit"))]


def moved(rows: Rows) -> list[Moved]:
    """What each fault did to each metric, from the rows of `audits`."""
    found = []
    scored = dict.fromkeys((row["fault"], row["metric"]) for row in rows if row["fault"] in PROTOCOLS)
    for fault, metric in sorted(scored, key=lambda of: list(PROTOCOLS).index(of[0])):
        own = {row["variant"]: row for row in rows if (row["fault"], row["metric"]) == (fault, metric)}
        right, faulty = ({name: float(row[column]) for name, row in own.items()} for column in ("right", "faulty"))
        lower = METRICS[metric].better == "lower"
        changes = {name: faulty[name] / right[name] if lower else faulty[name] - right[name] for name in right}
        first, second = _ranks(right), _ranks(faulty)
        best, faulty_best = ((min if lower else max)(scores, key=scores.__getitem__) for scores in (right, faulty))
        places = int(max(abs(first[name] - second[name]) for name in right))
        found.append(Moved(fault, metric, changes, best, faulty_best, places))
    return found


def _ranks(scores: dict[str, float]) -> dict[str, float]:
    """The place of each variant; those of one score share the mean of their places."""
    order = sorted(scores.values())
    return {name: (bisect_left(order, score) + bisect_right(order, score) + 1) / 2 for name, score in scores.items()}


def published(artifacts: Artifacts) -> Rows:
    """The numbers of the earlier reports that thaw measures too, of systems that are variants here."""
    rows = read_csv(artifacts.published)
    return [row for row in rows if row["metric"] in METRICS and row["variant"] and row["report"] in OF_DIGITS]


def audit() -> None:
    """Print what each faulty protocol did to the scores of the same images, as a table and in sentences."""
    found = results()
    scored = audits(found.artifacts, found.variants)
    sources = [found.artifacts.table(name, "audit") for name in dict.fromkeys(row["variant"] for row in scored)]
    changes, rows, curves = moved(scored), [], []
    for change in changes:
        values = list(change.changes.values())
        rows.append([
            PROTOCOLS[change.fault], METRICS[change.metric].short, str(len(values)), change.show(median(values)),
            f"{change.show(min(values))} to {change.show(max(values))}", str(change.places),
            found.named(change.best), found.named(change.faulty_best),
        ])  # fmt: skip
    table(
        ["protocol", "metric", "variants", "median change", "range", "places", "best", "best by it"], rows, "tbl-audit",
        "The same images under the faulty protocols: how each changes a score, over the variants (a factor for FID and "
        "RMSE, else a difference), by how many places a variant moves at most, and who is best before and after.",
        absent="the audit has not been run; `thaw repro` runs it.",
        note="\n".join(f"- {change.sentence(found.named)}" for change in changes), sources=sources, stage="evaluate",
    )  # fmt: skip
    for row in (row for row in scored if row["metric"] == "ks_first_t"):
        first, low, high = (f"{float(row[key]):.0f}" if row[key] else "never" for key in ("faulty", "low", "high"))
        curves.append([found.named(row["variant"]), f"{float(row['right']):.0f}", first, f"{low} to {high}"])
    if curves:
        table(
            ["variant", "first t, median", "of the first image", "of any one image"], curves, "tbl-audit-ks",
            "The step from which the Kolmogorov–Smirnov test stays accepted: by the median over all images and draws, "
            "and by the curve of one image and one draw, as far as that is accepted at all.",
            sources=sources, stage="evaluate",
        )  # fmt: skip


def published_numbers() -> None:
    """Print the numbers of the earlier reports beside those measured here."""
    found = results()
    rows = []
    for number in published(found.artifacts):
        key = number["metric"]
        instead = "fid_classifier" if key == "fid_inception" else key
        if ours := found.find(number["variant"], key) or found.find(number["variant"], instead):
            there = f"{float(number['value']):g}", f"{float(number['n']):.0f}" if number["n"] else "–"
            rows.append([
                f"{number['report']}, {number['place']}", found.named(number["variant"]), METRICS[key].title, *there,
                f"{ours.show()} {bracketed(ours.bounds)}".strip(), str(ours.n),
            ])  # fmt: skip
    table(
        ["where", "variant here", "metric there", "there", "n", "here", "n"], rows, "tbl-published",
        "Numbers of the earlier reports beside ours. Where ours is not in the features of InceptionV3 but in those of "
        "the classifier, only orders compare; most of their models were trained for 50 epochs or more.",
        absent="no variant that an earlier report measured has been measured here.",
        sources=[found.artifacts.published, found.artifacts.summary], stage="summarize",
    )  # fmt: skip


def few_images_note() -> None:
    """Print which Fréchet distances come from fewer images than ten for each feature, where there are any."""
    found = results()
    few = [m for metric in METRICS.values() for m in found.ranked(metric.key) if m.of_few_images]
    if few:
        print(
            f"† From fewer than ten images for each of the {join(sorted({str(m.metric.features) for m in few}))} "
            f"features ({min(m.n for m in few)}): compare such distances with the floor and with each other, or take "
            "the extrapolated ones.\n"
        )


def study_floor() -> None:
    """Print what as many real images score as a study measures a condition with."""
    found = results()
    count = found.params.budget.study.images
    for row in read_csv(found.artifacts.reference("floor.csv")):
        if int(row["n"]) == count:
            floor = METRICS["fid_classifier"].show(float(row["fid_classifier"]))
            print(f"As many real images as a condition has samples, {count}, score {floor}.\n")
