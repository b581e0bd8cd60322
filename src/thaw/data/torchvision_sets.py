"""The datasets that torchvision knows, downloaded by it where they are not there."""

import contextlib
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from PIL import Image

from thaw.data.images import TEST_FRACTION, Images, from_picture, split
from thaw.errors import ThawError
from thaw.params import Data, suggest

PREFIX = "torchvision:"
SPELLING = re.compile(rf"{PREFIX}(?P<name>\w+)(\((?P<options>[^()]*)\))?")
OWN_ARGUMENTS = {"root", "train", "download", "transform", "target_transform", "transforms", "loader"}


class UnknownSplitError(ThawError):
    """The dataset has no split of that name."""


def read_torchvision(data: Data, folder: Path) -> tuple[Images, Images]:
    """Read the (training, test) images of `torchvision:NAME` or `torchvision:NAME(option=value, ...)`.

    `folder` is torchvision's `root`. The two sets come from the `train` argument of the class, else from its `split`
    (`val` where it has no `test`); where it has neither, a seeded tenth of all images is the test set. Labels are kept
    where they are single numbers from 0 on.
    Raises ThawError where the name or an option is unknown, or where the files cannot be downloaded or read.
    """
    name, options = _spelled(data.dataset)
    dataset_class = _find(data, name)
    takes = _parameters(dataset_class)
    _check_options(data, name, takes, options)

    def read(**arguments: Any) -> Images:
        with _explained(data, name, "download" in takes):
            return _images(data, _open(dataset_class, takes, folder, {**options, **arguments}))

    if "train" in takes:
        return read(train=True), read(train=False)
    if "split" not in takes:
        return split(read(), TEST_FRACTION, data.seed)
    usual = str(takes["split"].default)
    train = read(split=options.get("split", usual if usual.startswith("train") else "train"))
    try:
        return train, read(split="test")
    except UnknownSplitError:
        return train, read(split="val")


def _spelled(dataset: str) -> tuple[str, dict[str, Any]]:
    """Take apart `torchvision:NAME(option=value, ...)`; a value of digits is a number."""
    match = SPELLING.fullmatch(dataset)
    pairs = [pair.partition("=") for pair in ((match and match["options"]) or "").split(",") if pair.strip()]
    if not match or not all(key.strip() and value.strip() for key, _, value in pairs):
        raise ThawError(
            f"params.yaml: data.dataset is {dataset!r}, but it should be spelled {PREFIX}NAME or "
            f"{PREFIX}NAME(option=value, option=value)."
        )
    values = {key.strip(): value.strip() for key, _, value in pairs}
    return match["name"], {key: int(value) if value.isdecimal() else value for key, value in values.items()}


def _find(data: Data, name: str) -> type:
    from torchvision import datasets  # here, because importing it takes longer than reading all of MNIST

    classes = {key: getattr(datasets, key) for key in datasets.__all__ if isinstance(getattr(datasets, key), type)}
    usable = {key: value for key, value in classes.items() if "root" in _parameters(value)}
    if name not in usable:
        raise ThawError(
            f"params.yaml: data.dataset is {data.dataset}, but torchvision has no dataset {name} that thaw can read"
            f"{suggest(name, usable)}; the page of torchvision.datasets lists its names."
        )
    return usable[name]


def _parameters(dataset_class: type) -> dict[str, inspect.Parameter]:
    """Find what a class takes, with what its **kwargs hand on to its parents."""
    found: dict[str, inspect.Parameter] = {}
    for ancestor in dataset_class.__mro__:
        if "__init__" not in vars(ancestor):
            continue
        parameters = inspect.signature(ancestor.__init__).parameters.values()  # type: ignore[misc]
        kinds = {parameter.kind for parameter in parameters}
        found = {parameter.name: parameter for parameter in parameters} | found
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    return {
        key: parameter
        for key, parameter in found.items()
        if key != "self" and parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }


def _check_options(
    data: Data, name: str, takes: Mapping[str, inspect.Parameter], options: Mapping[str, object]
) -> None:
    allowed = [key for key in takes if key not in OWN_ARGUMENTS]
    for key in options:
        if key not in allowed:
            raise ThawError(
                f"params.yaml: data.dataset is {data.dataset}, but {name} has no option {key}{suggest(key, allowed)}; "
                f"it has {', '.join(allowed) or 'none'}."
            )
    for key in allowed:
        if takes[key].default is inspect.Parameter.empty and key not in options:
            raise ThawError(
                f"params.yaml: data.dataset is {data.dataset}, but {name} needs the option {key}; "
                f"write {PREFIX}{name}({key}=...)."
            )


def _open(
    dataset_class: type, takes: Mapping[str, inspect.Parameter], folder: Path, arguments: Mapping[str, object]
) -> Any:
    if "download" not in takes:
        return dataset_class(root=folder, **arguments)
    try:
        return dataset_class(root=folder, download=False, **arguments)
    except (RuntimeError, FileNotFoundError):
        folder.mkdir(parents=True, exist_ok=True)
        # Variants that run side by side would write into one another's download.
        with FileLock(folder / ".download.lock"):
            return dataset_class(root=folder, download=True, **arguments)


@contextlib.contextmanager
def _explained(data: Data, name: str, has_download: bool) -> Iterator[None]:
    """Turn what torchvision, its downloads and its parsers raise into one sentence with a remedy."""
    try:
        yield
    except ThawError:
        raise
    except Exception as error:
        reason = textwrap.shorten(str(error) or type(error).__name__, 300)
        if reason.startswith("Unknown value"):
            raise UnknownSplitError(f"params.yaml: data.dataset is {data.dataset}, but {reason}") from None
        source = (
            f"delete a file that is broken and run again, or, without a connection, make the same call, "
            f"torchvision.datasets.{name}(root={data.path!r}, download=True), on a machine that has one and copy "
            f"what it writes to {data.path}"
            if has_download
            else f"put the files that torchvision.datasets.{name} reads into {data.path}, for it has no download"
        )
        raise ThawError(
            f"params.yaml: data.dataset {data.dataset} could not be had at {data.path} ({reason}); {source}."
        ) from None


def _images(data: Data, items: Any) -> Images:
    """All (picture, label) pairs of a torchvision dataset."""
    pixels = torch.empty((len(items), data.channels, data.pixels, data.pixels), dtype=torch.uint8)
    labels: list[int] = []
    for index in range(len(items)):
        picture, label = items[index][:2]
        if not isinstance(picture, Image.Image):
            raise ThawError(
                f"params.yaml: data.dataset is {data.dataset}, which gives a {type(picture).__name__} where thaw needs "
                "a picture; choose a dataset of torchvision's for image classification."
            )
        pixels[index] = from_picture(picture, data.pixels, data.channels)
        if isinstance(label, int | np.integer) and label >= 0:
            labels.append(int(label))
    return Images(pixels, torch.tensor(labels) if len(labels) == len(items) else None)
