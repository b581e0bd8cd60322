import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch import Tensor

from thaw.core.randomness import generator
from thaw.evaluation import neighbours
from thaw.evaluation.intervals import hull, proportion_interval, student_interval
from thaw.evaluation.neighbours import BATCH, DRAWS, NEIGHBOURHOOD, density_and_coverage, likeness, memorized, nearest


def normal(count: int, width: int, seed: int, shift: float = 0, scale: float = 1) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return shift + scale * torch.randn(count, width, generator=stream, dtype=torch.float64)


def pictures(count: int, seed: int) -> Tensor:
    return torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed)) - 0.5


# Precision and recall


def among(points: Tensor, centres: Tensor) -> float:
    """The share of points in the ball of some centre that reaches to its third nearest other centre."""
    radius = np.sort(cdist(centres.numpy(), centres.numpy()), axis=1)[:, NEIGHBOURHOOD]  # the nearest is itself
    return float((cdist(points.numpy(), centres.numpy()) <= radius).any(1).mean())


@given(count=st.integers(8, 60), width=st.integers(1, 10), shift=st.floats(0, 2), seed=st.integers(0, 10**6))
def test_the_shares_are_those_of_their_definition(count: int, width: int, shift: float, seed: int) -> None:
    real, fake = normal(count, width, seed), normal(count, width, seed + 1, shift, 0.7)
    found = likeness(real, fake, 0.95, generator("test"))
    # One point may lie on the edge of a ball to the last bit of float32.
    assert found.precision.value == pytest.approx(among(fake, real), abs=1.001 / count)
    assert found.recall.value == pytest.approx(among(real, fake), abs=1.001 / count)


@pytest.mark.parametrize("count", [50, BATCH + 20])
def test_the_shares_are_those_of_torch_fidelity(count: int) -> None:
    from torch_fidelity.metric_prc import calculate_precision_recall_part

    real, fake = normal(count, 16, 0), normal(count, 16, 1, 0.4, 0.8)
    # Its other way of computing, in one batch.
    precision, recall = calculate_precision_recall_part(fake.float(), real.float(), NEIGHBOURHOOD)
    found = likeness(real, fake, 0.95, generator("test"))
    assert (found.precision.value, found.recall.value) == pytest.approx((precision, recall), abs=1.001 / count)
    assert 0 < recall < precision < 1, "a narrow copy of the data is precise and leaves much out"


@pytest.mark.parametrize(("away", "share"), [(0, 1), (100, 0)])
def test_the_same_images_are_all_covered_and_images_far_away_not_at_all(away: float, share: float) -> None:
    found = likeness(normal(40, 5, 0), normal(40, 5, 0, away), 0.95, generator("test"))
    # What no subsample disagrees about is not certain: the interval is that of forty images that all agree.
    assert found.precision == found.recall == found.coverage == proportion_interval(share, 40, 0.95)
    assert found.density == (share, share, share), "a mean of counts, of which no such thing is known"


def test_one_mode_of_two_is_precise_and_recalls_half() -> None:
    real = torch.cat([normal(100, 2, 0), normal(100, 2, 1, 50)])
    found = likeness(real, normal(200, 2, 2), 0.95, generator("test"))
    assert found.precision.value > 0.9
    assert found.recall.value == pytest.approx(0.5, abs=0.03)


def test_the_interval_holds_that_of_the_spread_of_halves_and_that_of_a_share() -> None:
    real, fake = normal(60, 4, 0), normal(60, 4, 1, 0.5)
    found = likeness(real, fake, 0.95, generator("test")).precision
    stream = generator("test")
    halves = [torch.randperm(60, generator=stream)[:30] for _ in range(DRAWS)]
    error = np.std([among(fake[half], real[half]) for half in halves], ddof=1)
    spread, share = student_interval(found.value, error, DRAWS - 1, 0.95), proportion_interval(found.value, 60, 0.95)
    # An edge of a ball may decide otherwise in float32 for one of thirty points, in one of twenty halves.
    assert found == pytest.approx(hull(spread, share), abs=0.03)
    assert spread.low < share.low or share.high < spread.high, "or the spread would not be seen here"


def test_the_interval_is_a_function_of_the_stream_alone() -> None:
    real, fake = normal(60, 4, 0), normal(60, 4, 1, 0.5)
    first, again, other = (likeness(real, fake, 0.95, generator(name)) for name in "aab")
    assert first == again != other


@pytest.mark.parametrize(("real", "fake"), [(40, 30), (30, 40)])
def test_other_numbers_of_real_images_are_refused(real: int, fake: int) -> None:
    with pytest.raises(ValueError, match=f"there are {real} real images for {fake} generated ones"):
        likeness(normal(real, 4, 0), normal(fake, 4, 1), 0.95, generator("test"))


# Density and coverage


def by_their_definition(real: Tensor, fake: Tensor, k: int) -> tuple[float, float]:
    """Equations 3 and 4 of Naeem et al. (2020), ball by ball."""
    x, y = real.numpy(), fake.numpy()
    among = np.zeros((len(x), len(y)), dtype=bool)
    for i, centre in enumerate(x):
        others = np.delete(x, i, axis=0)
        radius = np.sort(np.sqrt(((others - centre) ** 2).sum(1)))[k - 1]
        for j, point in enumerate(y):
            among[i, j] = np.sqrt(((point - centre) ** 2).sum()) < radius
    return among.sum() / (k * len(y)), float(np.mean([row.any() for row in among]))


@given(
    real=st.integers(6, 40), fake=st.integers(1, 40), width=st.integers(1, 8), shift=st.floats(0, 2),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_density_and_coverage_are_those_of_their_definition(
    real: int, fake: int, width: int, shift: float, seed: int
) -> None:
    x, y = normal(real, width, seed), normal(fake, width, seed + 1, shift, 0.7)
    # A distance may round otherwise in its last bit, which decides for a point on the edge of a ball.
    expected = pytest.approx(by_their_definition(x, y, 5), abs=1.001 / min(real, fake))
    assert density_and_coverage(x, y) == expected


@given(count=st.integers(2, 60), width=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_the_same_images_have_density_and_coverage_one(count: int, width: int, seed: int) -> None:
    x = normal(count, width, seed)
    assert density_and_coverage(x, x) == (1, 1)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    assert density_and_coverage(x, x[order]) == (1, 1)


@given(
    count=st.integers(6, 40), copies=st.integers(1, 5), shift=st.floats(0, 3), factor=st.floats(0.1, 10),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_density_is_a_mean_over_samples_and_neither_knows_a_scale(
    count: int, copies: int, shift: float, factor: float, seed: int
) -> None:
    x, y = normal(count, 4, seed), normal(count, 4, seed + 1, shift)
    density, coverage = density_and_coverage(x, y)
    assert density_and_coverage(x, y.repeat(copies, 1)) == (pytest.approx(density, rel=1e-12), coverage)
    scaled = density_and_coverage(factor * x, factor * y)
    assert scaled == pytest.approx((density, coverage), abs=1.001 / count)
    assert coverage <= min(1, 5 * density), "who is covered counts once at least"


def test_images_in_the_middle_of_the_real_ones_are_dense_and_cover_few() -> None:
    x = torch.cat([normal(100, 2, 0), normal(100, 2, 1, 50)])
    density, coverage = density_and_coverage(x, normal(200, 2, 2, 0, 0.1))
    assert density > 1.1, "a mode that is crowded has a density above that of real images"
    assert coverage < 0.5


def test_several_batches_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(50, 4, 0), normal(50, 4, 1, 0.5)
    whole = density_and_coverage(x, y)
    monkeypatch.setattr(neighbours, "BATCH", 7)
    assert density_and_coverage(x, y) == whole


def test_the_interval_of_density_is_that_of_the_spread_of_halves() -> None:
    real, fake = normal(60, 4, 0), normal(60, 4, 1, 0.5)
    found = likeness(real, fake, 0.95, generator("test"))
    stream = generator("test")
    halves = [torch.randperm(60, generator=stream)[:30] for _ in range(DRAWS)]
    values = np.array([by_their_definition(real[half], fake[half], 5) for half in halves])
    density, coverage = (
        student_interval(value, error, DRAWS - 1, 0.95)
        for value, error in zip(by_their_definition(real, fake, 5), values.std(0, ddof=1), strict=True)
    )
    assert found.density == pytest.approx(density, abs=0.01)
    assert found.coverage == pytest.approx(hull(coverage, proportion_interval(coverage.value, 60, 0.95)), abs=0.03)


# The nearest of many


@example(images=2 * BATCH + 3, others=50, seed=0)  # in three parts, put together in order
@given(images=st.integers(1, 40), others=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_the_nearest_is_that_of_all_distances(images: int, others: int, seed: int) -> None:
    x, y = pictures(images, seed), pictures(others, seed + 1)
    distances = cdist(x.flatten(1).numpy(), y.flatten(1).numpy())
    found = nearest(x, y)
    assert found.distance.dtype == torch.float32
    # A distance between distinct images is of the order of 1, and float32 squares have 6e-8 of that.
    assert found.distance.numpy() == pytest.approx(distances.min(1), rel=1e-5)
    assert found.image.tolist() == distances.argmin(1).tolist()


def test_an_image_is_nearest_to_itself_and_one_of_two_like_it_is_given() -> None:
    x = pictures(100, 0)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    found = nearest(x, x[order])
    assert torch.equal(order[found.image], torch.arange(100))
    # |a|^2 + |b|^2 - 2 a.b leaves the root of the last bit of |a|^2, which is about 3.
    assert found.distance.max() < 3e-3
    twice = nearest(x, torch.cat([x, x]))
    assert torch.equal(twice.image % 100, torch.arange(100))


# Copies of training images


@pytest.mark.parametrize("noise", [0, 0.01], ids=["copies", "nearly copies"])
def test_copies_of_training_images_are_all_found(noise: float) -> None:
    train, test, new = pictures(2000, 0), pictures(1000, 1), pictures(500, 2)
    copies = train[:100] + noise * torch.randn(100, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    found = memorized(nearest(torch.cat([copies, new]), train).distance, nearest(test, train).distance, 0.01)
    assert found.dtype == torch.bool
    assert found[:100].all()
    assert found[100:].double().mean() < 0.04


@pytest.mark.parametrize("quantile", [0.01, 0.1, 0.5])
def test_about_the_quantile_of_new_images_is_as_near(quantile: float) -> None:
    count = 2000
    train, test, new = (pictures(count, seed) for seed in range(3))
    found = memorized(nearest(new, train).distance, nearest(test, train).distance, quantile)
    # Four standard errors of the difference of two shares: of the test images below the limit, and of the new ones.
    error = (2 * quantile * (1 - quantile) / count) ** 0.5
    assert found.double().mean().item() == pytest.approx(quantile, abs=4 * error)


def test_the_limit_is_the_quantile_of_the_test_images() -> None:
    of_test = torch.arange(101.0)
    assert memorized(torch.tensor([9.5, 10.0, 10.5, 0.0]), of_test, 0.1).tolist() == [True, False, False, True]
