"""Draw images from a trained variant, restore test images with it, and lay out the sheets that show both."""

import filecmp
import time
from collections.abc import Callable

import torch
from torch import Tensor

from thaw.core.randomness import generator
from thaw.core.sheets import STRIP_COLUMNS, STRIP_IMAGES, write_sheet
from thaw.core.tensors import write_tensors
from thaw.data import Dataset, read_dataset, to_uint8
from thaw.diffusion.denoising import subsequence
from thaw.loading import load_model
from thaw.model import Model
from thaw.params import SampleBudget, read_params
from thaw.progress import Meter
from thaw.results.layout import Artifacts
from thaw.results.runs import record

SHOWN = 64
"""Images on a sheet of samples."""


def run(artifacts: Artifacts, variant: str) -> None:
    """Write samples/VARIANT and the sheets samples, milestones, reconstructions and chain.

    The images, all float32 and unclamped: `unconditional.SEED`; `full.SEED` and `half.SEED`, restorations from t = T
    and T/2 of the test images numbered in `restored`; and of the first seed `iterative.T` and `direct.T`, their
    restorations from other steps, by the sampler and by one answer of the network, and `milestone.POINT`.
    """
    began = time.monotonic()
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    budget, seed = params.budget.sample, params.variant(variant).sample.seed
    dataset = read_dataset(params.data, artifacts.root)
    first = load_model(artifacts, variant, params)
    seeds, milestones = first.seeds, first.milestones
    restored = torch.randperm(len(dataset.test), generator=generator("restored"))[: budget.reconstructions]
    x = dataset.to_range(dataset.test.pixels[restored])

    drawn: dict[str, Tensor] = {"restored": restored}
    best = artifacts.weights(variant, seeds[0])
    points = [
        point
        for point in milestones
        if budget.milestone_images > budget.images
        or not filecmp.cmp(best, artifacts.weights(variant, seeds[0], point), shallow=False)
    ]
    total = len(seeds) * budget.images + len(points) * budget.milestone_images
    with Meter(f"sample {variant}", total, "images") as meter:
        done = 0

        def images(model: Model, count: int) -> Tensor:
            nonlocal done
            made = model.sample(count, seed, progress=lambda n: meter.update(done + n))
            done += count
            return made

        for s in seeds:
            model = load_model(artifacts, variant, params, seed=s).model
            drawn[f"unconditional.{s}"] = images(model, budget.images)
            drawn[f"full.{s}"] = model.reconstruct(x, model.degradation.steps, seed)
            drawn[f"half.{s}"] = model.reconstruct(x, halfway(model), seed)
        for point in milestones:
            if point in points:
                model = load_model(artifacts, variant, params, point=point).model
                drawn[f"milestone.{point}"] = images(model, budget.milestone_images)
            else:  # the best weights, of which the images are there; the first are the same for every number of them
                drawn[f"milestone.{point}"] = drawn[f"unconditional.{seeds[0]}"][: budget.milestone_images].clone()
    drawn |= _severities(first.model, x, budget.severities, seed, drawn, seeds[0])
    write_tensors(artifacts.samples(variant), drawn)
    _sheets(artifacts, variant, first.model, dataset, drawn, seeds[0], budget, seed)
    record(artifacts.run(variant), "sample", time.monotonic() - began, first.model.device, images=total)


def halfway(model: Model) -> int:
    """The step T/2 from which images are restored, at least 1."""
    return max(1, model.degradation.steps // 2)


def _severities(
    model: Model, x: Tensor, count: int, seed: int, drawn: dict[str, Tensor], trained: int
) -> dict[str, Tensor]:
    """Restorations from `count` steps, those from T and T/2 as they were drawn already."""
    top = model.degradation.steps
    known = {top: drawn[f"full.{trained}"], halfway(model): drawn[f"half.{trained}"]}
    found = {}
    for t in sorted({halfway(model), *(max(1, top * k // count) for k in range(1, count + 1))}):
        found[f"iterative.{t}"] = known[t].clone() if t in known else model.reconstruct(x, t, seed)
        found[f"direct.{t}"] = model.reconstruct_directly(x, t, seed)
    return found


def _sheets(
    artifacts: Artifacts, variant: str, model: Model, dataset: Dataset, drawn: dict[str, Tensor], trained: int,
    budget: SampleBudget, seed: int,
) -> None:  # fmt: skip
    def write(name: str, rows: list[Tensor]) -> None:
        write_sheet(artifacts.sheet(variant, name), [to_uint8(row, dataset.half_range).numpy() for row in rows])

    samples = drawn[f"unconditional.{trained}"]
    write("samples", list(samples[: min(SHOWN, len(samples)) // 8 * 8 or len(samples)].split(8)))
    write("milestones", [drawn[name][:8] for name in drawn if name.startswith("milestone.")])

    x = dataset.to_range(dataset.test.pixels[drawn["restored"][:10]])
    top = model.degradation.steps
    rows = [x]
    for name, t in (("half", halfway(model)), ("full", top)):
        rows += [model.degrade(x, t, seed), drawn[f"{name}.{trained}"][:10]]
    write("reconstructions", rows)

    model.steps = budget.strip_steps
    write("chain", _chain(model, seed))


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
