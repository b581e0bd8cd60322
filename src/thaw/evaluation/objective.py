"""The training objective on test images as a function of t, and the bound on their likelihood, term by term.

The mean over t, which the earlier reports compared, weighs steps that are nearly free of any choice with those that
decide about an image; the two tables here take it apart.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thaw.core.hardware import autocast
from thaw.core.randomness import generator
from thaw.data import Dataset
from thaw.diffusion.degradation import NormalMixture
from thaw.diffusion.likelihood import Bound, Variance, strata, variational_bound
from thaw.diffusion.objectives import losses
from thaw.evaluation.bootstrap import mean_interval, stratified_mean_interval
from thaw.evaluation.intervals import with_trainings
from thaw.evaluation.rows import BOOTSTRAP, Row, row
from thaw.model import Model

BATCH = 250
BINS = 20
"""Points of the curve of the loss against t, at most."""
STRATA = 24
"""Intervals of t from each of which one term of the bound is drawn, at most."""

Array = npt.NDArray[np.float64]


@torch.inference_mode()
def test_losses(models: list[Model], dataset: Dataset, count: int) -> tuple[Tensor, Array]:
    """Steps (n,) spread evenly over 1..T, and the loss of each test image at its step, (trainings, n).

    Images, steps and sources are the same for every training and every run.
    """
    degradation = models[0].degradation
    chosen = torch.randperm(len(dataset.test), generator=generator("test loss images"))[:count]
    x = dataset.to_range(dataset.test.pixels[chosen])
    t = 1 + (2 * torch.arange(len(x)) + 1) * degradation.steps // (2 * len(x))  # the middles of n equal parts of 1..T
    source = degradation.draw_source(len(x), generator("test loss source"), "test")

    def loss(model: Model, part: slice) -> Tensor:
        with autocast(model.device):
            drawn = None if source is None else source[part].to(model.device)
            device = model.device
            return losses(model.network, degradation, model.target, x[part].to(device), t[part].to(device), drawn).cpu()

    parts = [slice(first, first + BATCH) for first in range(0, len(x), BATCH)]
    values = torch.stack([torch.cat([loss(model, part) for part in parts]) for model in models])
    return t, values.double().numpy()


def bins(t: Tensor, steps: int) -> npt.NDArray[np.int64]:
    """The number of the equal interval of 1..T that each step of t (n,) lies in, at most BINS of them."""
    found: npt.NDArray[np.int64] = ((t - 1) * min(BINS, steps) // steps).numpy()
    return found


def loss_row(t: Tensor, values: Array, steps: int, confidence: float, resamples: int) -> Row:
    """test_loss, the mean over images whose steps were spread evenly: t is (n,), values (trainings, n)."""
    interval = stratified_mean_interval(values, bins(t, steps), confidence, resamples, generator("test_loss"))
    interval = with_trainings(interval, values.mean(1), confidence)
    return row("test_loss", interval, values.shape[1], len(values), f"{BOOTSTRAP} within intervals of t")


def loss_table(t: Tensor, values: Array, steps: int, confidence: float, resamples: int) -> list[Row]:
    """The mean loss in equal intervals of t, with its interval: t is (n,), values (trainings, n)."""
    place = bins(t, steps)
    rows = []
    for index in sorted(set(place.tolist())):
        inside = place == index
        found = mean_interval(values[:, inside], confidence, resamples, generator("test loss", index))
        found = with_trainings(found, values[:, inside].mean(1), confidence)
        middle = t.numpy()[inside].mean()
        rows.append({"t": float(middle), "tau": float(middle / steps), "test_loss": found.value, "low": found.low,
                     "high": found.high, "n": int(inside.sum())})  # fmt: skip
    return rows


@torch.inference_mode()
def bounds(models: list[Model], dataset: Dataset, count: int, variance: Variance, clamp: bool) -> list[Bound]:
    """The terms of the variational bound on `count` test images, for every training; the same draws for each."""
    degradation = models[0].degradation
    assert isinstance(degradation, NormalMixture), "only Gaussian noise has a likelihood"
    chosen = torch.randperm(len(dataset.test), generator=generator("likelihood images"))[:count]
    x = dataset.to_range(dataset.test.pixels[chosen])
    intervals = strata(degradation.steps, STRATA)

    def bound(model: Model) -> Bound:
        def estimate(z: Tensor, t: Tensor) -> Tensor:
            z, t = z.to(model.device), t.to(model.device)
            with autocast(model.device):
                output = model.network(z, t.to(z.dtype) / degradation.steps)
            return model.target.clean(output.float(), z, t).cpu()

        parts = [
            variational_bound(
                estimate, degradation, part, intervals, generator("likelihood", index),
                half_range=dataset.half_range, variance=variance, clamp=clamp,
            )
            for index, part in enumerate(x.split(BATCH))
        ]  # fmt: skip
        return Bound(*(torch.cat(terms) for terms in zip(*parts, strict=True)))

    return [bound(model) for model in models]


def likelihood_table(bounded: list[Bound], dimensions: int, steps: int, confidence: float, resamples: int) -> list[Row]:
    """Every term of the bound in bits per dimension, with its interval over images.

    L_0 and L_T have a row each, and so has every interval of t between them: `bits` is the sum of its terms, `per_step`
    that divided by their number.
    """
    scale = 1 / (dimensions * math.log(2))
    terms = [("L_0", 1, 1, torch.stack([b.decoder for b in bounded]))]
    terms += [
        ("L_t", low, high, torch.stack([b.steps[:, index] for b in bounded]))
        for index, (low, high) in enumerate(strata(steps, STRATA))
    ]
    terms.append(("L_T", steps, steps, torch.stack([b.prior for b in bounded])))
    rows = []
    for name, low, high, values in terms:
        found = scale * values.numpy()
        interval = mean_interval(found, confidence, resamples, generator("likelihood", name, low))
        interval = with_trainings(interval, found.mean(1), confidence)
        rows.append({
            "term": name, "first_t": low, "last_t": high, "bits": interval.value, "low": interval.low,
            "high": interval.high, "per_step": interval.value / (high - low + 1), "n": values.shape[1],
        })  # fmt: skip
    return rows
