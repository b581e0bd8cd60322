"""Findings and answers follow the measurements: with doctored ones they change."""

import re
from dataclasses import replace

import pytest

from thaw.figures.families import gallery_page
from thaw.files import read_csv
from thaw.pages import answers, findings
from thaw.params import Comparison, read_yaml
from thaw.results.layout import Artifacts, find_root
from thaw.results.measurements import Results


@pytest.fixture
def found() -> Results:
    return Results(Artifacts(find_root()))


def doctored(results: Results, variant: str, value: float, key: str = "fid_infinite") -> Results:
    """The results with one value changed, its interval narrow."""
    results.measured[variant, key] = replace(
        results.measured[variant, key], value=value, low=value - 1e-3, high=value + 1e-3
    )
    return results


def test_the_winner_is_the_lowest_and_changes_with_the_numbers(found: Results) -> None:
    best, second = found.ranked("fid_infinite")[:2]
    assert findings.winner(found).startswith(f"{best.named} makes the best digits: FID∞")
    doctored(found, second.variant, 0.01)
    said = findings.winner(found)
    assert said.startswith(f"{second.named} makes the best digits: FID∞ (classifier) 0.0")
    assert f"Next comes {best.named}" in said


def test_what_cannot_be_told_apart_is_said_to_be_so(found: Results) -> None:
    best, second = found.ranked("fid_infinite")[:2]
    found.measured[second.variant, "fid_infinite"] = replace(second, value=best.value, low=best.low, high=best.high)
    assert f"It cannot be told apart from {second.named}" in findings.winner(found)


@pytest.mark.parametrize(
    ("finding", "variant"),
    [
        (findings.schedules, "ddpm-large-steps"),
        (findings.networks, "ddpm-linear"),
        (findings.cold_against_noise, "cold-zoom-unet"),
        (findings.restorations, "cold-zoom-cnn"),
    ],
)
def test_each_finding_names_whom_doctored_numbers_make_best(finding: object, variant: str, found: Results) -> None:
    assert callable(finding)
    key, value = ("class_preservation_matched", 1.5) if finding is findings.restorations else ("fid_infinite", 1e-2)
    before = finding(found)
    after = finding(doctored(found, variant, value, key))
    assert before != after
    first = f"{found.named(variant)} ("
    assert after.index(first) == min(
        after.index(m) for m in [f"{found.named(v)} (" for v in found.variants] if m in after
    )


def test_cold_diffusion_can_win(found: Results) -> None:
    assert findings.cold_against_noise(found).startswith(("No cold", "The best cold"))
    better = findings.cold_against_noise(doctored(found, "cold-blur-unet", 0.01))
    assert better.startswith("Cold diffusion draws better than DDPM")


def test_the_place_of_the_gan_is_counted(found: Results) -> None:
    count = len(found.variants)
    assert f"is number {count} of {count}" in findings.adversarial(doctored(found, "gan-dcgan", 1e4))
    assert f"is number 1 of {count}" in findings.adversarial(doctored(found, "gan-dcgan", 1e-3))


def test_the_conclusion_and_what_mattered_follow(found: Results) -> None:
    before = findings.conclusion(found), findings.what_mattered(found)
    doctored(found, "ddpm-large-steps", 1e5)
    after = findings.conclusion(found), findings.what_mattered(found)
    assert before[0] != after[0]
    assert "What to choose with most care is the schedule" in after[0]
    assert after[1].startswith("What changes the distance most between its best and its worst: seven noise schedules")
    assert "take [Zoom, CNN]" in findings.conclusion(doctored(found, "cold-zoom-cnn", 1e-3))


def test_without_measurements_nothing_is_found_and_nothing_fails(found: Results) -> None:
    found.measured.clear()
    assert findings.findings(found) == []
    assert findings.limits(found) == []
    assert findings.what_mattered(found) == ""
    assert "nothing to conclude" in findings.conclusion(found)


def test_every_study_has_a_question_and_its_committed_table_an_answer(found: Results) -> None:
    asked = found.params.studies
    for key in (*asked.trained, *asked.untrained, *asked.compared):
        assert answers.group(found, key) in answers.GROUPS
        assert "{" not in answers.question(found, key)
        assert answers.answer(found, key).endswith("."), key


def condition(name: str, value: float, column: str = "sampler", **more: str) -> dict[str, str]:
    return {
        column: name,
        "fid_classifier": str(value),
        "low": str(value - 1),
        "high": str(value + 1),
        "n": "100",
    } | more


def test_a_ranking_of_conditions_says_what_is_within_the_noise() -> None:
    rows = [condition("a", 30), condition("b", 10), condition("c", 10.5)]
    assert answers.ranked(rows) == (
        "The lowest distance is that of *b* (10.0), within the noise of *c* (10.5); the highest is that of *a* (30.0), "
        "beyond the noise."
    )


def test_enough_steps_are_the_fewest_that_cannot_be_told_from_the_best() -> None:
    rows = [condition(f"ddim, {n} steps", value) for n, value in ((5, 40), (10, 20.5), (40, 20), (100, 20.2))]
    assert answers.steps(rows) == (
        "*ddim* needs no more than 10 steps: 40.0 with 5 steps, 20.5 with 10 steps and 20.2 with 100 steps."
    )
    flat = [condition(f"ddim, {n} steps", 20) for n in (5, 100)]
    assert answers.steps(flat).startswith("*ddim* gains nothing beyond the noise by more than 5 steps")


def test_a_clamp_helps_harms_or_does_nothing() -> None:
    pairs = {"helps": (10, 30), "harms": (30, 10)}
    for verb, (with_clamp, without) in pairs.items():
        rows = [condition("ddim, clamp", with_clamp), condition("ddim, no clamp", without)]
        assert answers.clamping(rows).startswith(f"Beyond the noise it {verb} *ddim*")
    same = [condition("ddim, clamp", 10), condition("ddim, no clamp", 10)]
    assert answers.clamping(same).startswith("No: ")


def test_restorations_are_answered_from_the_last_step_shown() -> None:
    def row(name: str, rmse: float, sharpness: float) -> dict[str, str]:
        bounds = {"low": str(rmse - 0.01), "high": str(rmse + 0.01)}
        return {"restoration": name, "rmse": str(rmse), **bounds, "n": "50", "sharpness": str(sharpness)}

    rows = [row("direct from t = 2", 0.1, 1), row("direct from t = 9", 0.2, 0.5), row("naive from t = 9", 0.4, 0.9)]
    assert answers.restoration(rows) == (
        "From t = 9, *direct* has the lowest RMSE, 0.200; nearest to the originals in sharpness is *naive* (0.90 of "
        "theirs)."
    )


def test_a_comparison_names_the_best_and_by_how_much_the_next_is_behind(found: Results) -> None:
    comparison = found.params.studies.compared["schedules-unet"]
    assert isinstance(comparison, Comparison)
    doctored(doctored(found, "ddpm-linear-unet", 5), "ddpm-cosine-unet", 9)
    assert answers.compared(found, comparison) == (
        f"{found.named('ddpm-linear-unet')} (5.0) has the lowest FID∞ (classifier); {found.named('ddpm-cosine-unet')} "
        "(9.0) is behind by 4.0 \\[4.0, 4.0\\]."
    )


def test_the_schedules_are_ranked_at_all_of_their_steps(found: Results) -> None:
    said = answers.schedule_steps(found)
    last = {}
    for key, block in found.params.schedule_steps.items():
        rows = read_csv(found.artifacts.study(key) / "table.csv")
        last[block.variant] = float(rows[-1]["fid_classifier"])
    best = min(last, key=last.__getitem__)
    assert said.startswith(f"At all of its steps, {found.named(best)} ({last[best]:.1f}) is best")


def test_every_study_and_every_model_has_a_page(found: Results) -> None:
    chapters = read_yaml(find_root() / "report" / "_quarto.yml")["book"]
    pages = {
        name: (find_root() / "report" / name).read_text() for name in (*chapters["chapters"], *chapters["appendices"])
    }
    shown = "".join(pages.values())
    for group in answers.GROUPS:
        assert len(re.findall(rf'show\.studies\([^)]*"{group}"', shown)) == 1
    for variant in found.variants:
        page = gallery_page(found.params, variant)
        assert f'show.gallery("{page}")' in pages[f"{page}.qmd"]


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (["train.degradation.schedule", "train.degradation.steps"], "Schedules"),
        (["sample.sampler"], "Sampling"),
        (["sample"], "Sampling"),
        (["train.network"], "Training"),
        (["train.degradation", "train.network"], "Training"),
        (["train", "sample"], "Training"),
    ],
)
def test_a_comparison_stands_with_what_its_variants_differ_in(found: Results, about: list[str], expected: str) -> None:
    key = next(iter(found.params.studies.compared))
    block = found.params.studies.compared[key].model_copy(update={"about": about})
    studies = found.params.studies.model_copy(update={"compared": {key: block}})
    found.params = found.params.model_copy(update={"studies": studies})
    assert answers.group(found, key) == expected
