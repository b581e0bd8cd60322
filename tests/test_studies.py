"""What every study gives and which options it takes; what each finds stands in the other files."""

import math
from typing import Any

import pytest
from image_fixtures import noise
from study_fixtures import SHAPE, SmallStudy, blurred, erased, morphed, noised, rows, zoomed

from thaw.choices import find, names, options
from thaw.errors import ThawError
from thaw.params import Choice, Shape, VariantStudy
from thaw.studies._base.study import Row


def normal(shape: Shape, **given: Any) -> SmallStudy:
    return noised(noise(shape, 8, 1e-3, 0.5), steps=2, count=4, **given)


BUILDERS = {
    "augmentation": erased, "blur_latents": blurred, "latent_interpolation": erased, "morph_latents": morphed,
    "clamping": normal, "exact_denoiser": normal, "predicted_noise": normal, "sampling_steps": normal,
    "terminal_mismatch": normal, "trivial_losses": normal,
}  # fmt: skip
"""The studies of other models than those that zoom."""
FINE = {"fine": {"steps": 60, "schedule": {"name": "linear", "beta_min": 1e-3, "beta_max": 0.2}}}
GIVEN: dict[str, Row] = {
    "exact_denoiser": {"schedules": FINE, "points": 10, "steps": [2]}, "trivial_losses": {"schedules": FINE},
    "blur_latents": {"clusters": [1, 2]},
}  # fmt: skip


@pytest.mark.parametrize(("shape", "labelled"), [(SHAPE, True), ((3, 16, 16), False)])
@pytest.mark.parametrize("name", names("study"))
def test_a_study_has_one_table_and_strips_of_one_shape(name: str, shape: Shape, labelled: bool) -> None:
    function = find("study", name, "studies.s")
    given = options(function, Choice(name=name, **GIVEN.get(name, {})), "studies.s")
    outcome = function(BUILDERS.get(name, zoomed)(shape, labelled=labelled), **given)
    for entries in (outcome.table, outcome.curves):
        assert len({tuple(row) for row in entries}) <= 1
    assert len(rows(outcome)) == len(outcome.table) <= 12
    assert labelled or not any(key.startswith("class_") for key in outcome.table[0])
    for value in (value for row in outcome.table for value in row.values()):
        assert value is None or isinstance(value, str) or math.isfinite(value)
    assert len(outcome.strips) <= 12
    for strip in outcome.strips:
        assert strip.images.shape == (len(outcome.strips[0].images), *shape)
        assert strip.images.isfinite().all()


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("sampling_steps", {"steps": [2, 4]}),
        ("sampling_steps", {"steps": [1000], "samplers": ["ddim", "ancestral, lower"]}),
        ("morph_latents", {"noise": [0.1], "sources": [3]}),
        ("zoom_sampling", {"latent_noise": [], "step_noise": [1]}),
        ("blur_latents", {"noise": [0.1, 0.2]}),
        ("latent_interpolation", {"pairs": 2, "images": 5}),
    ],
)
def test_options_are_those_of_params_yaml(name: str, right: Row) -> None:
    assert options(find("study", name, "studies"), chosen(name, right), "studies.x").items() >= right.items()


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("sampling_steps", {"steps": [5, 0]}, r"steps\.1 is 0"),
        ("sampling_steps", {"steps": []}, "steps is empty"),
        ("sampling_steps", {"samplers": ["dim"]}, r"samplers\.0 is 'dim', .*did you mean ddim"),
        ("sampling_steps", {"samplers": []}, "samplers is empty"),
        ("clamping", {"steps": 0}, "steps is 0"),
        ("predicted_noise", {"fractions": [0.5, 1.5]}, r"fractions\.1 is 1.5"),
        ("terminal_mismatch", {"steps": 5}, "steps is not a key"),
        ("morph_latents", {"noise": [-0.1]}, "noise"),
        ("zoom_sampling", {"step_noise": [0.0]}, "step_noise"),
        ("blur_latents", {"noise": 0.1}, "noise"),
        ("latent_interpolation", {"images": 2}, "images"),
    ],
)
def test_options_are_checked(name: str, wrong: Row, says: str) -> None:
    with pytest.raises(ThawError, match=rf"studies\.x\.{says}"):
        options(find("study", name, "studies"), chosen(name, wrong), "studies.x")


def chosen(name: str, given: Row) -> VariantStudy:
    return VariantStudy.model_validate({"name": name, "variant": "studied", **given})
