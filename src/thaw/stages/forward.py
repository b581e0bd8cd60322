"""What a variant is before any training: what its degradation does to images, and what its network consists of."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from thaw.core.randomness import generator
from thaw.core.sheets import STRIP_COLUMNS, STRIP_IMAGES, write_sheet
from thaw.data import Dataset, read_dataset, to_uint8
from thaw.diffusion.degradation import Degradation, Mixture, NormalMixture
from thaw.evaluation.architecture import Block, blocks
from thaw.evaluation.background import grey_levels
from thaw.evaluation.matched import COLUMNS, matched_row, matched_table
from thaw.evaluation.normality import first_accepted, normality, schedule_rows
from thaw.evaluation.rows import Row
from thaw.evaluation.uniqueness import uniqueness
from thaw.files import write_csv
from thaw.metrics import TOTALS
from thaw.params import Params, read_params
from thaw.results.layout import Artifacts
from thaw.variant import build_degradation, build_network

UNIQUE_IMAGES = 1000
"""Test images whose z_T are compared with each other, at most."""


def run(artifacts: Artifacts, variant: str) -> None:
    """Write the tables normality, first_accepted, schedule, uniqueness, levels, matched and network.

    And the sheet `forward`. `schedule` has what metrics.json takes over: how near z_t comes to N(0, 1), and matched_t.
    """
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    dataset = read_dataset(params.data, artifacts.root)
    key = f"variants.{variant}.train"
    degradation = build_degradation(params.variant(variant).train, params.data, key, artifacts.root)
    chosen = torch.randperm(len(dataset.test), generator=generator("normality images"))
    x = dataset.to_range(dataset.test.pixels[chosen[: params.normality.images]])
    totals = _normality(artifacts, params, variant, degradation, x)

    matched = []
    if params.variant(variant).train.target != "adversarial":  # a generator restores nothing
        matched = matched_table(degradation, dataset, params.evaluation.classifier, params.evaluation.confidence)
        totals.append(matched_row(matched))
    write_csv(artifacts.table(variant, "matched"), matched, COLUMNS)
    write_csv(artifacts.table(variant, "schedule"), totals, TOTALS)

    compared = dataset.test.subset(chosen[:UNIQUE_IMAGES])
    found = uniqueness(degradation, dataset.to_range(compared.pixels), compared.labels, dataset.half_range)
    write_csv(artifacts.table(variant, "uniqueness"), [{"t": degradation.steps} | found._asdict()])
    write_csv(artifacts.table(variant, "levels"), _levels(degradation, dataset), ("level", "count"))
    write_csv(artifacts.table(variant, "network"), _network(params, variant))
    _strips(artifacts, variant, degradation, x[:STRIP_IMAGES], dataset.half_range)


def _normality(artifacts: Artifacts, params: Params, variant: str, degradation: Degradation, x: Tensor) -> list[Row]:
    """Write how near z_t of the images x comes to N(0, 1), by t and for every image and draw of the source.

    Its totals, where the degradation adds Gaussian noise.
    """
    settings, steps = params.normality, degradation.steps
    rows, tested = [], dict[int, Any]()
    for t in sorted({max(1, round(steps * k / (settings.points - 1))) for k in range(settings.points)}):
        step = torch.full((len(x),), t)
        sources = (
            degradation.draw_source(len(x), generator("normality", t, draw), "test") for draw in range(settings.draws)
        )
        distance = normality(torch.stack([degradation.degrade(x, step, source) for source in sources]))
        tested[t] = distance.p
        row: dict[str, Any] = {"t": t, "tau": t / steps, "alpha_bar": None, "beta": None}
        if isinstance(degradation, Mixture):
            row["alpha_bar"] = degradation.alpha_bar[t].item()
            row["beta"] = 1 - (degradation.alpha_bar[t] / degradation.alpha_bar[t - 1]).item()
        rows.append(row | distance.row(settings.significance))
    write_csv(artifacts.table(variant, "normality"), rows)
    curves = np.stack(list(tested.values()))  # (t, draws, images)
    write_csv(
        artifacts.table(variant, "first_accepted"),
        [
            {
                "draw": draw, "image": image,
                "first_t": first_accepted(list(tested), curves[:, draw, image].tolist(), settings.significance),
            }
            for draw in range(settings.draws)
            for image in range(len(x))
        ],
    )  # fmt: skip
    if not isinstance(degradation, NormalMixture):
        return []
    return schedule_rows(list(tested), curves, settings.significance, params.evaluation.confidence)


def _levels(degradation: Degradation, dataset: Dataset) -> list[dict[str, int]]:
    """How often each grey level occurs in what a zoom leaves of the training images at t = T; else nothing."""
    remaining = getattr(degradation, "remaining", None)
    return grey_levels(remaining(dataset.train.pixels)) if remaining else []


def _network(params: Params, variant: str) -> list[dict[str, Any]]:
    """A row for each block of the network: its part (a GAN has two) and what `Block.row` says of it."""
    train, shape = params.variant(variant).train, params.data.shape
    network = build_network(train, shape, f"variants.{variant}.train")
    parts: dict[str, list[Block]] = {}
    discriminator = getattr(network, "discriminator", None)
    if discriminator is None:
        parts["network"] = blocks(network, shape, ("z", "answer"))
    else:
        parts["generator"] = blocks(network, shape, ("z", "image"))
        parts["discriminator"] = blocks(discriminator(), shape, ("image", "logit"))
    return [{"variant": variant, "part": part, **block.row()} for part in parts for block in parts[part]]


def _strips(artifacts: Artifacts, variant: str, degradation: Degradation, x: Tensor, half_range: float) -> None:
    """Write a strip of z_t for each of a few images, evenly from t = 0 to T."""
    source = degradation.draw_source(len(x), generator("forward"), "test")
    columns = [
        degradation.degrade(x, torch.full((len(x),), t), source)
        for t in (round(degradation.steps * k / (STRIP_COLUMNS - 1)) for k in range(STRIP_COLUMNS))
    ]
    strips = torch.stack(columns, dim=1)  # (images, columns, C, H, W)
    write_sheet(artifacts.sheet(variant, "forward"), [to_uint8(strip, half_range).numpy() for strip in strips])
