"""The Frechet distance where its true value is known: closed forms, how often its interval holds it, its limit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg
from torch import Tensor

from thaw.core.randomness import generator
from thaw.evaluation.classifier import FeatureNetwork, features
from thaw.evaluation.frechet import (
    SMALLEST,
    SUBSETS,
    Moments,
    extrapolate,
    fid_classifier,
    floor,
    frechet_distance,
    frechet_interval,
    moments,
    symmetric_root,
)


def standard(width: int) -> Moments:
    """The moments of N(0, I) themselves."""
    return Moments(torch.zeros(width).double(), torch.eye(width).double(), 10**6)


def normal(count: int, width: int, trial: int, shift: float, scale: float) -> Tensor:
    """Features from N(shift, scale^2 I)."""
    return shift + scale * torch.randn(count, width, generator=generator("features", trial), dtype=torch.float64)


def truth(width: int, shift: float, scale: float) -> float:
    """The distance of that distribution from N(0, I)."""
    return width * (shift**2 + (1 - scale) ** 2)


def correlated(count: int, width: int, seed: int = 0) -> Tensor:
    """Gaussian features that are no longer independent."""
    stream = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=stream, dtype=torch.float64)
    return torch.randn(count, width, generator=stream, dtype=torch.float64) @ mixing


# Other libraries


def test_moments_are_those_of_numpy() -> None:
    x = correlated(50, 4)
    found = moments(x)
    assert found.images == 50
    assert found.mean.numpy() == pytest.approx(x.numpy().mean(0), rel=1e-12)
    assert found.covariance.numpy() == pytest.approx(np.cov(x.numpy(), rowvar=False), rel=1e-12)


@given(seed=st.integers(0, 10**6), width=st.integers(2, 12))
def test_the_distance_is_that_of_a_matrix_square_root(seed: int, width: int) -> None:
    a, b = moments(correlated(60, width, seed)), moments(1 + correlated(60, width, seed + 1))
    c, d = a.covariance.numpy(), b.covariance.numpy()
    apart = ((a.mean - b.mean) ** 2).sum().item()
    expected = apart + np.trace(c + d - 2 * linalg.sqrtm(c @ d).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)
    root = symmetric_root(a.covariance)
    assert (root @ root).numpy() == pytest.approx(c, rel=1e-9, abs=1e-12 * np.trace(c))
    assert frechet_distance(a, b, root) == frechet_distance(a, b)


def test_fewer_images_than_features_are_no_obstacle() -> None:
    a, b = moments(correlated(10, 20)), moments(correlated(8, 20, 1))
    root = np.real(np.sqrt(linalg.eigvals(a.covariance.numpy() @ b.covariance.numpy()).astype(complex)))
    expected = ((a.mean - b.mean) ** 2).sum() + a.covariance.trace() + b.covariance.trace() - 2 * root.sum()
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-5)


def test_torchmetrics_gives_the_distance_by_way_of_the_moments_and_of_the_images() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance  # takes seconds to import

    torch.manual_seed(0)
    network, stream = FeatureNetwork(1, 10).eval().double(), torch.Generator().manual_seed(0)
    real, fake = (
        torch.randint(n, (m, 1, 8, 8), dtype=torch.uint8, generator=stream) for n, m in ((256, 300), (150, 260))
    )
    metric = FrechetInceptionDistance(feature=network).set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    of_real, of_fake = moments(features(network, real)), features(network, fake)
    found = fid_classifier(of_real, of_fake)
    assert found == pytest.approx(metric.compute().item(), rel=1e-8)
    assert found == pytest.approx(frechet_distance(of_real, moments(of_fake)), rel=1e-6)


# Closed forms


def test_equal_covariances_leave_the_distance_of_the_means() -> None:
    a = moments(correlated(100, 5))
    b = a._replace(mean=a.mean + torch.tensor([3.0, 4.0, 0, 0, 0]))
    assert frechet_distance(a, b) == pytest.approx(25, rel=1e-9)
    same = moments(correlated(500, 20))
    assert frechet_distance(same, same) == pytest.approx(0, abs=1e-6 * same.covariance.trace().item())


def test_diagonal_covariances_have_a_closed_form() -> None:
    a = Moments(torch.zeros(3).double(), torch.diag(torch.tensor([1.0, 4.0, 9.0]).double()), 10)
    b = Moments(torch.ones(3).double(), torch.diag(torch.tensor([4.0, 1.0, 0.0]).double()), 10)
    assert frechet_distance(a, b) == pytest.approx(3 + 1 + 1 + 9, rel=1e-12)


@given(width=st.integers(1, 30), seed=st.integers(0, 10**6))
def test_covariances_with_the_same_axes_differ_by_the_roots_of_their_eigenvalues(width: int, seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(width, width, generator=stream, dtype=torch.float64)).Q
    first, second = (3 * torch.rand(width, generator=stream, dtype=torch.float64) for _ in range(2))
    means = torch.randn(2, width, generator=stream, dtype=torch.float64)
    c, d = (axes @ torch.diag(values) @ axes.T for values in (first, second))
    expected = (means[0] - means[1]).square().sum() + (first.sqrt() - second.sqrt()).square().sum()
    # The root of a product near 0 keeps half the digits: 1e-8 for each feature.
    found = frechet_distance(Moments(means[0], c, 10), Moments(means[1], d, 10))
    assert found == pytest.approx(expected.item(), rel=1e-6, abs=1e-7)


@given(seed=st.integers(0, 10**6))
def test_two_features_have_a_closed_form_for_any_covariances(seed: int) -> None:
    """The trace of the root of a 2 x 2 matrix M is the root of tr M + 2 sqrt(det M)."""
    stream = torch.Generator().manual_seed(seed)
    roots = torch.randn(2, 2, 2, generator=stream, dtype=torch.float64)
    c, d = roots @ roots.mT
    product = c @ d
    trace = (product.trace() + 2 * torch.linalg.det(product).clamp(min=0).sqrt()).sqrt()
    zero = torch.zeros(2).double()
    found = frechet_distance(Moments(zero, c, 10), Moments(zero, d, 10))
    assert found == pytest.approx((c.trace() + d.trace() - 2 * trace).item(), rel=1e-6, abs=1e-6)


# Its interval


def test_the_interval_reflects_resampled_distances_in_the_mean_over_trainings() -> None:
    real = moments(correlated(1000, 3))
    fakes = [correlated(80, 3, 1), 1 + correlated(80, 3, 2)]
    found = frechet_interval(real, fakes, 0.9, 50, generator("test"))
    values = [frechet_distance(real, moments(fake)) for fake in fakes]
    index = torch.randint(80, (50, 80), generator=generator("test"))  # the same images of every training
    replicates = [[frechet_distance(real, moments(fake[row])) for row in index] for fake in fakes]
    low, high = np.quantile(np.mean(replicates, axis=0), [0.05, 0.95])
    assert found.value == pytest.approx(np.mean(values))
    assert found[1:] == pytest.approx((2 * found.value - high, 2 * found.value - low))


def test_a_distance_far_above_its_bias_lies_in_its_interval() -> None:
    real, fake = moments(correlated(2000, 3)), 2 + correlated(500, 3)
    found = frechet_interval(real, [fake], 0.95, 100, generator("test"))
    assert found.low < found.value < found.high


@pytest.mark.parametrize("decay", [0, 1], ids=["equal variances", "variances that fall"])
def test_the_interval_covers_the_true_distance_about_as_often_as_it_says(decay: int) -> None:
    # As many images and features as the reports have. With equal variances the bias is a third of the distance and
    # twenty times its spread; with a few that are large, as those of a classifier, a seventh and three times.
    width, count, trials = 128, 1000, 80
    deviation = torch.arange(1, width + 1, dtype=torch.float64).pow(-decay / 2)
    real = Moments(torch.zeros(width).double(), torch.diag(deviation.square()), 10**6)
    expected = (0.3 * deviation).square().sum().item() + (0.1 * deviation).square().sum().item()
    covered, above = [], []
    for trial in range(trials):
        fake = deviation * normal(count, width, trial, 0.3, 0.9)
        found = frechet_interval(real, [fake], 0.95, 60, generator("resamples", trial))
        covered.append(found.low <= expected <= found.high)
        above.append(found.value - expected)
    assert np.mean(above) > (15 if decay == 0 else 2) * np.std(above), "or there is no bias to reflect"
    assert 0.90 <= np.mean(covered) <= 0.99


def test_the_interval_of_few_images_covers_the_true_distance_too() -> None:
    """Of 100 images with 16 features the percentile interval would hardly ever hold it."""
    fakes = [normal(100, 16, trial, 0.3, 1) for trial in range(40)]
    found = [frechet_interval(standard(16), [fake], 0.95, 60, generator("few", k)) for k, fake in enumerate(fakes)]
    assert np.mean([interval.value for interval in found]) > truth(16, 0.3, 1) + 0.5, "the bias"
    assert np.mean([interval.low <= truth(16, 0.3, 1) <= interval.high for interval in found]) >= 0.8


def test_a_perfect_model_is_not_told_from_the_truth() -> None:
    """Its distance is bias alone, which the interval spans: from 0 to the value."""
    for trial in range(10):
        fake = normal(1000, 64, trial, 0, 1)
        found = frechet_interval(standard(64), [fake], 0.95, 40, generator("perfect", trial))
        assert found.value > 1
        assert (found.low, found.high) == (0, found.value)


# Its limit for infinitely many images


def test_subsets_grow_evenly_to_all_images_and_a_line_goes_through_their_distances() -> None:
    real, fake = standard(4), normal(301, 4, 0, 0.2, 1.1)
    found = extrapolate(real, fake, generator("test"))
    assert len(found.sizes) == len(found.distances) == SUBSETS
    assert found.sizes[0] == round(SMALLEST * 301)
    assert found.sizes[-1] == 301
    assert found.distances[-1] == pytest.approx(frechet_distance(real, moments(fake)), rel=1e-9)
    steps = np.diff(found.sizes)
    assert steps.max() - steps.min() <= 1
    design = np.stack([np.ones(SUBSETS), 1 / np.array(found.sizes)], 1)
    (limit, slope), *_ = np.linalg.lstsq(design, np.array(found.distances), rcond=None)
    assert (found.limit, found.slope) == pytest.approx((limit, slope), rel=1e-9)


def test_the_limit_is_a_function_of_the_stream_alone() -> None:
    fake = normal(60, 3, 0, 0.2, 1)
    first, again, other = (extrapolate(standard(3), fake, generator(name)) for name in "aab")
    assert first == again
    assert first.limit != other.limit


def test_images_that_are_all_the_same_leave_no_line_to_follow() -> None:
    found = extrapolate(standard(3), torch.ones(40, 3).double(), generator("test"))
    assert found.limit == pytest.approx(6, rel=1e-9)  # |1|^2 and the trace of the identity
    assert found.slope == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (0.2, 1), (0, 0.8), (0.1, 1.2)])
def test_the_limit_is_unbiased_where_the_distance_is_not(shift: float, scale: float) -> None:
    width, count = 10, 600
    distances, limits = [], []
    for trial in range(60):
        found = extrapolate(standard(width), normal(count, width, trial, shift, scale), generator("limit", trial))
        distances.append(found.distances[-1] - truth(width, shift, scale))
        limits.append(found.limit - truth(width, shift, scale))
    error = np.std(limits, ddof=1) / np.sqrt(len(limits))
    bias = np.mean(distances)
    assert bias > 4 * np.std(distances, ddof=1) / np.sqrt(len(distances)), "or there is nothing to take away"
    assert abs(np.mean(limits)) < 4 * error
    assert abs(np.mean(limits)) < bias / 3


def test_of_images_like_the_real_ones_every_limit_is_nearer_the_truth() -> None:
    for trial in range(20):
        found = extrapolate(standard(20), normal(500, 20, trial, 0, 1), generator("nearer", trial))
        assert abs(found.limit) < found.distances[-1] / 2
        assert found.slope > 0


# Its floor


def test_the_floor_repeats_is_positive_and_falls_with_the_number_of_images() -> None:
    real, others = moments(correlated(4000, 8)), correlated(8000, 8)[4000:]

    def from_real(drawn: Tensor) -> float:
        return frechet_distance(real, moments(drawn))

    floors, again = ([floor(others, n, 5, generator("floor"), from_real) for n in (50, 200, 800)] for _ in range(2))
    assert floors == again
    assert all(0 < low <= mean <= high for mean, low, high in floors)
    assert floors[0][0] > floors[1][0] > floors[2][0]


def test_a_floor_draws_without_replacement() -> None:
    real = moments(correlated(500, 4))
    mean, low, high = floor(
        correlated(60, 4), 60, 3, generator("floor"), lambda drawn: frechet_distance(real, moments(drawn))
    )
    assert low == pytest.approx(high, rel=1e-9)  # every draw is all of them
    assert mean == pytest.approx(low, rel=1e-9)
