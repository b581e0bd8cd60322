"""Which variants and which of their steps a figure shows, and how variants are grouped."""

from collections.abc import Callable, Iterable
from pathlib import Path

from thaw.core.sheets import STRIP_COLUMNS
from thaw.files import read_csv
from thaw.params import Choice, Params, Train
from thaw.results.layout import Artifacts


def table_paths(artifacts: Artifacts, params: Params, name: str) -> dict[str, Path]:
    """The tables of one name that the main comparison's variants have, by variant."""
    return existing(params, lambda variant: artifacts.table(variant, name))


def existing(params: Params, path: Callable[[str], Path]) -> dict[str, Path]:
    """The variants of the main comparison whose artifact is there, in the order of params.yaml, and its path."""
    return {variant: path(variant) for variant in params.compared if path(variant).exists()}


def different(params: Params, paths: dict[str, Path], key: Callable[[Train], Choice]) -> dict[str, Path]:
    """The first variant of each kind, by what `key` gives of its train block."""
    first: dict[str, str] = {}
    for variant in paths:
        first.setdefault(key(params.variant(variant).train).model_dump_json(), variant)
    return {variant: paths[variant] for variant in first.values()}


def family(params: Params, variant: str) -> str:
    """What a variant is compared with first: its kind of degradation and, for Gaussian noise, its network."""
    train = params.variant(variant).train
    if train.target == "adversarial":
        return "GAN"
    if train.degradation.name == "gaussian_noise":
        return "DDPM, CNN" if train.network.name == "cnn" else "DDPM, U-Nets"
    return "cold diffusion"


def by_family(params: Params, variants: Iterable[str]) -> dict[str, list[str]]:
    """The variants of each family, families and variants in the order of params.yaml."""
    families: dict[str, list[str]] = {}
    for variant in variants:
        families.setdefault(family(params, variant), []).append(variant)
    return families


def short_titles(params: Params, variants: Iterable[str]) -> dict[str, str]:
    """The titles of variants without the parts, between commas, that all of them share."""
    parts = {variant: params.title(variant).split(", ") for variant in variants}
    shared = set.intersection(*map(set, parts.values())) if len(parts) > 1 else set()
    return {variant: ", ".join(p for p in own if p not in shared) or own[0] for variant, own in parts.items()}


def kind(params: Params, variant: str) -> str:
    """The word for what a variant undoes, as part of a figure's name: its degradation, or gan."""
    train = params.variant(variant).train
    if train.target == "adversarial":
        return "gan"
    return train.degradation.name.removesuffix("_noise").replace("_", "-")


def gallery_page(params: Params, variant: str) -> str:
    """The page of the gallery that shows a variant, without its ending."""
    return "gallery-ddpm" if kind(params, variant) == "gaussian" else "gallery-cold"


def representatives(artifacts: Artifacts, params: Params, sheet: str) -> dict[str, str]:
    """For each kind of variant that has the sheet the one with the lowest Frechet distance, or else the first."""
    rows = [row for row in read_csv(artifacts.summary) if row["metric"] == "fid_infinite"]
    distances = {row["variant"]: float(row["value"]) for row in rows}
    members: dict[str, list[str]] = {}
    for variant in existing(params, lambda variant: artifacts.sheet(variant, sheet)):
        members.setdefault(kind(params, variant), []).append(variant)
    return {name: min(of, key=lambda variant: distances.get(variant, float("inf"))) for name, of in members.items()}


def representative_chains(artifacts: Artifacts, params: Params) -> dict[str, str]:
    """For each kind of degradation the variant whose chain stands for it; a GAN's single step is no chain."""
    return {name: of for name, of in representatives(artifacts, params, "chain").items() if name != "gan"}


def visited(params: Params, variant: str) -> list[int]:
    """The steps t that the columns of the sheet `chain` of a variant show.

    As `thaw.stages.sample` chooses them: evenly among those that the sampler visits, and 0 for the sample itself.
    """
    steps = params.variant(variant).train.degradation.options.get("steps", 1)
    count = min(params.budget.sample.strip_steps, steps)
    chain = [round(steps * (count - k) / count) for k in range(count + 1)]
    return [chain[round(k * (count - 1) / (STRIP_COLUMNS - 2))] for k in range(STRIP_COLUMNS - 1)] + [0]
