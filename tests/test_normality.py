import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from thaw.diffusion.degradations.gaussian_noise import GaussianNoise
from thaw.diffusion.degradations.zoom import Zoom
from thaw.evaluation.normality import first_accepted, kolmogorov_smirnov, normality, wasserstein
from thaw.params import Choice

SHAPE = (1, 8, 8)


def rows(count: int, pixels: int, mean: float = 0, scale: float = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(mean, scale, size=(count, pixels))


def images(count: int) -> torch.Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(0)) - 0.5


# The tests of single rows


@pytest.mark.parametrize("pixels", [1, 2, 64, 784])
@pytest.mark.parametrize(("mean", "scale"), [(0, 1), (0.1, 1), (0, 0.8), (3, 0.1)])
def test_the_p_values_are_those_of_scipy(pixels: int, mean: float, scale: float) -> None:
    z = rows(8, pixels, mean, scale)
    expected = [stats.ks_1samp(row, stats.norm.cdf).pvalue for row in z]
    assert kolmogorov_smirnov(z) == pytest.approx(expected, rel=1e-10, abs=1e-300)


def test_ties_are_counted_as_scipy_counts_them() -> None:
    z = np.round(rows(8, 100), 1)  # as pixels of few grey levels
    expected = [stats.ks_1samp(row, stats.norm.cdf).pvalue for row in z]
    assert kolmogorov_smirnov(z) == pytest.approx(expected, rel=1e-10)


def test_the_p_values_of_normal_rows_are_uniform() -> None:
    p = kolmogorov_smirnov(rows(1000, 100))
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("pixels", [1, 2, 64])
def test_the_distance_is_scipys_distance_from_the_quantiles(pixels: int) -> None:
    z = rows(8, pixels, 0.3, 2)
    quantiles = stats.norm.ppf((np.arange(pixels) + 0.5) / pixels)
    expected = [stats.wasserstein_distance(row, quantiles) for row in z]
    assert wasserstein(z) == pytest.approx(expected, rel=1e-10)


@given(st.floats(-5, 5))
def test_the_distance_of_shifted_quantiles_is_the_shift(shift: float) -> None:
    quantiles = stats.norm.ppf((np.arange(64) + 0.5) / 64)
    assert wasserstein(np.random.default_rng(0).permutation(quantiles)[None] + shift) == pytest.approx(abs(shift))


# The first accepted step


@pytest.mark.parametrize(
    ("median_p", "first"),
    [
        ([0.0, 0.0, 0.2, 0.4], 30),
        ([0.3, 0.3, 0.3, 0.3], 10),
        ([0.0, 0.0, 0.0, 0.0], None),
        ([0.3, 0.3, 0.3, 0.0], None),
        ([0.3, 0.0, 0.3, 0.3], 30),  # an early rise that does not last
        ([0.0, 0.05, 0.3, 0.3], 30),  # at the level is not above it
        ([0.0, 0.0, 0.0, 0.06], 40),
    ],
)
def test_the_first_step_is_that_from_which_all_are_accepted(median_p: list[float], first: int | None) -> None:
    assert first_accepted([10, 20, 30, 40], median_p, 0.05) == first


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.01, 0.99))
def test_every_step_from_the_first_on_is_accepted_and_the_one_before_is_not(p: list[float], level: float) -> None:
    steps = list(range(1, len(p) + 1))
    first = first_accepted(steps, p, level)
    later = len(p) if first is None else first - 1  # the number of steps before the first
    assert all(value > level for value in p[later:])
    assert later == 0 or p[later - 1] <= level


# A degradation


def noise(beta: float, steps: int = 10) -> GaussianNoise:
    return GaussianNoise(shape=SHAPE, steps=steps, schedule=Choice.model_validate({"name": "constant", "beta": beta}))


def test_noise_that_hides_the_image_is_accepted() -> None:
    found = normality(noise(0.99), images(100), 10, draws=4, significance=0.05)
    assert found.accepted == pytest.approx(0.95, abs=0.04)
    assert found.median_p == pytest.approx(0.5, abs=0.1)
    assert found.wasserstein < 0.2


def test_little_noise_is_rejected() -> None:
    found = normality(noise(0.01), images(20), 1, draws=2, significance=0.05)
    assert found.accepted == 0
    assert found.median_p < 1e-3
    assert found.wasserstein == pytest.approx(np.sqrt(2 / np.pi) - 0.25, abs=0.05)  # images are uniform on +-1/2


def test_draws_differ_and_repeat() -> None:
    one, two = (normality(noise(0.9), images(3), 10, draws, 0.05) for draws in (1, 2))
    assert one != two
    assert normality(noise(0.9), images(3), 10, 2, 0.05) == two


def test_a_degradation_without_a_source_is_measured_too() -> None:
    x = images(5)
    found = normality(Zoom(shape=SHAPE, steps=3), x, 3, draws=2, significance=0.05)
    z = Zoom(shape=SHAPE, steps=3).degrade(x, torch.full((5,), 3), None).flatten(1).double().numpy()
    assert found.median_p == pytest.approx(np.median(kolmogorov_smirnov(z)), rel=1e-12)
