"""The Frechet distance where its true value is known: closed forms, how often its interval holds it, its limit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thaw.evaluation.frechet import (
    SMALLEST,
    SUBSETS,
    Moments,
    extrapolate,
    frechet_distance,
    frechet_interval,
    moments,
)
from thaw.randomness import generator


def standard(width: int) -> Moments:
    """The moments of N(0, I) themselves."""
    return Moments(torch.zeros(width).double(), torch.eye(width).double(), 10**6)


def normal(count: int, width: int, trial: int, shift: float, scale: float) -> Tensor:
    """Features from N(shift, scale^2 I)."""
    return shift + scale * torch.randn(count, width, generator=generator("features", trial), dtype=torch.float64)


def truth(width: int, shift: float, scale: float) -> float:
    """The distance of that distribution from N(0, I)."""
    return width * (shift**2 + (1 - scale) ** 2)


# Closed forms


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
