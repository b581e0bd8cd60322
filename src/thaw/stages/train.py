"""Train every seed of a variant."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from thaw.artifacts import Artifacts
from thaw.assembly import build_degradation, build_network, build_target, image_shape
from thaw.data import Dataset, read_dataset
from thaw.files import replacing, write_csv
from thaw.hardware import accelerator, bf16_is_fast
from thaw.params import read_params
from thaw.runs import record
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
    degradation = build_degradation(block, shape, key)
    target = build_target(block, degradation, key)
    dataset = read_dataset(params.data, artifacts.root)
    description: dict[str, Any] = {
        "train": block.model_dump(mode="json"),
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
        trained[seed] = train(
            network, degradation, target, dataset, budget,
            ema_decay=block.ema_decay, seed=seed, checkpoint=artifacts.checkpoint(variant, seed),
            fingerprint=hashlib.sha256(f"{seed} {identity}".encode()).hexdigest(),
            label=f"train {variant}, seed {seed}",
        )  # fmt: skip
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
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        images=budget.images * len(budget.seeds),
    )  # fmt: skip
    shutil.rmtree(artifacts.checkpoint(variant, 0).parent, ignore_errors=True)


def _code() -> str:
    """A checksum of the code that training runs, so that no checkpoint outlives a change of it."""
    package = Path(__file__).parents[1]
    files = [file for name in CODE for file in (sorted((package / name).rglob("*.py")) or [package / name])]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _pixels(dataset: Dataset) -> str:
    """A checksum of the images, so that no checkpoint goes on with other ones."""
    parts = (dataset.train.pixels, dataset.validation.pixels)
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()
