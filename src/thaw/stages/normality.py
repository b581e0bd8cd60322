"""What a variant's degradation does, without any training: its schedule, its distance from N(0, 1), its pictures."""

import torch

from thaw.artifacts import Artifacts
from thaw.assembly import build_degradation
from thaw.data import read_dataset, to_uint8
from thaw.diffusion.degradation import Mixture
from thaw.evaluation.normality import normality
from thaw.evaluation.uniqueness import uniqueness
from thaw.files import write_csv
from thaw.params import read_params
from thaw.randomness import generator
from thaw.sheets import STRIP_COLUMNS, STRIP_IMAGES, write_sheet

UNIQUE_IMAGES = 1000
"""Test images whose z_T are compared with each other, at most."""


def run(artifacts: Artifacts, variant: str) -> None:
    """Write VARIANT.csv to plots/normality and plots/uniqueness, and the sheet `forward`: x and z_t at spread t."""
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
    rows = []
    for t in sorted({max(1, round(steps * k / (settings.points - 1))) for k in range(settings.points)}):
        distance = normality(degradation, x, t, settings.draws, settings.significance)
        row: dict[str, float | int | None] = {"t": t, "tau": t / steps, "alpha_bar": None, "beta": None}
        if isinstance(degradation, Mixture):
            row["alpha_bar"] = degradation.alpha_bar[t].item()
            row["beta"] = 1 - (degradation.alpha_bar[t] / degradation.alpha_bar[t - 1]).item()
        rows.append(row | distance._asdict())
    write_csv(artifacts.normality(variant), rows)

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
