import math

import numpy as np
import pytest
import torch
from image_fixtures import noise, pictures, single
from torch import Tensor

from thaw.core.randomness import generator
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.diffusion.denoising import posterior_mean
from thaw.diffusion.likelihood import Bound, decoder_term, prior_term, step_term, strata, variational_bound

SHAPE, PIXEL = (2, 3, 4), (1, 1, 1)
HALF = 0.5


def weighted_mean(terms: Tensor, weights: Tensor) -> float:
    return float((terms * weights).sum())


def within_four_errors(values: Tensor, expected: float) -> bool:
    """Whether the mean of independent values is within four standard errors of what is expected."""
    return abs(values.mean().item() - expected) <= 4 * values.std().item() / math.sqrt(len(values))


# Gaussian data, of which everything is known

S = 0.3
"""The standard deviation of a pixel."""


def gaussian_denoiser(degradation: GaussianNoise, z: Tensor, t: Tensor) -> Tensor:
    """E[x | z_t] for x ~ N(0, S^2)."""
    a = degradation.alpha_bar[t].view(-1, 1, 1, 1)
    return a.sqrt() * S**2 / (a * S**2 + 1 - a) * z.double()


def expected_step(degradation: GaussianNoise, t: int) -> float:
    """E[L_(t-1)] per pixel with the lower variance: (SNR(t-1) - SNR(t)) / 2 times the variance of x given z_t.

    That the weight of the squared error is half the fall of the signal-to-noise ratio is of Kingma et al. (2021,
    equation 14), not of the formula that the library has.
    """
    a, before = degradation.alpha_bar[t].item(), degradation.alpha_bar[t - 1].item()
    left = S**2 * (1 - a) / (a * S**2 + 1 - a)
    return (before / (1 - before) - a / (1 - a)) / 2 * left


def grid() -> tuple[Tensor, Tensor, Tensor]:
    """Values of x ~ N(0, S^2) and of the noise, and their weights: exact for what is quadratic in both."""
    node, weight = np.polynomial.hermite_e.hermegauss(4)
    weight = weight / weight.sum()
    x, source = (torch.from_numpy(v.ravel()) for v in np.meshgrid(S * node, node))
    return single(x), single(source), torch.from_numpy(np.outer(weight, weight).ravel())


def test_the_terms_have_their_closed_form_for_gaussian_data() -> None:
    steps = 20
    degradation = noise(PIXEL, steps, 1e-3, 0.4)
    x, source, weights = grid()
    found, expected = 0.0, 0.0
    for t in range(2, steps + 1):
        step = torch.full((len(x),), t)
        estimate = gaussian_denoiser(degradation, degradation.degrade(x, step, source), step)
        term = weighted_mean(step_term(x, estimate, step, degradation, "lower"), weights)
        # sqrt(alpha_bar) is float32 in the degradation, so z is off by 6e-8 of itself.
        assert term == pytest.approx(expected_step(degradation, t), rel=1e-6)
        found, expected = found + term, expected + expected_step(degradation, t)
    assert found / math.log(2) == pytest.approx(expected / math.log(2), rel=1e-4)

    kept = degradation.alpha_bar[-1].item()
    prior = (kept * S**2 - kept - math.log(1 - kept)) / 2
    assert weighted_mean(prior_term(x, degradation), weights) == pytest.approx(prior, rel=1e-9)


def test_the_stratified_bound_converges_to_the_closed_form() -> None:
    steps, shape, count = 20, (1, 2, 2), 4000
    degradation, intervals = noise(shape, steps, 1e-3, 0.4), strata(20, 5)
    x = S * torch.randn(count, *shape, generator=generator("data"))
    found = variational_bound(
        lambda z, t: gaussian_denoiser(degradation, z, t), degradation, x, intervals, generator("bound"),
        half_range=HALF, clamp=False,
    )  # fmt: skip
    expected = [4 * sum(expected_step(degradation, t) for t in range(low, high + 1)) for low, high in intervals]
    assert found.steps.shape == (count, 5)
    assert within_four_errors(found.steps.sum(1), sum(expected))
    for draws, sum_of_interval in zip(found.steps.T, expected, strict=True):
        assert within_four_errors(draws, sum_of_interval)


# One step from each interval


def test_a_draw_is_the_term_of_one_step_times_their_number_and_has_the_sum_as_its_mean() -> None:
    steps, count = 50, 5000
    degradation = noise(SHAPE, steps, 1e-3, 0.2)
    x = pictures(1, SHAPE).expand(count, *SHAPE)
    intervals = strata(steps, 6)
    found = variational_bound(
        lambda z, t: torch.zeros_like(z), degradation, x, intervals, generator("draws"), half_range=HALF
    )
    every = torch.arange(2, steps + 1)
    terms = step_term(x[: steps - 1], torch.zeros(steps - 1, *SHAPE), every, degradation, "lower")
    for index, (low, high) in enumerate(intervals):
        inside = terms[low - 2 : high - 1]
        possible = len(inside) * inside
        nearest = (found.steps[:, index, None] - possible).abs().min(1)
        torch.testing.assert_close(nearest.values, torch.zeros(count).double(), rtol=0, atol=1e-9)
        assert set(nearest.indices.tolist()) == set(range(len(inside))), "every step of the interval is drawn"
        # An interval of one step has no spread but that of the last bit.
        draws = found.steps[:, index]
        assert draws.mean().item() == pytest.approx(inside.sum().item(), abs=4 * draws.std().item() / count**0.5 + 1e-9)
    assert within_four_errors(found.steps.sum(1), terms.sum().item())


def test_estimates_are_clamped_as_the_sampler_clamps_them() -> None:
    degradation = noise(SHAPE, 10, 0.01, 0.3)
    x = pictures(4, SHAPE)

    def bound(answer: float, clamp: bool) -> Bound:
        return variational_bound(
            lambda z, t: torch.full_like(z, answer), degradation, x, strata(10, 3), generator("clamp"),
            half_range=HALF, clamp=clamp,
        )  # fmt: skip

    for clamped, at_the_edge in zip(bound(7, True), bound(HALF, True), strict=True):
        assert torch.equal(clamped, at_the_edge)
    for free, at_the_edge in zip(bound(7, False)[1:], bound(HALF, True)[1:], strict=True):
        assert (free > at_the_edge).all()


def test_the_bound_is_a_function_of_the_stream_and_asks_at_the_steps_it_draws() -> None:
    degradation = noise(SHAPE, 30, 0.01, 0.1)
    x, asked = pictures(200, SHAPE), []

    def estimate(z: Tensor, t: Tensor) -> Tensor:
        asked.append(t)
        assert z.shape == x.shape
        return z

    def bound(stream: str) -> Bound:
        return variational_bound(estimate, degradation, x, strata(30, 3), generator(stream), half_range=HALF)

    first = bound("one")
    for (low, high), t in zip(strata(30, 3), asked[:3], strict=True):
        assert (t.min().item(), t.max().item()) == (low, high), "200 draws reach both ends of at most 17 steps"
    assert (asked[3] == 1).all(), "the decoder's estimate is of z_1"
    assert all(torch.equal(a, b) for a, b in zip(first, bound("one"), strict=True))
    assert not torch.equal(first.steps, bound("two").steps)


def test_bits_per_dimension_are_of_the_sum_of_all_terms() -> None:
    bound = Bound(torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 2.0], [0.5, 0.0]]), torch.tensor([4.0, 5.0]))
    assert bound.bits_per_dim(4).tolist() == pytest.approx([8 / 4 / math.log(2), 7.5 / 4 / math.log(2)], rel=1e-6)


def test_a_chain_of_one_step_is_prior_and_decoder() -> None:
    degradation = noise(SHAPE, 1, 0.5, 0.5)
    x = pictures(3, SHAPE)
    found = variational_bound(lambda z, t: z, degradation, x, strata(1, 24), generator("one"), half_range=HALF)
    assert found.steps.shape == (3, 0)
    expected = (found.prior + found.decoder) / (24 * math.log(2))
    torch.testing.assert_close(found.bits_per_dim(24), expected, rtol=1e-12, atol=0)


# What the whole bound is a bound of


def exact_bound(points: Tensor, steps: int) -> float:
    """Bits of the whole bound for equally likely points of one pixel and their exact denoiser, by quadrature."""
    degradation = noise(PIXEL, steps, 0.1, 0.1)
    # The logarithm of the signal-to-noise ratio falls evenly, from nearly no noise to nearly no image.
    degradation.alpha_bar[1:] = torch.linspace(14, -9, steps, dtype=torch.float64).sigmoid()
    node = torch.linspace(-8, 8, 801, dtype=torch.float64)
    density = (-node.square() / 2).exp()
    weights = (density / density.sum()).repeat(len(points)) / len(points)
    x, source = single(points.repeat_interleave(len(node))), single(node.repeat(len(points)))
    exact = posterior_mean(single(points), degradation.alpha_bar)

    def estimate(t: int) -> Tensor:
        return exact(degradation.degrade(x, torch.full((len(x),), t), source), t)

    total = prior_term(x, degradation) + decoder_term(x, estimate(1), degradation, HALF)
    for t in range(2, steps + 1):
        total += step_term(x, estimate(t), torch.full((len(x),), t), degradation, "lower")
    return weighted_mean(total, weights) / math.log(2)


def test_the_bound_of_an_exact_denoiser_lies_above_the_entropy_and_comes_nearer_with_more_steps() -> None:
    points = torch.tensor([10, 60, 128, 240]).double() / 255 - HALF  # two bits
    few, many = exact_bound(points, 20), exact_bound(points, 200)
    assert 2 < many < few
    # What is left: 0.05 of a decoder whose intervals reach two of its deviations each way, and the length of the steps:
    # each takes the error at its lower end for all of it, half of log(SNR(t-1) / SNR(t)) = 0.12 times the two bits.
    assert many < 2.05 + 0.13
