"""What the report says about the trust in its numbers is computed: doctored artifacts change it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thaw.artifacts import Artifacts
from thaw.evaluation.classifier import FEATURES
from thaw.evaluation.inception import FEATURES as INCEPTION_FEATURES
from thaw.files import write_csv
from thaw.params import read_params
from thaw.reporting import evidence, show
from thaw.reporting.metrics import METRICS
from thaw.reporting.pairs import image_scores, paired
from thaw.reporting.protocol import COLUMNS, PROTOCOLS, audits, moved, published
from thaw.reporting.results import Measurement, Results, results

ROOT = Path(__file__).parents[1]
GOOD, BAD, OTHER = "ddpm-cosine", "ddpm-constant", "ddpm-linear"


def summary_row(variant: str, metric: str, value: float, n: int = 1000) -> dict[str, Any]:
    return {"variant": variant, "metric": metric, "value": value, "low": value - 1, "high": value + 1, "n": n,
            "trainings": 1, "method": "made up", "floor": None}  # fmt: skip


def audit_row(fault: str, metric: str, right: float, faulty: float | None) -> dict[str, Any]:
    return dict(zip(COLUMNS, (fault, metric, right, faulty, None, None, 10), strict=False))


def restorations(hard: np.ndarray, shift: float) -> list[dict[str, Any]]:
    """Scores of images of which some are hard for everyone, a little better or worse throughout."""
    return [{"training": 0, "image": i, "rmse_half": float(v + shift)} for i, v in enumerate(hard)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifacts:
    """Three variants with made-up results, and the numbers of the earlier reports."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data" / "published.csv", tmp_path / "data")
    artifacts = Artifacts(tmp_path)
    values = {GOOD: 20.0, OTHER: 24.0, BAD: 50.0}
    rows = [summary_row(v, "fid_classifier", value) for v, value in values.items()]
    rows += [summary_row(v, "rmse_half", value / 100) for v, value in values.items()]
    write_csv(artifacts.summary, rows)
    hard = np.random.default_rng(0).normal(0.3, 0.1, 60)
    noise = np.random.default_rng(1).normal(0, 0.002, 60)
    write_csv(artifacts.restorations(GOOD), restorations(hard, 0))
    write_csv(artifacts.restorations(OTHER), restorations(hard + noise, 0.01))
    write_csv(artifacts.audit(GOOD), [audit_row("stretched_samples", "fid_classifier", 20, 18),
                                      audit_row("one_image", "ks_first_t", 900, None)])  # fmt: skip
    write_csv(artifacts.audit(BAD), [audit_row("stretched_samples", "fid_classifier", 50, 10)])
    monkeypatch.chdir(tmp_path)
    results.cache_clear()
    return artifacts


@pytest.fixture(autouse=True)
def fresh_results() -> Iterator[None]:
    """No test reads what another one's project had."""
    yield
    results.cache_clear()


def test_a_difference_in_pairs_is_seen_where_the_images_differ_more_than_the_variants(project: Artifacts) -> None:
    gap = paired(project, OTHER, GOOD, "rmse_half", 0.95)
    assert gap is not None
    assert 0.008 < gap.low < gap.value < gap.high < 0.012
    found = image_scores(project, GOOD, "rmse_half")
    assert found is not None
    assert found[1].std() > 5 * gap.value, "on its own each variant is too uncertain to tell"
    results = Results(project)
    a, b = results.find(OTHER, "rmse_half"), results.find(GOOD, "rmse_half")
    assert a is not None
    assert b is not None
    assert results.differs(a, b)


def test_variants_that_restored_other_images_are_not_paired(project: Artifacts) -> None:
    table = pd.read_csv(project.restorations(OTHER)).assign(image=lambda t: t["image"] + 1)
    table.to_csv(project.restorations(OTHER), index=False)
    assert paired(project, OTHER, GOOD, "rmse_half", 0.95) is None
    assert paired(project, BAD, GOOD, "rmse_half", 0.95) is None, "the other one has restored nothing"


def test_a_paired_difference_of_single_trainings_is_said_to_be_theirs(
    project: Artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    evidence.differences("rmse_half")
    said = capsys.readouterr().out
    assert f"| `{OTHER}` | +0.01" in said
    assert "yes, for these trainings" in said
    assert BAD not in said


def test_the_audit_says_who_becomes_best(project: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    evidence.audit()
    said = capsys.readouterr().out
    assert f"the best becomes `{BAD}` instead of `{GOOD}`" in said
    assert "× 0.20 to × 0.90" in said
    assert f"furthest for `{BAD}`" in said
    assert f"| `{GOOD}` | 900 | never |" in said


def test_other_audits_make_other_sentences(project: Artifacts) -> None:
    write_csv(project.audit(BAD), [audit_row("stretched_samples", "fid_classifier", 50, 45)])
    (change,) = moved(audits(project, [GOOD, BAD]))
    assert change.changes == pytest.approx({GOOD: 0.9, BAD: 0.9})
    assert change.sentence().endswith("the order of the variants stays.")


def test_without_an_audit_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    results.cache_clear()
    evidence.audit()
    assert "the audit has not been run" in capsys.readouterr().out
    evidence.few_images_note()
    evidence.study_floor()
    assert capsys.readouterr().out == ""
    evidence.published_numbers()
    evidence.differences("rmse_half")
    said = capsys.readouterr().out
    assert "{#tbl-published .absent}" in said, "references to the table still arrive"
    assert "{#tbl-paired-rmse_half .absent}" in said


@pytest.mark.parametrize(("n", "few"), [(10 * FEATURES - 1, True), (10 * FEATURES, False)])
def test_distances_of_few_images_are_marked(project: Artifacts, capsys: pytest.CaptureFixture[str], n: int,
                                            few: bool) -> None:  # fmt: skip
    write_csv(project.summary, [summary_row(GOOD, "fid_classifier", 20, n)])
    results.cache_clear()
    evidence.few_images_note()
    show.comparison(["fid_classifier"], "tbl-x", "X.")
    said = capsys.readouterr().out
    assert ("20.0**†" in said) == few
    assert (f"{FEATURES} features ({n})" in said) == few


def test_the_widths_of_features_are_those_of_the_networks() -> None:
    assert METRICS["fid_classifier"].features == FEATURES
    assert METRICS["fid_inception"].features == INCEPTION_FEATURES


def test_published_numbers_stand_beside_ours(project: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    evidence.published_numbers()
    said = capsys.readouterr().out
    assert "| 001, " in said
    assert "113.31" in said
    assert "24.0" in said


PRINTED = {
    "000": {"fid_inception": {233, 432, 304.0255, 172.6256}, "rmse": {0.306, 0.402, 0.2312, 0.3592},
            "ssim": {0.164, 0.0336, 0.3549, 0.0804}, "psnr": {10.5, 7.94, 13.2237, 9.0724},
            "test_loss": {0.0245, 0.00275, 0.0113, 0.0271}},
    "001": {"fid_inception": {113.31, 50.98}, "ks_first_t": {906}},
    "003": {"fid_inception": {74, 300}, "minutes_evaluation_epoch": {10}, "minutes_training_epoch": {2}},
}  # fmt: skip
"""The results that the reports print in numbers."""


def test_every_printed_result_is_among_the_published_numbers() -> None:
    table = pd.read_csv(ROOT / "data" / "published.csv", dtype={"report": str})
    assert set(table["report"]) == {"000", "001", "002", "003", "004"}
    for report, metrics in PRINTED.items():
        for metric, values in metrics.items():
            found = table[(table["report"] == report) & (table["metric"] == metric)]["value"]
            assert set(found) == values, (report, metric)
    assert table["value"].notna().all()
    assert table["place"].notna().all()


def test_published_variants_are_variants_and_metrics_that_we_measure() -> None:
    known = set(read_params(ROOT / "params.yaml").variants)
    numbers = published(Artifacts(ROOT))
    assert len(numbers) > 20
    assert set(numbers["variant"]) <= known
    assert set(numbers["metric"]) <= set(METRICS)


def test_every_fault_that_scores_images_has_its_words() -> None:
    from thaw.evaluation.audit import FAULTY_RESTORATIONS, FAULTY_SAMPLES, FEW

    named = {*FAULTY_SAMPLES, *FAULTY_RESTORATIONS, *(f"few_samples_{count}" for count in FEW)}
    assert named == set(PROTOCOLS)


def test_real_images_show_the_mean_of_many_draws(project: Artifacts) -> None:
    row = summary_row("x", "fid_classifier", 2.0) | {"floor": 3.0}
    write_csv(project.real, [{k: v for k, v in row.items() if k != "variant"}])
    real = Results(project).real("fid_classifier")
    assert isinstance(real, Measurement)
    assert real.value == 3
