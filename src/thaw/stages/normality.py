"""What a variant's degradation does, without any training: its schedule, its distance from N(0, 1), its pictures."""

from typing import Any

import numpy as np
import torch

from thaw.artifacts import Artifacts
from thaw.assembly import build_degradation
from thaw.data import read_dataset, to_uint8
from thaw.diffusion.degradation import Mixture, NormalMixture
from thaw.evaluation.normality import first_accepted, normality, schedule_rows
from thaw.evaluation.rows import TOTALS
from thaw.evaluation.uniqueness import uniqueness
from thaw.files import write_csv
from thaw.params import read_params
from thaw.randomness import generator
from thaw.sheets import STRIP_COLUMNS, STRIP_IMAGES, write_sheet

UNIQUE_IMAGES = 1000
"""Test images whose z_T are compared with each other, at most."""


def run(artifacts: Artifacts, variant: str) -> None:
    """Write VARIANT.csv to plots/normality, first_accepted, schedule and uniqueness, and the sheet `forward` of z_t."""
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    settings = params.normality
    dataset = read_dataset(params.data, artifacts.root)
    degradation = build_degradation(
        params.variant(variant).train, params.data, f"variants.{variant}.train", artifacts.root
    )
    chosen = torch.randperm(len(dataset.test), generator=generator("normality images"))
    x = dataset.to_range(dataset.test.pixels[chosen[: settings.images]])

    steps = degradation.steps
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
    write_csv(artifacts.normality(variant), rows)
    curves = np.stack(list(tested.values()))  # (t, draws, images)
    write_csv(
        artifacts.first_accepted(variant),
        [
            {
                "draw": draw, "image": image,
                "first_t": first_accepted(list(tested), curves[:, draw, image].tolist(), settings.significance),
            }
            for draw in range(settings.draws)
            for image in range(len(x))
        ],
    )  # fmt: skip

    totals = schedule_rows(list(tested), curves, settings.significance, params.evaluation.confidence)
    write_csv(artifacts.schedule(variant), totals if isinstance(degradation, NormalMixture) else [], TOTALS)

    compared = dataset.test.subset(chosen[:UNIQUE_IMAGES])
    found = uniqueness(degradation, dataset.to_range(compared.pixels), compared.labels, dataset.half_range)
    write_csv(artifacts.uniqueness(variant), [{"t": steps} | found._asdict()])

    shown = x[:STRIP_IMAGES]
    source = degradation.draw_source(len(shown), generator("forward"), "test")
    columns = [
        degradation.degrade(shown, torch.full((len(shown),), t), source)
        for t in (round(steps * k / (STRIP_COLUMNS - 1)) for k in range(STRIP_COLUMNS))
    ]
    strips = torch.stack(columns, dim=1)  # (images, columns, C, H, W)
    write_sheet(artifacts.sheet(variant, "forward"), [to_uint8(strip, dataset.half_range).numpy() for strip in strips])
