import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import at, no_images, noise, pictures, stream
from torch import Tensor

from thaw.choices import names
from thaw.degradations.erase import Erase
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.degradations.zoom import Zoom
from thaw.diffusion.degradation import Degradation
from thaw.errors import ThawError
from thaw.params import Choice

DEGRADATIONS = names("degradation")
Build = Callable[..., Degradation]
GAUSSIAN = noise((1, 8, 8), 20, 1e-3, 0.2)


# Every degradation, whichever files there are


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", DEGRADATIONS)
def test_nothing_is_degraded_at_step_zero(name: str, channels: int, degradation_called: Build) -> None:
    degradation = degradation_called(name, (channels, 8, 8))
    x = pictures(5, (channels, 8, 8))
    source = degradation.draw_source(5, stream(1), "train")
    assert torch.equal(degradation.degrade(x, torch.zeros(5, dtype=torch.int64), source), x)


@pytest.mark.parametrize("name", DEGRADATIONS)
@given(t=st.lists(st.integers(0, 6), min_size=1, max_size=8))
def test_a_batch_of_mixed_steps_is_its_images_one_by_one(name: str, t: list[int], degradation_called: Build) -> None:
    degradation = degradation_called(name)
    x, steps = pictures(len(t)), torch.tensor(t)
    source = degradation.draw_source(len(t), stream(1), "train")
    together = degradation.degrade(x, steps, source)
    for i in range(len(t)):
        part = slice(i, i + 1)
        alone = degradation.degrade(x[part], steps[part], None if source is None else source[part])
        torch.testing.assert_close(together[part], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degrading_keeps_shape_type_and_argument(name: str, degradation_called: Build) -> None:
    degradation = degradation_called(name, (3, 8, 8))
    x = pictures(7, (3, 8, 8)).contiguous(memory_format=torch.channels_last)
    before = x.clone()
    source = degradation.draw_source(7, stream(1), "test")
    z = degradation.degrade(x, torch.arange(7), source)
    assert (z.shape, z.dtype) == (x.shape, torch.float32)
    assert torch.equal(x, before)
    torch.testing.assert_close(z, degradation.degrade(x.contiguous(), torch.arange(7), source), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_sources_and_latents_come_from_the_generator_alone(name: str, degradation_called: Build) -> None:
    degradation, images = degradation_called(name), pictures(30)

    def drawn(seed: int, latent: str) -> list[Tensor | None]:
        torch.manual_seed(torch.initial_seed() + 1)
        source = degradation.draw_source(4, stream(seed), "train")
        return [source, *degradation.draw_latent(4, stream(seed), lambda: images, latent)]

    for latent in degradation.latents:
        first, again, other = drawn(3, latent), drawn(3, latent), drawn(4, latent)
        assert first[1] is not None
        assert first[1].shape == (4, 1, 8, 8)
        assert first[1].dtype == torch.float32
        for a, b, c in zip(first, again, other, strict=True):
            assert (a is None) == (b is None) == (c is None)
            if a is not None and b is not None and c is not None:
                assert torch.equal(a, b)
                assert not torch.equal(a, c)


# Gaussian noise


@pytest.mark.parametrize(
    "schedule",
    [
        Choice(name="linear", beta_min=1e-4, beta_max=0.02),
        Choice(name="cosine", beta_max=0.1),
        Choice(name="constant", beta=0.01),
    ],
    ids=lambda choice: choice.name,
)
def test_gaussian_noise_agrees_with_diffusers(schedule: Choice) -> None:
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    degradation = GaussianNoise(shape=(1, 8, 8), steps=1000, schedule=schedule)
    beta = 1 - degradation.alpha_bar[1:] / degradation.alpha_bar[:-1]
    reference = DDPMScheduler(1000, trained_betas=beta.tolist())
    t = torch.tensor([1, 2, 10, 100, 500, 999, 1000])
    x, source = pictures(7), degradation.draw_source(7, stream(1), "train")
    expected = reference.add_noise(x, source, t - 1)  # theirs starts at 0 with the first noise, ours with none
    torch.testing.assert_close(degradation.degrade(x, t, source), expected, rtol=1e-4, atol=2e-5)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(0, 100))
def test_a_mixture_is_solved_for_its_source_and_for_its_image(t: list[int], seed: int) -> None:
    degradation, steps = GAUSSIAN, torch.tensor(t)
    x, source = pictures(len(t), seed=seed), degradation.draw_source(len(t), stream(seed), "train")
    z = degradation.degrade(x, steps, source)
    torch.testing.assert_close(degradation.solve_source(z, x, steps), source, rtol=0, atol=2e-5)
    torch.testing.assert_close(degradation.solve_clean(z, source, steps), x, rtol=0, atol=2e-5)


@given(st.integers(1, 20))
def test_the_coefficients_of_a_mixture_have_squares_that_sum_to_one(t: int) -> None:
    a, b = GAUSSIAN.coefficients(torch.tensor([t]))
    assert (a**2 + b**2).item() == pytest.approx(1, abs=1e-6)
    assert a.item() == pytest.approx(math.sqrt(GAUSSIAN.alpha_bar[t].item()), rel=1e-6)


def test_small_noise_keeps_its_digits() -> None:
    _, b = noise((1, 8, 8), 1000, 1e-7, 1e-7).coefficients(torch.tensor([1]))
    assert b.item() == pytest.approx(math.sqrt(1e-7), rel=1e-6), "1 - alpha_bar is not taken in float32"


@pytest.mark.parametrize("degradation", [noise((3, 8, 8), 20, 1e-3, 0.2), Erase(shape=(3, 8, 8))])
def test_normal_sources_and_latents_are_standard_normal(degradation: Degradation) -> None:
    latent = degradation.draw_latent(300, stream(0), no_images, "normal")
    assert latent.source is latent.z, "z_T of pure noise is its own source"
    for drawn in (latent.z, degradation.draw_source(300, stream(5), "train")):
        assert drawn.shape == (300, 3, 8, 8)
        assert drawn.mean().abs() < 4 / math.sqrt(drawn.numel())
        assert (drawn.var() - 1).abs() < 4 * math.sqrt(2 / drawn.numel())


# Zoom


def window(size: int, t: int) -> tuple[int, int]:
    """The first row of the crop and its number of rows, from the seed's words."""
    top, bottom = math.ceil(t / 2), math.floor(t / 2)
    return top, size - top - bottom


@pytest.mark.parametrize("size", [8, 9, 12, 28, 32, 33])
def test_zoom_is_a_crop_and_a_nearest_resize_at_every_step_and_agrees_with_torchvision(size: int) -> None:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import resized_crop

    degradation, x = Zoom(shape=(3, size, size), steps=size - 1), pictures(2, (3, size, size))
    for t in range(size):
        top, rows = window(size, t)
        expected = F.interpolate(x[:, :, top : top + rows, top : top + rows], size=(size, size), mode="nearest")
        z = degradation.degrade(x, at(t, 2), None)
        assert torch.equal(z, expected), t
        assert torch.equal(z, resized_crop(x, top, top, rows, rows, [size, size], InterpolationMode.NEAREST)), t


def test_zoom_refuses_to_leave_nothing() -> None:
    assert Zoom(shape=(1, 8, 8), steps=7).steps == 7
    with pytest.raises(ThawError) as caught:
        Zoom(shape=(1, 8, 8), steps=8, key="variants.a.train.degradation")
    assert str(caught.value) == (
        "params.yaml: variants.a.train.degradation.steps is 8, but an image of 8 pixels can be zoomed by at most "
        "7 rows; take a smaller number."
    )


@pytest.mark.parametrize(("size", "steps"), [(8, 5), (9, 6), (28, 24)])
@pytest.mark.parametrize("latent", ["pixels", "centres"])
def test_zoom_latents_are_enlarged_centres(latent: str, size: int, steps: int) -> None:
    degradation = Zoom(shape=(3, size, size), steps=steps)
    images = pictures(10, (3, size, size))
    z, source = degradation.draw_latent(6, stream(0), lambda: images, latent)
    assert source is None
    assert z.shape == (6, 3, size, size)
    rows = size - steps
    corners = [next(i for i in range(size) if i * rows // size == k) for k in range(rows)]
    centre = z[:, :, corners][:, :, :, corners]
    assert torch.equal(z, F.interpolate(centre, size=(size, size), mode="nearest")), "blocks are constant"


@pytest.mark.parametrize("channels", [1, 3])
def test_centres_are_those_of_training_images(channels: int) -> None:
    degradation, images = Zoom(shape=(channels, 8, 8), steps=5), pictures(10, (channels, 8, 8))
    z = degradation.draw_latent(200, stream(0), lambda: images, "centres").z
    ends = degradation.degrade(images, at(5, 10), None)
    which = (z[:, None] == ends[None]).flatten(2).all(2)  # (200, 10)
    assert (which.sum(1) == 1).all()
    assert which.any(0).all(), "every image is drawn at some time"


def test_centres_take_noise_of_the_given_size_before_they_are_enlarged() -> None:
    degradation, images = Zoom(shape=(1, 8, 8), steps=4), pictures(10)
    plain, noisy = (
        degradation.draw_latent(500, stream(0), lambda: images, "centres", noise=noise).z for noise in (0.0, 0.1)
    )
    assert torch.equal(noisy, noisy[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert (noisy - plain).std().item() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_come_whole_from_the_central_pixels(channels: int) -> None:
    degradation, images = Zoom(shape=(channels, 8, 8), steps=5), pictures(4, (channels, 8, 8))
    z = degradation.draw_latent(100, stream(0), lambda: images, "pixels").z
    top, rows = window(8, 5)
    centres = images[:, :, top : top + rows, top : top + rows]
    known = {tuple(pixel) for pixel in centres.movedim(1, -1).flatten(0, 2).tolist()}
    drawn = {tuple(pixel) for pixel in z.movedim(1, -1).flatten(0, 2).tolist()}
    assert drawn == known, "colours are not mixed from several pixels, and all of 900 draws from 36 are not missed"


def test_pixels_are_drawn_independently_with_the_frequency_of_the_training_images() -> None:
    images = torch.full((100, 1, 8, 8), -0.5)
    images[:30] = 0.5  # whole images, so that a true centre is all one grey
    degradation = Zoom(shape=(1, 8, 8), steps=4)
    white = degradation.draw_latent(1000, stream(0), lambda: images, "pixels").z[:, 0, ::2, ::2] > 0
    assert white.float().mean().item() == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / white.numel()))
    neighbours = torch.corrcoef(torch.stack([white[:, 0, 0], white[:, 0, 1]]).float())[0, 1]
    assert neighbours.abs() < 4 / math.sqrt(1000)
