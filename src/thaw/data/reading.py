"""From the block `data` of params.yaml to a dataset in memory."""

import functools
from pathlib import Path

from thaw.data.folder import read_folder
from thaw.data.idx import SHA256, read_mnist
from thaw.data.images import Dataset, split
from thaw.data.torchvision_sets import PREFIX, read_torchvision
from thaw.errors import ThawError
from thaw.params import Data, suggest


@functools.lru_cache(maxsize=2)  # the images and a degradation's source images
def read_dataset(data: Data, root: Path) -> Dataset:
    """Read, check, resize and split the dataset that `data` describes; `data.path` is relative to `root`.

    The validation images are a seeded part of the training images, round(validation_fraction · N) of them.
    The result is kept in memory, so do not write to its tensors.
    Raises ThawError, naming the file or the key and the remedy, where anything is missing, damaged or unknown.
    """
    folder = root / data.path
    if data.dataset in SHA256:
        train, test = read_mnist(data, folder)
    elif data.dataset == "folder":
        train, test = read_folder(data, folder)
    elif data.dataset.startswith(PREFIX):
        train, test = read_torchvision(data, folder)
    else:
        known = [*SHA256, f"{PREFIX}NAME", "folder"]
        raise ThawError(
            f"params.yaml: data.dataset is {data.dataset}, but it should be one of {', '.join(known)}"
            f"{suggest(data.dataset, known)}."
        )
    train, validation = split(train, data.validation_fraction, data.seed)
    return Dataset(data.dataset, train, validation, test, data.half_range)
