import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from thaw.evaluation.intervals import Interval
from thaw.evaluation.kernel import BATCH, kernel_distance, within_real


def normal(count: int, width: int, seed: int, shift: float = 0, scale: float = 1) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return shift + scale * torch.randn(count, width, generator=stream, dtype=torch.float64)


def kernel(a: Tensor, b: Tensor) -> float:
    return float((a @ b / len(a) + 1) ** 3)


def of_pairs(z: Tensor) -> float:
    """The mean kernel of two of them."""
    return float(np.mean([kernel(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j]))


def by_pairs(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate as its definition has it, pair by pair (Binkowski et al. 2018, equation 4)."""
    return of_pairs(x) + of_pairs(y) - 2 * float(np.mean([kernel(a, b) for a in x for b in y]))


def measured(real: Tensor, fake: Tensor, confidence: float) -> Interval:
    return kernel_distance(real, fake, confidence, within_real(real))


def error_of(real: Tensor, fake: Tensor) -> float:
    """The standard error that the interval was made of."""
    found = measured(real, fake, 0.95)
    return (found.high - found.value) / float(stats.t.ppf(0.975, len(fake) - 1))


# The estimate


@example(count=BATCH + 7, width=3, seed=0)  # two parts of other sizes
@given(count=st.integers(3, 40), width=st.integers(1, 20), seed=st.integers(0, 10**6))
def test_the_estimate_is_that_of_torchmetrics_for_as_many_images(count: int, width: int, seed: int) -> None:
    from torchmetrics.image.kid import poly_mmd

    real, fake = normal(count, width, seed), normal(count, width, seed + 1, 0.5)
    expected = poly_mmd(real, fake).item()
    # It is a difference of means of kernels of this size, whose last bits are left where they cancel.
    size = max((z @ z.T / width + 1).abs().pow(3).mean().item() for z in (real, fake))
    assert measured(real, fake, 0.95).value == pytest.approx(expected, rel=1e-9, abs=1e-13 * size)


@pytest.mark.parametrize(("real", "fake"), [(30, 12), (7, 25), (2, 3)])
def test_the_estimate_is_that_of_all_pairs_for_other_numbers(real: int, fake: int) -> None:
    x, y = normal(real, 5, 0), normal(fake, 5, 1, 0.3, 1.2)
    assert measured(x, y, 0.95).value == pytest.approx(by_pairs(x, y), rel=1e-9)


def test_the_real_images_part_is_the_mean_of_their_own_pairs() -> None:
    real = normal(9, 3, 0)
    assert within_real(real) == pytest.approx(of_pairs(real), rel=1e-9)


def mean_kernel(mean: float, scale: float, width: int) -> tuple[float, float]:
    """E k(x, y) and E k(y, y') for x ~ N(0, I), y ~ N(mean, scale^2 I): moments of a . b up to the third."""
    q, v = width * mean**2, scale**2
    across = 1 + 3 * (q + width * v) / width**2
    second = q**2 + 2 * v * q + width * v**2
    third = q**3 + 3 * q * (2 * v * q + width * v**2) + 6 * v**2 * q
    return across, 1 + 3 * q / width + 3 * second / width**2 + third / width**3


def distance_of(mean: float, scale: float, width: int) -> float:
    """The squared discrepancy of N(mean, scale^2 I) from N(0, I)."""
    across, within = mean_kernel(mean, scale, width)
    return mean_kernel(0, 1, width)[1] + within - 2 * across


def test_the_closed_form_that_coverage_is_measured_by_is_that_of_a_large_sample() -> None:
    x, y = normal(4000, 4, 0), normal(4000, 4, 1, 0.3, 1.3)
    found = measured(x, y, 0.95)
    # Three standard errors of the generated side, and as much for the real one, which the interval leaves out.
    assert found.value == pytest.approx(distance_of(0.3, 1.3, 4), abs=3 * 2**0.5 * error_of(x, y))
    assert distance_of(0.3, 1.3, 4) > 10 * error_of(x, y)
    assert distance_of(0, 1, 4) == pytest.approx(0, abs=1e-12)


def test_two_samples_of_one_distribution_are_at_no_distance_on_average() -> None:
    """Also for a few images, where a Frechet distance is all bias."""
    found = np.array([measured(normal(25, 8, 2 * i), normal(15, 8, 2 * i + 1), 0.95).value for i in range(400)])
    assert abs(found.mean()) < 3 * found.std(ddof=1) / np.sqrt(len(found))
    assert 0.3 < (found < 0).mean() < 0.8, "an unbiased estimate of 0 is often below it"


# Its error


@pytest.mark.parametrize(("real", "fake"), [(40, 12), (12, 12), (5, 30)])
def test_the_error_is_that_of_leaving_out_one_image_at_a_time(real: int, fake: int) -> None:
    x, y = normal(real, 5, 0), normal(fake, 5, 1, 0.4)
    without = np.array([by_pairs(x, torch.cat([y[:i], y[i + 1 :]])) for i in range(fake)])
    expected = np.sqrt((fake - 1) / fake * np.sum((without - without.mean()) ** 2))
    assert error_of(x, y) == pytest.approx(expected, rel=1e-9)


def test_the_interval_is_symmetric_and_grows_with_the_confidence() -> None:
    x, y = normal(50, 5, 0), normal(30, 5, 1)
    few, many = measured(x, y, 0.68), measured(x, y, 0.99)
    assert few.value == many.value
    assert many.low < few.low < few.value < few.high < many.high
    assert few.value - few.low == pytest.approx(few.high - few.value, rel=1e-9)
    expected = stats.t.ppf(0.995, 29) / stats.t.ppf(0.84, 29)
    assert (many.high - many.low) / (few.high - few.low) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("mean", "scale"), [(0.1, 1), (0.3, 1.2)])
def test_the_interval_covers_the_true_distance_about_as_often_as_it_says(mean: float, scale: float) -> None:
    # Ten real images for each generated one, so that what the interval leaves out is small. In much fewer dimensions
    # the cube has such tails that 100 images are too few for any normal interval.
    width, covered = 32, []
    truth = distance_of(mean, scale, width)
    for trial in range(200):
        real, fake = normal(1000, width, 2 * trial), normal(100, width, 2 * trial + 1, mean, scale)
        found = measured(real, fake, 0.95)
        covered.append(found.low <= truth <= found.high)
    assert 0.90 <= np.mean(covered) <= 0.99


def test_the_interval_of_no_distance_is_rather_too_wide() -> None:
    """There the leave-one-out error counts the spread of pairs twice, so 0 is covered more often than it says."""
    found = [measured(normal(500, 8, 2 * i), normal(50, 8, 2 * i + 1), 0.95) for i in range(200)]
    assert np.mean([f.low <= 0 <= f.high for f in found]) >= 0.95
