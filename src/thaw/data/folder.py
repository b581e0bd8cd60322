"""A folder of image files as a dataset."""

import os
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

from thaw.data.images import TEST_FRACTION, Images, from_picture, split
from thaw.errors import ThawError
from thaw.params import Data

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def read_folder(data: Data, folder: Path) -> tuple[Images, Images]:
    """Read the (training, test) images below `folder`.

    They are those of its sub-folders train/ and test/ where it has both; else a seeded tenth of all is the test set.
    Where every image stands in a sub-folder, and there are two of these or more, their names in alphabetical order
    are the labels 0, 1, ... Files are taken in the order of their names, and links are followed; what several of them
    lead to counts once.
    Raises ThawError, naming the folder or the file, where there is no image, one cannot be read, or one is in train/
    and in test/.
    """
    if not folder.is_dir():
        raise ThawError(
            f"{data.path} is not a folder; put the images there, or set data.path in params.yaml to theirs."
        )
    has_parts = (folder / "train").is_dir() and (folder / "test").is_dir()
    parts = ["train", "test"] if has_parts else ["."]
    found = [_files(data, folder, part) for part in parts]
    if has_parts and (shared := found[0].keys() & found[1].keys()):
        raise ThawError(
            f"{Path(data.path) / 'test' / min(found[1][real] for real in shared)} is a file of train/ too; a test "
            "image must not be one that is trained on, so take it away from one of them."
        )
    files = [sorted(part.values(), key=Path.as_posix) for part in found]
    images = [
        Images(_read(data, folder, part, paths), labels)
        for part, paths, labels in zip(parts, files, _labels(files), strict=True)
    ]
    return (images[0], images[1]) if has_parts else split(images[0], TEST_FRACTION, data.seed)


def _files(data: Data, folder: Path, part: str) -> dict[str, Path]:
    """Find the image files of a part, relative to it, by where they really are.

    Hidden ones are thumbnails and leavings of the system.
    """
    found, walked = dict[str, Path](), set[str]()
    for parent, folders, names in os.walk(folder / part, followlinks=True):
        walked.add(os.path.realpath(parent))  # a link to a folder above would be followed for ever
        inside = {name: os.path.realpath(Path(parent, name)) for name in sorted(folders) if not name.startswith(".")}
        folders[:] = [name for name, real in inside.items() if real not in walked]
        for name in sorted(names):
            path = Path(parent) / name
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                found.setdefault(os.path.realpath(path), path.relative_to(folder / part))
    if not found:
        raise ThawError(
            f"{Path(data.path) / part} has no image files; put some there ({', '.join(sorted(SUFFIXES))}), "
            "or set data.path in params.yaml to the folder that has them."
        )
    return found


def _labels(files: list[list[Path]]) -> list[Tensor] | list[None]:
    """Give for each part the classes of its files, int64 (N,), or None where the folders do not tell classes apart."""
    names = sorted({path.parts[0] for part in files for path in part})
    in_folders = all(len(path.parts) > 1 for part in files for path in part)
    if not in_folders or len(names) < 2:
        return [None for _ in files]
    number = {name: index for index, name in enumerate(names)}
    return [torch.tensor([number[path.parts[0]] for path in part]) for part in files]


def _read(data: Data, folder: Path, part: str, files: list[Path]) -> Tensor:
    """Read the pictures of a part, uint8 (N, C, size, size)."""
    pixels = torch.empty((len(files), data.channels, data.pixels, data.pixels), dtype=torch.uint8)
    for index, path in enumerate(files):
        try:
            if not (folder / part / path).is_file():  # nobody may ever write to a pipe
                raise OSError("it is not a file")
            with Image.open(folder / part / path) as picture:
                # Cameras store how they were held beside the picture instead of turning it.
                pixels[index] = from_picture(ImageOps.exif_transpose(picture), data.pixels, data.channels)
        except Exception as error:  # Pillow's decoders raise whatever a broken file makes them raise
            shown = Path(data.path) / part / path
            raise ThawError(f"{shown} cannot be read as an image ({error}); mend it or take it away.") from None
    return pixels
