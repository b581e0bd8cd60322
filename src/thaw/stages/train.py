"""Train every seed of a variant."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from thaw.artifacts import Artifacts
from thaw.assembly import build_degradation, build_network, build_target, image_shape
from thaw.data import Dataset, read_dataset
from thaw.diffusion.objectives import variational_weights
from thaw.errors import ThawError
from thaw.files import replacing, write_csv
from thaw.hardware import accelerator, bf16_is_fast
from thaw.networks._cost import multiply_adds, parameters
from thaw.params import PARAMS_FILE, read_params
from thaw.runs import record
from thaw.training.adversarial import train_adversarial
from thaw.training.checkpoint import write_tensors
from thaw.training.loop import train

CODE = ("data", "diffusion", "networks", "training", "assembly.py", "choices.py", "hardware.py", "randomness.py")
"""What decides the outcome of a training, as paths in the package."""


def run(artifacts: Artifacts, variant: str) -> None:
    """Write models/VARIANT and plots/loss/VARIANT.csv, going on from checkpoints of the same training."""
    params = read_params(artifacts.params)
    block, budget = params.variant(variant).train, params.train_budget(variant)
    torch.set_num_threads(params.threads)
    key, shape = f"variants.{variant}.train", image_shape(params.data)
    degradation = build_degradation(block, params.data, key, artifacts.root)
    target = build_target(block, degradation, key)
    dataset = _first(read_dataset(params.data, artifacts.root), block.examples, key)
    description: dict[str, Any] = {
        # Without what is left at its default, so that a new option does not change the models that lack it.
        "train": block.model_dump(mode="json", exclude_defaults=True, exclude={"trainings"}),
        "shape": shape,
        "half_range": params.data.half_range,
        "milestones": [f"{fraction:g}" for fraction in budget.milestones],
        "images": budget.images,
        "seeds": {},
    }
    device = accelerator().device
    identity = json.dumps(
        [
            description,
            budget.model_dump(exclude={"seeds"}),
            params.data.model_dump(),
            params.threads,
            _code(),
            _pixels(dataset),
            torch.__version__,
            str(device),
            bf16_is_fast(device),
        ]
    )
    trained = {}
    for seed in budget.seeds:
        torch.manual_seed(seed)
        network = build_network(block, shape, key)
        common: dict[str, Any] = {
            "ema_decay": block.ema_decay,
            "seed": seed,
            "checkpoint": artifacts.checkpoint(variant, seed),
            "fingerprint": hashlib.sha256(f"{seed} {identity}".encode()).hexdigest(),
            "label": f"train {variant}, seed {seed}",
        }
        if block.target == "adversarial":
            trained[seed] = train_adversarial(network, degradation, dataset, budget, **common)
        else:
            step_weights = variational_weights(degradation) if block.weighting == "variational" else None
            trained[seed] = train(network, degradation, target, dataset, budget, step_weights=step_weights, **common)
        description["seeds"][str(seed)] = {"best_images": trained[seed].best_images}

    with replacing(artifacts.models(variant)) as folder:
        folder.mkdir()
        (folder / "model.json").write_text(json.dumps(description, indent=2) + "\n")
        for seed, outcome in trained.items():
            for point, weights in outcome.weights.items():
                write_tensors(folder / f"seed-{seed}" / f"{point}.safetensors", weights)
    write_csv(artifacts.loss(variant), [{"seed": s, **row} for s, outcome in trained.items() for row in outcome.curve])
    record(
        artifacts.run(variant), "train", sum(outcome.seconds for outcome in trained.values()), device,
        parameters=parameters(network), multiply_adds=multiply_adds(network, shape),
        images=budget.images * len(budget.seeds),
    )  # fmt: skip
    shutil.rmtree(artifacts.checkpoint(variant, 0).parent, ignore_errors=True)


def _first(dataset: Dataset, examples: int | None, key: str) -> Dataset:
    """The dataset with its first training images only, where a variant asks for so many."""
    if examples is None:
        return dataset
    if examples > len(dataset.train):
        raise ThawError(
            f"{PARAMS_FILE}: {key}.examples is {examples}, but there are only {len(dataset.train)} training images; "
            "take a smaller number."
        )
    return dataclasses.replace(dataset, train=dataset.train.subset(torch.arange(examples)))


def _code() -> str:
    """A checksum of the code that training runs, so that no checkpoint outlives a change of it."""
    package = Path(__file__).parents[1]
    files = [file for name in CODE for file in (sorted((package / name).rglob("*.py")) or [package / name])]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _pixels(dataset: Dataset) -> str:
    """A checksum of the images, so that no checkpoint goes on with other ones."""
    parts = (dataset.train.pixels, dataset.validation.pixels)
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()
