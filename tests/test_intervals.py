import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from thaw.evaluation.intervals import (
    Interval,
    hull,
    paired_difference,
    paired_share_difference,
    proportion_interval,
    student_interval,
    with_trainings,
)

# Shares, and values with a known error


@given(disagree=st.integers(0, 1000), agree=st.integers(0, 1000), confidence=st.floats(0.6, 0.999))
def test_the_interval_of_a_share_is_that_of_scipy(disagree: int, agree: int, confidence: float) -> None:
    count = max(1, disagree + agree)
    theirs = stats.binomtest(agree, count).proportion_ci(confidence, method="wilson")
    ours = proportion_interval(agree / count, count, confidence)
    # At a share of 0 or 1 a bound is what two equal numbers leave in the last bit.
    assert ours == pytest.approx((agree / count, theirs.low, theirs.high), rel=1e-9, abs=1e-12)
    assert ours.low <= ours.value <= ours.high


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_that_all_agree_on_has_an_interval_of_some_width(share: float) -> None:
    few, many = (proportion_interval(share, count, 0.95) for count in (20, 2000))
    assert few.high - few.low > 0.1 > many.high - many.low > 0


@pytest.mark.parametrize("truth", [0.01, 0.2, 0.95])
def test_the_interval_of_a_share_covers_the_truth_about_as_often_as_it_says(truth: float) -> None:
    agree = np.random.default_rng(0).binomial(1000, truth, size=1000)
    intervals = [proportion_interval(k / 1000, 1000, 0.95) for k in agree]
    assert 0.93 <= np.mean([i.low <= truth <= i.high for i in intervals]) <= 0.97


@pytest.mark.parametrize("degrees", [1, 19, 1000])
def test_an_estimated_error_makes_student_s_interval(degrees: int) -> None:
    low, high = stats.t.interval(0.9, degrees, loc=5, scale=2)
    assert student_interval(5, 2, degrees, 0.9) == pytest.approx((5, low, high), rel=1e-12)


def test_a_hull_holds_both_intervals_and_the_first_value() -> None:
    assert hull(Interval(2, 1, 3), Interval(2, 0, 2.5)) == (2, 0, 3)
    assert hull(Interval(2, 1, 3), Interval(2, 1.5, 4)) == (2, 1, 4)
    assert hull(Interval(2, 0, 5), Interval(9, 1, 4)) == (2, 0, 5)


# Two variants on the same images


@given(images=st.integers(2, 300), common=st.floats(0, 5), seed=st.integers(0, 10**6))
def test_the_interval_of_a_difference_is_that_of_scipy_s_test_for_pairs(images: int, common: float, seed: int) -> None:
    """However much of their difficulty the two have in common, and whichever of the two comes first."""
    draw = np.random.default_rng(seed)
    a, b = draw.exponential(size=(2, images)) + common * draw.normal(size=images)
    expected = stats.ttest_rel(a, b).confidence_interval(0.9)
    one, other = paired_difference(a[None], b[None], 0.9), paired_difference(b[None], a[None], 0.9)
    assert one == pytest.approx(((a - b).mean(), expected.low, expected.high), rel=1e-9)
    assert other == pytest.approx((-one.value, -one.high, -one.low))


def test_a_variant_does_not_differ_from_itself() -> None:
    values = np.random.default_rng(0).exponential(size=(1, 50))
    assert paired_difference(values, values, 0.95) == (0, 0, 0)


@pytest.mark.parametrize(("a", "b"), [(1.0, 0.0), (0.25, 0.75)])
def test_a_difference_that_is_the_same_on_every_image_is_known(a: float, b: float) -> None:
    """As when every image keeps its class with one variant, and none with the other."""
    assert paired_difference(np.full((1, 20), a), np.full((1, 20), b), 0.95) == (a - b, a - b, a - b)


def test_the_trainings_of_both_widen_the_interval() -> None:
    images = np.random.default_rng(0).integers(0, 300, (1, 200)) / 64  # so that sums and differences are exact
    a = np.concatenate([images, images + 0.5, images - 0.5])
    b = np.concatenate([images, images + 0.125])
    found = paired_difference(a, b, 0.95)
    # The images cancel, so the spreads of the trainings are all there is, added in squares.
    spread = np.hypot(*(stats.t.ppf(0.975, len(v) - 1) * stats.sem(v.mean(1)) for v in (a, b)))
    assert found == pytest.approx((-0.0625, -0.0625 - spread, -0.0625 + spread), rel=1e-6)


@pytest.mark.parametrize("images", [20, 150])
def test_the_interval_of_a_difference_covers_the_truth_about_as_often_as_it_says(images: int) -> None:
    draw = np.random.default_rng(2)
    covered = []
    for _ in range(300):
        difficulty = draw.exponential(size=(1, images))
        a = 2 + difficulty + 0.3 * draw.normal(size=(1, images))
        b = 1.9 + 1.2 * difficulty + 0.3 * draw.normal(size=(1, images))
        found = paired_difference(a, b, 0.95)
        covered.append(found.low <= 0.1 - 0.2 <= found.high)  # the mean difficulty is 1
    assert 0.90 <= np.mean(covered) <= 0.99


# Two variants on the same images, where each answer is yes or no


def test_a_difference_of_shares_has_the_interval_of_agresti_and_min() -> None:
    """From the table of 2 x 2 answers with half an image added to each of the four (Agresti and Min 2005)."""
    both, first, second, neither = 20, 9, 4, 7
    a = np.repeat([1.0, 1.0, 0.0, 0.0], [both, first, second, neither])
    b = np.repeat([1.0, 0.0, 1.0, 0.0], [both, first, second, neither])
    count = len(a) + 2
    middle = (first - second) / count
    error = np.sqrt((first + second + 1) - (first - second) ** 2 / count) / count
    low, high = stats.norm.interval(0.9, loc=middle, scale=error)
    assert paired_share_difference(a[None], b[None], 0.9) == pytest.approx((5 / 40, low, high), rel=1e-9)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
def test_a_few_answers_all_one_way_make_no_difference_certain(a: float, b: float) -> None:
    few, many = (paired_share_difference(np.full((1, count), a), np.full((1, count), b), 0.95) for count in (20, 2000))
    assert few.value == many.value == a - b
    assert few.low <= few.value <= few.high
    assert few.high - few.low > 0.1 > many.high - many.low > 0


@pytest.mark.parametrize(("both", "only_a", "only_b"), [(0.9, 0.05, 0.03), (0.97, 0.01, 0.01), (0.5, 0.3, 0.1)])
def test_the_interval_of_a_difference_of_shares_covers_the_truth(both: float, only_a: float, only_b: float) -> None:
    answers = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], dtype=float)
    chance = [both, only_a, only_b, 1 - both - only_a - only_b]
    draws = np.random.default_rng(0).choice(4, p=chance, size=(500, 100))
    found = [paired_share_difference(*answers[d].T[:, None], 0.95) for d in draws]
    # Of rare answers a sample takes few values, so that coverage goes in steps and may lie above its level.
    assert np.mean([i.low <= only_a - only_b <= i.high for i in found]) >= 0.93


# The spread between trainings


def test_the_spread_alone_is_students_interval() -> None:
    by_training = np.array([4.0, 5.0, 7.5])
    mean = float(by_training.mean())
    widened = with_trainings(Interval(mean, mean, mean), by_training, 0.95)
    low, high = stats.t.interval(0.95, 2, loc=mean, scale=stats.sem(by_training))
    assert widened == pytest.approx((mean, low, high), rel=1e-12)


@pytest.mark.parametrize("trainings", [1, 3])
def test_one_training_and_trainings_that_agree_change_nothing(trainings: int) -> None:
    assert with_trainings(Interval(2.0, 1.0, 4.0), np.full(trainings, 2.0), 0.95) == pytest.approx((2, 1, 4))


@given(st.floats(0, 10), st.floats(0, 10), st.lists(st.floats(-100, 100), min_size=2, max_size=5))
def test_widths_add_in_squares_on_each_side(below: float, above: float, by_training: list[float]) -> None:
    values = np.array(by_training)
    value = float(values.mean())
    widened = with_trainings(Interval(value, value - below, value + above), values, 0.95)
    spread = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    assert widened.value == value
    assert (value - widened.low) ** 2 == pytest.approx(below**2 + spread**2, rel=1e-6, abs=1e-9)
    assert (widened.high - value) ** 2 == pytest.approx(above**2 + spread**2, rel=1e-6, abs=1e-9)
