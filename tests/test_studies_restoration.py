"""Studies of restoration, of the cold samplers and of the levels of zoom, and what they measure."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import noise
from study_fixtures import SHAPE, SmallStudy, blurred, noised, rows, strips, zoomed
from torch import Tensor

from thaw.data import to_uint8
from thaw.diffusion.degradation import Mixture
from thaw.evaluation.classifier import predict
from thaw.params import Choice
from thaw.studies._base.measures import grey, restoration_scores, rms_distance, sharpness
from thaw.studies.cold_samplers import cold_samplers
from thaw.studies.restoration import AXES, restoration
from thaw.studies.zoom_evolution import zoom_evolution

T = 6


def know_the_answer(study: SmallStudy) -> Tensor:
    """Put a denoiser that gives the study's test images in place of the network."""
    x = study.test_images(study.count)
    study.denoise = lambda z, t: x[: len(z)]
    return x


# Measures


@given(st.floats(0.1, 2), st.floats(-0.4, 0.4))
def test_the_distance_of_shifted_images_is_their_shift_in_grey_values(half_range: float, shift: float) -> None:
    images = torch.zeros(3, *SHAPE)
    moved = images + 2 * half_range * shift
    expected = torch.full((3,), abs(shift), dtype=torch.float64)
    torch.testing.assert_close(rms_distance(images, moved, half_range), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(rms_distance(moved, images, half_range), expected, rtol=1e-5, atol=1e-6)


def test_distances_are_those_of_visible_grey_values() -> None:
    black, blacker = torch.full((2, *SHAPE), -0.5), torch.full((2, *SHAPE), -7.0)
    assert rms_distance(black, blacker, 0.5).eq(0).all()
    assert grey(torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0]), 0.5).tolist() == [0, 0, 0.5, 1, 1]


@given(st.floats(-0.04, 0.04), st.floats(-0.04, 0.04))
def test_the_sharpness_of_a_plane_is_its_slope(down: float, right: float) -> None:
    row, column = torch.arange(12.0)[:, None] - 5.5, torch.arange(12.0) - 5.5
    plane = (down * row + right * column).expand(2, *SHAPE)
    assert sharpness(plane, 0.5) == pytest.approx(math.hypot(down, right), abs=1e-6)
    assert sharpness(2 * plane, 1.0) == pytest.approx(math.hypot(down, right), abs=1e-6)


def test_perfect_restorations_keep_the_classes_that_the_classifier_sees_rightly() -> None:
    study = zoomed()
    x, labels = study.test_images(20), study.test_labels(20)
    right = (predict(study.classifier, to_uint8(x, 0.5)) == labels).double().mean().item()
    scores = restoration_scores(study, x)
    assert scores == {"rmse": 0, "low": 0, "high": 0, "ssim": pytest.approx(1), "n": 20, "class_preservation": right}
    shifted = restoration_scores(study, (x / 2) + 0.1)
    assert shifted["low"] <= shifted["rmse"] <= shifted["high"]
    assert shifted["rmse"] == pytest.approx(rms_distance(x, x / 2 + 0.1, 0.5).mean().item())


# Restoration


@pytest.mark.parametrize("build", [blurred, zoomed, lambda: noised(noise(SHAPE, T, 1e-3, 0.4), target="clean")])
def test_who_knows_the_answer_restores_it_by_every_sampler(build: Callable[[], SmallStudy]) -> None:
    study = build()
    x = know_the_answer(study)
    outcome = restoration(study)
    assert len(outcome.table) == (16 if isinstance(study.degradation, Mixture) else 12)
    for row in outcome.table:
        assert row["rmse"] == pytest.approx(0, abs=1e-5)
        assert row["ssim"] == pytest.approx(1, abs=1e-4)
        assert row["sharpness"] == pytest.approx(1, abs=1e-4)
        assert row["from_naive"] == pytest.approx(0, abs=1e-5)
    drawn = strips(outcome)
    assert torch.equal(drawn["original"], x[:8])
    assert torch.equal(drawn["z, t = 3"], study.model().degrade(x, 3)[:8])
    torch.testing.assert_close(drawn["improved, t = 6"], x[:8], rtol=0, atol=1e-5)


def test_leaving_images_as_they_are_loses_ever_more_sharpness_and_moves_ever_further() -> None:
    study = blurred(denoise=lambda z, t: z)
    found = rows(restoration(study))
    direct = [found[f"direct from t = {t}"] for t in (2, 3, 4, 6)]  # 1.5 and 4.5 are rounded to even
    assert all(earlier["sharpness"] > later["sharpness"] for earlier, later in pairwise(direct))
    assert all(earlier["rmse"] < later["rmse"] for earlier, later in pairwise(direct))
    x = study.test_images(20)
    assert direct[-1]["sharpness"] == pytest.approx(sharpness(study.model().degrade(x, T), 0.5) / sharpness(x, 0.5))
    # Naive sampling blurs them again at every step, which improved sampling takes back.
    assert found["naive from t = 6"]["from_naive"] == 0
    assert found["improved from t = 6"]["from_naive"] > 0.01
    assert found["improved from t = 6"]["sharpness"] > found["naive from t = 6"]["sharpness"]


@pytest.mark.parametrize(("steps", "visited"), [(6, {3, 2, 1}), (2, {3})])
def test_severities_are_walked_down_in_the_same_stride(steps: int, visited: set[int]) -> None:
    seen: list[int] = []

    def denoise(z: Tensor, t: int) -> Tensor:
        seen.append(t)
        return z

    restoration(blurred(denoise=denoise, steps=steps), severities=(0.5,))
    assert set(seen) == visited


def test_curves_say_the_same_as_the_table() -> None:
    study = zoomed()
    outcome = restoration(study, severities=(0.5, 1.0))
    assert {tuple(row) for row in outcome.curves} == {
        ("series", "severity", "rmse", "low", "high", "sharpness", "class_preservation")
    }
    assert set(AXES.y) | {AXES.x, AXES.series} <= set(outcome.curves[0])
    for row in outcome.curves:
        same = rows(outcome)[f"{row['series']} from t = {round(T * row['severity'])}"]
        assert {key: same[key] for key in AXES.y} == {key: row[key] for key in AXES.y}


# Samplers


def test_samplers_differ_by_what_the_latent_has_beyond_the_estimate() -> None:
    # Of a constant estimate c, direct and naive sampling give c; improved keeps z - D(c, T), which is z here.
    study = blurred(denoise=lambda z, t: torch.zeros_like(z), count=12)
    outcome = cold_samplers(study)
    found, drawn = rows(outcome), strips(outcome)
    z = study.model().draw_latents(12).z
    distances = rms_distance(z, torch.zeros_like(z), 0.5)
    assert found["direct"]["from_naive"] == found["naive"]["from_naive"] == 0
    assert found["improved"]["from_naive"] == pytest.approx(distances.mean().item())
    differing = distances.argsort(descending=True)[:8]
    assert torch.equal(drawn["z_T"], z[differing])
    torch.testing.assert_close(drawn["improved"], z[differing], rtol=0, atol=1e-6)
    assert drawn["naive"].eq(0).all()


def test_every_sampler_is_the_variant_s_own() -> None:
    study = zoomed()
    found = rows(cold_samplers(study))
    plain = study.model(sampler=Choice(name="cold_naive")).sample(study.count)
    assert found["naive"].items() >= study.score(plain).items()


def test_a_mixture_is_sampled_with_its_source_estimated_too() -> None:
    study = noised(noise(SHAPE, T, 1e-3, 0.4), target="clean", denoise=lambda z, t: 0.5 * z)
    found = rows(cold_samplers(study))
    estimated = Choice.model_validate({"name": "cold_improved", "source": "estimated"})
    alike = study.model(sampler=estimated).sample(study.count)
    assert found["improved, source estimated"].items() >= study.score(alike).items()
    assert found["improved, source estimated"]["from_naive"] > 0
    assert "improved, source estimated" not in rows(cold_samplers(zoomed()))


# Zoom by level


@pytest.mark.parametrize(("last", "every", "levels"), [(6, 3, [3, 6]), (7, 3, [1, 4, 7]), (2, 3, [2])])
def test_levels_end_with_the_last(last: int, every: int, levels: list[int]) -> None:
    outcome = zoom_evolution(zoomed(last=last), every=every)
    assert [row["level"] for row in outcome.table] == [f"t = {t}" for t in levels]
    assert list(outcome.columns) == [f"t = {t}" for t in (0, *levels)]
    assert {len(strip.images) for strip in outcome.strips} == {len(levels) + 1}


def test_predictions_are_the_network_s_and_z_goes_down_level_by_level() -> None:
    study = zoomed(denoise=lambda z, t: 0.5 * z)
    outcome = zoom_evolution(study)
    model, x = study.model(), study.test_images(study.count)
    for row, t in zip(outcome.table, (3, 6), strict=True):
        expected = rms_distance(x, 0.5 * model.degrade(x, t), 0.5).mean().item()
        assert row["rmse"] == pytest.approx(expected, rel=1e-6)
    first = strips(outcome)["prediction 1"]
    torch.testing.assert_close(first[1:], torch.cat([0.5 * model.degrade(x[:1], t) for t in (3, 6)]))
    z = model.draw_latents(1).z
    walked = strips(outcome)["z of sample 1"]
    assert torch.equal(walked[2:], z)
    for t in (5, 4, 3):
        z = model.degrade(0.5 * z, t)
    torch.testing.assert_close(walked[1:2], z)


def test_predictions_do_not_depend_on_the_sampler() -> None:
    assert zoom_evolution(zoomed()).table == zoom_evolution(zoomed(sampler="cold_improved")).table
