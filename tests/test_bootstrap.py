import numpy as np
import pytest
import torch
from scipy import stats

from thaw.core.randomness import generator
from thaw.evaluation.bootstrap import (
    mean_interval,
    resampled_indices,
    reverse_percentile,
    stratified_mean_interval,
    subsampling_error,
)


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


@pytest.mark.parametrize(("skew", "truth", "count"), [(False, 3, 60), (False, 3, 200), (True, 1, 200)])
def test_the_interval_covers_the_true_mean_about_as_often_as_it_says(skew: bool, truth: float, count: int) -> None:
    draw, size = np.random.default_rng(1), (500, 1, count)
    values = draw.exponential(size=size) if skew else draw.normal(3, 2, size=size)
    intervals = [mean_interval(v, 0.95, 300, generator("coverage", trial)) for trial, v in enumerate(values)]
    assert 0.90 <= np.mean([i.low <= truth <= i.high for i in intervals]) <= 0.99


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


# The same in strata


def test_one_stratum_is_no_stratum() -> None:
    values = skewed(40, trainings=2)
    found = stratified_mean_interval(values, np.zeros(40, dtype=int), 0.9, 200, generator("test"))
    assert found == pytest.approx(mean_interval(values, 0.9, 200, generator("test")))


def test_what_strata_differ_in_is_not_resampled() -> None:
    strata = np.arange(60) % 3
    values = (100.0 * strata)[None]
    assert stratified_mean_interval(values, strata, 0.95, 50, generator("test")) == pytest.approx((100, 100, 100))
    # A spread within them is all that is left of the interval.
    spread = values + skewed(60)
    within = stratified_mean_interval(spread, strata, 0.95, 400, generator("test"))
    without = mean_interval(spread, 0.95, 400, generator("test"))
    assert within.value == without.value
    assert within.high - within.low < 0.1 * (without.high - without.low)


def test_the_interval_in_strata_covers_the_true_mean_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(3)
    strata = np.sort(np.arange(200) % 10)
    covered = []
    for trial in range(300):
        values = strata + (1 + strata) * draw.normal(size=(1, 200))
        found = stratified_mean_interval(values, strata, 0.95, 200, generator("strata", trial))
        covered.append(found.low <= 4.5 <= found.high)
    assert 0.90 <= np.mean(covered) <= 0.99


# Biased statistics


def test_reverse_percentiles_reflect_the_quantiles_in_the_value() -> None:
    replicates = np.random.default_rng(0).permutation(np.arange(101.0))  # quantiles 2.5 and 97.5
    assert reverse_percentile(60, replicates, 0.95) == pytest.approx((60, 120 - 97.5, 120 - 2.5))


def test_reverse_percentiles_do_not_fall_below_zero_and_hold_the_value() -> None:
    assert reverse_percentile(1, np.linspace(1.5, 2.5, 101), 0.9) == (1, 0, 1)
    assert reverse_percentile(1, np.linspace(0.5, 2.5, 101), 0.9) == pytest.approx((1, 0, 1.4))

    # A statistic that lies 3 above the truth of 10, whose replicates lie 3 above it in turn: the bias is taken away.
    assert reverse_percentile(13, np.linspace(15, 17, 201), 0.95) == pytest.approx((13, 26 - 16.95, 13))


# Subsamples without replacement


@pytest.mark.parametrize(
    ("count", "largest", "size"),
    [(400, 1000, 200), (401, 1000, 200), (400, 50, 50), (5000, 1000, 1000)],
    ids=["half", "half of an odd number", "at most", "at most by default"],
)
def test_the_error_of_a_mean_from_subsamples_is_that_of_all_images(count: int, largest: int, size: int) -> None:
    values = np.random.default_rng(0).exponential(size=count)
    sizes = []

    def mean(index: np.ndarray) -> float:
        sizes.append(len(index))
        assert len(set(index.tolist())) == len(index), "without replacement"
        return float(values[index].mean())

    draws = 800
    found = subsampling_error(mean, count, draws, generator("test"), largest)
    assert sizes == [size] * draws
    # The standard deviation of 800 values is known to 1 / sqrt(1600) = 2.5 %; four times that.
    assert found == pytest.approx(values.std(ddof=1) / np.sqrt(count), rel=0.1)


def test_subsamples_are_a_function_of_the_stream_alone() -> None:
    values = skewed(100)[0]
    found = [subsampling_error(lambda index: values[index].mean(), 100, 20, generator(name)) for name in "aab"]
    first, again, other = found
    assert first == again != other


def test_several_statistics_have_the_errors_that_each_has_alone() -> None:
    values, statistics = skewed(100)[0], (np.mean, np.std)
    both = subsampling_error(lambda index: [one(values[index]) for one in statistics], 100, 20, generator("test"))
    alone = [subsampling_error(lambda i, f=f: f(values[i]), 100, 20, generator("test")) for f in statistics]
    assert both.shape == (2,)
    assert both == pytest.approx(np.array(alone), rel=1e-12)


def test_a_statistic_that_no_subsample_changes_has_no_error() -> None:
    assert subsampling_error(lambda index: 3.0, 50, 20, generator("test")) == 0
