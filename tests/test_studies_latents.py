"""Studies of the latents that sampling starts from."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import noise
from study_fixtures import SHAPE, blurred, erased, morphed, noised, rows, strips, toy_dataset, zoomed
from torch import Tensor

from thaw.diffusion.denoising import posterior_mean
from thaw.params import Choice
from thaw.studies.blur_latents import TRUE, blur_latents, spatial_rms
from thaw.studies.latent_interpolation import latent_interpolation, slerp
from thaw.studies.morph_latents import morph_latents
from thaw.studies.zoom_sampling import zoom_sampling


def scaled(factor: float) -> Callable[[Tensor, int], Tensor]:
    """A denoiser that multiplies z, so that every sample is known."""
    return lambda z, t: factor * z


# Morph


def test_noise_moves_the_samples_in_proportion_and_no_noise_not_at_all() -> None:
    study = morphed(denoise=scaled(0.3))
    found = rows(morph_latents(study, noise=(0.01, 0.1, 0.2), sources=(2,)))
    assert found["image"]["distance"] == 0
    # The same noise on the same images: z moves by lambda and the sample by 0.3 of it.
    by_noise = [found[f"image + {level:g} noise"]["distance"] / level for level in (0.01, 0.1, 0.2)]
    torch.testing.assert_close(by_noise, [by_noise[0]] * 3, rtol=1e-4, atol=0)
    assert by_noise[0] == pytest.approx(0.3, rel=0.02)
    assert found["mean of 2"]["distance"] is None
    assert found["mixture"]["distance"] is None


def test_no_noise_is_plain_sampling() -> None:
    study = morphed(sampler="cold_improved")
    plain = study.model().sample(study.count)
    outcome = morph_latents(study, noise=(0.1,), sources=(2,))
    assert torch.equal(strips(outcome)["image"], plain[:8])
    assert rows(outcome)["image"].items() >= study.score(plain).items()


@pytest.mark.parametrize("count", [2, 10])
def test_the_mean_of_sources_has_a_fraction_of_their_variance(count: int) -> None:
    study = morphed(denoise=scaled(1))
    drawn = strips(morph_latents(study, sources=(count,)))
    ratio = drawn[f"mean of {count}"].var() / drawn["image"].var()
    assert ratio.item() == pytest.approx(1 / count, rel=0.2)


# Zoom


def test_noise_while_sampling_changes_only_what_the_network_sees() -> None:
    blind = zoomed(denoise=scaled(0))
    drawn = strips(zoom_sampling(blind))
    assert torch.equal(drawn["centres, 0.1 noise at each step"], drawn["centres"])


def test_noise_while_sampling_grows_with_its_level_from_the_same_centres() -> None:
    study = zoomed(denoise=scaled(1), steps=1)
    drawn = strips(zoom_sampling(study))
    plain = study.model(latent=Choice(name="centres")).draw_latents(8).z
    assert torch.equal(drawn["centres"], plain)
    small, large = (drawn[f"centres, {level} noise at each step"] - plain for level in (0.05, 0.1))
    torch.testing.assert_close(large, 2 * small, rtol=0, atol=1e-6)
    assert small.std().item() == pytest.approx(0.05, rel=0.1)
    # Noise of the latent is the same for all copies of a central pixel: 36 numbers, not 144.
    assert (drawn["centres + 0.1 noise"] - plain)[0].round(decimals=5).unique().numel() == 36


# Blur


def test_the_spatial_rms_is_about_the_mean_of_each_image() -> None:
    z = torch.tensor([0.1, 0.3]).repeat(2, 1, 8, 4) + torch.tensor([0.0, 5.0]).view(2, 1, 1, 1)
    assert spatial_rms(z, 0.5) == pytest.approx(0.1, rel=1e-5)
    assert spatial_rms(z, 1.0) == pytest.approx(0.05, rel=1e-5)


def test_uniform_latents_vary_by_their_noise_alone_and_gaussian_ones_as_the_blurred_images() -> None:
    study = blurred(count=40)
    outcome = blur_latents(study, noise=(0.02,), clusters=(1, 3))
    found = {name: row["spatial_rms"] for name, row in rows(outcome).items()}
    degraded = study.model().degrade(study.test_images(40), 6)
    assert found["level"] == 0
    # Noise has one mean in 144 taken away.
    assert found["level + 0.02 noise"] == pytest.approx(0.02 * math.sqrt(143 / 144), rel=0.03)
    assert found[TRUE] == pytest.approx((degraded - degraded.mean((2, 3), keepdim=True)).square().mean().sqrt().item())
    assert found["gaussian"] == pytest.approx(found[TRUE], rel=0.2)
    assert found["3 gaussians"] == pytest.approx(found[TRUE], rel=0.2)


def test_true_latents_are_restored_and_drawn_ones_sampled() -> None:
    study = blurred(latent="level")
    drawn = strips(blur_latents(study, clusters=(1,)))
    assert torch.equal(drawn[TRUE], study.model().reconstruct(study.test_images(20), 6)[:8])
    assert torch.equal(drawn["level"], study.model().sample(20)[:8])


# Interpolation


@given(st.integers(0, 1000), st.floats(0, 1))
def test_slerp_goes_along_the_arc_at_constant_speed(seed: int, share: float) -> None:
    pair = torch.randn(2, 1, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    first, second = pair / pair.flatten(2).norm(dim=2)[..., None, None, None]
    between = slerp(first, second, torch.tensor(share, dtype=torch.float64))
    angle = torch.acos((first * second).sum())
    assert between.norm().item() == pytest.approx(1)
    assert (first * between).sum().item() == pytest.approx(torch.cos(share * angle).item(), abs=1e-9)
    assert (second * between).sum().item() == pytest.approx(torch.cos((1 - share) * angle).item(), abs=1e-9)


def test_slerp_begins_and_ends_at_its_ends_to_the_bit() -> None:
    first, second = torch.randn(2, 5, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(slerp(first, second, torch.tensor(0.0, dtype=torch.float64)), first)
    assert torch.equal(slerp(first, second, torch.tensor(1.0, dtype=torch.float64)), second)


def test_a_linear_path_through_a_linear_generator_is_even() -> None:
    study = erased(denoise=scaled(0.1))
    for row in latent_interpolation(study, pairs=3).table:
        assert row["neighbours"] * 8 == pytest.approx(row["ends"], rel=1e-5)
        assert row["largest_share"] == pytest.approx(1 / 8, rel=1e-5)


def test_what_does_not_change_has_no_largest_step() -> None:
    study = erased(denoise=scaled(0))
    assert latent_interpolation(study, pairs=1).table[0]["largest_share"] is None


@pytest.mark.parametrize("kind", ["gan", "ddpm"])
def test_the_ends_of_a_path_are_plain_samples(kind: str) -> None:
    diffusion = noise(SHAPE, 12, 1e-3, 0.4)
    exact = posterior_mean(toy_dataset().to_range(toy_dataset().train.pixels[:4]), diffusion.alpha_bar)
    study = erased() if kind == "gan" else noised(diffusion, target="clean", denoise=exact)
    sampler = Choice(name="direct" if kind == "gan" else "ddim")
    plain = study.model(sampler=sampler).sample(6)
    paths = torch.stack([strip.images for strip in latent_interpolation(study, pairs=3).strips])
    torch.testing.assert_close(paths[:, 0], plain[:3], rtol=0, atol=1e-5)
    torch.testing.assert_close(paths[:, -1], plain[3:], rtol=0, atol=1e-5)
