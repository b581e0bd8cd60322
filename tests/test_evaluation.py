from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from torch import Tensor

from thaw.data import Images, to_uint8
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
from thaw.randomness import generator
from thaw.training.checkpoint import write_tensors


@pytest.fixture(scope="module")
def frechet() -> ModuleType:
    """The module, imported late because torchmetrics takes seconds to import."""
    from thaw.evaluation import frechet

    return frechet


@pytest.fixture(scope="module")
def network() -> FeatureNetwork:
    """A network that has learned nothing: its features are as good as any for comparing formulas."""
    torch.manual_seed(0)
    return FeatureNetwork(1, 10).eval()


def pixels(*shape: int, below: int = 256, seed: int = 0) -> Tensor:
    return torch.randint(below, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def normal(count: int, width: int, seed: int = 0) -> Tensor:
    """Correlated Gaussian features."""
    stream = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=stream, dtype=torch.float64)
    return torch.randn(count, width, generator=stream, dtype=torch.float64) @ mixing


# The Frechet distance


def test_moments_are_those_of_numpy(frechet: ModuleType) -> None:
    x = normal(50, 4)
    found = frechet.moments(x)
    assert found.images == 50
    assert found.mean.numpy() == pytest.approx(x.numpy().mean(0), rel=1e-12)
    assert found.covariance.numpy() == pytest.approx(np.cov(x.numpy(), rowvar=False), rel=1e-12)


@given(seed=st.integers(0, 10**6), width=st.integers(2, 12))
@settings(max_examples=30)
def test_the_distance_is_that_of_a_matrix_square_root(frechet: ModuleType, seed: int, width: int) -> None:
    a, b = frechet.moments(normal(60, width, seed)), frechet.moments(1 + normal(60, width, seed + 1))
    c, d = a.covariance.numpy(), b.covariance.numpy()
    apart = ((a.mean - b.mean) ** 2).sum().item()
    expected = apart + np.trace(c + d - 2 * linalg.sqrtm(c @ d).real)
    assert frechet.frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet.frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)
    root = frechet.symmetric_root(a.covariance)
    assert (root @ root).numpy() == pytest.approx(c, rel=1e-9, abs=1e-12 * np.trace(c))
    assert frechet.frechet_distance(a, b, root) == frechet.frechet_distance(a, b)


def test_equal_covariances_leave_the_distance_of_the_means(frechet: ModuleType) -> None:
    a = frechet.moments(normal(100, 5))
    b = a._replace(mean=a.mean + torch.tensor([3.0, 4.0, 0, 0, 0]))
    assert frechet.frechet_distance(a, b) == pytest.approx(25, rel=1e-9)


def test_diagonal_covariances_have_a_closed_form(frechet: ModuleType) -> None:
    a = frechet.Moments(torch.zeros(3).double(), torch.diag(torch.tensor([1.0, 4.0, 9.0]).double()), 10)
    b = frechet.Moments(torch.ones(3).double(), torch.diag(torch.tensor([4.0, 1.0, 0.0]).double()), 10)
    assert frechet.frechet_distance(a, b) == pytest.approx(3 + 1 + 1 + 9, rel=1e-12)


def test_identical_features_are_at_no_distance(frechet: ModuleType) -> None:
    a = frechet.moments(normal(500, 20))
    assert frechet.frechet_distance(a, a) == pytest.approx(0, abs=1e-6 * a.covariance.trace().item())


def test_fewer_images_than_features_are_no_obstacle(frechet: ModuleType) -> None:
    a, b = frechet.moments(normal(10, 20)), frechet.moments(normal(8, 20, 1))
    root = np.real(np.sqrt(linalg.eigvals(a.covariance.numpy() @ b.covariance.numpy()).astype(complex)))
    expected = ((a.mean - b.mean) ** 2).sum() + a.covariance.trace() + b.covariance.trace() - 2 * root.sum()
    assert frechet.frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-5)


def test_torchmetrics_gives_the_distance_of_the_moments(frechet: ModuleType, network: FeatureNetwork) -> None:
    real = frechet.moments(features(network, pixels(400, 1, 8, 8)))
    fake = features(network, pixels(300, 1, 8, 8, below=200, seed=1))
    assert frechet.fid_classifier(real, fake) == pytest.approx(
        frechet.frechet_distance(real, frechet.moments(fake)), rel=1e-6
    )


def test_torchmetrics_agrees_when_it_sees_the_real_images_itself(frechet: ModuleType) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    torch.manual_seed(0)
    network = FeatureNetwork(1, 10).eval().double()
    real, fake = pixels(300, 1, 8, 8), pixels(260, 1, 8, 8, below=150, seed=1)
    metric = FrechetInceptionDistance(feature=network).set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    found = frechet.fid_classifier(frechet.moments(features(network, real)), features(network, fake))
    assert found == pytest.approx(metric.compute().item(), rel=1e-8)


# Its interval and its floor


def test_the_interval_reflects_resampled_distances_in_the_mean_over_trainings(frechet: ModuleType) -> None:
    real = frechet.moments(normal(1000, 3))
    fakes = [normal(80, 3, 1), 1 + normal(80, 3, 2)]
    found = frechet.frechet_interval(real, fakes, 0.9, 50, generator("test"))
    values = [frechet.frechet_distance(real, frechet.moments(fake)) for fake in fakes]
    index = torch.randint(80, (50, 80), generator=generator("test"))  # the same images of every training
    replicates = [[frechet.frechet_distance(real, frechet.moments(fake[row])) for row in index] for fake in fakes]
    low, high = np.quantile(np.mean(replicates, axis=0), [0.05, 0.95])
    assert found.value == pytest.approx(np.mean(values))
    assert found[1:] == pytest.approx((2 * found.value - high, 2 * found.value - low))


def test_a_distance_far_above_its_bias_lies_in_its_interval(frechet: ModuleType) -> None:
    real, fake = frechet.moments(normal(2000, 3)), 2 + normal(500, 3)
    found = frechet.frechet_interval(real, [fake], 0.95, 100, generator("test"))
    assert found.low < found.value < found.high


def test_the_interval_covers_the_true_distance(frechet: ModuleType) -> None:
    # Sixteen features and 100 images: the percentile interval would hardly ever hold the truth.
    width, count = 16, 100
    real = frechet.Moments(torch.zeros(width).double(), torch.eye(width).double(), 10**6)
    truth = width * 0.3**2
    draws = np.random.default_rng(0).normal(0.3, 1, size=(40, count, width))
    intervals = [
        frechet.frechet_interval(real, [torch.from_numpy(fake)], 0.95, 60, generator("coverage", trial))
        for trial, fake in enumerate(draws)
    ]
    assert np.mean([i.value for i in intervals]) > truth + 0.5  # the bias
    assert np.mean([i.low <= truth <= i.high for i in intervals]) >= 0.8


def test_the_floor_repeats_is_positive_and_falls_with_the_number_of_images(frechet: ModuleType) -> None:
    real, others = frechet.moments(normal(4000, 8)), normal(8000, 8)[4000:]
    floors = [frechet.floor(real, others, count, 5, generator("floor")) for count in (50, 200, 800)]
    assert floors == [frechet.floor(real, others, count, 5, generator("floor")) for count in (50, 200, 800)]
    assert all(0 < low <= mean <= high for mean, low, high in floors)
    assert floors[0][0] > floors[1][0] > floors[2][0]


def test_a_floor_draws_without_replacement(frechet: ModuleType) -> None:
    others = normal(60, 4)
    mean, low, high = frechet.floor(frechet.moments(normal(500, 4)), others, 60, 3, generator("floor"))
    assert low == pytest.approx(high, rel=1e-9)  # every draw is all of them
    assert mean == pytest.approx(low, rel=1e-9)


# Reconstructions


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def pair(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    """Originals and restorations in [-1/2, 1/2], (3, C, 16, 18)."""
    stream = torch.Generator().manual_seed(0)
    x = torch.rand(3, request.param, 16, 18, generator=stream)
    return x - 0.5, (x + 0.2 * torch.randn(x.shape, generator=stream)).clamp(0, 1) - 0.5


def test_rmse_is_over_all_pixels_of_an_image_in_grey_values_of_0_to_1(pair: tuple[Tensor, Tensor]) -> None:
    from thaw.evaluation.reconstruction import reconstruction_errors

    a, b = (x.double().numpy() for x in pair)
    expected = [np.sqrt(np.mean((x - y) ** 2)) for x, y in zip(a, b, strict=True)]
    assert reconstruction_errors(*pair, 0.5)["rmse"] == pytest.approx(expected, rel=1e-12)


def test_psnr_is_that_of_torchmetrics(pair: tuple[Tensor, Tensor]) -> None:
    from torchmetrics.functional.image import peak_signal_noise_ratio

    from thaw.evaluation.reconstruction import reconstruction_errors

    a, b = (x.double() + 0.5 for x in pair)
    found = reconstruction_errors(*pair, 0.5)["psnr"]
    # torchmetrics takes the logarithm of its base in float32.
    expected = [peak_signal_noise_ratio(y, x, data_range=1.0).item() for x, y in zip(a, b, strict=True)]
    assert found == pytest.approx(expected, rel=1e-7)
    assert found == pytest.approx(-10 * np.log10((a - b).square().mean((1, 2, 3)).numpy()), rel=1e-9)


def test_ssim_is_that_of_torchmetrics_without_the_border(pair: tuple[Tensor, Tensor]) -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    from thaw.evaluation.reconstruction import reconstruction_errors

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

    from thaw.evaluation import reconstruction

    stream = torch.Generator().manual_seed(0)
    a, b = (torch.rand(shape, generator=stream) - 0.5 for _ in range(2))
    expected = [
        structural_similarity(
            *((image.double() + 0.5).numpy() for image in images), data_range=1, channel_axis=0, gaussian_weights=True,
            sigma=1.5, use_sample_covariance=False,
        )
        for images in zip(a, b, strict=True)
    ]  # fmt: skip
    monkeypatch.setattr(reconstruction, "BLOCK", 3)
    assert reconstruction.reconstruction_errors(a, b, 0.5)["ssim"] == pytest.approx(expected, rel=1e-12)


def test_images_smaller_than_the_window_have_no_ssim() -> None:
    from thaw.evaluation.reconstruction import reconstruction_errors

    with pytest.raises(ValueError, match="images of 10x28 pixels have no room for a window of 11"):
        reconstruction_errors(torch.zeros(2, 1, 10, 28), torch.zeros(2, 1, 10, 28), 0.5)


def test_what_leaves_the_range_is_clamped_and_nothing_is_rescaled(pair: tuple[Tensor, Tensor]) -> None:
    from thaw.evaluation.reconstruction import reconstruction_errors

    originals, restored = pair
    outside = torch.where(restored >= 0.4, restored + 3, restored)
    clamped = outside.clamp(-0.5, 0.5)
    ours, theirs = (reconstruction_errors(originals, images, 0.5) for images in (outside, clamped))
    assert all((ours[metric] == theirs[metric]).all() for metric in ours)
    # An affine map of the grey values, which scaling by image would undo, costs what it costs.
    assert (reconstruction_errors(originals, originals / 2, 0.5)["rmse"] > 0.1).all()


def test_scores_do_not_depend_on_the_range_of_the_data(pair: tuple[Tensor, Tensor]) -> None:
    from thaw.evaluation.reconstruction import reconstruction_errors

    half, whole = reconstruction_errors(*pair, 0.5), reconstruction_errors(pair[0] * 2, pair[1] * 2, 1.0)
    for metric, values in half.items():
        assert values == pytest.approx(whole[metric], rel=1e-6)


def test_a_perfect_restoration_has_no_error(pair: tuple[Tensor, Tensor]) -> None:
    from thaw.evaluation.reconstruction import reconstruction_errors

    with np.errstate(divide="ignore"):
        scores = reconstruction_errors(pair[0], pair[0].clone(), 0.5)
    assert (scores["rmse"] == 0).all()
    assert scores["ssim"] == pytest.approx(1, abs=1e-12)


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
    assert turned.labels is not None
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
        matches = [
            (row, column)
            for row in range(2 * SHIFT + 1)
            for column in range(2 * SHIFT + 1)
            if (wide[:, row : row + size, column : column + size] == found).all()
        ]
        assert len(matches) == 1
        seen.add(matches[0])
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
    assert images.labels is not None
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


def test_features_see_samples_as_they_see_files(network: FeatureNetwork) -> None:
    images = pixels(4, 1, 8, 8)
    sample = images.float() / 255 - 0.5
    assert torch.equal(features(network, to_uint8(sample, 0.5)), features(network, images))


def test_a_perfect_restoration_has_the_largest_psnr_and_no_infinity() -> None:
    x = torch.rand(2, 1, 16, 16) - 0.5
    errors = reconstruction_errors(x, x.clone(), 0.5)
    assert errors["psnr"].tolist() == [LARGEST_PSNR] * 2
    rounded = (((x + 0.5) * 255).round() / 255 - 0.5).double()
    close = reconstruction_errors(x, rounded, 0.5)["psnr"]
    assert abs(close.mean() - LARGEST_PSNR) < 0.5, "rounding to grey levels costs what the largest PSNR says"
