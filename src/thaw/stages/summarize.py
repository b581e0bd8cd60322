"""Bring the metrics of all variants into one table."""

from thaw.errors import ThawError
from thaw.files import read_csv, write_csv
from thaw.metrics import TOTALS
from thaw.params import read_params
from thaw.results.layout import Artifacts


def run(artifacts: Artifacts) -> None:
    """Write plots/summary.csv: every metric of every variant of params.yaml, with its interval.

    Variants stand in alphabetical order, so that reordering them in params.yaml changes nothing; one without metrics
    is left out. Raises ThawError where no variant has any, or a table is damaged.
    """
    rows = []
    for variant in sorted(read_params(artifacts.params).variants):
        if artifacts.metrics(variant).exists():
            found = read_csv(artifacts.table(variant, "intervals"))
            rows += [{"variant": variant} | {column: row[column] for column in TOTALS} for row in found]
    if not rows:
        raise ThawError("metrics/ holds nothing of any variant of params.yaml; `thaw repro` measures them.")
    write_csv(artifacts.summary, rows)
