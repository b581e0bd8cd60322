import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from thaw.evaluation.bootstrap import Interval, mean_interval, resampled_indices, reverse_percentile, with_trainings
from thaw.randomness import generator


def skewed(images: int, trainings: int = 1) -> np.ndarray:
    return np.random.default_rng(0).exponential(size=(trainings, images))


def test_resamples_draw_every_index_with_replacement() -> None:
    index = resampled_indices(5, 2000, generator("test"))
    assert index.shape == (2000, 5)
    share = np.bincount(index.ravel(), minlength=5) / index.size
    assert share == pytest.approx(np.full(5, 0.2), abs=0.02)
    assert any(len(set(row)) < 5 for row in index.tolist())


# The mean of per-image values


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    values = skewed(200)
    ours = mean_interval(values, 0.9, 4000, generator("test"))
    theirs = stats.bootstrap(
        (values[0],), np.mean, confidence_level=0.9, n_resamples=4000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(values.mean(), rel=1e-12)
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    values = np.random.default_rng(1).normal(3, 2, size=(500, 1, 60))
    intervals = [mean_interval(v, 0.95, 300, generator("coverage", trial)) for trial, v in enumerate(values)]
    covered = np.mean([i.low <= 3 <= i.high for i in intervals])
    assert 0.90 <= covered <= 0.99


def test_trainings_share_the_images_so_their_mean_is_resampled() -> None:
    values = skewed(50, trainings=3)
    together = mean_interval(values, 0.95, 200, generator("test"))
    assert together == mean_interval(values.mean(0, keepdims=True), 0.95, 200, generator("test"))
    # Errors that cancel between trainings on every image leave nothing to resample.
    opposed = np.stack([values[0], 1 - values[0]])
    assert mean_interval(opposed, 0.95, 200, generator("test")) == pytest.approx((0.5, 0.5, 0.5))


def test_the_interval_is_a_function_of_the_stream_alone() -> None:
    torch.manual_seed(1)
    first = mean_interval(skewed(30), 0.95, 100, generator("test"))
    torch.manual_seed(2)
    assert mean_interval(skewed(30), 0.95, 100, generator("test")) == first
    assert mean_interval(skewed(30), 0.95, 100, generator("other")) != first


# Biased statistics


def test_reverse_percentiles_reflect_the_quantiles_in_the_value() -> None:
    replicates = np.random.default_rng(0).permutation(np.arange(101.0))  # quantiles 2.5 and 97.5
    assert reverse_percentile(60, replicates, 0.95) == pytest.approx((60, 120 - 97.5, 120 - 2.5))


def test_reverse_percentiles_do_not_fall_below_zero_and_hold_the_value() -> None:
    assert reverse_percentile(1, np.linspace(1.5, 2.5, 101), 0.9) == (1, 0, 1)
    assert reverse_percentile(1, np.linspace(0.5, 2.5, 101), 0.9) == pytest.approx((1, 0, 1.4))


def test_a_bias_that_resampling_repeats_is_taken_away() -> None:
    # A statistic that lies 3 above the truth, whose replicates lie 3 above it in turn.
    truth, value = 10.0, 13.0
    interval = reverse_percentile(value, np.linspace(15, 17, 201), 0.95)
    reflected = 2 * value - interval.low, 16.95
    assert reflected[0] == pytest.approx(reflected[1]), "the lower bound is the reflection of the upper quantile"
    assert interval.low < truth < interval.high == value


# The spread between trainings


def test_the_spread_alone_is_students_interval() -> None:
    by_training = np.array([4.0, 5.0, 7.5])
    mean = float(by_training.mean())
    widened = with_trainings(Interval(mean, mean, mean), by_training, 0.95)
    low, high = stats.t.interval(0.95, 2, loc=mean, scale=stats.sem(by_training))
    assert widened == pytest.approx((mean, low, high), rel=1e-12)


def test_one_training_says_nothing_of_a_spread() -> None:
    interval = Interval(2.0, 1.0, 4.0)
    assert with_trainings(interval, np.array([2.0]), 0.95) == interval


def test_trainings_that_agree_change_nothing() -> None:
    assert with_trainings(Interval(2.0, 1.0, 4.0), np.full(3, 2.0), 0.95) == pytest.approx((2, 1, 4))


@given(
    below=st.floats(0, 10),
    above=st.floats(0, 10),
    by_training=st.lists(st.floats(-100, 100), min_size=2, max_size=5),
)
def test_widths_add_in_squares_on_each_side(below: float, above: float, by_training: list[float]) -> None:
    values = np.array(by_training)
    value = float(values.mean())
    widened = with_trainings(Interval(value, value - below, value + above), values, 0.95)
    spread = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    assert widened.value == value
    assert (value - widened.low) ** 2 == pytest.approx(below**2 + spread**2, rel=1e-6, abs=1e-9)
    assert (widened.high - value) ** 2 == pytest.approx(above**2 + spread**2, rel=1e-6, abs=1e-9)
