import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thaw.core.randomness import generator
from thaw.data import to_range, to_uint8
from thaw.evaluation.audit import (
    FEW,
    few_samples,
    one_image,
    stretched,
    stretched_pairs,
    stretched_restorations,
    stretched_samples,
    wrapped_bytes,
)
from thaw.evaluation.classifier import FeatureNetwork
from thaw.evaluation.reconstruction import LARGEST_PSNR, reconstruction_errors

HALF_RANGES = pytest.mark.parametrize("half_range", [0.5, 1.0])


def pictures(count: int, seed: int, low: float = -0.5, high: float = 0.5) -> Tensor:
    """Uniform grey values, large enough for the window of SSIM."""
    return low + (high - low) * torch.rand(count, 1, 12, 12, generator=torch.Generator().manual_seed(seed))


def levels(values: list[float], half_range: float) -> Tensor:
    """Grey values times 255 as the data's range has them."""
    return torch.tensor(values, dtype=torch.float64) / 255 * (2 * half_range) - half_range


# Bytes without a clamp


@HALF_RANGES
def test_every_level_is_kept_inside_the_range(half_range: float) -> None:
    # Float32 may lie just below a level, and is truncated to the one below it.
    pixels = torch.arange(256, dtype=torch.uint8)
    found = wrapped_bytes(to_range(pixels, half_range), half_range).int()
    assert ((pixels.int() - found) >= 0).all()
    assert ((pixels.int() - found) <= 1).all()
    exact = wrapped_bytes(levels([k + 1e-6 for k in range(256)], half_range), half_range)
    assert torch.equal(exact, pixels)


@given(seed=st.integers(0, 10**6), half_range=st.sampled_from([0.5, 1.0]))
def test_inside_the_range_the_cast_is_at_most_one_level_below_the_right_one(seed: int, half_range: float) -> None:
    x = pictures(2, seed, -half_range, half_range)
    below = to_uint8(x, half_range).int() - wrapped_bytes(x, half_range).int()
    assert set(below.unique().tolist()) == {0, 1}


@HALF_RANGES
@pytest.mark.parametrize(
    ("value", "wrapped", "right"),
    [
        (-0.9, 0, 0),  # towards zero
        (-1.1, 255, 0),
        (-2.5, 254, 0),
        (-256.5, 0, 0),
        (-257.5, 255, 0),
        (255.9, 255, 255),
        (256.1, 0, 255),
        (258.7, 2, 255),
        (511.5, 255, 255),
        (512.5, 0, 255),
    ],
)
def test_what_leaves_the_range_comes_in_at_the_other_end(
    value: float, wrapped: int, right: int, half_range: float
) -> None:
    x = levels([value], half_range)
    found = wrapped_bytes(x, half_range)
    assert found.dtype == torch.uint8
    assert found.tolist() == [wrapped]
    assert to_uint8(x, half_range).tolist() == [right]


def test_the_cast_is_that_of_numpy_by_way_of_integers() -> None:
    scaled = np.random.default_rng(0).uniform(-600, 900, 5000)
    x = torch.from_numpy(scaled / 255 - 0.5)
    expected = scaled.astype(np.int64).astype(np.uint8)
    assert (wrapped_bytes(x, 0.5).numpy() == expected).mean() > 0.999  # scaling back may cross a whole number


# Each image on its own scale


@HALF_RANGES
def test_stretched_images_span_the_range_and_stay_there(half_range: float) -> None:
    x = torch.cat([pictures(3, 0, -0.1, 0.2), pictures(3, 1, -3, 5)])
    found = stretched(x, half_range)
    assert found.shape == x.shape
    assert found.flatten(1).amin(1).tolist() == pytest.approx([-half_range] * 6, abs=1e-6)
    assert found.flatten(1).amax(1).tolist() == pytest.approx([half_range] * 6, abs=1e-6)
    torch.testing.assert_close(stretched(found, half_range), found, rtol=0, atol=1e-6)
    # The order of the grey values of an image is kept.
    assert torch.equal(found.flatten(1).argsort(1), x.flatten(1).argsort(1))


def test_an_image_of_one_grey_value_becomes_the_bottom_and_no_nan() -> None:
    x = torch.cat([torch.full((2, 1, 12, 12), 0.3), pictures(1, 0)])
    found = stretched(x, 0.5)
    assert (found[:2] == -0.5).all()
    assert found.isfinite().all()


def test_colours_are_stretched_together() -> None:
    x = torch.stack([torch.zeros(12, 12), torch.full((12, 12), 0.1), torch.full((12, 12), 0.2)])[None]
    assert stretched(x, 0.5)[0, :, 0, 0].tolist() == pytest.approx([-0.5, 0, 0.5], abs=1e-6)


def test_a_grey_background_and_a_weak_contrast_are_taken_away_from_samples() -> None:
    pixels = torch.randint(256, (3, 1, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[:, 0, 0, :2] = torch.tensor([0, 255], dtype=torch.uint8)
    clean = to_range(pixels, 0.5)
    weak = 0.3 * clean + 0.1
    assert torch.equal(stretched_samples(weak, 0.5), pixels)
    assert (to_uint8(weak, 0.5).int() - pixels.int()).abs().max() > 80


def test_a_linear_map_of_the_grey_values_is_a_perfect_restoration_for_stretched_pairs() -> None:
    x = pictures(4, 0)
    restored = 0.4 * x + 0.05
    right, faulty = reconstruction_errors(x, restored, 0.5), stretched_pairs(x, restored, 0.5)
    assert faulty["rmse"] == pytest.approx(0, abs=1e-6)
    assert faulty["ssim"] == pytest.approx(1, abs=1e-6)
    assert faulty["psnr"] == pytest.approx(LARGEST_PSNR)
    assert (right["rmse"] > 0.1).all()
    assert (right["ssim"] < 0.9).all()
    assert (right["psnr"] < 20).all()


def test_stretched_restorations_leave_the_originals_as_they_are() -> None:
    x = pictures(4, 0)
    x[:, 0, 0, :2] = torch.tensor([-0.5, 0.5])  # these span the range already
    restored = 0.4 * x + 0.05
    assert stretched_restorations(x, restored, 0.5)["rmse"] == pytest.approx(0, abs=1e-6)
    # Of a weak original a perfect restoration is torn away, unless it is stretched as well.
    weak = 0.4 * x
    assert (stretched_restorations(weak, weak, 0.5)["rmse"] > 0.1).all()
    assert stretched_pairs(weak, weak, 0.5)["rmse"] == pytest.approx(0, abs=1e-6)


# Few samples, one curve


def test_few_samples_are_so_many_of_them_by_chance() -> None:
    features = torch.arange(200.0).view(100, 2)
    found = few_samples(features, 30, generator("test"))
    assert len({tuple(row) for row in found.tolist()}) == 30, "without replacement"
    assert {tuple(row) for row in found.tolist()} <= {tuple(row) for row in features.tolist()}
    assert torch.equal(few_samples(features, 30, generator("test")), found)
    assert not torch.equal(few_samples(features, 30, generator("other")), found)


@pytest.mark.parametrize(("few", "published"), [(FEW[0], 500), (FEW[1], 1000)])
def test_few_are_as_few_for_our_features_as_the_published_ones_for_theirs(few: int, published: int) -> None:
    ours = FeatureNetwork(1, 10).num_features
    assert few / ours == pytest.approx(published / 2048, abs=0.5 / ours)


@pytest.mark.parametrize(("steps", "first"), [([7, 3, None], 7), ([None, 3], None), ([0, 3], 0)])
def test_one_image_is_the_first_curve_whatever_the_others_say(steps: list[int | None], first: int | None) -> None:
    assert one_image(steps) == first
