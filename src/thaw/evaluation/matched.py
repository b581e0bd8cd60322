"""Matched severity: the step from which restorations by different degradations are set side by side.

Half of the steps of a blur leave a digit that anyone reads, and half of those of a zoom leave none, so restorations
from T/2 do not compare. Here is the step at which as much of the digit is left.
"""

import functools

import torch
from torch import Tensor

from thaw.core.randomness import generator
from thaw.data import Dataset
from thaw.diffusion.degradation import Degradation, Mixture
from thaw.evaluation.classifier import predict, train_classifier
from thaw.evaluation.intervals import Interval, proportion_interval
from thaw.evaluation.rows import WILSON, Row, row
from thaw.params import Classifier

ALPHA_BAR = 1 / 4
"""What is left of the variance of an image where a mixture is as severe as the others."""
READ = 1 / 2
"""The share of degraded test images that a classifier still reads where another degradation is."""
EPOCHS = 2
"""Of the training of that classifier."""
STEPS = 30
"""Steps at which it is tested, at most."""
TESTED = 2000
"""Test images that it is tested on, at most."""
COLUMNS = ("t", "alpha_bar", "accuracy", "low", "high", "n", "matched")


def matched_table(degradation: Degradation, dataset: Dataset, params: Classifier, confidence: float) -> list[Row]:
    """The steps among which the matched one was chosen, with the accuracy of a classifier; `matched` is 1 for that one.

    For a mixture it is the step whose alpha_bar is nearest to ALPHA_BAR, which needs no classifier. For another
    degradation it is the last one at which a classifier that was trained on degraded images, of any step, reads as many
    as READ of the test images; for one of images without labels, T/2.
    """
    if isinstance(degradation, Mixture):
        t = 1 + int((degradation.alpha_bar[1:] - ALPHA_BAR).abs().argmin())
        return [_entry(t, alpha_bar=degradation.alpha_bar[t].item(), matched=1)]
    if dataset.train.labels is None or dataset.test.labels is None:
        return [_entry(max(1, degradation.steps // 2), matched=1)]
    degraded = functools.partial(_degraded, degradation, dataset)
    settings = params.model_copy(update={"epochs": EPOCHS})
    network = train_classifier(dataset.train, settings, degraded, name="a classifier of degraded images")
    chosen = torch.randperm(len(dataset.test), generator=generator("matched images"))[:TESTED]
    images, labels = dataset.test.pixels[chosen], dataset.test.labels[chosen]
    rows = []
    count = min(STEPS, degradation.steps)
    for t in sorted({round(degradation.steps * k / count) for k in range(1, count + 1)}):
        seen = degraded(images, generator("matched", t), t)
        share = (predict(network, seen) == labels).double().mean().item()
        found = proportion_interval(share, len(images), confidence)
        rows.append(_entry(t, accuracy=found.value, low=found.low, high=found.high, n=len(images)))
    last = _last(rows, "accuracy")
    return [{**found, "matched": int(found["t"] == last)} for found in rows]


def _entry(t: int, **known: float) -> Row:
    return {"t": t, "alpha_bar": None, "accuracy": None, "low": None, "high": None, "n": 0, "matched": 0} | known


def _degraded(
    degradation: Degradation, dataset: Dataset, pixels: Tensor, stream: torch.Generator, t: int | None = None
) -> Tensor:
    """z_t of uint8 images in grey levels, for one t or a random one of each image."""
    steps = torch.randint(1, degradation.steps + 1, (len(pixels),), generator=stream)
    if t is not None:
        steps.fill_(t)
    source = degradation.draw_source(len(pixels), stream, "test" if t else "train")
    return dataset.to_uint8(degradation.degrade(dataset.to_range(pixels), steps, source))


def _last(rows: list[Row], column: str) -> int:
    """The last step at which a column reaches READ, or the first of all."""
    return max((found["t"] for found in rows if found[column] >= READ), default=rows[0]["t"])


def matched_row(rows: list[Row]) -> Row:
    """matched_t, with the steps that the bounds of the accuracies would give, or exactly where there are none."""
    value = next(found["t"] for found in rows if found["matched"])
    if not rows[0]["n"]:
        return row("matched_t", Interval(value, value, value), 0, 0, "")
    return row("matched_t", Interval(value, _last(rows, "low"), _last(rows, "high")), rows[0]["n"], 0, WILSON)
