from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor

from thaw.diffusion.degradations.blur import Blur
from thaw.errors import ThawError


def pictures(count: int, channels: int = 1, size: int = 12, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed)) - 0.5


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def at(t: int, count: int) -> Tensor:
    return torch.full((count,), t)


@pytest.mark.parametrize(("size", "variance"), [(6, 1.0), (12, 0.3), (28, 1.0), (28, 4.0)])
def test_blur_is_torchvision_s_blur_again_and_again(size: int, variance: float) -> None:
    from torchvision.transforms.functional import gaussian_blur

    degradation, x = Blur(shape=(3, size, size), steps=30, variance=variance), pictures(2, 3, size)
    expected = x.double()
    for t in range(31):
        torch.testing.assert_close(degradation.degrade(x, at(t, 2), None), expected.float(), rtol=0, atol=3e-7)
        expected = gaussian_blur(expected, [11, 11], [variance**0.5] * 2)


def test_one_blur_is_scipy_s_gaussian_filter() -> None:
    x = pictures(1, size=20)
    expected = gaussian_filter(x[0, 0].double().numpy(), 1.0, mode="mirror", radius=5)
    blurred = Blur(shape=(1, 20, 20), steps=1).degrade(x, at(1, 1), None)[0, 0]
    np.testing.assert_allclose(blurred.numpy(), expected, rtol=0, atol=2e-7)


@given(s=st.integers(0, 10), t=st.integers(0, 10), seed=st.integers(0, 99))
def test_blurs_add_up(s: int, t: int, seed: int) -> None:
    degradation, x = Blur(shape=(1, 12, 12), steps=20), pictures(2, seed=seed)
    twice = degradation.degrade(degradation.degrade(x, at(s, 2), None), at(t, 2), None)
    torch.testing.assert_close(twice, degradation.degrade(x, at(s + t, 2), None), rtol=0, atol=5e-7)


@given(t=st.integers(0, 20), level=st.floats(-0.5, 0.5, width=32))
def test_blur_keeps_a_uniform_image_and_the_range(t: int, level: float) -> None:
    degradation = Blur(shape=(1, 12, 12), steps=20)
    uniform = torch.full((1, 1, 12, 12), level)
    torch.testing.assert_close(degradation.degrade(uniform, at(t, 1), None), uniform, rtol=0, atol=2e-7)
    x = pictures(3)
    z = degradation.degrade(x, at(t, 3), None)
    assert (z.amax((1, 2, 3)) <= x.amax((1, 2, 3)) + 1e-6).all()
    assert (z.amin((1, 2, 3)) >= x.amin((1, 2, 3)) - 1e-6).all()


def test_blur_keeps_float32_within_autocast() -> None:
    degradation, x = Blur(shape=(1, 12, 12), steps=20), pictures(4)
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
    assert f"these are {shape[1]} x {shape[2]}; change data.size" in message


# Latents


def smooth_images(count: int, channels: int = 1) -> Tensor:
    """Images whose means differ more than those of noise."""
    return 0.3 * pictures(count, channels) + 0.5 * pictures(count, channels, 1, seed=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_gaussian_latents_have_the_moments_of_blurred_images(channels: int) -> None:
    degradation, images = Blur(shape=(channels, 12, 12), steps=20), smooth_images(400, channels)
    true = degradation.degrade(images, at(20, 400), None).flatten(1).double()
    drawn = degradation.draw_latent(40_000, stream(), lambda: images, "gaussian").z.flatten(1).double()
    scale = true.std(0).max().item()
    torch.testing.assert_close(drawn.mean(0), true.mean(0), rtol=0, atol=4 * scale / 200)
    torch.testing.assert_close(drawn.T.cov(), true.T.cov(), rtol=0, atol=6 * scale**2 / 200)


def test_gaussian_latents_are_blurred_images_to_the_precision_of_float32() -> None:
    degradation, images = Blur(shape=(1, 28, 28), steps=100), pictures(200, size=28)
    z = degradation.draw_latent(50, stream(), lambda: images, "gaussian").z.double()
    modes = degradation.modes
    assert modes.shape == (28, 5), "of 28 modes, 100 blurs leave five that float32 can tell from nothing"
    torch.testing.assert_close(modes @ (modes.T @ z @ modes) @ modes.T, z, rtol=0, atol=1e-7)


def test_less_variance_is_fewer_components() -> None:
    degradation, images = Blur(shape=(1, 12, 12), steps=20), smooth_images(400)
    ranks = []
    for kept in (1.0, 0.999, 0.5):
        z = degradation.draw_latent(500, stream(), lambda: images, "gaussian", variance_kept=kept).z.flatten(1)
        ranks.append(torch.linalg.matrix_rank(z.T.double().cov(), rtol=1e-10).item())
    assert ranks[0] > ranks[1] > ranks[2] == 1


def test_levels_are_uniform_and_spread_like_the_means_of_blurred_images() -> None:
    degradation, images = Blur(shape=(1, 12, 12), steps=20), smooth_images(400)
    z = degradation.draw_latent(4000, stream(), lambda: images, "level").z
    assert z.shape == (4000, 1, 12, 12)
    assert torch.equal(z, z[:, :, :1, :1].expand_as(z))
    means = degradation.degrade(images, at(20, 400), None).mean((1, 2, 3))
    assert z[:, 0, 0, 0].mean().item() == pytest.approx(means.mean().item(), abs=4 * means.std().item() / 60)
    assert z[:, 0, 0, 0].std().item() == pytest.approx(means.std().item(), rel=0.06)


def test_noise_is_added_to_the_levels() -> None:
    degradation, images = Blur(shape=(3, 12, 12), steps=20), pictures(40, 3)
    plain, noisy = (
        degradation.draw_latent(200, stream(), lambda: images, "level", noise=noise).z for noise in (0.0, 0.01)
    )
    assert (noisy - plain).mean().abs().item() < 4 * 0.01 / (200 * 432) ** 0.5
    assert (noisy - plain).std().item() == pytest.approx(0.01, rel=0.02)


def test_a_latent_is_fitted_once_and_again_for_other_images() -> None:
    degradation, calls = Blur(shape=(1, 12, 12), steps=20), []

    def given_by(images: Tensor) -> Callable[[], Tensor]:
        def give() -> Tensor:
            calls.append(len(images))
            return images

        return give

    few, dark = given_by(pictures(30)), given_by(pictures(40) - 5)
    first, again, other = (degradation.draw_latent(10, stream(), give, "gaussian").z for give in (few, few, dark))
    assert calls == [30, 40]
    assert torch.equal(first, again)
    assert other.mean() < -4
