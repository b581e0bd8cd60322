import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import noise, pictures, single, stream
from scipy import stats
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from thaw.data.images import to_range
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.diffusion.likelihood import Variance, decoder_term, prior_term, step_term, strata
from thaw.params import Choice

SHAPE, PIXEL = (2, 3, 4), (1, 1, 1)
HALF = 0.5
LEVEL = torch.arange(256, dtype=torch.float64) / 255 - HALF
"""The 256 grey levels without the rounding of float32."""


def one_step(beta: float) -> GaussianNoise:
    """A chain of a single step, whose beta_1 is `beta`."""
    return GaussianNoise(shape=PIXEL, steps=1, schedule=Choice(name="constant", beta=beta))


# The terms, against the divergence of two normal distributions


@given(
    steps=st.integers(2, 100),
    betas=st.tuples(st.floats(1e-4, 0.4), st.floats(1e-4, 0.4)),
    variance=st.sampled_from(["lower", "upper"]),
    seed=st.integers(0, 10**6),
)
def test_a_step_costs_the_divergence_of_two_steps_of_the_sampler(
    steps: int, betas: tuple[float, float], variance: Variance, seed: int
) -> None:
    degradation = noise(SHAPE, steps, *sorted(betas))
    generator = stream(seed)
    x, estimate = pictures(5, SHAPE, seed), pictures(5, SHAPE, seed + 1)
    t = torch.randint(2, steps + 1, (5,), generator=generator)
    z = degradation.degrade(x, t, torch.randn(x.shape, generator=generator)).double()

    a_t, a_s = (degradation.alpha_bar[step].view(-1, 1, 1, 1) for step in (t, t - 1))
    beta = 1 - a_t / a_s
    lower = beta * (1 - a_s) / (1 - a_t)

    def mean(clean: Tensor) -> Tensor:
        return a_s.sqrt() * beta / (1 - a_t) * clean.double() + (a_t / a_s).sqrt() * (1 - a_s) / (1 - a_t) * z

    q = Normal(mean(x), lower.sqrt())
    p = Normal(mean(estimate), (lower if variance == "lower" else beta).sqrt())
    expected = kl_divergence(q, p).flatten(1).sum(1)
    found = step_term(x, estimate, t, degradation, variance)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("variance", ["lower", "upper"])
def test_a_perfect_estimate_costs_what_the_variances_differ_in(variance: Variance) -> None:
    degradation = noise(SHAPE, 10, 0.01, 0.3)
    x, t = pictures(9, SHAPE), torch.arange(2, 11)
    found = step_term(x, x, t, degradation, variance)
    if variance == "lower":
        assert (found == 0).all()
    else:  # (1 - abar_(t-1)) / (1 - abar_t) is the ratio of the variances; the cost falls as it approaches 1
        ratio = (1 - degradation.alpha_bar[t - 1]) / (1 - degradation.alpha_bar[t])
        torch.testing.assert_close(found, 24 / 2 * (ratio - 1 - ratio.log()), rtol=1e-9, atol=0)
        assert (found[1:] < found[:-1]).all()


@given(steps=st.integers(1, 200), beta=st.floats(1e-4, 0.2), seed=st.integers(0, 10**6))
def test_the_prior_is_the_divergence_from_pure_noise(steps: int, beta: float, seed: int) -> None:
    degradation = noise(SHAPE, steps, beta, beta)
    x, kept = pictures(5, SHAPE, seed), degradation.alpha_bar[-1]
    q = Normal(kept.sqrt() * x.double(), (1 - kept).sqrt())
    p = Normal(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))
    expected = kl_divergence(q, p).flatten(1).sum(1)
    # Where nearly nothing is kept, both are differences of numbers near 1: the last bits of 24 pixels are 1e-14.
    torch.testing.assert_close(prior_term(x, degradation), expected, rtol=1e-9, atol=1e-13)


# The decoder


def surprise(level: int, mean: float, deviation: float) -> float:
    """-log of the mass that scipy's normal distribution has in the interval of a level."""
    middle, half = LEVEL[level].item(), 0.5 / 255
    low = -np.inf if level == 0 else (middle - half - mean) / deviation
    high = np.inf if level == 255 else (middle + half - mean) / deviation
    if low > 0:  # from the tail that is nearer, whose mass is the smaller number
        low, high = -high, -low
    nearer, farther = stats.norm.logcdf(high), stats.norm.logcdf(low)
    return float(-(nearer + np.log1p(-np.exp(farther - nearer))))


BETA = st.floats(1e-6, 0.9)


@given(level=st.integers(0, 255), mean=st.floats(-2, 2), beta=BETA)
def test_the_decoder_has_the_mass_of_the_normal_distribution(level: int, mean: float, beta: float) -> None:
    degradation = one_step(beta)
    deviation = (1 - degradation.alpha_bar[1]).sqrt().item()
    estimate = torch.full((1, *PIXEL), mean, dtype=torch.float64)
    found = decoder_term(single(LEVEL[level]), estimate, degradation, HALF).item()
    assert found == pytest.approx(surprise(level, mean, deviation), rel=1e-9, abs=1e-12)
    # And as a plain difference of two values of the distribution, where that has any digits left.
    middle, half = LEVEL[level].item(), 0.5 / 255
    above = 1 if level == 255 else stats.norm.cdf(middle + half, mean, deviation)
    below = 0 if level == 0 else stats.norm.cdf(middle - half, mean, deviation)
    assert math.exp(-found) == pytest.approx(above - below, abs=1e-12)


@given(mean=st.floats(-50, 50), beta=BETA)
def test_the_levels_share_a_mass_of_one(mean: float, beta: float) -> None:
    means = torch.full((256, *PIXEL), mean, dtype=torch.float64)
    found = decoder_term(single(LEVEL), means, one_step(beta), HALF)
    assert (-found).exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_levels_in_float32_share_it_to_their_rounding() -> None:
    # A level is off by at most 3e-8, and its two neighbours' intervals overlap or leave a gap by as much.
    x = to_range(torch.arange(256, dtype=torch.uint8), HALF)
    found = decoder_term(single(x), torch.zeros(256, *PIXEL), one_step(0.1), HALF)
    assert (-found).exp().sum().item() == pytest.approx(1, abs=256 * 6e-8)


@pytest.mark.parametrize("half_range", [0.5, 1.0])
def test_the_decoder_does_not_depend_on_the_range_of_the_data(half_range: float) -> None:
    # Twice the range and twice the deviation: the same intervals in the same units.
    scale = half_range / HALF
    estimate = single(torch.linspace(-0.6, 0.6, 256, dtype=torch.float64))
    found = decoder_term(single(LEVEL) * scale, estimate * scale, one_step(0.01 * scale**2), half_range)
    expected = decoder_term(single(LEVEL), estimate, one_step(0.01), HALF)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("mean", [-1e4, -20.0, 20.0, 1e4])
def test_far_tails_are_finite_and_cost_half_the_squared_distance(mean: float) -> None:
    deviation = 0.01
    means = torch.full((256, *PIXEL), mean, dtype=torch.float64)
    found = decoder_term(single(LEVEL), means, one_step(deviation**2), HALF)
    assert found.isfinite().all()
    # The nearer edge of the interval decides; the logarithms beside the square are below 1e-4 of it.
    edge = LEVEL + math.copysign(0.5 / 255, mean)
    inner = slice(1, 255)
    expected = ((edge - mean) / deviation).square() / 2
    torch.testing.assert_close(found[inner], expected[inner], rtol=1e-4, atol=0)
    assert found[255 if mean > 0 else 0].item() == pytest.approx(0, abs=1e-12), "the outermost interval holds it all"


def test_pixels_and_channels_add_up() -> None:
    degradation = noise(SHAPE, 5, 0.01, 0.1)
    x = LEVEL[torch.arange(3 * 24).view(3, *SHAPE)]
    estimate, t = pictures(3, SHAPE, 1), torch.tensor([2, 3, 5])

    def terms(c: slice) -> list[Tensor]:
        return [
            prior_term(x[:, c], degradation),
            decoder_term(x[:, c], estimate[:, c], degradation, HALF),
            step_term(x[:, c], estimate[:, c], t, degradation, "upper"),
        ]

    for whole, one, other in zip(*(terms(slice(*c)) for c in ((0, 2), (0, 1), (1, 2))), strict=True):
        torch.testing.assert_close(whole, one + other, rtol=1e-12, atol=0)


# The strata


@given(steps=st.integers(1, 3000), count=st.integers(1, 60))
def test_strata_are_a_partition_of_the_steps_after_the_first(steps: int, count: int) -> None:
    found = strata(steps, count)
    covered = [t for low, high in found for t in range(low, high + 1)]
    assert covered == list(range(2, steps + 1))
    assert len(found) <= count
    assert all(low <= high for low, high in found)


def test_strata_are_as_many_as_asked_for_where_there_are_enough_steps_and_grow() -> None:
    found = strata(1000, 24)
    assert len(found) == 24
    lengths = [high - low + 1 for low, high in found]
    assert all(b >= a - 1 for a, b in itertools.pairwise(lengths)), "rounding to whole steps takes one at most"
    assert lengths[-1] > 20 * lengths[0]
    assert strata(5, 24) == [(2, 2), (3, 3), (4, 4), (5, 5)]
    assert strata(1, 24) == []
