"""Blur, pixelate, average and fade: the degradations that are linear in x."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import at, pictures, smooth_pictures, stream
from scipy.ndimage import gaussian_filter
from torch import Tensor

from thaw.degradations.average import Average
from thaw.degradations.blur import Blur
from thaw.degradations.fade import Fade
from thaw.degradations.pixelate import Pixelate
from thaw.diffusion.degradation import Degradation
from thaw.diffusion.linear import Linear, fit_gaussian, group_means
from thaw.errors import ThawError

LINEAR = ["average", "blur", "fade", "pixelate"]
SHAPE = (1, 12, 12)
Build = Callable[..., Degradation]


@pytest.mark.parametrize("name", LINEAR)
@given(a=st.floats(-2, 2), b=st.floats(-2, 2), t=st.integers(0, 6))
def test_they_are_linear(name: str, a: float, b: float, t: int, degradation_called: Build) -> None:
    degradation, x, y = degradation_called(name), pictures(3), pictures(3, seed=1)
    mixed, of_x, of_y = (degradation.degrade(image, at(t, 3), None) for image in (a * x + b * y, x, y))
    torch.testing.assert_close(mixed, a * of_x + b * of_y, rtol=0, atol=2e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", LINEAR)
def test_coordinates_are_all_that_the_last_step_keeps(name: str, channels: int, degradation_called: Build) -> None:
    degradation, x = degradation_called(name, (channels, 8, 8)), pictures(5, (channels, 8, 8))
    assert isinstance(degradation, Linear)
    again = degradation.expand(degradation.project(x.double()))
    torch.testing.assert_close(again.float(), degradation.degrade(x, at(6, 5), None), rtol=0, atol=2e-6)


@pytest.mark.parametrize("clusters", [1, 4])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", LINEAR)
def test_gaussian_latents_have_the_moments_of_degraded_images(
    name: str, channels: int, clusters: int, degradation_called: Build
) -> None:
    """Those of several clusters too, by the law of total variance."""
    degradation, images = degradation_called(name, (channels, 8, 8)), smooth_pictures(400, (channels, 8, 8))
    true = degradation.degrade(images, at(6, 400), None).flatten(1).double()
    drawn = degradation.draw_latent(40_000, stream(), lambda: images, "gaussian", clusters=clusters).z
    drawn = drawn.flatten(1).double()
    scale = true.std(0).max().item()
    torch.testing.assert_close(drawn.mean(0), true.mean(0), rtol=0, atol=4 * scale / 200)
    torch.testing.assert_close(drawn.T.cov(), true.T.cov(), rtol=0, atol=6 * scale**2 / 200)


def test_clusters_keep_apart_what_one_gaussian_blends(degradation_called: Build) -> None:
    degradation = degradation_called("average", (1, 8, 8))
    dark, light = torch.full((30, 1, 8, 8), -0.4), torch.full((10, 1, 8, 8), 0.4)
    images = torch.cat([dark, light]) + 0.01 * torch.randn(40, 1, 8, 8, generator=stream())
    drawn = degradation.draw_latent(2000, stream(), lambda: images, "gaussian", clusters=2).z.mean((1, 2, 3))
    assert ((drawn.abs() - 0.4).abs() < 0.02).all()
    assert (drawn > 0).float().mean().item() == pytest.approx(0.25, abs=0.04)


def test_more_clusters_than_pairs_of_images_are_refused(degradation_called: Build) -> None:
    images = smooth_pictures(5, (1, 8, 8))
    with pytest.raises(ThawError, match=r"^params\.yaml: .*4 clusters, but 5 training images.*take fewer clusters\.$"):
        degradation_called("average", (1, 8, 8)).draw_latent(3, stream(), lambda: images, "gaussian", clusters=4)


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
    degradation, x = Pixelate(shape=(3, size, size), steps=size - 1), pictures(2, (3, size, size))
    expected = F.interpolate(F.avg_pool2d(x, block), scale_factor=block, mode="nearest")
    torch.testing.assert_close(degradation.degrade(x, at(step, 2), None), expected, rtol=0, atol=1e-6)


def test_average_is_half_the_means_of_rows_and_half_those_of_columns() -> None:
    degradation, x = Average(shape=(3, 8, 8), steps=7), pictures(2, (3, 8, 8))
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


# Blur


@pytest.mark.parametrize(("size", "variance"), [(6, 1.0), (12, 0.3), (28, 1.0), (28, 4.0)])
def test_blur_is_torchvision_s_blur_again_and_again(size: int, variance: float) -> None:
    from torchvision.transforms.functional import gaussian_blur

    degradation, x = Blur(shape=(3, size, size), steps=30, variance=variance), pictures(2, (3, size, size))
    expected = x.double()
    for t in range(31):
        torch.testing.assert_close(degradation.degrade(x, at(t, 2), None), expected.float(), rtol=0, atol=3e-7)
        expected = gaussian_blur(expected, [11, 11], [variance**0.5] * 2)


def test_one_blur_is_scipy_s_gaussian_filter() -> None:
    x = pictures(1, (1, 20, 20))
    expected = gaussian_filter(x[0, 0].double().numpy(), 1.0, mode="mirror", radius=5)
    blurred = Blur(shape=(1, 20, 20), steps=1).degrade(x, at(1, 1), None)[0, 0]
    np.testing.assert_allclose(blurred.numpy(), expected, rtol=0, atol=2e-7)


@given(s=st.integers(0, 10), t=st.integers(0, 10), seed=st.integers(0, 99))
def test_blurs_add_up(s: int, t: int, seed: int) -> None:
    degradation, x = Blur(shape=SHAPE, steps=20), pictures(2, SHAPE, seed)
    twice = degradation.degrade(degradation.degrade(x, at(s, 2), None), at(t, 2), None)
    torch.testing.assert_close(twice, degradation.degrade(x, at(s + t, 2), None), rtol=0, atol=5e-7)


@given(t=st.integers(0, 20), level=st.floats(-0.5, 0.5, width=32))
def test_blur_keeps_a_uniform_image_and_the_range(t: int, level: float) -> None:
    degradation = Blur(shape=SHAPE, steps=20)
    uniform = torch.full((1, 1, 12, 12), level)
    torch.testing.assert_close(degradation.degrade(uniform, at(t, 1), None), uniform, rtol=0, atol=2e-7)
    x = pictures(3, SHAPE)
    z = degradation.degrade(x, at(t, 3), None)
    assert (z.amax((1, 2, 3)) <= x.amax((1, 2, 3)) + 1e-6).all()
    assert (z.amin((1, 2, 3)) >= x.amin((1, 2, 3)) - 1e-6).all()


def test_blur_keeps_float32_within_autocast() -> None:
    degradation, x = Blur(shape=SHAPE, steps=20), pictures(4, SHAPE)
    t = torch.tensor([0, 1, 10, 20])
    with torch.autocast("cpu", torch.bfloat16):
        within = degradation.degrade(x, t, None)
    assert torch.equal(within, degradation.degrade(x, t, None))
    assert within.dtype == torch.float32


@pytest.mark.parametrize("shape", [(1, 5, 5), (1, 12, 16)])
def test_blur_refuses_what_its_kernel_does_not_fit(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ThawError) as caught:
        Blur(shape=shape, steps=3, key="variants.a.train.degradation")
    message = str(caught.value)
    assert message.startswith("params.yaml: variants.a.train.degradation blurs with a kernel of 11 pixels")
    assert f"these are {shape[1]} x {shape[2]}; change data.pixels" in message


def test_gaussian_latents_are_blurred_images_to_the_precision_of_float32() -> None:
    degradation, images = Blur(shape=(1, 28, 28), steps=100), pictures(200, (1, 28, 28))
    z = degradation.draw_latent(50, stream(), lambda: images, "gaussian").z.double()
    modes = degradation.modes
    assert modes.shape == (28, 5), "of 28 modes, 100 blurs leave five that float32 can tell from nothing"
    torch.testing.assert_close(modes @ (modes.T @ z @ modes) @ modes.T, z, rtol=0, atol=1e-7)


def test_less_variance_is_fewer_components() -> None:
    degradation, images = Blur(shape=SHAPE, steps=20), smooth_pictures(400, SHAPE)
    ranks = []
    for kept in (1.0, 0.999, 0.5):
        z = degradation.draw_latent(500, stream(), lambda: images, "gaussian", variance_kept=kept).z.flatten(1)
        ranks.append(torch.linalg.matrix_rank(z.T.double().cov(), rtol=1e-10).item())
    assert ranks[0] > ranks[1] > ranks[2] == 1


def test_levels_are_uniform_and_spread_like_the_means_of_blurred_images() -> None:
    degradation, images = Blur(shape=SHAPE, steps=20), smooth_pictures(400, SHAPE)
    z = degradation.draw_latent(4000, stream(), lambda: images, "level").z
    assert z.shape == (4000, 1, 12, 12)
    assert torch.equal(z, z[:, :, :1, :1].expand_as(z))
    means = degradation.degrade(images, at(20, 400), None).mean((1, 2, 3))
    assert z[:, 0, 0, 0].mean().item() == pytest.approx(means.mean().item(), abs=4 * means.std().item() / 60)
    assert z[:, 0, 0, 0].std().item() == pytest.approx(means.std().item(), rel=0.06)


def test_noise_is_added_to_the_levels() -> None:
    degradation, images = Blur(shape=(3, 12, 12), steps=20), pictures(40, (3, 12, 12))
    plain, noisy = (
        degradation.draw_latent(200, stream(), lambda: images, "level", noise=noise).z for noise in (0.0, 0.01)
    )
    assert (noisy - plain).mean().abs().item() < 4 * 0.01 / (200 * 432) ** 0.5
    assert (noisy - plain).std().item() == pytest.approx(0.01, rel=0.02)


def test_a_latent_is_fitted_once_and_again_for_other_images() -> None:
    degradation, calls = Blur(shape=SHAPE, steps=20), []

    def give(images: Tensor) -> Tensor:
        calls.append(len(images))
        return images

    few, dark = partial(give, pictures(30, SHAPE)), partial(give, pictures(40, SHAPE) - 5)
    first, again, other = (degradation.draw_latent(10, stream(), images, "gaussian").z for images in (few, few, dark))
    assert calls == [30, 40]
    assert torch.equal(first, again)
    assert other.mean() < -4
