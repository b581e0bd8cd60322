"""Sentences and tables say what the artifacts say: change the artifacts, and the text changes."""

import json
import shutil
from pathlib import Path

import pytest
from comparison_fixtures import ROOT, measured

from thaw.compare.agreement import agreement_table
from thaw.files import read_csv, write_csv
from thaw.metrics import METRICS
from thaw.pages.sentences import ranking_sentence
from thaw.pages.tables import best_cell, provenance, value
from thaw.params import read_params
from thaw.results.layout import Artifacts
from thaw.results.measurements import Measurement, Results
from thaw.results.wording import join, some


def ranked(*values: tuple[str, float, float], trainings: int = 3, key: str = "fid_classifier") -> list[Measurement]:
    """Measurements by name, value and half the width of the interval."""
    return [measured(v, half, key, variant=name, trainings=trainings) for name, v, half in values]


def test_a_clear_winner_is_named_with_its_interval() -> None:
    assert ranking_sentence(ranked(("a", 10, 1), ("b", 20, 1), ("c", 30, 2))) == (
        "`a` has the lowest FID (classifier), 10.0 (9.0 to 11.0); `b` (20.0) and `c` (30.0) follow beyond it."
    )


def test_a_difference_within_the_noise_is_called_that() -> None:
    sentence = ranking_sentence(ranked(("a", 10, 3), ("b", 12, 3), ("c", 30, 2)))
    assert "its difference to `b` (12.0) is within the noise, and `c` (30.0) follows beyond it" in sentence


def test_the_highest_is_best_where_more_is_better() -> None:
    sentence = ranking_sentence(ranked(("a", 0.9, 0.01), ("b", 0.5, 0.01), key="ssim"))
    assert sentence.startswith("`a` has the highest SSIM, 0.900")


def test_no_results_make_no_claim() -> None:
    assert ranking_sentence([]) == "No variant has been measured yet."


def test_who_is_beyond_the_noise_follows_the_best() -> None:
    assert ranking_sentence(ranked(("a", 10, 1), ("b", 20, 1))).endswith("; `b` (20.0) follows beyond it.")


def test_what_shares_the_best_value_is_bold_too() -> None:
    best, tied, worse = ranked(("a", 10, 1), ("b", 10, 3), ("c", 11, 1))
    assert [best_cell(m, best).count("**10.0**") for m in (best, tied, worse)] == [1, 1, 0]
    assert "**" not in best_cell(worse, best)


def test_nothing_is_written_as_less_than_nothing() -> None:
    assert METRICS["kid_classifier"].show(-0.001) == "0.00"
    assert METRICS["kid_classifier"].show(-0.01) == "-0.01"


def test_a_metric_at_matched_severity_differs_from_the_whole_in_where_it_starts_alone() -> None:
    whole, matched = METRICS["psnr"], METRICS["psnr_matched"]
    assert (whole.title, matched.title, matched.short) == ("PSNR (dB)", "PSNR (dB), matched", "PSNR")
    assert (matched.better, matched.bounds, matched.digits) == (whole.better, whole.bounds, whole.digits)
    assert "from the matched t that keep" in METRICS["class_preservation_matched"].phrase


def test_the_distance_of_infinitely_many_samples_is_the_headline() -> None:
    assert next(iter(METRICS)) == "fid_infinite"
    assert METRICS["fid_infinite"].title == "FID∞ (classifier)"


def test_lists_read_as_words() -> None:
    assert [join(list("a")), join(list("ab")), join(list("abc"))] == ["a", "a and b", "a, b and c"]
    assert [some(list("abc")), some(list("abcde"))] == ["a, b and c", "a, b, c and 2 more"]


def test_cells_have_three_digits() -> None:
    assert [value(cell) for cell in ("3", "0.123456", "1e-05", "a, b", "")] == ["3", "0.123", "1e-05", "a, b", "–"]


def test_provenance_names_the_same_file_of_several_variants_once(capsys: pytest.CaptureFixture[str]) -> None:
    artifacts = Artifacts(ROOT)
    provenance([artifacts.table(name, "loss") for name in read_params(artifacts.params).compared], "train")
    assert "Stage `train`, from `results/variants/*/train/loss.csv` at" in capsys.readouterr().out


@pytest.fixture
def doctored(tmp_path: Path) -> Artifacts:
    """The results of the project, with the best variant made the worst."""
    artifacts, project = Artifacts(tmp_path), Artifacts(ROOT)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    best = Results(project).ranked("fid_classifier")[0].variant
    rows = read_csv(project.summary)
    for row in rows:
        if (row["variant"], row["metric"]) == (best, "fid_classifier"):
            row |= {"value": "999", "low": "998", "high": "1000"}
    write_csv(artifacts.summary, rows)
    return artifacts


def test_doctored_metrics_change_the_ranking_and_its_sentence(doctored: Artifacts) -> None:
    before = Results(Artifacts(ROOT)).ranked("fid_classifier")
    after = Results(doctored).ranked("fid_classifier")
    assert after[-1].variant == before[0].variant
    assert f"{after[0].named} has the lowest" in ranking_sentence(after)
    assert before[0].named not in ranking_sentence(after), "the worst of many is only counted"


def test_a_repetition_is_compared_value_by_value(doctored: Artifacts) -> None:
    project = Artifacts(ROOT)
    variants = read_params(project.params).variants
    committed = {variant: json.loads(project.metrics(variant).read_text()) for variant in variants}
    table = agreement_table(doctored, committed)
    assert table.count("OUTSIDE") == 1
    assert "the same" in table
    assert f"1 of {sum(map(len, committed.values()))} committed values are outside" in table
