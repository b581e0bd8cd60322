import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from study_fixtures import SHAPE, SmallStudy, erased, noised
from torch import Tensor

from thaw.choices import find, options
from thaw.errors import ThawError
from thaw.params import Choice
from thaw.studies._base.schedules import SCHEDULES, NoiseProcess
from thaw.studies.augmentation import augmentation
from thaw.studies.exact_denoiser import exact_denoiser, hits, sample_exactly
from thaw.studies.trivial_losses import losses, trivial_losses

FINE = NoiseProcess(steps=60, schedule=Choice(name="linear", beta_min=1e-3, beta_max=0.2))
COARSE = NoiseProcess(steps=60, schedule=Choice(name="constant", beta=0.4))
SHORT = NoiseProcess(steps=60, schedule=Choice(name="constant", beta=0.002))


def study(steps: int = 6) -> SmallStudy:
    return noised(FINE.degradation(SHAPE, "fine"), count=40, steps=steps)


def points(count: int, distance: float, seed: int = 0) -> Tensor:
    """Points at least about `distance` from each other."""
    return distance * torch.randn(count, 1, 3, 3, generator=torch.Generator().manual_seed(seed))


# Where samples fall


@given(st.integers(2, 12), st.integers(1, 60), st.integers(0, 1000))
def test_hits_are_those_of_the_points_that_samples_are(count: int, drawn: int, seed: int) -> None:
    data = points(count, 1.0)
    index = torch.randint(count, (drawn,), generator=torch.Generator().manual_seed(seed))
    found = hits(data[index], data)
    numbers = np.bincount(index.numpy(), minlength=count)
    assert found.off_data == 0
    assert found.hit == pytest.approx((numbers > 0).mean())
    assert found.dispersion == pytest.approx(stats.chisquare(numbers).statistic / (count - 1))


def test_samples_between_the_points_are_off_the_data_and_hit_nothing() -> None:
    data = torch.tensor([0.0, 1.0, 2.0, 3.0]).view(4, 1, 1, 1)  # every nearest neighbour is at 1, so 0.1 is the limit
    found = hits(torch.tensor([0.05, 1.5, 2.2, 2.95]).view(4, 1, 1, 1), data)
    assert found.off_data == 0.5
    assert found.hit == 0.5
    assert found.dispersion == pytest.approx(stats.chisquare([1, 0, 0, 1]).statistic / 3)
    assert hits(torch.full((3, 1, 1, 1), 1.5), data) == (1.0, 0.0, None)


# The exact denoiser


@pytest.mark.parametrize("variance", ["lower", "upper"])
def test_fine_steps_from_pure_noise_draw_each_of_the_points_equally_often(variance: str) -> None:
    data = points(8, 0.7)
    process = NoiseProcess(steps=250, schedule=Choice(name="linear", beta_min=1e-3, beta_max=0.12))
    samples = sample_exactly(data, process.degradation((1, 3, 3), "pure"), 400, 250, variance)  # type: ignore[arg-type]
    found = hits(samples, data)
    assert (found.off_data, found.hit) == (0, 1)
    assert found.dispersion is not None
    assert found.dispersion < stats.chi2.ppf(0.999, 7) / 7


@pytest.mark.parametrize("variance", ["lower", "upper"])
def test_one_point_is_sampled_whatever_the_start(variance: str) -> None:
    data = points(1, 1.0)
    samples = sample_exactly(data, FINE.degradation((1, 3, 3), "fine"), 5, 7, variance)  # type: ignore[arg-type]
    torch.testing.assert_close(samples, data.expand(5, -1, -1, -1))


def test_one_step_from_almost_pure_noise_gives_the_mean_of_all_points() -> None:
    degradation = COARSE.degradation((1, 3, 3), "coarse")
    data = points(5, 0.5)
    samples = sample_exactly(data, degradation, 20, 1, "lower")
    torch.testing.assert_close(samples, data.mean(0).expand_as(samples), atol=1e-4, rtol=0)
    assert hits(samples, data).off_data == 1


def test_a_chain_that_starts_short_of_pure_noise_draws_points_as_often_as_the_start_suggests_them() -> None:
    degradation = SHORT.degradation((1, 1, 1), "short")
    data = torch.tensor([0.0, 2.0]).view(2, 1, 1, 1)
    samples = sample_exactly(data, degradation, 4000, SHORT.steps, "lower")
    assert hits(samples, data).off_data == 0
    # The posterior weight of the point at 2, over starts from N(0, 1).
    a, b = degradation.alpha_bar[-1].sqrt().item(), (1 - degradation.alpha_bar[-1]).item()
    z = np.linspace(-8, 8, 10_001)
    weight = 1 / (1 + np.exp(-(2 * a * z - 2 * a**2) / b))
    expected = np.trapezoid(weight * stats.norm.pdf(z), z)
    assert expected < 0.25
    assert (samples > 1).double().mean().item() == pytest.approx(expected, abs=0.025)


def test_coarse_steps_miss_the_data() -> None:
    outcome = exact_denoiser(study(), schedules={"fine": FINE, "coarse": COARSE, "short": SHORT}, points=30, steps=(3,))
    rows = {row["schedule"]: row for row in outcome.table}
    assert rows["fine"]["off_data_T"] == rows["short"]["off_data_T"] == 0
    assert rows["coarse"]["off_data"] > 0.5 > rows["fine"]["off_data"]
    assert rows["fine"]["hit_expected"] == pytest.approx(1 - (29 / 30) ** 40)
    for curve, name in ((curve, curve["schedule"]) for curve in outcome.curves if curve["steps"] == 60):
        assert (curve["off_data"], curve["hit"]) == (rows[name]["off_data_T"], rows[name]["hit_T"])
    assert [curve["steps"] for curve in outcome.curves] == 3 * [3, 6, 60]


def test_samples_on_the_data_are_training_images_in_the_pictures() -> None:
    few, whole = (exact_denoiser(study(n), schedules={"fine": FINE}, points=15, steps=()) for n in (6, 60))
    known = study().train_images(15)
    for strip in (few.strips[0], *whole.strips):
        assert torch.cdist(strip.images.flatten(1), known.flatten(1)).amin(1).max() < 0.05
    assert whole.table[1]["off_data"] == whole.table[1]["off_data_T"] == 0


def test_the_coordinates_of_points_keep_their_samples() -> None:
    """Sampling in the span's coordinates draws from the same distribution as sampling images."""
    flat = points(4, 2.0).flatten(1)
    basis = torch.linalg.qr(flat.double().T).Q.float()
    data = (flat @ basis)[:, :, None, None]
    torch.testing.assert_close(data.flatten(1) @ basis.T, flat)
    counts = []
    for known, shape in ((flat[:, :, None, None], (9, 1, 1)), (data, (4, 1, 1))):
        samples = sample_exactly(known, FINE.degradation(shape, "fine"), 600, 10, "lower").flatten(1)
        counts.append(torch.bincount(torch.cdist(samples, known.flatten(1)).argmin(1), minlength=4).numpy())
    assert stats.chi2_contingency(np.array(counts)).pvalue > 0.001


# The losses of trivial predictors


@pytest.mark.parametrize("t", [1, 10, 30, 60])
def test_losses_are_what_predictors_cost_on_average(t: int) -> None:
    degradation = FINE.degradation(SHAPE, "fine")
    stream = torch.Generator().manual_seed(t)
    x = torch.rand(2000, *SHAPE, generator=stream) - 0.3
    epsilon = torch.randn(x.shape, generator=stream)
    z = degradation.degrade(x, torch.full((len(x),), t), epsilon)
    power = x.square().mean().item()
    alpha_bar = degradation.alpha_bar[t].item()
    factor = math.sqrt(1 - alpha_bar) / (alpha_bar * power + 1 - alpha_bar)
    found = losses(degradation.alpha_bar, power)
    for name, c in (("zero", 0), ("z_t", 1), ("best_multiple", factor)):
        assert found[name][t].item() == pytest.approx((c * z - epsilon).square().mean().item(), rel=0.02), name
        nudged = (((c + 0.05) * z - epsilon).square().mean().item(), ((c - 0.05) * z - epsilon).square().mean().item())
        assert found["best_multiple"][t].item() < min(nudged)


def test_the_schedule_of_the_worst_samples_has_the_lowest_loss_of_returning_z() -> None:
    outcome = trivial_losses(study())
    rows = {row["schedule"]: row for row in outcome.table}
    assert list(rows) == list(SCHEDULES)
    assert min(rows, key=lambda name: rows[name]["z_t"]) == "large-steps"
    assert rows["small-steps"]["z_t"] > 10 * rows["large-steps"]["z_t"]
    assert rows["small-steps"]["alpha_bar_T"] == pytest.approx(0.135, abs=5e-4)
    for row in outcome.table:
        assert row["zero"] == 1
        assert row["best_multiple"] < min(row["z_t"], 1)
    for name, process in SCHEDULES.items():
        curve = [row for row in outcome.curves if row["schedule"] == name]
        assert (curve[0]["t"], curve[-1]["tau"], len(curve)) == (1, 1, 101)
        assert curve[-1]["t"] == process.steps
        mean = np.trapezoid([row["z_t"] for row in curve], [row["tau"] for row in curve])
        assert mean == pytest.approx(rows[name]["z_t"], rel=0.05, abs=5e-3)


# Options


@pytest.mark.parametrize("name", ["exact_denoiser", "trivial_losses"])
def test_schedules_are_read_and_checked(name: str) -> None:
    function = find("study", name, "studies.untrained.s")
    schedule = {"name": "linear", "beta_min": 1e-3, "beta_max": 0.2}
    block = Choice(name=name, schedules={"fine": {"steps": 60, "schedule": schedule}})
    assert options(function, block, "studies.untrained.s")["schedules"] == {"fine": FINE}
    assert options(function, Choice(name=name), "studies.untrained.s")["schedules"] == SCHEDULES
    with pytest.raises(ThawError, match=r"studies\.untrained\.s\.schedules\.fine\.step is not a key .* steps"):
        options(
            function, Choice(name=name, schedules={"fine": {"step": 60, "schedule": schedule}}), "studies.untrained.s"
        )
    wrong = {"fine": NoiseProcess(steps=60, schedule=Choice(name="liner"))}
    with pytest.raises(ThawError, match=r"schedules\.fine\.schedule\.name is 'liner'.*did you mean linear"):
        function(study(), schedules=wrong)


def test_no_augmentation_moves_nothing_and_more_moves_more() -> None:
    study = erased(target="adversarial", count=30)
    outcome = augmentation(study)
    assert [row["p"] for row in outcome.table] == [0, 0.2, 0.5, 0.8, 1]
    distances = [row["distance"] for row in outcome.table]
    assert distances[0] == 0
    assert distances == sorted(distances)
    originals = study.test_images(4)
    for original, strip in zip(originals, outcome.strips, strict=True):
        assert torch.equal(strip.images[0], original)
        assert not torch.equal(strip.images[1], original)
