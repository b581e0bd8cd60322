"""Draw images from a trained variant, restore test images with it, and lay out the sheets that show both."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from thaw.core.randomness import generator
from thaw.core.sheets import STRIP_COLUMNS, STRIP_IMAGES, shown, write_sheet
from thaw.core.tensors import write_tensors
from thaw.data import read_dataset, to_uint8
from thaw.diffusion.denoising import subsequence
from thaw.files import read_csv, reading
from thaw.loading import load_model
from thaw.model import Model
from thaw.params import SampleBudget, read_params
from thaw.progress import Meter
from thaw.results.layout import Artifacts
from thaw.results.runs import record

SHOWN = 64
"""Images on a sheet of samples."""
ACROSS = 8
"""Images side by side on a sheet of samples or of milestones."""
RESTORED = 10
"""The same on the sheet `reconstructions`."""


def run(artifacts: Artifacts, variant: str) -> None:
    """Write samples/VARIANT and the sheets of the variant.

    The images, all float32 and unclamped: `unconditional.SEED`; `full.SEED` and `matched.SEED`, restorations from t = T
    and from the t of matched severity of the test images numbered in `restored`; and of the first seed
    `milestone.POINT`, and `iterative.T` and `direct.T`, restorations of the first of these images from other steps, by
    the sampler and by one answer of the network. A generator, which has no matched t, restores nothing.
    """
    began = time.monotonic()
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    budget, seed = params.budget.sample, params.variant(variant).sample.seed
    dataset = read_dataset(params.data, artifacts.root)
    first = load_model(artifacts, variant, params)
    seeds, points = first.seeds, first.milestones
    matched = matched_step(artifacts, variant)
    restored = torch.randperm(len(dataset.test), generator=generator("restored"))[: budget.reconstructions]
    x = dataset.to_range(dataset.test.pixels[restored])

    drawn: dict[str, Tensor] = {"restored": restored}
    learning: list[Tensor] = []
    total = len(seeds) * budget.images + len(points) * budget.milestone_images
    with Meter(f"sample {variant}", total, "images") as meter:
        done = 0

        def images(model: Model, count: int, steps: int | None = None) -> Tensor:
            nonlocal done
            made = model.sample(count, seed, steps, progress=lambda n: meter.update(done + n))
            done += count
            return made

        for s in seeds:
            model = load_model(artifacts, variant, params, seed=s).model
            drawn[f"unconditional.{s}"] = images(model, budget.images)
            if matched:
                drawn[f"full.{s}"] = model.reconstruct(x, model.degradation.steps, seed)
                drawn[f"matched.{s}"] = model.reconstruct(x, matched, seed)
        for point in points:
            model = load_model(artifacts, variant, params, point=point).model
            drawn[f"milestone.{point}"] = images(model, budget.milestone_images, budget.milestone_steps)
            if matched and point in shown(points):
                learning.append(model.reconstruct(x[:ACROSS], matched, seed))
    if matched:
        drawn |= _severities(first.model, x, matched, budget, seed, drawn, seeds[0])
    write_tensors(artifacts.samples(variant), drawn)

    def write(name: str, rows: Sequence[Tensor]) -> None:
        write_sheet(artifacts.sheet(variant, name), [to_uint8(row, dataset.half_range).numpy() for row in rows])

    samples = drawn[f"unconditional.{seeds[0]}"]
    write("samples", samples[: min(SHOWN, len(samples)) // ACROSS * ACROSS or len(samples)].split(ACROSS))
    write("milestones", [drawn[f"milestone.{point}"][:ACROSS] for point in shown(points)])
    if matched:
        few = x[:ACROSS]
        write("milestone_restorations", [few, first.model.degrade(few, matched, seed), *learning])
        rows, some = [x[:RESTORED]], x[:RESTORED]
        for name, t in (("matched", matched), ("full", first.model.degradation.steps)):
            rows += [first.model.degrade(some, t, seed), drawn[f"{name}.{seeds[0]}"][:RESTORED]]
        write("reconstructions", rows)
    first.model.steps = budget.strip_steps
    write("chain", _chain(first.model, seed))
    record(artifacts.run(variant), "sample", time.monotonic() - began, first.model.device, images=total)


def matched_step(artifacts: Artifacts, variant: str) -> int | None:
    """The t of matched severity that the stage `forward` found, or None for a variant that restores nothing."""
    path = artifacts.table(variant, "matched")
    with reading(path):
        return next((int(row["t"]) for row in read_csv(path, needed=True) if row["matched"] == "1"), None)


def _severities(
    model: Model, x: Tensor, matched: int, budget: SampleBudget, seed: int, drawn: dict[str, Tensor], trained: int
) -> dict[str, Tensor]:
    """Restorations of the first images from several steps, from T and the matched t as they were drawn already."""
    top, count, x = model.degradation.steps, budget.severities, x[: budget.severity_images]
    known = {top: drawn[f"full.{trained}"], matched: drawn[f"matched.{trained}"]}
    found = {}
    for t in sorted({matched, *(max(1, top * k // count) for k in range(1, count + 1))}):
        found[f"iterative.{t}"] = known[t][: len(x)].clone() if t in known else model.reconstruct(x, t, seed)
        found[f"direct.{t}"] = model.reconstruct_directly(x, t, seed)
    return found


def _chain(model: Model, seed: int) -> list[Tensor]:
    """The way from z_T to x of a few images: rows alternate z_t and the estimate of x, columns go down in t."""
    chain = subsequence(model.degradation.steps, model.steps)
    visits = [chain[round(k * (len(chain) - 2) / (STRIP_COLUMNS - 2))] for k in range(STRIP_COLUMNS - 1)]
    latents: dict[int, Tensor] = {}
    estimates: dict[int, Tensor] = {}

    def watch(t: int, z: Tensor, clean: Tensor) -> None:
        if t in visits:
            latents[t], estimates[t] = z.cpu(), clean.cpu()

    x = model.sample(STRIP_IMAGES, seed, callback=watch)
    columns: Callable[[dict[int, Tensor], int], list[Tensor]] = lambda of, i: [of[t][i] for t in visits] + [x[i]]  # noqa: E731
    return [torch.stack(columns(of, i)) for i in range(STRIP_IMAGES) for of in (latents, estimates)]
