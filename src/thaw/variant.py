"""A variant's four choices, found by name, constructed, and checked against each other."""

import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from thaw.choices import create, find, options
from thaw.diffusion.degradation import Degradation, Mixture, NormalMixture
from thaw.diffusion.objectives import TARGETS, Target
from thaw.diffusion.preconditioning import Preconditioned
from thaw.errors import ThawError
from thaw.params import ESTIMATES, PARAMS_FILE, Data, Params, Sample, Shape, Train, suggest

GIVEN_TO_SAMPLERS = ("degradation", "noise", "callback", "half_range")
GIVEN_TO_LATENTS = ("generator", "images")


def build_degradation(train: Train, data: Data, key: str, root: Path | None = None) -> Degradation:
    """The degradation that a train block names, for images as `data` describes them.

    `key` locates the block in params.yaml, and `root` is the project that a degradation reads its sources from (by
    default the one around the current folder).
    """
    degradation: Degradation = create(
        "degradation", train.degradation, f"{key}.degradation",
        shape=data.shape, key=f"{key}.degradation", data=data, root=root,
    )  # fmt: skip
    return degradation


def build_target(train: Train, degradation: Degradation, key: str) -> Target:
    """The prediction target. Raises ThawError where it cannot be told from what the degradation leaves."""
    if (train.target == "adversarial") != (train.degradation.name == "erase"):
        raise ThawError(
            f"{PARAMS_FILE}: {key}.target is {train.target}, but {key}.degradation.name is {train.degradation.name}; "
            "adversarial goes with erase, which leaves nothing to predict an image from, and erase with nothing else, "
            "so change one of the two."
        )
    if train.target in ("noise", "velocity") and not isinstance(degradation, Mixture):
        raise ThawError(
            f"{PARAMS_FILE}: {key}.target is {train.target}, which needs a source that is mixed into the image, but "
            f"{train.degradation.name} has none; take clean."
        )
    if train.weighting == "variational" and not (train.target == "noise" and isinstance(degradation, NormalMixture)):
        raise ThawError(
            f"{PARAMS_FILE}: {key}.weighting is variational, whose weights are those of the noise that is drawn from "
            "N(0, I); take simple, or target noise with degradation gaussian_noise."
        )
    if train.weighting == "uniform" and not train.preconditioned:
        raise ThawError(
            f"{PARAMS_FILE}: {key}.weighting is uniform, which weighs the answer of a preconditioned network; set "
            "preconditioned to true beside it, or take simple."
        )
    if train.preconditioned and not (train.target in ESTIMATES and isinstance(degradation, NormalMixture)):
        raise ThawError(
            f"{PARAMS_FILE}: {key}.preconditioned is true, which takes noise that is drawn from N(0, I) and the target "
            "noise or clean; remove it."
        )
    target: Target = TARGETS[train.target](degradation)
    return target


def build_network(train: Train, shape: Shape, key: str) -> nn.Module:
    """The network, in channels-last memory, with weights as torch's generator draws them.

    Raises ThawError where the target is adversarial and the network no generator, or the other way round.
    """
    network: nn.Module = create("network", train.network, f"{key}.network", shape=shape, key=f"{key}.network")
    if (train.target == "adversarial") != hasattr(network, "discriminator"):
        raise ThawError(
            f"{PARAMS_FILE}: {key}.target is {train.target}, but {key}.network.name is {train.network.name}; "
            "adversarial goes with a network that has a discriminator, as dcgan, and that with nothing else, so change "
            "one of the two."
        )
    return network.to(memory_format=torch.channels_last)


def precondition(network: nn.Module, train: Train, degradation: Degradation) -> nn.Module:
    """The network as it is trained and asked: inside the best linear estimate where the train block says so."""
    if not train.preconditioned:
        return network
    assert isinstance(degradation, NormalMixture), "build_target refuses others"
    return Preconditioned(network, degradation, cast(Literal["noise", "clean"], train.target))


@dataclass(frozen=True)
class Sampling:
    """A checked sample block: the sampler's function and options, and the latent's name and options."""

    sampler: Callable[..., Tensor]
    sampler_options: dict[str, Any]
    latent: str
    latent_options: dict[str, Any]


def build_sampling(sample: Sample, degradation: Degradation, key: str) -> Sampling:
    """Check a sample block against the degradation. Raises ThawError where the two do not go together."""
    sampler = find("sampler", sample.sampler.name, f"{key}.sampler")
    needed = typing.get_type_hints(sampler)["degradation"]
    if not isinstance(degradation, needed):
        why = "a source drawn from N(0, I)" if isinstance(degradation, Mixture) else "a source mixed into the image"
        raise ThawError(
            f"{PARAMS_FILE}: {key}.sampler.name is {sample.sampler.name}, which needs {why}, but "
            f"{_snake(degradation)} has none; take cold_naive, cold_improved or direct."
        )
    if sample.latent.name not in degradation.latents:
        raise ThawError(
            f"{PARAMS_FILE}: {key}.latent.name is {sample.latent.name!r}, which is no latent of "
            f"{_snake(degradation)}{suggest(sample.latent.name, degradation.latents)}; "
            f"there are {', '.join(degradation.latents)}."
        )
    latent = degradation.latents[sample.latent.name]
    return Sampling(
        sampler,
        options(sampler, sample.sampler, f"{key}.sampler", GIVEN_TO_SAMPLERS),
        sample.latent.name,
        options(latent, sample.latent, f"{key}.latent", GIVEN_TO_LATENTS),
    )


def check(params: Params) -> None:
    """Refuse, before any work, whatever does not go together. Raises ThawError with the reason."""
    shape = params.data.shape
    for name, variant in params.variants.items():
        degradation = build_degradation(variant.train, params.data, f"variants.{name}.train")
        build_target(variant.train, degradation, f"variants.{name}.train")
        build_sampling(variant.sample, degradation, f"variants.{name}.sample")
        with torch.device("meta"):
            build_network(variant.train, shape, f"variants.{name}.train")


def _snake(degradation: Degradation) -> str:
    return type(degradation).__module__.rsplit(".", 1)[-1]
