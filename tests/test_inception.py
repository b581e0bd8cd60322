import hashlib
import http.client
import io
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from thaw.errors import ThawError
from thaw.evaluation import inception
from thaw.evaluation.frechet import frechet_distance, moments
from thaw.evaluation.inception import inception_features, load_inception, weights

LIBRARY = "torch_fidelity.feature_extractor_inceptionv3"
SMALLEST = 75
"""The smallest side that InceptionV3's layers take; at 299 an image costs a slow core a third of a second."""


def pixels(*shape: int, below: int = 256, seed: int = 0) -> Tensor:
    return torch.randint(below, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def refusal(read: Callable[[Path], object], path: Path) -> str:
    """The one sentence, remedy included, with which a file is refused."""
    with pytest.raises(ThawError) as error:
        read(path)
    message = str(error.value)
    assert "evaluation.inception: false" in message
    assert message.endswith(".")
    assert ". " not in message
    assert "\n" not in message
    return message


# The network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the format of the published file: a plain dictionary, without the counters of batches."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.set_num_threads(1)  # conftest.py does so for each test, which is after this
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{LIBRARY}.load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            # Keeps the scale of what passes through, so that the last features differ between images.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.running_mean, layer.bias):
                nn.init.normal_(tensor, std=0.1)
            for tensor in (layer.running_var, layer.weight):
                nn.init.uniform_(tensor, 0.8, 1.2)
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    state = network.state_dict()
    torch.save({name: state[name] for name in state if not name.endswith("num_batches_tracked")}, path)
    return path


@pytest.fixture(scope="module")
def network(checkpoint: Path) -> nn.Module:
    return load_inception(checkpoint)


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """Resize to the smallest side in both libraries, one of whose classes inherits it from the other."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "INPUT_IMAGE_SIZE", SMALLEST)
        yield


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    """Two sets of colour images, of which one is darker."""
    return pixels(40, 3, 28, 28), pixels(30, 3, 28, 28, below=180, seed=1)


@pytest.fixture(scope="module")
def featured(network: nn.Module, pair: tuple[Tensor, Tensor], small: None) -> tuple[Tensor, Tensor]:
    """Their features, (40, 2048) and (30, 2048)."""
    first, second = pair
    return inception_features(network, first), inception_features(network, second)


def test_features_are_those_that_torchmetrics_computes(
    network: nn.Module, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    monkeypatch.setattr("thaw.evaluation.inception.INFERENCE_BATCH", 2)
    images = pixels(3, 3, 28, 28)
    found = inception_features(network, images)
    assert found.shape == (3, network.num_features) == (3, 2048)
    assert found.dtype == torch.float64
    assert not found.requires_grad
    assert (found.std(0) > 0).double().mean() > 0.5  # comparing constants would say nothing
    theirs = FrechetInceptionDistance(2048, feature_extractor_weights_path=str(checkpoint), antialias=False).inception
    # Another size of batch may be summed in another order, in float32.
    torch.testing.assert_close(found, theirs(images).double(), rtol=1e-4, atol=1e-5)


def test_features_are_those_that_torch_fidelity_computes(network: nn.Module, checkpoint: Path, small: None) -> None:
    """The resizing included, in which libraries differ and which moves published distances."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    images = pixels(3, 3, 28, 28)
    theirs = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(checkpoint))
    expected = theirs(images)[0].double()
    torch.testing.assert_close(inception_features(network, images), expected, rtol=1e-4, atol=1e-5)


def test_grey_images_are_colour_images_of_equal_channels(network: nn.Module, small: None) -> None:
    grey = pixels(4, 1, 20, 24)
    colour = grey.repeat(1, 3, 1, 1)
    found, expected = (inception_features(network, images) for images in (grey, colour))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def distance(featured: tuple[Tensor, Tensor]) -> float:
    """The distance between the two sets."""
    return frechet_distance(*map(moments, featured))


# With fewer images than features nearly all eigenvalues of a product of covariances are zeros, which come out as
# rounding errors of about 1e-16 of the largest; the distance holds the roots of 2000 of them, of 1e-8 each.
ROUNDING = 2000 * 1e-8


def test_the_distance_is_that_of_torchmetrics(
    distance: float, pair: tuple[Tensor, Tensor], checkpoint: Path, small: None
) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=2048, feature_extractor_weights_path=str(checkpoint), antialias=False)
    metric.set_dtype(torch.float64)  # of its network as well; ours being of float32 costs less than ROUNDING
    for images, real in zip(pair, (True, False), strict=True):
        metric.update(images, real=real)
    assert distance == pytest.approx(metric.compute().item(), rel=ROUNDING)


def test_the_distance_is_that_of_torch_fidelity(distance: float, featured: tuple[Tensor, Tensor]) -> None:
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    # A distance is the same in an orthonormal basis of what the 70 images span, where NumPy's eigenvalues take a moment
    # and not half a minute.
    basis, _ = torch.linalg.qr(torch.cat(featured).T)
    statistics = [fid_features_to_statistics(part @ basis) for part in featured]
    expected = fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]
    assert distance == pytest.approx(expected, rel=ROUNDING)


# Files that are no checkpoint


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


NO_CHECKPOINT: dict[str, Callable[[Path, Path], object]] = {
    "an empty file": lambda path, whole: path.touch(),
    "a page of HTML": lambda path, whole: path.write_text("<html><body>Not found</body></html>"),
    "other weights": lambda path, whole: torch.save(nn.Linear(2, 2).state_dict(), path),
    "a tensor": lambda path, whole: torch.save(torch.zeros(3), path),
    "code": lambda path, whole: torch.save({"fc.weight": Trap(path.with_name("sprung"))}, path),
    "a half": lambda path, whole: path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2]),
}


@pytest.mark.parametrize("kind", NO_CHECKPOINT)
def test_a_file_that_is_no_checkpoint_is_refused_in_a_sentence(kind: str, checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights-00000000.pth"
    NO_CHECKPOINT[kind](path, checkpoint)
    assert f"{path} is not a checkpoint of torch-fidelity's InceptionV3" in refusal(load_inception, path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]  # what it held was not run


# The published file


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Publish a file on this machine in place of the library's: given its content, and another one of which to have the
    SHA-256, if any. The answer is its name.
    """

    def as_source(content: bytes, expected: bytes | None = None) -> str:
        source = tmp_path / "source" / "weights.pth"
        source.parent.mkdir()
        source.write_bytes(content)
        monkeypatch.setattr(f"{LIBRARY}.URL_INCEPTION_V3", source.as_uri())
        monkeypatch.setattr(inception, "SHA256", hashlib.sha256(expected or content).hexdigest())
        return source.name

    return as_source


def refuse_downloads(patch: pytest.MonkeyPatch, error: BaseException | None = None) -> None:
    def urlopen(*_: object, timeout: float) -> None:
        assert 0 < timeout <= 60
        raise error or AssertionError("nothing should be downloaded")

    patch.setattr(urllib.request, "urlopen", urlopen)


def test_a_file_that_is_absent_is_downloaded_and_one_that_is_there_is_taken(
    publish: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(b"weights")
    folder = tmp_path / "new" / "folder"
    path = weights(folder)
    assert path == folder / name
    assert path.read_bytes() == b"weights"
    assert list(folder.iterdir()) == [path]

    refuse_downloads(monkeypatch)
    assert weights(folder) == path


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError("no route to host"),
        urllib.error.HTTPError("address", 404, "Not Found", http.client.HTTPMessage(), None),
        TimeoutError("timed out"),
        http.client.BadStatusLine("nonsense"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_a_failing_download_says_what_to_do_and_leaves_nothing(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    monkeypatch.chdir(tmp_path)
    refuse_downloads(monkeypatch, failure)
    folder = Path("reference")
    message = refusal(weights, folder)
    assert str(failure) in message
    assert "the file weights-inception-2015-12-05-6726825d.pth" in message
    assert f"from {URL_INCEPTION_V3} into reference," in message
    assert list(folder.iterdir()) == []


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if part := super().read(4):
                return part
            raise ConnectionResetError("connection reset")

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Breaking(b"half of the file"))
    assert "could not be downloaded (connection reset)" in refusal(weights, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_download_of_other_bytes_is_refused_and_not_left(publish: Callable[..., str], tmp_path: Path) -> None:
    name = publish(b"something else", expected=b"weights")
    folder = tmp_path / "reference"
    message = refusal(weights, folder)
    assert f"{name} was downloaded, but is not the file" in message
    digests = (hashlib.sha256(content).hexdigest() for content in (b"something else", b"weights"))
    assert "its SHA-256 is {}, not {}".format(*digests) in message
    assert f"into {folder}," in message
    assert list(folder.iterdir()) == []


def test_a_wrong_file_that_was_put_there_is_refused_and_kept(
    publish: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / publish(b"weights")
    path.write_bytes(b"of somebody else")
    refuse_downloads(monkeypatch)
    message = refusal(weights, tmp_path)
    assert f"{path} is not the file that torch-fidelity published" in message
    assert f"its SHA-256 is {hashlib.sha256(b'of somebody else').hexdigest()}, not " in message
    assert path.read_bytes() == b"of somebody else"
