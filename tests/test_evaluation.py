from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from thaw.core.randomness import generator
from thaw.core.tensors import write_tensors
from thaw.data import Images
from thaw.evaluation import reconstruction
from thaw.evaluation.classifier import (
    NONSENSE,
    SHIFT,
    FeatureNetwork,
    distorted,
    features,
    legible,
    load_classifier,
    load_readers,
    nonsense,
    predict,
    shifted,
    train_classifier,
    train_readers,
    with_classes,
)
from thaw.evaluation.reconstruction import LARGEST_PSNR, reconstruction_errors
from thaw.params import Classifier, Readers


@pytest.fixture(scope="module")
def network() -> FeatureNetwork:
    """A network that has learned nothing: its features are as good as any for comparing formulas."""
    torch.manual_seed(0)
    return FeatureNetwork(1, 10).eval()


def pixels(*shape: int, below: int = 256, seed: int = 0) -> Tensor:
    return torch.randint(below, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


# Reconstructions


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def pair(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    """Originals and restorations in [-1/2, 1/2], (3, C, 16, 18)."""
    stream = torch.Generator().manual_seed(0)
    x = torch.rand(3, request.param, 16, 18, generator=stream)
    return x - 0.5, (x + 0.2 * torch.randn(x.shape, generator=stream)).clamp(0, 1) - 0.5


def test_rmse_is_over_all_pixels_of_an_image_in_grey_values_of_0_to_1(pair: tuple[Tensor, Tensor]) -> None:
    a, b = (x.double().numpy() for x in pair)
    expected = [np.sqrt(np.mean((x - y) ** 2)) for x, y in zip(a, b, strict=True)]
    assert reconstruction_errors(*pair, 0.5)["rmse"] == pytest.approx(expected, rel=1e-12)


def test_psnr_is_that_of_torchmetrics(pair: tuple[Tensor, Tensor]) -> None:
    from torchmetrics.functional.image import peak_signal_noise_ratio  # takes seconds to import

    a, b = (x.double() + 0.5 for x in pair)
    found = reconstruction_errors(*pair, 0.5)["psnr"]
    # torchmetrics takes the logarithm of its base in float32.
    expected = [peak_signal_noise_ratio(y, x, data_range=1.0).item() for x, y in zip(a, b, strict=True)]
    assert found == pytest.approx(expected, rel=1e-7)
    assert found == pytest.approx(-10 * np.log10((a - b).square().mean((1, 2, 3)).numpy()), rel=1e-9)


def test_ssim_is_that_of_torchmetrics_without_the_border(pair: tuple[Tensor, Tensor]) -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = (x.double() + 0.5 for x in pair)
    _, full = structural_similarity_index_measure(
        b, a, sigma=1.5, kernel_size=11, data_range=1.0, reduction="none", return_full_image=True
    )
    expected = full[..., 5:-5, 5:-5].mean((1, 2, 3))
    assert reconstruction_errors(*pair, 0.5)["ssim"] == pytest.approx(expected.numpy(), rel=1e-6)


@pytest.mark.parametrize("shape", [(7, 1, 28, 28), (7, 3, 11, 16)])
def test_ssim_of_each_image_knows_nothing_of_the_others(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from skimage.metrics import structural_similarity

    stream = torch.Generator().manual_seed(0)
    a, b = (torch.rand(shape, generator=stream) - 0.5 for _ in range(2))
    options = {"data_range": 1, "channel_axis": 0, "gaussian_weights": True, "use_sample_covariance": False}
    both = zip(*((x.double() + 0.5).numpy() for x in (a, b)), strict=True)
    expected = [structural_similarity(*images, sigma=1.5, **options) for images in both]
    monkeypatch.setattr(reconstruction, "BLOCK", 3)
    assert reconstruction_errors(a, b, 0.5)["ssim"] == pytest.approx(expected, rel=1e-12)


def test_images_smaller_than_the_window_have_no_ssim() -> None:
    with pytest.raises(ValueError, match="images of 10x28 pixels have no room for a window of 11"):
        reconstruction_errors(torch.zeros(2, 1, 10, 28), torch.zeros(2, 1, 10, 28), 0.5)


def test_what_leaves_the_range_is_clamped_and_nothing_is_rescaled(pair: tuple[Tensor, Tensor]) -> None:
    originals, restored = pair
    outside = torch.where(restored >= 0.4, restored + 3, restored)
    clamped = outside.clamp(-0.5, 0.5)
    ours, theirs = (reconstruction_errors(originals, images, 0.5) for images in (outside, clamped))
    assert all((ours[metric] == theirs[metric]).all() for metric in ours)
    # An affine map of the grey values, which scaling by image would undo, costs what it costs.
    assert (reconstruction_errors(originals, originals / 2, 0.5)["rmse"] > 0.1).all()


def test_scores_do_not_depend_on_the_range_of_the_data(pair: tuple[Tensor, Tensor]) -> None:
    half, whole = reconstruction_errors(*pair, 0.5), reconstruction_errors(pair[0] * 2, pair[1] * 2, 1.0)
    for metric, values in half.items():
        assert values == pytest.approx(whole[metric], rel=1e-6)


def test_a_perfect_restoration_has_no_error_and_the_largest_psnr(pair: tuple[Tensor, Tensor]) -> None:
    x, _ = pair
    scores = reconstruction_errors(x, x.clone(), 0.5)
    assert (scores["rmse"] == 0).all()
    assert scores["ssim"] == pytest.approx(1, abs=1e-12)
    assert (scores["psnr"] == LARGEST_PSNR).all(), "and no infinity"
    rounded = (((x + 0.5) * 255).round() / 255 - 0.5).double()
    close = reconstruction_errors(x, rounded, 0.5)["psnr"]
    assert abs(close.mean() - LARGEST_PSNR) < 0.5, "rounding to grey levels costs what the largest PSNR says"


# The feature network


def test_features_are_double_and_do_not_depend_on_the_batch(network: FeatureNetwork) -> None:
    images = pixels(600, 1, 8, 8)
    found = features(network, images)
    assert found.shape == (600, network.num_features)
    assert found.dtype == torch.float64
    assert (found >= 0).all()
    torch.testing.assert_close(found[::50], features(network, images[::50]), rtol=1e-5, atol=1e-6)


def test_the_class_is_the_largest_logit(network: FeatureNetwork) -> None:
    images = pixels(300, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(predict(network, images), network.logits(images).argmax(1))


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 32)])
def test_the_network_takes_images_of_any_size_and_colour(channels: int, size: int) -> None:
    found = FeatureNetwork(channels, 4).eval()
    assert found(pixels(2, channels, size, size)).shape == (2, 128)
    assert found.logits(pixels(2, channels, size, size)).shape == (2, 4)


def test_labels_are_kept_where_there_are_any() -> None:
    images = Images(pixels(5, 1, 8, 8), torch.arange(5))
    assert with_classes(images) is images


def test_images_without_labels_are_told_apart_by_their_quarter_turns() -> None:
    images = Images(pixels(5, 3, 8, 8), None)
    turned = with_classes(images)
    assert len(turned) == 20
    assert turned.labels.bincount().tolist() == [5] * 4
    for turn in range(4):
        expected = np.rot90(images.pixels.numpy(), turn, axes=(2, 3))
        assert (turned.pixels[turned.labels == turn].numpy() == expected).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_moved_by_whole_pixels_and_black_moves_in(channels: int) -> None:
    count, size = 400, 8
    images = pixels(count, channels, size, size)
    moved = shifted(images, generator("test")).numpy()
    seen = set()
    for original, found in zip(images.numpy(), moved, strict=True):
        wide = np.pad(original, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
        windows = np.lib.stride_tricks.sliding_window_view(wide, (size, size), axis=(1, 2))
        (match,) = np.argwhere((windows == found[:, None, None]).all((0, 3, 4)))
        seen.add(tuple(match))
    assert len(seen) == (2 * SHIFT + 1) ** 2


def halves(count: int) -> Images:
    """Noise with one bright half: above for class 0, below for class 1."""
    labels = torch.arange(count) % 2
    images = pixels(count, 1, 8, 8, below=60)
    for half in range(2):
        images[labels == half, :, 4 * half : 4 * half + 4] += 150
    return Images(images, labels)


SETTINGS = Classifier(epochs=6, batch_size=16, learning_rate=3e-3, seed=0)


def test_training_separates_what_is_separable_and_repeats_bit_for_bit(tmp_path: Path) -> None:
    images = halves(128)
    torch.manual_seed(1)
    trained = train_classifier(images, SETTINGS)
    assert not trained.training
    assert (predict(trained, images.pixels) == images.labels).double().mean() > 0.98

    torch.manual_seed(2)
    again = train_classifier(images, SETTINGS).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in trained.state_dict().items())
    other = train_classifier(images, SETTINGS.model_copy(update={"seed": 1})).state_dict()
    assert not torch.equal(other["output.weight"], again["output.weight"])

    write_tensors(tmp_path / "a", trained.state_dict(), {"channels": 1, "classes": 2})
    loaded = load_classifier(tmp_path / "a")
    torch.testing.assert_close(features(loaded, images.pixels), features(trained, images.pixels), rtol=1e-5, atol=1e-5)
    assert torch.equal(predict(loaded, images.pixels), predict(trained, images.pixels))


# The readers


def test_a_distorted_image_is_turned_enlarged_slanted_and_moved_a_little_and_black_moves_in() -> None:
    """The two first moments of a bright square say by how much."""
    square = torch.zeros(500, 1, 29, 29, dtype=torch.uint8)
    square[:, :, 9:20, 9:20] = 200
    found = distorted(square, generator("test"))
    assert found.shape == square.shape
    assert 0 <= found.min() <= found.max() <= 200 + 1e-3
    place = torch.arange(29.0) - 14
    mass = found.sum((1, 2, 3))
    across, down = (found * place).sum((1, 2, 3)) / mass, (found * place[:, None]).sum((1, 2, 3)) / mass
    for centre in (across, down):
        # The grid is slanted about the middle of the image, to which a movement adds what the slant takes along.
        assert 1 < centre.abs().max() < SHIFT * 1.5
        assert abs(centre.mean()) < 0.3
    size = mass / mass.new_tensor(200 * 121)
    assert size.min() < 0.85
    assert size.max() > 1.15
    assert 0.78 < size.min() < size.max() < 1.28, "a tenth each way, as an area"


def test_what_is_distorted_is_a_function_of_the_stream_and_differs_by_image() -> None:
    images = pixels(1, 1, 12, 12).expand(5, 1, 12, 12)
    first, again, other = (distorted(images, generator(name)) for name in "aab")
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({tuple(image.flatten().tolist()) for image in first}) == 5


def test_nonsense_is_noise_or_an_image_in_disorder() -> None:
    images = pixels(400, 1, 8, 8, below=100)
    made = nonsense(images, generator("test"))
    assert made.shape == images.shape
    assert 0 <= made.min() <= made.max() <= 255
    assert not (made == images).flatten(1).all(1).any()
    disorder = (made.flatten(1).sort(1).values == images.float().flatten(1).sort(1).values).all(1)
    assert disorder.double().mean().item() == pytest.approx(0.5, abs=0.1)
    noise = made[~disorder].flatten(1)
    assert noise.mean(1).min() < 50
    assert noise.mean(1).max() > 200
    assert noise.std(1).min() < 5 < 50 < noise.std(1).max()


def test_a_reader_is_legible_where_all_are_sure_of_the_same_class() -> None:
    class Fixed:
        def __init__(self, *rows: list[float]) -> None:
            self.rows = torch.tensor(rows)

        def logits(self, images: Tensor) -> Tensor:
            return self.rows[images[:, 0, 0, 0].long()].log()

    images = torch.arange(4, dtype=torch.uint8).view(-1, 1, 1, 1)
    sure, other, unsure = [0.95, 0.04, 0.01], [0.04, 0.95, 0.01], [0.8, 0.1, 0.1]
    one = Fixed(sure, sure, sure, unsure)
    two = Fixed(sure, other, unsure, sure)
    assert legible([one, two], images, 0.9).tolist() == [True, False, False, False]
    assert legible([one, two], images, 0.75).tolist() == [True, False, True, True]
    assert legible([one], images, 0.9).tolist() == [True, True, True, False]


def test_readers_read_what_they_learned_and_no_nonsense_and_are_kept_in_one_file(tmp_path: Path) -> None:
    images = halves(256)
    settings = Readers(epochs=10, batch_size=16, learning_rate=3e-3, seed=5, count=2, sure=0.9)
    readers = train_readers(images, settings)
    assert len(readers) == 2
    assert not torch.equal(readers[0].output.weight, readers[1].output.weight)
    assert legible(readers, images.pixels, 0.9).double().mean() > 0.8
    assert legible(readers, pixels(200, 1, 8, 8), 0.9).double().mean() < 0.5, "noise that was never seen"
    alone = train_classifier(images, settings.model_copy(update={"seed": 6}), distorted, 0, NONSENSE)
    assert torch.equal(alone.output.weight, readers[1].output.weight), "each is of its own seed"

    stored = {f"{i}.{name}": value for i, reader in enumerate(readers) for name, value in reader.state_dict().items()}
    write_tensors(tmp_path / "readers", stored, {"channels": 1, "classes": 2, "count": 2})
    for reader, loaded in zip(readers, load_readers(tmp_path / "readers"), strict=True):
        torch.testing.assert_close(
            features(loaded, images.pixels), features(reader, images.pixels), rtol=1e-5, atol=1e-5
        )
    write_tensors(tmp_path / "none", {}, {"channels": 1, "classes": 4, "count": 0})
    assert load_readers(tmp_path / "none") == []
