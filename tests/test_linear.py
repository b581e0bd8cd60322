"""Pixelate, average and fade: the degradations that are linear in x beside blur."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thaw.diffusion.degradation import Degradation
from thaw.diffusion.degradations._linear import Linear, fit_gaussian, group_means
from thaw.diffusion.degradations.average import Average
from thaw.diffusion.degradations.fade import Fade
from thaw.diffusion.degradations.pixelate import Pixelate
from thaw.errors import ThawError

LINEAR = ["average", "blur", "fade", "pixelate"]
Build = Callable[..., Degradation]


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, channels: int = 1, size: int = 8, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, size, size, generator=stream(seed)) - 0.5


def at(t: int, count: int) -> Tensor:
    return torch.full((count,), t)


@pytest.mark.parametrize("name", LINEAR)
@given(a=st.floats(-2, 2), b=st.floats(-2, 2), t=st.integers(0, 6))
def test_they_are_linear(name: str, a: float, b: float, t: int, degradation_called: Build) -> None:
    degradation, x, y = degradation_called(name), pictures(3), pictures(3, seed=1)
    mixed, of_x, of_y = (degradation.degrade(image, at(t, 3), None) for image in (a * x + b * y, x, y))
    torch.testing.assert_close(mixed, a * of_x + b * of_y, rtol=0, atol=2e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", LINEAR)
def test_coordinates_are_all_that_the_last_step_keeps(name: str, channels: int, degradation_called: Build) -> None:
    degradation, x = degradation_called(name, (channels, 8, 8)), pictures(5, channels)
    assert isinstance(degradation, Linear)
    again = degradation.expand(degradation.project(x.double()))
    torch.testing.assert_close(again.float(), degradation.degrade(x, at(6, 5), None), rtol=0, atol=2e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", LINEAR)
def test_gaussian_latents_have_the_moments_of_degraded_images(
    name: str, channels: int, degradation_called: Build
) -> None:
    degradation, images = degradation_called(name, (channels, 8, 8)), pictures(100, channels)
    true = degradation.degrade(images, at(6, 100), None).flatten(1).double()
    drawn = degradation.draw_latent(40_000, stream(), lambda: images, "gaussian").z.flatten(1).double()
    scale = true.std(0).max().item()
    torch.testing.assert_close(drawn.mean(0), true.mean(0), rtol=0, atol=5 * scale / 200)
    torch.testing.assert_close(drawn.T.cov(), true.T.cov(), rtol=0, atol=7 * scale**2 / 200)


@pytest.mark.parametrize("name", ["average", "pixelate"])
def test_steps_that_leave_no_group_are_refused(name: str, degradation_called: Build) -> None:
    assert degradation_called(name, steps=7).steps == 7
    with pytest.raises(ThawError, match=r"^params\.yaml: degradation\.steps is 8, .* at most 7 .*smaller number\.$"):
        degradation_called(name, steps=8)


@given(size=st.integers(1, 30), data=st.data())
def test_groups_are_neighbours_and_differ_by_one_row_at_most(size: int, data: st.DataObject) -> None:
    groups = data.draw(st.integers(1, size))
    means = group_means(size, groups)
    torch.testing.assert_close(means @ means, means), "a mean of equal rows is that row"
    torch.testing.assert_close(means.sum(1), torch.ones(size, dtype=torch.float64))
    sizes = (means > 0).sum(1)
    assert torch.linalg.matrix_rank(means).item() == groups
    assert sizes.max() - sizes.min() <= 1
    for row in means:
        filled = row.nonzero().flatten()
        assert filled[-1] - filled[0] + 1 == len(filled)


@pytest.mark.parametrize(("size", "step", "block"), [(8, 4, 2), (8, 6, 4), (8, 7, 8), (28, 21, 4), (28, 24, 7)])
def test_pixelate_is_average_pooling_where_blocks_are_of_one_size(size: int, step: int, block: int) -> None:
    degradation, x = Pixelate(shape=(3, size, size), steps=size - 1), pictures(2, 3, size)
    expected = F.interpolate(F.avg_pool2d(x, block), scale_factor=block, mode="nearest")
    torch.testing.assert_close(degradation.degrade(x, at(step, 2), None), expected, rtol=0, atol=1e-6)


def test_average_is_half_the_means_of_rows_and_half_those_of_columns() -> None:
    degradation, x = Average(shape=(3, 8, 8), steps=7), pictures(2, 3)
    expected = (x.mean(2, keepdim=True) + x.mean(3, keepdim=True)) / 2
    torch.testing.assert_close(degradation.degrade(x, at(7, 2), None), expected, rtol=0, atol=1e-6)
    pairs = (F.avg_pool2d(x, (2, 1)).repeat_interleave(2, 2) + F.avg_pool2d(x, (1, 2)).repeat_interleave(2, 3)) / 2
    torch.testing.assert_close(degradation.degrade(x, at(4, 2), None), pairs, rtol=0, atol=1e-6)


def test_fade_masks_by_the_product_of_its_gaussians() -> None:
    degradation = Fade(shape=(1, 9, 9), steps=4, spread=0.5)
    ones = torch.ones(1, 1, 9, 9)
    for row, column in [(0, 0), (4, 4), (2, 7), (4, 5)]:
        squared, expected = (row - 4) ** 2 + (column - 4) ** 2, 1.0
        for t in range(1, 5):
            expected *= 1 - math.exp(-squared / (2 * (0.5 * 9 * t / 4) ** 2))
            z = degradation.degrade(ones, at(t, 1), None)
            assert z[0, 0, row, column].item() == pytest.approx(expected, rel=1e-5)


def test_a_mask_grows_with_the_step_and_is_widest_at_the_centre() -> None:
    masks = Fade(shape=(1, 28, 28), steps=50).masks
    assert (masks.diff(dim=0) <= 0).all()
    assert (masks[1:, 14, 14:].diff(dim=1) >= 0).all()
    assert masks[-1, 7:21, 7:21].max() < 1e-2, "nothing of a digit's middle is left"
    assert masks[-1, 0, 0] > 0.5
    assert torch.equal(masks, masks.flip(1))
    assert torch.equal(masks, masks.mT)


def test_what_float32_cannot_hold_is_no_component() -> None:
    rows = torch.randn(200, 3, generator=stream(), dtype=torch.float64) * torch.tensor([1.0, 1e-3, 1e-9])
    assert fit_gaussian(rows).root.shape == (3, 2)
    assert fit_gaussian(rows, 0.99).root.shape == (3, 1)
    exact = fit_gaussian(rows).root
    torch.testing.assert_close(exact @ exact.T, rows.T.cov(), rtol=0, atol=1e-12)
