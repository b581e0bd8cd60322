"""Train every seed of a variant."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import torch

from thaw.core import hardware
from thaw.core.cost import multiply_adds, parameters
from thaw.core.tensors import write_tensors
from thaw.data import Dataset, read_dataset
from thaw.errors import ThawError
from thaw.files import replacing, write_csv
from thaw.params import PARAMS_FILE, read_params
from thaw.results.layout import Artifacts
from thaw.results.runs import record
from thaw.training.adversarial import train_adversarial
from thaw.training.loop import train
from thaw.training.session import Session
from thaw.variant import build_degradation, build_network, build_target, precondition

CODE = ("core", "data", "degradations", "diffusion", "networks", "training", "choices.py", "variant.py")
"""What decides the outcome of a training, as paths in the package."""


def run(artifacts: Artifacts, variant: str) -> None:
    """Write models/VARIANT and the table of its losses, going on from checkpoints of the same training."""
    params = read_params(artifacts.params)
    block, budget = params.variant(variant).train, params.train_budget(variant)
    torch.set_num_threads(params.threads)
    key, shape, device = f"variants.{variant}.train", params.data.shape, hardware.device()
    degradation = build_degradation(block, params.data, key, artifacts.root)
    target = build_target(block, degradation, key)
    dataset = _first(read_dataset(params.data, artifacts.root), block.examples, key)
    description = {
        # Without what is left at its default, so that a new option does not change the models that lack it.
        "train": block.model_dump(mode="json", exclude_defaults=True, exclude={"trainings"}),
        "shape": shape,
        "half_range": params.data.half_range,
        "milestones": [f"{fraction:g}" for fraction in budget.milestones],
        "images": budget.images,
        "environment": hardware.environment(device),
    }
    identity = json.dumps([
        description, budget.model_dump(exclude={"seeds"}), params.data.model_dump(), params.threads, _code(),
        _pixels(dataset),
    ])  # fmt: skip
    trained = {}
    for seed in budget.seeds:
        torch.manual_seed(seed)
        network = precondition(build_network(block, shape, key), block, degradation)
        session = Session(
            budget, ema_decay=block.ema_decay, seed=seed, label=f"train {variant}, seed {seed}",
            checkpoint=artifacts.checkpoint(variant, seed),
            fingerprint=hashlib.sha256(f"{seed} {identity}".encode()).hexdigest(),
        )  # fmt: skip
        if block.target == "adversarial":
            trained[seed] = train_adversarial(session, network, degradation, dataset)
        else:
            trained[seed] = train(session, network, degradation, target, dataset, block.weighting)
    description["seeds"] = {str(seed): {"best_images": outcome.best_images} for seed, outcome in trained.items()}

    with replacing(artifacts.models(variant)) as folder:
        folder.mkdir()
        (folder / "model.json").write_text(json.dumps(description, indent=2) + "\n")
        for seed, outcome in trained.items():
            for point, weights in outcome.weights.items():
                write_tensors(folder / f"seed-{seed}" / f"{point}.safetensors", weights)
    write_csv(
        artifacts.table(variant, "loss"),
        [{"seed": s, **row} for s, outcome in trained.items() for row in outcome.curve],
    )
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
