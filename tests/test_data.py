import functools
import gzip
import hashlib
import http.server
import itertools
import os
import resource
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from thaw.data import Dataset, Images, read_dataset, to_range, to_uint8
from thaw.data.images import fit, split
from thaw.errors import ThawError
from thaw.params import Data

RAW = Path(__file__).parents[1] / "data" / "raw"
TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
TEST_LABELS = "t10k-labels-idx1-ubyte.gz"


def settings(**changes: object) -> Data:
    usual = {"dataset": "mnist", "path": "raw", "pixels": 28, "channels": 1}
    return Data.model_validate(usual | {"half_range": 0.5, "validation_fraction": 0.2, "seed": 0} | changes)


def parts(read: Dataset) -> tuple[Images, Images, Images]:
    return read.train, read.validation, read.test


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


# The four IDX files


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A project whose raw/ is the committed MNIST."""
    (tmp_path / "raw").mkdir()
    for file in (RAW / "mnist").glob("*.gz"):
        (tmp_path / "raw" / file.name).symlink_to(file)
    return tmp_path


def one_bit_flipped(packed: bytes) -> bytes:
    content = bytearray(gzip.decompress(packed))
    content[20_000_000] ^= 1
    return gzip.compress(bytes(content), compresslevel=1)


@pytest.mark.parametrize(("dataset", "folder"), [("mnist", "mnist"), ("fashion_mnist", "fashion-mnist")])
def test_committed_data_are_whole(dataset: str, folder: str) -> None:
    read = read_dataset(settings(dataset=dataset, path=folder), RAW)
    assert [*map(len, parts(read))] == [48_000, 12_000, 10_000]
    for part in parts(read):
        assert part.pixels.shape == (len(part), 1, 28, 28)
        assert part.pixels.dtype == torch.uint8
        assert part.labels.dtype == torch.int64
        assert part.labels.unique().tolist() == list(range(10))
    if dataset == "fashion_mnist":
        assert torch.cat([read.train.labels, read.validation.labels]).bincount().tolist() == [6000] * 10


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        (TRAIN_IMAGES, lambda packed: packed[: len(packed) // 2], "cannot be unpacked"),
        (TRAIN_IMAGES, lambda packed: b"not gzip at all", "cannot be unpacked"),
        (TRAIN_IMAGES, lambda packed: b"", "starts with the bytes"),
        (TRAIN_IMAGES, lambda packed: gzip.compress(b"\0\0\x0d\x03" + bytes(100)), "0000080"),
        (TRAIN_IMAGES, lambda packed: gzip.compress(idx(np.zeros(60_000))), "00000801"),
        (TRAIN_IMAGES, lambda packed: gzip.compress(idx(np.zeros((9, 28, 28)))), "9×28×28 items, not 60000×28×28"),
        (TEST_LABELS, lambda packed: gzip.compress(gzip.decompress(packed)[:-1]), "holds 10007 bytes, not the 10008"),
        (
            TEST_LABELS,
            lambda packed: gzip.compress(gzip.decompress(packed) + bytes(9)),
            "holds more bytes than the 10008",
        ),
        (TEST_LABELS, lambda packed: gzip.compress(gzip.decompress(packed)[:-1] + b"\0"), "SHA-256"),
        (TRAIN_IMAGES, one_bit_flipped, f"{TRAIN_IMAGES} is not mnist's file"),
        (TEST_LABELS, lambda packed: None, f"raw/{TEST_LABELS} is missing; restore it"),
    ],
)
def test_damaged_or_missing_file_is_named(
    mnist: Path, name: str, damage: Callable[[bytes], bytes | None], says: str
) -> None:
    content = damage((mnist / "raw" / name).read_bytes())
    (mnist / "raw" / name).unlink()
    if content is not None:
        (mnist / "raw" / name).write_bytes(content)
    with pytest.raises(ThawError, match=f"raw/{name}") as error:
        read_dataset(settings(), mnist)
    assert says in str(error.value)
    assert f"git checkout -- raw/{name}" in str(error.value)
    assert "\n" not in str(error.value)


def test_files_of_the_other_dataset_are_recognised(mnist: Path) -> None:
    with pytest.raises(ThawError, match=r"is a file of mnist, but data\.dataset in params\.yaml is fashion_mnist"):
        read_dataset(settings(dataset="fashion_mnist"), mnist)


def test_other_size_and_channels(mnist: Path) -> None:
    native = read_dataset(settings(), mnist)
    read = read_dataset(settings(pixels=14, channels=3), mnist)
    assert read.train.pixels.shape == (48_000, 3, 14, 14)
    assert torch.equal(read.test.pixels[:, 0], read.test.pixels[:, 2])
    # The antialiased mean of a resized image is the image's, up to rounding.
    means = [images.pixels[:, 0].float().mean(dim=(1, 2)) for images in (native.test, read.test)]
    assert (means[0] - means[1]).abs().max() < 3


# Range and split


@given(half_range=st.floats(1e-3, 1e3))
def test_to_uint8_undoes_to_range(half_range: float) -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    x = to_range(pixels, half_range)
    assert x.dtype == torch.float32
    assert [x.min().item(), x.max().item()] == pytest.approx([-half_range, half_range])
    assert torch.equal(to_uint8(x, half_range), pixels)
    assert torch.equal(to_uint8(3 * x, half_range)[[0, -1]], pixels[[0, -1]]), "values outside the range wrap"


@given(count=st.integers(2, 300), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**31))
def test_split_is_complete_disjoint_and_seeded(count: int, fraction: float, seed: int) -> None:
    numbers = torch.arange(count)
    images = Images(numbers.to(torch.uint8).reshape(-1, 1, 1, 1), numbers)
    if round(fraction * count) in (0, count):
        with pytest.raises(ThawError, match=f"{count} images"):
            split(images, fraction, seed)
        return
    rest, part = split(images, fraction, seed)
    assert len(part) == round(fraction * count)
    assert sorted([*rest.labels.tolist(), *part.labels.tolist()]) == numbers.tolist()
    assert torch.equal(part.pixels.flatten(), part.labels.to(torch.uint8)), "pixels and labels part company"
    assert torch.equal(split(images, fraction, seed)[1].labels, part.labels)


def test_split_depends_on_the_seed() -> None:
    one, other = (read_dataset(settings(path="mnist", seed=seed), RAW).validation.pixels[:100] for seed in (0, 1))
    assert not torch.equal(one, other)


# Folders of images


def test_folder_with_classes(tmp_path: Path) -> None:
    for label, name in enumerate(["ant", "bee"]):
        for number in range(20):
            write_picture(tmp_path / "raw" / name / f"{number:02}.png", np.full((40, 60), 100 * label + number))
    read = read_dataset(settings(dataset="folder", pixels=16), tmp_path)
    assert [*map(len, parts(read))] == [29, 7, 4]
    seen = []
    for part in parts(read):
        assert part.pixels.shape[1:] == (1, 16, 16)
        assert torch.equal(part.labels, (part.pixels[:, 0, 0, 0] >= 100).long())
        seen += part.pixels[:, 0, 8, 8].tolist()
    assert sorted(seen) == [*range(20), *range(100, 120)]

    read_dataset.cache_clear()
    again = read_dataset(settings(dataset="folder", pixels=16), tmp_path)
    assert torch.equal(again.train.pixels, read.train.pixels)


def test_folder_with_train_and_test(tmp_path: Path) -> None:
    for number in range(10):
        write_picture(tmp_path / "raw" / "train" / f"{number}.png", np.full((16, 16, 3), (10 * number, 0, 255)))
    write_picture(tmp_path / "raw" / "test" / "deep" / "a.jpg", np.full((16, 16), 200))
    write_picture(tmp_path / "raw" / "test" / ".thumbnails" / "a.jpg", np.full((16, 16), 0))
    (tmp_path / "raw" / "test" / "notes.txt").write_text("not an image")
    read = read_dataset(settings(dataset="folder", pixels=16, channels=3), tmp_path)
    assert read.train.labels is read.test.labels is None
    seen = torch.cat([read.train.pixels, read.validation.pixels])[:, 0, 0, 0]
    assert sorted(seen.tolist()) == list(range(0, 100, 10))
    assert (read.train.pixels[:, 2] == 255).all()
    assert len(read.test) == 1
    assert (read.test.pixels.int() - 200).abs().max() <= 2


def test_folder_of_one_class_has_no_labels(tmp_path: Path) -> None:
    for number in range(10):
        write_picture(tmp_path / "raw" / "bedroom" / f"{number}.png", np.zeros((16, 16)))
    assert read_dataset(settings(dataset="folder", pixels=16), tmp_path).train.labels is None


def test_pictures_of_every_kind(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(4):
        write_picture(raw / "train" / f"{number}.png", np.zeros((16, 16)))
    (raw / "test").mkdir()
    # 16 bits; transparent; a wide picture with its content in the middle; one that the camera held on its side.
    Image.fromarray(np.full((16, 16), 256 * 120, dtype=np.uint16)).save(raw / "test" / "a.png")
    Image.new("RGBA", (16, 16), (120, 120, 120, 40)).save(raw / "test" / "b.png")
    wide = np.zeros((16, 48))
    wide[:, 16:32] = 120
    write_picture(raw / "test" / "c.png", wide)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = np.zeros((16, 16), dtype=np.uint8)
    turned[0] = 120  # upright, the first row is the last column
    Image.fromarray(turned).save(raw / "test" / "d.png", exif=exif)
    test = read_dataset(settings(dataset="folder", pixels=16), tmp_path).test.pixels
    for number in range(3):
        assert (test[number] == 120).all(), f"picture {number}"
    assert (test[3, 0, :, -1] == 120).all()
    assert (test[3, 0, :, :-1] == 0).all()


def test_broken_picture_is_named(tmp_path: Path) -> None:
    for number in range(3):
        write_picture(tmp_path / "raw" / "x" / f"{number}.png", np.random.default_rng(0).integers(0, 255, (32, 32)))
    whole = (tmp_path / "raw" / "x" / "1.png").read_bytes()
    (tmp_path / "raw" / "x" / "1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ThawError, match=r"raw/x/1\.png cannot be read as an image"):
        read_dataset(settings(dataset="folder", pixels=16), tmp_path)


def test_each_file_counts_once_whatever_links_lead_to_it(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(10):
        write_picture(raw / "a" / f"{number}.png", np.full((16, 16), number))
    (raw / "a" / "loop").symlink_to(raw)
    (raw / "a" / "again.png").symlink_to("0.png")
    (raw / "b").symlink_to("a")
    read = read_dataset(settings(dataset="folder", pixels=16), tmp_path)
    seen = torch.cat([part.pixels for part in (read.train, read.validation, read.test)])[:, 0, 0, 0]
    assert sorted(seen.tolist()) == list(range(10))


def test_no_file_is_trained_on_and_measured_with(tmp_path: Path) -> None:
    for number in range(4):
        write_picture(tmp_path / "raw" / "train" / f"{number}.png", np.full((16, 16), number))
    (tmp_path / "raw" / "test").mkdir()
    (tmp_path / "raw" / "test" / "x.png").symlink_to("../train/2.png")
    with pytest.raises(ThawError, match=r"raw/test/x\.png is a file of train/ too"):
        read_dataset(settings(dataset="folder", pixels=16), tmp_path)


@pytest.mark.parametrize("name", ["x/1.png", TEST_LABELS])
def test_a_pipe_is_no_file(mnist: Path, name: str) -> None:
    path = mnist / "raw" / name
    write_picture(mnist / "raw" / "x" / "0.png", np.zeros((16, 16)))
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    data = settings() if name == TEST_LABELS else settings(dataset="folder", pixels=16)
    with pytest.raises(ThawError, match=rf"raw/{name} cannot be .*it is not a file"):
        read_dataset(data, mnist)


def test_a_small_file_that_unpacks_to_much_is_not_unpacked(mnist: Path) -> None:
    (mnist / "raw" / TEST_LABELS).unlink()
    bomb = gzip.compress(idx(np.zeros(10_000)), 9) + gzip.compress(bytes(1 << 20), 9) * 4000  # of 4 GB
    (mnist / "raw" / TEST_LABELS).write_bytes(bomb)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ThawError, match="holds more bytes than the 10008"):
        read_dataset(settings(), mnist)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20, "in KiB: less than a gigabyte more"


def test_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match="raw is not a folder"):
        read_dataset(settings(dataset="folder"), tmp_path)
    (tmp_path / "raw" / "train").mkdir(parents=True)
    (tmp_path / "raw" / "test").mkdir()
    with pytest.raises(ThawError, match="raw/train has no image files"):
        read_dataset(settings(dataset="folder"), tmp_path)


@given(height=st.integers(8, 40), width=st.integers(8, 40), size=st.integers(8, 40), seed=st.integers(0, 99))
def test_fit_is_pillows_antialiased_resize_and_the_centre(height: int, width: int, size: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (3, height, width), dtype=np.uint8)
    full = [round(side * size / min(height, width)) for side in (height, width)]
    top, left = (full[0] - size) // 2, (full[1] - size) // 2
    fitted = fit(torch.from_numpy(pixels)[:, None], size).numpy().astype(int)
    assert fitted.shape == (3, 1, size, size)
    for picture, found in zip(pixels, fitted[:, 0], strict=True):
        resized = Image.fromarray(picture).resize((full[1], full[0]), Image.Resampling.BILINEAR)
        expected = np.asarray(resized)[top : top + size, left : left + size].astype(int)
        assert np.abs(found - expected).max() <= 1


# torchvision's datasets


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def kmnist(tmp_path: Path, no_network: None) -> Path:
    """A project with a small KMNIST in torchvision's layout."""
    raw = tmp_path / "raw" / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 20), ("t10k", 6)):
        numbers = np.arange(count)
        images = np.broadcast_to(numbers[:, None, None], (count, 28, 28))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(numbers % 10))
    return tmp_path


def test_torchvision_dataset_that_is_there(kmnist: Path) -> None:
    read = read_dataset(settings(dataset="torchvision:KMNIST", pixels=32, channels=3), kmnist)
    assert read.name == "torchvision:KMNIST"
    assert [*map(len, parts(read))] == [16, 4, 6]
    for part in parts(read):
        assert part.pixels.shape[1:] == (3, 32, 32)
        assert torch.equal(part.labels, part.pixels[:, 0, 0, 0].long() % 10)
    assert read.test.pixels[:, 1, 31, 31].tolist() == list(range(6))


WNIDS = "n01440764 n02102040 n02979186 n03000684 n03028079 n03394916 n03417042 n03425413 n03445777 n03888257"


@pytest.mark.parametrize(
    ("dataset", "folder", "test", "labels", "names"),
    [
        ("RenderedSST2", "rendered-sst2", "test", "negative positive", [f"{number}.png" for number in range(5)]),
        ("Imagenette(size=160px)", "imagenette2-160", "val", WNIDS, ["a.JPEG"]),
    ],
)
def test_torchvision_dataset_whose_test_set_is_called_test_or_val(
    tmp_path: Path, no_network: None, dataset: str, folder: str, test: str, labels: str, names: list[str]
) -> None:
    for label, name in itertools.product(labels.split(), names):
        for part, shade in (("train", 10), (test, 90)):
            write_picture(tmp_path / "raw" / folder / part / label / name, np.full((30, 40, 3), shade))
    read = read_dataset(settings(dataset=f"torchvision:{dataset}", pixels=16), tmp_path)
    assert len(read.train) + len(read.validation) == len(read.test) == 10
    assert (read.train.pixels == 10).all()
    assert (read.test.pixels == 90).all()
    assert sorted(read.test.labels.tolist()) == sorted([*range(len(labels.split()))] * len(names))


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a small KMNIST's gzip files, which torchvision downloads from a server on this machine."""
    from torchvision.datasets import KMNIST

    folder = tmp_path / "mirror"
    folder.mkdir()
    resources = []
    for part, count in (("train", 10), ("t10k", 4)):
        for name, array in (("images-idx3", np.zeros((count, 28, 28))), ("labels-idx1", np.ones(count))):
            file = folder / f"{part}-{name}-ubyte.gz"
            file.write_bytes(gzip.compress(idx(array)))
            resources.append((file.name, hashlib.md5(file.read_bytes()).hexdigest()))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(KMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setattr(KMNIST, "resources", resources)
        yield folder
        server.shutdown()


def test_download_and_its_checksum(mirror: Path, tmp_path: Path) -> None:
    read = read_dataset(settings(dataset="torchvision:KMNIST"), tmp_path)
    assert [*map(len, parts(read))] == [8, 2, 4]

    (mirror / TEST_LABELS).write_bytes(gzip.compress(idx(np.zeros(4))))
    with pytest.raises(ThawError, match="could not be had at elsewhere"):
        read_dataset(settings(dataset="torchvision:KMNIST", path="elsewhere"), tmp_path)


def test_failing_download_says_what_to_do(tmp_path: Path, no_network: None) -> None:
    with pytest.raises(ThawError) as error:
        read_dataset(settings(dataset="torchvision:KMNIST"), tmp_path)
    message = str(error.value)
    assert "no route to host" in message
    assert "torchvision.datasets.KMNIST(root='raw', download=True)" in message
    assert "copy what it writes to raw" in message
    assert "\n" not in message


def test_truncated_torchvision_file_is_an_error(kmnist: Path) -> None:
    file = kmnist / "raw" / "KMNIST" / "raw" / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ThawError, match=r"torchvision:KMNIST could not be had at raw.*delete a file that is broken"):
        read_dataset(settings(dataset="torchvision:KMNIST"), kmnist)


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ("mnits", r"data\.dataset is mnits.*did you mean mnist\?"),
        ("torchvision:KMINST", r"no dataset KMINST.*did you mean KMNIST\?"),
        ("torchvision:FakeData", "no dataset FakeData"),
        ("torchvision:", r"spelled torchvision:NAME"),
        ("torchvision:EMNIST(letters)", r"spelled torchvision:NAME"),
        ("torchvision:EMNIST", r"write torchvision:EMNIST\(split=\.\.\.\)"),
        ("torchvision:EMNIST(split=words)", "Unknown value 'words' for argument split"),
        ("torchvision:EMNIST(splits=letters)", r"no option splits \(did you mean split\?\)"),
        ("torchvision:CIFAR10(train=0)", "no option train"),
        ("torchvision:FER2013", r"train\.csv not found.*put the files that torchvision\.datasets\.FER2013 reads"),
    ],
)
def test_dataset_that_is_misspelled_or_not_to_be_had(tmp_path: Path, no_network: None, dataset: str, says: str) -> None:
    with pytest.raises(ThawError, match=says):
        read_dataset(settings(dataset=dataset), tmp_path)


def test_torchvision_dataset_without_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "MovingMNIST"
    folder.mkdir(parents=True)
    np.save(folder / "mnist_test_seq.npy", np.zeros((20, 10, 64, 64), dtype=np.uint8))
    with pytest.raises(ThawError, match="gives a Tensor where thaw needs a picture"):
        read_dataset(settings(dataset="torchvision:MovingMNIST"), tmp_path)
