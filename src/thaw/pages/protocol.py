"""What the faulty protocols of earlier evaluations do to scores, and the numbers that were published under them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from thaw.artifacts import Artifacts

PROTOCOLS = {
    "wrapped_bytes": "bytes that wrap around instead of clamping",
    "stretched_samples": "samples rescaled one by one, real images not",
    "few_samples_31": "31 samples, as 500 for 2048 features",
    "few_samples_62": "62 samples, as 1000 for 2048 features",
    "stretched_pairs": "originals and restorations rescaled one by one",
    "stretched_restorations": "restorations rescaled one by one",
}
"""The faulty protocols of plots/audit that score images, in the report's order and words."""
COLUMNS = ("fault", "metric", "right", "faulty", "low", "high", "n", "variant")
NAMES = {"fid_classifier": "FID", "rmse": "RMSE", "ssim": "SSIM", "psnr": "PSNR"}
LOWER = ("fid_classifier", "rmse")
"""Metrics of which less is better; a factor says how far one moves, where SSIM and decibels move by a difference."""
PUBLISHED = ("fid_inception", "rmse", "ssim", "psnr", "test_loss", "ks_first_t", "class_preservation")
"""The metrics of data/published.csv that thaw measures as well."""


@dataclass(frozen=True)
class Moved:
    """What a fault did to a metric: the changes by variant, who is best before and after, the largest move in rank."""

    fault: str
    metric: str
    changes: dict[str, float]
    best: str
    faulty_best: str
    places: int

    def show(self, change: float) -> str:
        """A change as the report prints it."""
        return f"× {change:.2f}" if self.metric in LOWER else f"{change:+.3g}"

    def sentence(self) -> str:
        """How far the protocol alone moved the scores, and whether it changed who is best."""
        low, high = min(self.changes.values()), max(self.changes.values())
        still = 1.0 if self.metric in LOWER else 0.0
        furthest = max(self.changes, key=lambda variant: abs(self.changes[variant] - still))
        text = (
            f"{PROTOCOLS[self.fault].capitalize()}: {NAMES[self.metric]} {self.show(low)} to {self.show(high)}, "
            f"furthest for `{furthest}`"
        )
        if self.faulty_best != self.best:
            return f"{text}; the best becomes `{self.faulty_best}` instead of `{self.best}`."
        if not self.places:
            return f"{text}; the order of the variants stays."
        return f"{text}; `{self.best}` stays the best, others move by up to {self.places} places."


def audits(artifacts: Artifacts, variants: Sequence[str]) -> pd.DataFrame:
    """The rows of plots/audit of the variants, with the variant in a column of its own; empty where there are none."""
    tables = [
        pd.read_csv(path).assign(variant=variant) for variant in variants if (path := artifacts.audit(variant)).exists()
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def moved(table: pd.DataFrame) -> list[Moved]:
    """What each fault did to each metric, from the rows of `audits`."""
    found = []
    for fault in PROTOCOLS:
        for name, rows in table[table["fault"] == fault].groupby("metric", sort=False):
            metric, indexed = str(name), rows.set_index("variant")
            right, faulty = indexed["right"], indexed["faulty"]
            change = faulty / right if metric in LOWER else faulty - right
            sign = 1 if metric in LOWER else -1
            places = (right.rank() - faulty.rank()).abs().max()
            changes = {str(variant): float(value) for variant, value in change.items()}
            found.append(
                Moved(fault, metric, changes, str((sign * right).idxmin()), str((sign * faulty).idxmin()), int(places))
            )
    return found


def published(artifacts: Artifacts) -> pd.DataFrame:
    """The numbers of the earlier reports that thaw measures too, of systems that are variants here."""
    path = artifacts.published
    if not path.exists():
        return pd.DataFrame(columns=["metric", "variant"])
    table = pd.read_csv(path, dtype={"report": str})
    return table[table["metric"].isin(PUBLISHED) & table["variant"].notna()]
