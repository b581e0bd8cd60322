import math

import pytest
import torch
from image_fixtures import noise
from study_fixtures import HALF_RANGE, SHAPE, SmallStudy, noised, zoomed
from torch import Tensor, nn

from thaw.choices import find
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.diffusion.denoising import Denoise, posterior_mean
from thaw.errors import ThawError
from thaw.params import Choice
from thaw.studies._base.study import Outcome
from thaw.studies.clamping import clamping, share_outside
from thaw.studies.predicted_noise import correlation, predict_noise, predicted_noise
from thaw.studies.sampling_steps import sampling_steps
from thaw.studies.terminal_mismatch import terminal_mismatch

LINEAR = noise(SHAPE, 60, 1e-3, 0.2)
SHORT = GaussianNoise(shape=SHAPE, steps=60, schedule=Choice(name="constant", beta=0.01))


def watching(denoise: Denoise, seen: list[tuple[int, Tensor]]) -> Denoise:
    def watched(z: Tensor, t: int) -> Tensor:
        seen.append((t, z.clone()))
        return denoise(z, t)

    return watched


# Sampling steps


def test_every_sampler_gives_the_only_image_there_is_in_any_number_of_steps() -> None:
    small = noised(LINEAR)
    point = small.train_images(1)
    small.denoise = posterior_mean(point, LINEAR.alpha_bar)
    outcome = sampling_steps(small, steps=(1, 3))
    assert len(outcome.strips) == 8
    for strip in outcome.strips:
        torch.testing.assert_close(strip.images, point.expand_as(strip.images), atol=1e-5, rtol=0)


def test_steps_are_at_most_those_of_the_process_and_samplers_share_their_latents() -> None:
    seen: list[tuple[int, Tensor]] = []
    small = noised(LINEAR, denoise=watching(lambda z, t: 0.1 * z, seen), steps=3)
    outcome = sampling_steps(small, steps=(2, 4, 100, 1000))
    cases = [
        (sampler, steps)
        for sampler in ("ancestral, lower", "ancestral, upper", "ddim", "ddim, no clamp")
        for steps in (2, 4, LINEAR.steps)
    ]
    assert [(row["sampler"], row["steps"]) for row in outcome.curves] == cases
    assert [row["sampler"] for row in outcome.table] == [f"{sampler}, {steps} steps" for sampler, steps in cases]
    starts = [z for t, z in seen if t == LINEAR.steps]
    assert len(starts) == 12
    assert all(torch.equal(z, starts[0]) for z in starts)
    for row, point in zip(outcome.table, outcome.curves, strict=True):
        assert {key: row[key] for key in ("fid_classifier", "low", "high")}.items() <= point.items()
        assert 0 <= row["low"] <= row["fid_classifier"] <= row["high"]
    assert [strip.label for strip in outcome.strips] == [
        f"{sampler}: {steps}" for sampler, steps in cases if steps in (2, LINEAR.steps)
    ]


def test_of_one_sampler_all_numbers_of_steps_are_shown() -> None:
    outcome = sampling_steps(noised(LINEAR), steps=(4, 2, 3), samplers=("ddim",))
    assert [row["sampler"] for row in outcome.table] == [f"ddim, {steps} steps" for steps in (2, 3, 4)]
    assert [strip.label for strip in outcome.strips] == [f"ddim: {steps}" for steps in (2, 3, 4)]


# Clamping


def test_the_share_outside_is_that_of_values_beyond_the_range() -> None:
    assert share_outside(torch.tensor([-0.6, -0.5, 0.0, 0.5, 0.51]), 0.5) == pytest.approx(0.4)


def test_only_without_the_clamp_are_pixels_outside_the_range() -> None:
    outcome = clamping(noised(LINEAR, denoise=lambda z, t: torch.full_like(z, 0.8)), steps=4)
    assert [row["sampler"] for row in outcome.table] == [
        f"{sampler}, {clamp}"
        for sampler in ("ancestral, lower", "ancestral, upper", "ddim")
        for clamp in ("clamp", "no clamp")
    ]
    assert [row["outside"] for row in outcome.table] == [0, 1, 0, 1, 0, 1]
    for strip, level in zip(outcome.strips, 3 * [HALF_RANGE, 0.8], strict=True):
        torch.testing.assert_close(strip.images, torch.full_like(strip.images, level))


def test_a_clamp_changes_nothing_where_the_estimate_stays_in_the_range() -> None:
    outcome = clamping(noised(LINEAR, denoise=lambda z, t: 0.4 * torch.tanh(z)), steps=5)
    for with_clamp, without in zip(outcome.strips[::2], outcome.strips[1::2], strict=True):
        assert torch.equal(with_clamp.images, without.images)
    assert outcome.table[0]["steps"] == 5


# Terminal mismatch


def starts_of(degradation: GaussianNoise, count: int = 40) -> tuple[SmallStudy, Outcome, list[Tensor]]:
    seen: list[tuple[int, Tensor]] = []
    small = noised(degradation, denoise=watching(lambda z, t: 0.3 * torch.tanh(z), seen), count=count)
    outcome = terminal_mismatch(small)
    return small, outcome, [z for t, z in seen if t == degradation.steps]


def test_sampling_starts_from_noise_from_its_moments_and_from_degraded_training_images() -> None:
    small, outcome, (normal, matched, true) = starts_of(SHORT)
    model = small.model()
    assert [row["start"] for row in outcome.table] == ["N(0, I)", "mean and variance", "true z_T"]
    assert torch.equal(normal, model.draw_latents(40).z)
    assert torch.equal(true, model.degrade(small.train_images(40), SHORT.steps))
    alpha_bar = 0.99**60
    assert outcome.table[0]["alpha_bar_T"] == pytest.approx(alpha_bar)
    x = small.dataset.to_range(small.dataset.train.pixels).double()
    mean, variance = math.sqrt(alpha_bar) * x.mean(0), alpha_bar * x.var(0, correction=0) + 1 - alpha_bar
    torch.testing.assert_close(((matched - mean) / variance.sqrt()).float(), normal, atol=1e-5, rtol=1e-5)


def test_starts_differ_only_where_the_image_is_left_in_z() -> None:
    differences = []
    for degradation in (LINEAR, SHORT):
        _, outcome, (normal, matched, _) = starts_of(degradation)
        differences.append((normal - matched).square().mean().sqrt().item())
        # The noise of the steps is the same, so equal starts give equal images.
        change = (outcome.strips[0].images - outcome.strips[1].images).square().mean().sqrt().item()
        assert change <= 2 * differences[-1]
    assert differences[0] < 0.05 < differences[1]


# Predicted noise


class Constant(nn.Module):
    """A network that answers `level` everywhere."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(level))

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        return self.level.expand_as(z)


def twofold(denoise: Denoise, count: int = 20) -> SmallStudy:
    """Before its training the network answers nothing; after it, what `denoise` says."""
    study = noised(LINEAR, denoise=denoise, count=count)
    study.untrained = noised(LINEAR, network=Constant(0.0)).model
    return study


def test_a_perfect_network_predicts_the_noise_and_an_empty_one_nothing() -> None:
    small = twofold(lambda z, t: z)
    x = small.test_images(20)
    small.denoise = lambda z, t: x
    outcome = predicted_noise(small, fractions=(0.1, 0.5, 1.0))
    assert [row["t"] for row in outcome.table] == [6, 30, 60]
    for row in outcome.table:
        assert row["correlation_after"] == pytest.approx(1, abs=1e-5)
        assert row["mean_square_after"] == pytest.approx(1, abs=0.1)
        assert row["correlation_before"] is None
        assert row["mean_square_before"] < 1e-8
    assert [strip.label for strip in outcome.strips] == 2 * ["z_t", "noise", "before", "after"]
    assert list(outcome.columns) == ["t = 6", "t = 30", "t = 60"]
    for first in (0, 4):
        z, noise, before, after = (strip.images for strip in outcome.strips[first : first + 4])
        assert z.shape == (3, *SHAPE)
        torch.testing.assert_close(after, noise, atol=1e-4, rtol=0)
        assert before.abs().max() < 1e-5
        # Three standard deviations are black or white.
        assert noise.std().item() == pytest.approx(HALF_RANGE / 3, rel=0.15)


def test_a_network_that_returns_z_is_correlated_with_the_noise_as_far_as_z_is_noise() -> None:
    # Returning z_t as the noise is estimating x as (1 - b) / a z_t.
    a, b = LINEAR.alpha_bar.sqrt(), (1 - LINEAR.alpha_bar).sqrt()
    small = twofold(lambda z, t: ((1 - b[t]) / a[t]).float() * z, count=40)
    x = small.test_images(40).double()
    for row in predicted_noise(small, fractions=(0.05, 0.3, 1.0)).table:
        t = row["t"]
        expected = b[t] / (a[t] ** 2 * x.var() + b[t] ** 2).sqrt()
        assert row["correlation_after"] == pytest.approx(expected.item(), abs=0.02)
        power = a[t] ** 2 * x.square().mean() + b[t] ** 2
        assert row["mean_square_after"] == pytest.approx(power.item(), rel=0.05)
        assert row["alpha_bar"] == LINEAR.alpha_bar[t]


@pytest.mark.parametrize("target", ["noise", "clean", "velocity"])
def test_the_predicted_noise_is_the_answer_or_what_it_implies(target: str) -> None:
    small = noised(LINEAR, target=target, network=Constant(0.2))
    z = small.model().degrade(small.test_images(20), 30)
    a, b = LINEAR.alpha_bar[30].sqrt().item(), (1 - LINEAR.alpha_bar[30]).sqrt().item()
    expected = {"noise": torch.full_like(z, 0.2), "clean": (z - 0.2 * a) / b, "velocity": b * z + 0.2 * a}[target]
    torch.testing.assert_close(predict_noise(small.model(), LINEAR, z, 30), expected, atol=1e-5, rtol=1e-4)


def test_correlation_is_pearson_s_and_none_for_a_constant() -> None:
    a, b = torch.randn(2, 500, generator=torch.Generator().manual_seed(0))
    assert correlation(a, b) == pytest.approx(torch.corrcoef(torch.stack([a, b]))[0, 1].item(), abs=1e-6)
    assert correlation(-3 * a + 7, a) == pytest.approx(-1)
    assert correlation(torch.full_like(a, 0.3), a) is None


# Other variants


@pytest.mark.parametrize("name", ["sampling_steps", "clamping", "terminal_mismatch", "predicted_noise"])
def test_a_variant_without_normal_noise_is_refused(name: str) -> None:
    with pytest.raises(ThawError, match=rf"the study {name} compares .* variant whose degradation is gaussian_noise"):
        find("study", name, "studies.trained.s")(zoomed())
