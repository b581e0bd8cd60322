"""Loading trained variants: for the stages, and for whoever writes `thaw.load("ddpm-linear")`."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from thaw.core.hardware import device
from thaw.core.tensors import read_tensors
from thaw.data import read_dataset
from thaw.errors import ThawError
from thaw.files import read_json, reading
from thaw.model import Model
from thaw.params import Params, Train, read_params
from thaw.results.layout import Artifacts, find_root
from thaw.results.runs import read_run
from thaw.variant import build_degradation, build_network, build_sampling, build_target, precondition


@dataclass(frozen=True)
class Loaded:
    """A model, and what else its variant has: images seen in training, seeds of its trainings, milestones."""

    model: Model
    images: int
    seeds: list[int]
    milestones: list[str]


def load(variant: str, *, seed: int | None = None, point: str = "best", root: Path | str | None = None) -> Model:
    """The trained model of a variant, ready to degrade, restore and sample.

    `seed` selects one of several trainings (the first by default), `point` the `best` weights or a milestone such as
    `"0.5"`, and `root` the project (by default the one around the current folder, else the one thaw stands in). The
    sampler is that of params.yaml, in as many steps as its budget says, so results are those of the stages. Raises
    ThawError where there is no such variant, or its weights are not on this machine, damaged or no finite numbers.
    """
    try:
        artifacts = Artifacts(find_root(Path(root) if root else None))
    except ThawError:
        if root:
            raise
        artifacts = Artifacts(find_root(Path(__file__)))
    return load_model(artifacts, variant, read_params(artifacts.params), seed=seed, point=point).model


def load_model(
    artifacts: Artifacts, variant: str, params: Params, *, seed: int | None = None, point: str = "best"
) -> Loaded:
    """A variant's model by its artifacts and parameters. Raises ThawError as `load` does."""
    block = params.variant(variant)
    path = artifacts.models(variant) / "model.json"
    if not path.exists():
        raise ThawError(f"models/{variant} is not on this machine; {_remedy(artifacts, variant)}")
    with reading(path):
        description = read_json(path)
        trained = Train.model_validate(description["train"])
        images_seen, seeds = int(description["images"]), [int(s) for s in description["seeds"]]
        milestones = [str(point) for point in description["milestones"]]
    if trained != block.train.model_copy(update={"trainings": None}):
        raise ThawError(f"models/{variant} was trained with other parameters; {_remedy(artifacts, variant)}")
    weights = artifacts.weights(variant, seeds[0] if seed is None else seed, point)
    if not weights.exists():
        points = sorted(file.stem for file in weights.parent.glob("*.safetensors"))
        raise ThawError(
            f"{weights.relative_to(artifacts.root)} does not exist; {variant} has the seeds {seeds}, "
            f"each with {', '.join(points) or 'the points best and its milestones'}."
        )
    shape = params.data.shape
    degradation = build_degradation(block.train, params.data, f"variants.{variant}.train", artifacts.root)
    network = precondition(build_network(block.train, shape, f"variants.{variant}.train"), block.train, degradation)
    with reading(weights):
        state, _ = read_tensors(weights)
        network.load_state_dict(state)
        if not all(value.isfinite().all() for value in state.values()):
            raise ValueError("weights in it are no finite numbers")

    @functools.cache
    def images() -> Tensor:
        dataset = read_dataset(params.data, artifacts.root)
        return dataset.to_range(dataset.train.pixels)

    model = Model(
        network,
        degradation,
        build_target(block.train, degradation, f"variants.{variant}.train"),
        build_sampling(block.sample, degradation, f"variants.{variant}.sample"),
        params.data.half_range,
        params.sampling_steps(variant),
        images,
        device(),
    )
    torch.set_num_threads(params.threads)
    return Loaded(model, images_seen, seeds, milestones)


def _remedy(artifacts: Artifacts, variant: str) -> str:
    command = f"`dvc repro train@{variant}` trains it"
    if artifacts.run(variant).exists():
        minutes = read_run(artifacts.run(variant)).get("train", {}).get("seconds", 0) / 60
        command += f" (it took {minutes:.0f} minutes)"
    return f"{command}, or `dvc pull` brings it where a DVC remote has it."
