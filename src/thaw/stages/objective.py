"""Measure what a variant was trained on: the loss on test images by t, and the bound on their likelihood."""

import time

import torch

from thaw.artifacts import Artifacts
from thaw.data import read_dataset
from thaw.diffusion.degradation import NormalMixture
from thaw.evaluation.objective import bounds, likelihood_table, loss_row, loss_table, test_losses
from thaw.evaluation.rows import TOTALS, Row, mean_row
from thaw.files import write_csv
from thaw.loading import load_model
from thaw.params import read_params
from thaw.runs import record

LOSSES = ("t", "tau", "test_loss", "low", "high", "n")
TERMS = ("term", "first_t", "last_t", "bits", "low", "high", "per_step", "n")


def run(artifacts: Artifacts, variant: str) -> None:
    """Write VARIANT.csv to plots/objective (the totals), plots/test_loss (by t) and plots/likelihood (by term).

    A table that a variant has no rows for (a generator has no loss, a cold degradation no likelihood) has its header.
    """
    began = time.monotonic()
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    dataset = read_dataset(params.data, artifacts.root)
    loaded = load_model(artifacts, variant, params)
    others = [load_model(artifacts, variant, params, seed=seed).model for seed in loaded.seeds[1:]]
    models = [loaded.model, *others]
    degradation = loaded.model.degradation
    budget, confidence = params.budget.objective, params.evaluation.confidence
    totals: list[Row] = []
    by_t: list[Row] = []
    by_term: list[Row] = []
    if params.variant(variant).train.target != "adversarial":
        t, values = test_losses(models, dataset, budget.test_images)
        totals.append(loss_row(t, values, degradation.steps, confidence, budget.resamples))
        by_t = loss_table(t, values, degradation.steps, confidence, budget.resamples)
    if isinstance(degradation, NormalMixture):
        options = loaded.model.sampling.sampler_options
        found = bounds(
            models, dataset, budget.likelihood_images, options.get("variance", "lower"), options.get("clamp", True)
        )
        dimensions = dataset.test.pixels[0].numel()
        values = torch.stack([bound.bits_per_dim(dimensions) for bound in found]).numpy()
        totals.append(mean_row("bits_per_dim", values, confidence, budget.resamples))
        by_term = likelihood_table(found, dimensions, degradation.steps, confidence, budget.resamples)
    write_csv(artifacts.objective(variant), totals, TOTALS)
    write_csv(artifacts.test_loss(variant), by_t, LOSSES)
    write_csv(artifacts.likelihood(variant), by_term, TERMS)
    record(artifacts.run(variant), "objective", time.monotonic() - began, loaded.model.device)
