"""Score a variant's images under the faulty protocols of the earlier evaluations, beside the right one."""

import csv
from typing import Any

import torch
from torch import Tensor

from thaw.artifacts import Artifacts
from thaw.data import read_dataset, to_uint8
from thaw.evaluation.audit import FAULTY_RESTORATIONS, FAULTY_SAMPLES, FEW, few_samples, one_image
from thaw.evaluation.classifier import features, load_classifier
from thaw.evaluation.frechet import frechet_distance, moments, read_moments
from thaw.evaluation.reconstruction import reconstruction_errors
from thaw.evaluation.rows import read_rows
from thaw.files import write_csv
from thaw.params import read_params
from thaw.randomness import generator
from thaw.training.checkpoint import read_tensors

DRAWS = 20
"""Subsets of few samples that are scored: one alone may be lucky."""
COLUMNS = ("fault", "metric", "right", "faulty", "low", "high", "n")


def run(artifacts: Artifacts, variant: str) -> None:
    """Write plots/audit/VARIANT.csv: a row for each fault and metric, with the right and the faulty value.

    Of the first training. `low` and `high` are the range of what the fault could have given, if it takes one of many.
    """
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    dataset = read_dataset(params.data, artifacts.root)
    network = load_classifier(artifacts.classifier)
    real = read_moments(artifacts.statistics)
    drawn, _ = read_tensors(artifacts.samples(variant))
    seed = min(int(name.removeprefix("unconditional.")) for name in drawn if name.startswith("unconditional."))
    samples, half_range = drawn[f"unconditional.{seed}"], dataset.half_range

    rows: list[dict[str, Any]] = []

    def add(fault: str, metric: str, right: float, faulty: float | None, n: int, low: float | None = None,
            high: float | None = None) -> None:  # fmt: skip
        rows.append({"fault": fault, "metric": metric, "right": right, "faulty": faulty, "low": low, "high": high,
                     "n": n})  # fmt: skip

    def distance(found: Tensor) -> float:
        return frechet_distance(real, moments(found))

    right_features = features(network, to_uint8(samples, half_range))
    right = distance(right_features)
    for name, faulty in FAULTY_SAMPLES.items():
        add(name, "fid_classifier", right, distance(features(network, faulty(samples, half_range))), len(samples))
    for count in (count for count in FEW if count < len(samples)):
        found = [distance(few_samples(right_features, count, generator("audit", count, k))) for k in range(DRAWS)]
        mean = sum(found) / DRAWS
        add(f"few_samples_{count}", "fid_classifier", right, mean, count, min(found), max(found))

    if params.variant(variant).train.target != "adversarial":
        originals = dataset.to_range(dataset.test.pixels[drawn["restored"]])
        restored = drawn[f"full.{seed}"]
        fair = reconstruction_errors(originals, restored, half_range)
        for name, scores in FAULTY_RESTORATIONS.items():
            for metric, values in scores(originals, restored, half_range).items():
                add(name, metric, float(fair[metric].mean()), float(values.mean()), len(values))

    for total in read_rows(artifacts.schedule(variant)):
        if total["metric"] == "ks_first_t":
            with artifacts.first_accepted(variant).open() as file:
                curves = [int(row["first_t"]) if row["first_t"] else None for row in csv.DictReader(file)]
            known = [t for t in curves if t is not None]
            low, high = (min(known), max(known)) if known else (None, None)
            add("one_image", "ks_first_t", total["value"], one_image(curves), len(curves), low, high)
    write_csv(artifacts.audit(variant), rows, COLUMNS)
