"""Bring the metrics of all variants into one table."""

import csv

from thaw.errors import ThawError
from thaw.files import write_csv
from thaw.params import read_params
from thaw.results.layout import Artifacts


def run(artifacts: Artifacts) -> None:
    """Write plots/summary.csv: every metric of every variant of params.yaml, with its interval.

    Variants stand in alphabetical order, so that reordering them in params.yaml changes nothing; one without metrics
    is left out. Raises ThawError where no variant has any.
    """
    rows = []
    for variant in sorted(read_params(artifacts.params).variants):
        path = artifacts.table(variant, "intervals")
        if path.exists() and artifacts.metrics(variant).exists():
            with path.open() as file:
                rows += [{"variant": variant, **row} for row in csv.DictReader(file)]
    if not rows:
        raise ThawError("metrics/ holds nothing of any variant of params.yaml; `thaw repro` measures them.")
    write_csv(artifacts.summary, rows)
