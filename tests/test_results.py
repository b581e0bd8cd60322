"""Sentences and tables say what the artifacts say: change the artifacts, and the text changes."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from thaw.artifacts import Artifacts
from thaw.params import read_params
from thaw.reporting.agreement import agreement_table
from thaw.reporting.metrics import METRICS
from thaw.reporting.render import labels, render
from thaw.reporting.results import Measurement, Results, differs, join, ranking_sentence, some
from thaw.reporting.tables import best_cell

ROOT = Path(__file__).parents[1]


def measured(variant: str, value: float, half: float, trainings: int = 3, key: str = "fid_classifier") -> Measurement:
    return Measurement(variant, METRICS[key], value, value - half, value + half, 1000, trainings, 0.6)


def test_a_clear_winner_is_named_with_its_interval() -> None:
    sentence = ranking_sentence([measured("a", 10, 1), measured("b", 20, 1), measured("c", 30, 2)])
    assert sentence == (
        "`a` has the lowest FID (classifier), 10.0 (9.0 to 11.0); `b` (20.0) and `c` (30.0) follow beyond it."
    )


def test_a_difference_within_the_noise_is_called_that() -> None:
    sentence = ranking_sentence([measured("a", 10, 3), measured("b", 12, 3), measured("c", 30, 2)])
    assert "its difference to `b` (12.0) is within the noise, and `c` (30.0) follows beyond it" in sentence


def test_one_training_each_is_said_to_compare_trainings_only() -> None:
    assert "which training is better, not which method" in ranking_sentence([measured("a", 10, 1, trainings=1)])


def test_what_shares_the_best_value_is_bold_too() -> None:
    best, tied, worse = measured("a", 10, 1), measured("b", 10, 3), measured("c", 11, 1)
    assert [best_cell(m, best).count("**10.0**") for m in (best, tied, worse)] == [1, 1, 0]
    assert "**" not in best_cell(worse, best)


def test_nothing_is_written_as_less_than_nothing() -> None:
    assert METRICS["kid_classifier"].show(-0.001) == "0.00"
    assert METRICS["kid_classifier"].show(-0.01) == "-0.01"


@pytest.mark.parametrize(("best", "other"), [(1, 3), (3, 1)])
def test_a_single_training_among_several_is_not_said_of_all(best: int, other: int) -> None:
    ranked = [measured("a", 10, 1, trainings=best), measured("b", 20, 1, trainings=other)]
    assert ranking_sentence(ranked).endswith(
        ". Where a variant has one training only, this says which training is better, not which method."
    )
    assert "training" not in ranking_sentence([measured("a", 10, 1), measured("b", 20, 1)])


def test_the_highest_is_best_where_more_is_better() -> None:
    sentence = ranking_sentence([measured("a", 0.9, 0.01, key="ssim"), measured("b", 0.5, 0.01, key="ssim")])
    assert sentence.startswith("`a` has the highest SSIM, 0.900")


def test_no_results_make_no_claim() -> None:
    assert ranking_sentence([]) == "No variant has been measured yet."


@pytest.mark.parametrize(("gap", "more_than_noise"), [(4.9, False), (5.1, True)])
def test_half_widths_add_in_squares(gap: float, more_than_noise: bool) -> None:
    a, b = measured("a", 10, 3), measured("b", 10 + gap, 4)
    assert differs(a, b) == differs(b, a) == more_than_noise


def test_lists_read_as_words() -> None:
    assert [join(list("a")), join(list("ab")), join(list("abc"))] == ["a", "a and b", "a, b and c"]
    assert [some(list("abc")), some(list("abcde"))] == ["a, b and c", "a, b, c and 2 more"]


@pytest.fixture
def doctored(tmp_path: Path) -> Artifacts:
    """The results of the project, with the best variant made the worst."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "plots").mkdir()
    best = Results(Artifacts(ROOT)).ranked("fid_classifier")[0].variant
    with (ROOT / "plots" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if (row["variant"], row["metric"]) == (best, "fid_classifier"):
            row |= {"value": "999", "low": "998", "high": "1000"}
    with (tmp_path / "plots" / "summary.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return Artifacts(tmp_path)


def test_doctored_metrics_change_the_ranking_and_its_sentence(doctored: Artifacts) -> None:
    before = Results(Artifacts(ROOT)).ranked("fid_classifier")
    after = Results(doctored).ranked("fid_classifier")
    assert after[-1].variant == before[0].variant
    assert ranking_sentence(after) != ranking_sentence(before)
    assert f"`{after[0].variant}` has the lowest" in ranking_sentence(after)
    assert f"`{before[0].variant}`" not in ranking_sentence(after), "the worst of many is only counted"


def test_a_repetition_is_compared_value_by_value(doctored: Artifacts) -> None:
    committed = {
        variant: json.loads((ROOT / "metrics" / f"{variant}.json").read_text())
        for variant in read_params(doctored.params).variants
    }
    table = agreement_table(doctored, committed)
    assert table.count("OUTSIDE") == 1
    assert "the same" in table
    assert f"1 of {sum(map(len, committed.values()))} committed values are outside" in table


@pytest.mark.skipif(shutil.which("quarto") is None, reason="quarto is not on PATH")
def test_both_renderers_number_the_report_alike(tmp_path: Path) -> None:
    for name in ("report", "figures", "plots", "metrics", "reference", "runs", "params.yaml", "dvc.yaml"):
        source = ROOT / name
        if source.is_dir():
            made = shutil.ignore_patterns("_book", "_freeze", ".quarto", "figures")
            shutil.copytree(source, tmp_path / name, ignore=made)
        else:
            shutil.copy(source, tmp_path / name)
    shutil.copytree(ROOT / "figures", tmp_path / "figures", dirs_exist_ok=True)
    project = Artifacts(tmp_path)
    plain = labels(render(project.report, tmp_path / "plain.html").read_text())
    command = ["quarto", "render", str(project.report), "--to", "html"]
    subprocess.run(command, env={**os.environ, "QUARTO_PYTHON": sys.executable}, check=True)
    by_quarto: dict[str, str] = {}
    for page in project.book.glob("*.html"):
        by_quarto |= labels(page.read_text())
    assert by_quarto == plain
    assert {f"fig-samples-{variant}" for variant in read_params(project.params).compared} <= plain.keys()
