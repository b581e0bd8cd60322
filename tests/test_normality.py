import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from thaw.core.randomness import generator
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.evaluation.intervals import proportion_interval
from thaw.evaluation.normality import (
    Distance,
    first_accepted,
    kolmogorov_smirnov,
    normality,
    schedule_rows,
    wasserstein,
)
from thaw.params import Choice

SHAPE = (1, 8, 8)


def rows(count: int, pixels: int, mean: float = 0, scale: float = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(mean, scale, size=(count, pixels))


# The tests of single rows


@pytest.mark.parametrize("pixels", [1, 2, 64, 784])
@pytest.mark.parametrize(("mean", "scale"), [(0, 1), (0.1, 1), (0, 0.8), (3, 0.1)])
@pytest.mark.parametrize("digits", [16, 1], ids=["any values", "ties, as of few grey levels"])
def test_the_p_values_are_those_of_scipy(pixels: int, mean: float, scale: float, digits: int) -> None:
    z = rows(8, pixels, mean, scale).round(digits)
    expected = [stats.ks_1samp(row, stats.norm.cdf).pvalue for row in z]
    assert kolmogorov_smirnov(z) == pytest.approx(expected, rel=1e-10, abs=1e-300)


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


def latents(beta: float, count: int, t: int, draws: int) -> torch.Tensor:
    """z_t of uniform images on +-1/2 for several draws of Gaussian noise, (draws, N, C, H, W)."""
    noise = GaussianNoise(shape=SHAPE, steps=10, schedule=Choice(name="constant", beta=beta))
    x, step = torch.rand(count, *SHAPE, generator=generator("images")) - 0.5, torch.full((count,), t)
    sources = (noise.draw_source(count, generator("normality", t, draw), "test") for draw in range(draws))
    return torch.stack([noise.degrade(x, step, source) for source in sources])


def test_noise_that_hides_the_image_is_accepted() -> None:
    found = normality(latents(0.99, 100, 10, draws=4)).row(0.05)
    assert found["accepted"] == pytest.approx(0.95, abs=0.04)
    assert found["median_p"] == pytest.approx(0.5, abs=0.1)
    assert found["wasserstein"] < 0.2


def test_little_noise_is_rejected() -> None:
    found = normality(latents(0.01, 20, 1, draws=2)).row(0.05)
    assert found["accepted"] == 0
    assert found["median_p"] < 1e-3
    assert found["wasserstein"] == pytest.approx(np.sqrt(2 / np.pi) - 0.25, abs=0.05)


def test_every_draw_of_every_image_is_tested() -> None:
    z = latents(0.9, 3, 10, draws=2)
    found = normality(z)
    pixels = z.flatten(2).double().numpy()
    expected = [[stats.ks_1samp(image, stats.norm.cdf).pvalue for image in draw] for draw in pixels]
    assert found.p == pytest.approx(np.array(expected), rel=1e-9)
    single = [wasserstein(image[None]) for draw in pixels for image in draw]
    assert found.wasserstein == pytest.approx(np.median(single), rel=1e-12)


def test_a_row_has_the_median_where_most_p_values_lie_and_the_first_of_them() -> None:
    p = np.random.default_rng(0).permutation(np.arange(101.0) / 100)[:100].reshape(4, 25)
    found = Distance(p, 0.3).row(0.05)
    assert found["median_p"] == np.median(p)
    assert (found["low_p"], found["high_p"]) == pytest.approx(np.quantile(p, [0.05, 0.95]))
    assert (found["one_p"], found["wasserstein"]) == (p[0, 0], 0.3)
    assert list(found) == ["median_p", "low_p", "high_p", "one_p", "accepted", "wasserstein"]


def test_at_the_significance_level_is_not_accepted() -> None:
    assert Distance(np.array([[0.04, 0.05, 0.06, 0.5]]), 0.0).row(0.05)["accepted"] == 0.5


# What is said of a schedule

STEPS = [10, 20, 30, 40]


def test_a_schedule_has_the_first_step_of_the_median_and_the_share_at_the_end() -> None:
    p = np.random.default_rng(0).uniform(0.06, 1, size=(4, 3, 25))
    p[:2] = 0.01  # nothing is accepted before t = 30
    p[-1, 0, :5] = 0.02  # and five of 75 tests are rejected at the end
    share, first = schedule_rows(STEPS, p, 0.05, 0.95)
    assert (first["metric"], first["value"], first["low"], first["high"]) == ("ks_first_t", 30, 30, 30)
    assert (share["metric"], share["value"]) == ("ks_accepted_at_T", pytest.approx(70 / 75))
    assert (share["n"], first["n"]) == (75, 75)
    # The draws of an image are no images of their own.
    expected = proportion_interval(70 / 75, 25, 0.95)
    assert (share["low"], share["high"]) == pytest.approx((expected.low, expected.high))


def test_images_that_differ_make_the_first_step_uncertain() -> None:
    p = np.full((4, 1, 21), 0.5)
    p[0] = 0.01
    p[1, 0, :10] = 0.01  # ten of 21 images are rejected at t = 20, so the median is not
    _, first = schedule_rows(STEPS, p, 0.05, 0.95)
    assert (first["low"], first["value"], first["high"]) == (20, 20, 30)
    assert schedule_rows(STEPS, p, 0.05, 0.95)[1] == first, "the same in every run"


def test_a_schedule_that_is_never_accepted_has_no_first_step() -> None:
    p = np.full((4, 2, 10), 0.5)
    p[-1] = 0.01
    rows = schedule_rows(STEPS, p, 0.05, 0.95)
    assert [row["metric"] for row in rows] == ["ks_accepted_at_T"]
    assert rows[0]["value"] == 0
    assert rows[0]["high"] > 0, "ten images that all agree are not all there are"
