import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thaw.diffusion.degradations.gaussian_noise import GaussianNoise
from thaw.diffusion.degradations.zoom import Zoom
from thaw.diffusion.denoising import denoiser, posterior_mean, subsequence
from thaw.diffusion.objectives import TARGETS
from thaw.params import Choice

PREDICTED = [name for name in TARGETS if name != "adversarial"]  # which has no right answer

T = 40
SHAPE = (1, 4, 4)
MIXTURE = GaussianNoise(shape=SHAPE, steps=T, schedule=Choice(name="linear", beta_min=1e-3, beta_max=0.2))


def normal(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


# Steps


@given(st.integers(1, 1000), st.integers(1, 1200))
def test_a_subsequence_is_even_and_decreases_from_its_start_to_zero(start: int, count: int) -> None:
    steps = subsequence(start, count)
    gaps = -np.diff(steps)
    assert (steps[0], steps[-1]) == (start, 0)
    assert len(steps) == min(start, count) + 1
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 2
    assert np.abs(np.array(steps) - np.linspace(start, 0, len(steps))).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("start", "count"), [(0, 5), (5, 0), (-1, 5), (5, -1)])
def test_a_subsequence_has_at_least_one_step(start: int, count: int) -> None:
    with pytest.raises(ValueError, match="at least one step"):
        subsequence(start, count)


# Networks as denoisers


@pytest.mark.parametrize("target", PREDICTED)
@given(t=st.integers(1, T))
def test_a_network_that_answers_rightly_denoises_perfectly(target: str, t: int) -> None:
    x, source, steps = 0.3 * normal(2), normal(2, 1), torch.full((2,), t)
    reading = TARGETS[target](MIXTURE)
    asked: list[Tensor] = []

    def network(z: Tensor, tau: Tensor) -> Tensor:
        asked.append(tau)
        return reading.regress(x, source, steps)

    answer = denoiser(network, MIXTURE, reading)(MIXTURE.degrade(x, steps, source), t)
    torch.testing.assert_close(answer, x, rtol=0, atol=2e-5)
    torch.testing.assert_close(asked[0], torch.full((2,), t / T))


def test_a_denoiser_without_a_source_gives_the_answer_itself() -> None:
    zoom = Zoom(shape=SHAPE, steps=3)
    z = normal(2)
    answer = denoiser(lambda z, tau: z * tau[:, None, None, None], zoom, TARGETS["clean"](zoom))(z, 3)
    assert torch.equal(answer, z)


# The exact denoiser of a few images


@given(st.integers(1, T), st.integers(1, 6), st.integers(0, 1000))
def test_the_posterior_mean_is_bayes_rule(t: int, count: int, seed: int) -> None:
    points, z = 0.5 * normal(count, seed), normal(3, seed + 1)
    alpha_bar = MIXTURE.alpha_bar[t].item()
    flat, seen = points.flatten(1).double().numpy(), z.flatten(1).double().numpy()
    squares = ((seen[:, None] - math.sqrt(alpha_bar) * flat[None]) ** 2).sum(2)  # (3, count)
    likelihood = np.exp(-(squares - squares.min(1, keepdims=True)) / (2 * (1 - alpha_bar)))
    expected = (likelihood / likelihood.sum(1, keepdims=True)) @ flat
    answer = posterior_mean(points, MIXTURE.alpha_bar)(z, t)
    assert answer.dtype == z.dtype
    np.testing.assert_allclose(answer.flatten(1).numpy(), expected, rtol=0, atol=1e-6)


@given(st.integers(1, T))
def test_the_posterior_mean_of_one_point_is_that_point(t: int) -> None:
    point = normal(1, 5)
    assert torch.equal(posterior_mean(point, MIXTURE.alpha_bar)(normal(3), t), point.expand(3, *SHAPE))
