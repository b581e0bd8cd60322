import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import pictures
from scipy.spatial.distance import cdist

from thaw.evaluation.classifier import FeatureNetwork, predict
from thaw.evaluation.diversity import DISTINCT, class_entropy, class_entropy_interval, class_shares, unique_fraction


def test_shares_of_classes_are_those_of_the_predictions() -> None:
    torch.manual_seed(0)
    network = FeatureNetwork(1, 5).eval()
    pixels = torch.randint(256, (60, 1, 12, 12), dtype=torch.uint8)
    shares = class_shares(network, pixels)
    assert len(shares) == 5
    assert sum(shares) == pytest.approx(1)
    assert shares[3] == (predict(network, pixels) == 3).double().mean()


# The entropy of classes

COUNTS = st.lists(st.integers(0, 200), min_size=2, max_size=12).filter(any)


def shares_of(counts: list[int]) -> list[float]:
    return [count / sum(counts) for count in counts]


@given(COUNTS)
def test_the_entropy_is_the_sum_of_its_formula(counts: list[int]) -> None:
    shares = shares_of(counts)
    assert class_entropy(shares) == pytest.approx(-sum(p * np.log2(p) for p in shares if p > 0), rel=1e-9, abs=1e-12)


EQUAL = [([1 / classes] * classes, np.log2(classes)) for classes in (2, 10, 100)]


@pytest.mark.parametrize(("shares", "bits"), [([1.0, 0], 0), ([0.5, 0.25, 0.25], 1.5), ([0.25] * 4 + [0], 2), *EQUAL])
def test_the_entropy_of_some_shares_is_known(shares: list[float], bits: float) -> None:
    assert class_entropy(shares) == pytest.approx(bits, rel=5e-13, abs=1e-12)


@given(COUNTS, st.integers(0, 10**6))
def test_the_interval_of_an_entropy_holds_it_and_ends_at_the_logarithm(counts: list[int], seed: int) -> None:
    shares = shares_of(counts)
    found = class_entropy_interval(shares, sum(counts), 0.95, 50, seed)
    assert found.value == class_entropy(shares)
    # An entropy of equal shares may be above log2 of their number by the last bit.
    assert found.low <= found.value <= found.high + 1e-12
    assert found.high <= np.log2(len(counts))


def test_the_interval_of_an_entropy_reflects_what_resampling_takes_away() -> None:
    shares, count = [0.4, 0.3, 0.2, 0.06, 0.04], 300
    found = class_entropy_interval(shares, count, 0.9, 400, 0)
    drawn = np.random.default_rng(0).multinomial(count, shares, 400) / count
    low, high = np.quantile([class_entropy(row) for row in drawn], [0.05, 0.95])
    assert found == pytest.approx((class_entropy(shares), 2 * found.value - high, 2 * found.value - low), rel=1e-9)
    assert class_entropy_interval(shares, count, 0.9, 400, 0) == found
    assert class_entropy_interval(shares, count, 0.9, 400, 1) != found


def test_images_of_one_class_have_no_entropy_and_no_interval() -> None:
    assert class_entropy_interval([0.0, 1.0, 0.0], 500, 0.95, 50, 0) == (0, 0, 0)


@pytest.mark.parametrize("truth", [[0.1] * 10, [0.3, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05, 0.04, 0.03, 0.03]])
def test_the_interval_covers_the_true_entropy_about_as_often_as_it_says(truth: list[float]) -> None:
    counts = np.random.default_rng(0).multinomial(500, truth, 200)
    intervals = [class_entropy_interval((row / 500).tolist(), 500, 0.95, 100, i) for i, row in enumerate(counts)]
    # Equal shares have the largest entropy there is, which the end of the interval is held to: it is covered always.
    assert np.mean([i.low <= class_entropy(truth) <= i.high + 1e-12 for i in intervals]) >= 0.90


# New images


def test_the_limit_is_the_distance_that_real_images_keep() -> None:
    """Against scipy's distances."""

    def to_nearest(images: torch.Tensor) -> np.ndarray:
        flat = images.flatten(1).double().numpy()
        return (cdist(flat, flat) + np.diag(np.full(len(flat), np.inf))).min(1)

    real, images = pictures(60), pictures(40, seed=1)
    limit = np.quantile(to_nearest(real[:40]), DISTINCT)
    assert unique_fraction(images, real) == pytest.approx((to_nearest(images) > limit).mean())


@given(copies=st.integers(0, 10))
def test_repeated_images_are_not_unique(copies: int) -> None:
    images = pictures(30)
    images[30 - copies :] = images[:copies]
    assert unique_fraction(images, pictures(30, seed=1)) <= 1 - 2 * copies / 30 + 1e-9


def test_real_images_are_as_unique_as_they_are_by_definition() -> None:
    real = pictures(200)
    assert unique_fraction(real, real) == pytest.approx(1 - DISTINCT, abs=0.005)


def test_one_image_again_and_again_is_unique_nowhere() -> None:
    assert unique_fraction(pictures(1).expand(20, 1, 8, 8), pictures(20)) == 0


@pytest.mark.parametrize(("images", "real"), [(1, 10), (10, 9)])
def test_too_few_images_are_refused(images: int, real: int) -> None:
    with pytest.raises(ValueError, match="at least two images"):
        unique_fraction(pictures(images), pictures(real))
