"""MNIST and Fashion-MNIST from their four gzipped IDX files, checked byte for byte.

The IDX format is that of http://yann.lecun.com/exdb/mnist/: two zero bytes, the type of an item (8: unsigned byte),
the number of dimensions, each dimension as a big-endian 32-bit integer, then the items.
"""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from thaw.data.images import Images, fit
from thaw.errors import ThawError
from thaw.params import Data

UNSIGNED_BYTE = 0x08

SHAPES = {
    "train-images-idx3-ubyte.gz": (60_000, 28, 28),
    "train-labels-idx1-ubyte.gz": (60_000,),
    "t10k-images-idx3-ubyte.gz": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte.gz": (10_000,),
}

# Of the uncompressed bytes: the same data compressed again has other gzip bytes.
SHA256 = {
    "mnist": {
        "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}


def read_mnist(data: Data, folder: Path) -> tuple[Images, Images]:
    """Read the (training, test) images of `data.dataset`, mnist or fashion_mnist, from its files in `folder`.

    Raises ThawError, naming the file and the remedy, where one is missing, damaged or another one.
    """

    def read(part: str) -> Images:
        pixels = _read_idx(data, folder / f"{part}-images-idx3-ubyte.gz")  # (N, 28, 28)
        labels = _read_idx(data, folder / f"{part}-labels-idx1-ubyte.gz")  # (N,)
        grey = fit(pixels[:, None], data.pixels)  # (N, 1, size, size)
        return Images(grey.repeat(1, data.channels, 1, 1), labels.long())

    return read("train"), read("t10k")


def _read_idx(data: Data, path: Path) -> Tensor:
    """Read and check the content of one file, uint8 in the file's shape."""
    shown = f"{data.path}/{path.name}"
    remedy = f"restore it with `git checkout -- {shown}`, or put the file there that data/README.md describes"
    shape = SHAPES[path.name]
    start = 4 + 4 * len(shape)
    expected = start + int(np.prod(shape))
    if not path.exists():
        raise ThawError(f"{shown} is missing; {remedy}.")
    try:
        if not path.is_file():  # nobody may ever write to a pipe
            raise OSError("it is not a file")
        with gzip.open(path) as file:
            content = file.read(expected + 1)  # a small file can unpack to any size
    except (OSError, EOFError, zlib.error) as error:
        raise ThawError(f"{shown} cannot be unpacked ({error}); {remedy}.") from None
    magic = bytes([0, 0, UNSIGNED_BYTE, len(shape)])
    if content[:4] != magic:
        raise ThawError(f"{shown} starts with the bytes {content[:4].hex()}, not the IDX {magic.hex()}; {remedy}.")
    found = tuple(np.frombuffer(content[4:start].ljust(start - 4, b"\0"), dtype=">u4").tolist())
    if found != shape:
        raise ThawError(f"{shown} says it holds {_times(found)} items, not {_times(shape)}; {remedy}.")
    if len(content) != expected:
        held = f"{len(content)} bytes, not" if len(content) < expected else "more bytes than"
        raise ThawError(f"{shown} holds {held} the {expected} that its header tells of; {remedy}.")
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[data.dataset][path.name]:
        for dataset, digests in SHA256.items():
            if digest == digests[path.name]:
                raise ThawError(
                    f"{shown} is a file of {dataset}, but data.dataset in params.yaml is {data.dataset}; "
                    "change data.dataset or data.path so that they agree."
                )
        raise ThawError(
            f"{shown} is not {data.dataset}'s file: the SHA-256 of its content starts with {digest[:12]}, "
            f"not {SHA256[data.dataset][path.name][:12]}; {remedy}."
        )
    # A copy, because what bytes give is read-only and torch warns of that.
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8, offset=start).copy().reshape(shape))


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(str(length) for length in shape)
