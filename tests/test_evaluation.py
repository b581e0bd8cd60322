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
    SHIFT,
    FeatureNetwork,
    _shifted,
    features,
    load_classifier,
    predict,
    train_classifier,
    with_classes,
)
from thaw.evaluation.reconstruction import LARGEST_PSNR, reconstruction_errors
from thaw.params import Classifier


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
    moved = _shifted(images, generator("test")).numpy()
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
