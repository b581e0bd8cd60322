"""What the report says about the trust in its numbers is computed: doctored artifacts change it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparison_fixtures import ROOT, measured, rows

from thaw.evaluation.audit import FAULTY_RESTORATIONS, FAULTY_SAMPLES, FEW
from thaw.evaluation.classifier import FEATURES
from thaw.evaluation.inception import FEATURES as INCEPTION_FEATURES
from thaw.files import read_csv, write_csv
from thaw.metrics import METRICS
from thaw.pages import show
from thaw.pages.evidence import PROTOCOLS, audits, moved, published
from thaw.params import read_params
from thaw.results.differences import differs, image_scores, paired
from thaw.results.layout import Artifacts
from thaw.results.measurements import Measurement, Results, results

GOOD, BAD, OTHER = "ddpm-cosine", "ddpm-constant", "ddpm-linear"


def write_audit(artifacts: Artifacts, variant: str, *scores: tuple[str, str, float, float | None]) -> None:
    """Write the scores of a variant under faulty protocols: fault, metric, right score, faulty score."""
    keys = "fault", "metric", "right", "faulty"
    lines = [dict(zip(keys, found, strict=True)) | {"low": None, "high": None, "n": 10} for found in scores]
    write_csv(artifacts.table(variant, "audit"), lines)


def write_restorations(artifacts: Artifacts, variant: str, scores: np.ndarray, first: int = 0) -> None:
    table = [{"training": 0, "image": first + i, "rmse_matched": float(score)} for i, score in enumerate(scores)]
    write_csv(artifacts.table(variant, "restorations"), table)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Artifacts]:
    """A project without results; what prints reads it."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    results.cache_clear()
    yield Artifacts(tmp_path)
    results.cache_clear()


@pytest.fixture
def project(bare: Artifacts) -> Artifacts:
    """Three variants with made-up results, and the numbers of the earlier reports."""
    bare.published.parent.mkdir()
    shutil.copy(Artifacts(ROOT).published, bare.published)
    values = {GOOD: 20.0, OTHER: 24.0, BAD: 50.0}
    found = [measured(value, variant=v, trainings=1) for v, value in values.items()]
    found += [measured(value / 100, key="rmse_matched", variant=v, trainings=1) for v, value in values.items()]
    write_csv(bare.summary, rows(found))
    hard = np.random.default_rng(0).normal(0.3, 0.1, 60)  # some images are hard for everyone
    write_restorations(bare, GOOD, hard)
    write_restorations(bare, OTHER, hard + np.random.default_rng(1).normal(0, 0.002, 60) + 0.01)
    write_audit(bare, GOOD, ("stretched_samples", "fid_classifier", 20, 18), ("one_image", "ks_first_t", 900, None))
    write_audit(bare, BAD, ("stretched_samples", "fid_classifier", 50, 10))
    return bare


@pytest.fixture
def said(bare: Artifacts, capsys: pytest.CaptureFixture[str]) -> Any:
    """What has been printed since the last call."""
    return lambda: capsys.readouterr().out


def pair(project: Artifacts, a: str, b: str) -> tuple[Measurement, Measurement]:
    found = Results(project)
    return found.measured[a, "rmse_matched"], found.measured[b, "rmse_matched"]


def test_a_difference_in_pairs_is_seen_where_the_images_differ_more_than_the_variants(project: Artifacts) -> None:
    good, other = pair(project, GOOD, OTHER)
    gap = paired(good, other)
    assert gap is not None
    assert 0.008 < gap.low < gap.value < gap.high < 0.012
    found = image_scores(good)
    assert found is not None
    assert found[1].std() > 5 * gap.value, "on its own each variant is too uncertain to tell"
    assert differs(good, other)


def test_variants_that_restored_other_images_are_not_paired(project: Artifacts) -> None:
    write_restorations(project, OTHER, np.linspace(0, 1, 60), first=1)
    assert paired(*pair(project, GOOD, OTHER)) is None
    assert paired(*pair(project, GOOD, BAD)) is None, "the other one has restored nothing"


def test_the_audit_says_who_becomes_best(project: Artifacts, said: Any) -> None:
    show.audit()
    text = said()
    named = Results(project).named
    assert f"the best becomes {named(BAD)} instead of {named(GOOD)}" in text
    assert "× 0.20 to × 0.90" in text
    assert f"furthest for {named(BAD)}" in text
    assert f"| {named(GOOD)} | 900 | never |" in text


def test_other_audits_make_other_sentences(project: Artifacts) -> None:
    write_audit(project, BAD, ("stretched_samples", "fid_classifier", 50, 45))
    (change,) = moved(audits(project, [GOOD, BAD]))
    assert change.changes == pytest.approx({GOOD: 0.9, BAD: 0.9})
    assert change.sentence(str).endswith("the order of the variants stays.")


def test_places_are_counted_with_ties_in_the_middle(project: Artifacts) -> None:
    for variant, right, faulty in ((GOOD, 0.9, 0.3), (OTHER, 0.5, 0.3), (BAD, 0.1, 0.8)):
        write_audit(project, variant, ("stretched_pairs", "ssim", right, faulty))
    (change,) = moved(audits(project, [GOOD, OTHER, BAD]))
    assert change.places == 2
    assert (change.best, change.faulty_best) == (GOOD, BAD)
    assert change.show(0.7) == "+0.7"


def test_without_results_the_page_says_so(bare: Artifacts, said: Any) -> None:
    show.few_images_note()
    show.study_floor()
    assert said() == ""
    show.audit()
    show.published_numbers()
    text = said()
    assert "the audit has not been run" in text
    assert "{#tbl-published .absent}" in text, "references to the table still arrive"


def test_the_floor_of_a_study_is_that_of_its_number_of_images(bare: Artifacts, said: Any) -> None:
    count = read_params(bare.params).budget.study.images
    floors = [{"n": n, "fid_classifier": n / 100} for n in (count + 1, count)]
    write_csv(bare.reference("floor.csv"), floors)
    show.study_floor()
    assert f"as a condition has samples, {count}, score {count / 100:.1f}." in said()


@pytest.mark.parametrize(("n", "few"), [(10 * FEATURES - 1, True), (10 * FEATURES, False)])
def test_distances_of_few_images_are_marked(project: Artifacts, said: Any, n: int, few: bool) -> None:
    write_csv(project.summary, rows([measured(20, variant=GOOD, n=n)]))
    results.cache_clear()
    show.few_images_note()
    show.comparison(["fid_classifier"], "tbl-x", "X.")
    text = said()
    assert ("20.0**[†]{.dagger}" in text) == few
    assert (f"{FEATURES} features ({n})" in text) == few


def test_the_widths_of_features_are_those_of_the_networks() -> None:
    assert METRICS["fid_classifier"].features == FEATURES
    assert METRICS["fid_inception"].features == INCEPTION_FEATURES


def test_published_numbers_stand_beside_ours(project: Artifacts, said: Any) -> None:
    show.published_numbers()
    text = said()
    for part in ("| 001, ", "113.31", "24.0"):
        assert part in text


PRINTED = {
    "000": {"fid_inception": {233, 432, 304.0255, 172.6256}, "rmse": {0.306, 0.402, 0.2312, 0.3592},
            "ssim": {0.164, 0.0336, 0.3549, 0.0804}, "psnr": {10.5, 7.94, 13.2237, 9.0724},
            "test_loss": {0.0245, 0.00275, 0.0113, 0.0271}},
    "001": {"fid_inception": {113.31, 50.98}, "ks_first_t": {906}},
    "003": {"fid_inception": {74, 300}, "minutes_evaluation_epoch": {10}, "minutes_training_epoch": {2}},
}  # fmt: skip
"""The results that the reports print in numbers."""


def test_every_printed_result_is_among_the_published_numbers() -> None:
    table = read_csv(Artifacts(ROOT).published)
    assert {row["report"] for row in table} == {"000", "001", "002", "003", "004"}
    for report, metrics in PRINTED.items():
        for metric, values in metrics.items():
            found = {float(row["value"]) for row in table if (row["report"], row["metric"]) == (report, metric)}
            assert found == values, (report, metric)
    assert all(row["value"] and row["place"] for row in table)


def test_published_variants_are_variants_and_metrics_that_we_measure() -> None:
    numbers = published(Artifacts(ROOT))
    assert len(numbers) > 20
    assert {row["variant"] for row in numbers} <= set(read_params(ROOT / "params.yaml").variants)


def test_every_fault_that_scores_images_has_its_words() -> None:
    assert {*FAULTY_SAMPLES, *FAULTY_RESTORATIONS, *(f"few_samples_{count}" for count in FEW)} == set(PROTOCOLS)


def test_real_images_show_the_mean_of_many_draws(project: Artifacts) -> None:
    write_csv(project.reference("real.csv"), rows([measured(2, floor=3)]))
    real = Results(project).real("fid_classifier")
    assert real
    assert real.value == 3
