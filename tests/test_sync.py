"""What is committed fits together: parameters, code, dvc.lock, metrics and figures."""

import csv
import json
from pathlib import Path

import pytest

from thaw.params import read_params, read_yaml
from thaw.pipeline.status import Status
from thaw.results.layout import Artifacts
from thaw.results.measurements import pictures

ARTIFACTS = Artifacts(Path(__file__).parents[1])
PARAMS = read_params(ARTIFACTS.params)


def test_no_stage_is_outdated() -> None:
    """DVC finds the hashes of dvc.lock in the parameters, the code, the data, the metrics and the figures."""
    assert Status.read(ARTIFACTS).outdated == {}


def test_the_budget_is_that_of_the_standard_profile() -> None:
    assert read_yaml(ARTIFACTS.params)["budget"] == read_yaml(ARTIFACTS.profile("standard"))["budget"]


@pytest.mark.parametrize("variant", PARAMS.variants)
def test_metrics_intervals_and_summary_agree(variant: str) -> None:
    metrics = json.loads(ARTIFACTS.metrics(variant).read_text())
    with ARTIFACTS.table(variant, "intervals").open() as file:
        intervals = list(csv.DictReader(file))
    with ARTIFACTS.summary.open() as file:
        summary = [row for row in csv.DictReader(file) if row.pop("variant") == variant]
    assert summary == intervals
    assert {row["metric"]: float(row["value"]) for row in intervals} == pytest.approx(metrics, rel=1e-8)
    for row in intervals:
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"]), row


def test_the_floor_is_of_as_many_images_as_are_measured() -> None:
    with ARTIFACTS.reference("floor.csv").open() as file:
        counts = {int(row["n"]) for row in csv.DictReader(file)}
    budget = PARAMS.budget
    assert counts == {budget.sample.images, budget.sample.milestone_images, budget.study.images}


def test_every_figure_has_its_caption_and_its_artifacts() -> None:
    captions = json.loads((ARTIFACTS.figures / "captions.json").read_text())
    drawn = {path.stem: path.suffix for path in ARTIFACTS.figures.iterdir() if path.suffix not in (".json", ".svg")}
    assert set(drawn) == set(captions) > {path.stem for path in ARTIFACTS.figures.glob("*.svg")}
    for name, entry in captions.items():
        assert drawn[name] == (".webp" if "still" in entry else ".png")
        assert entry.get("still", name) in captions
        assert entry["caption"], name
        assert entry["alt"], name
        for source in entry["sources"]:
            assert (ARTIFACTS.root / source).exists(), f"{name} was drawn from {source}, which is not there"


@pytest.mark.parametrize("variant", PARAMS.variants)
def test_every_variant_has_all_its_pictures(variant: str) -> None:
    for name in ("forward", "chain", *pictures(PARAMS, variant)):
        assert ARTIFACTS.sheet(variant, name).exists()
    for name in pictures(PARAMS, variant) if variant in PARAMS.compared else ():
        assert (ARTIFACTS.figures / f"{name}-{variant}.png").exists()


@pytest.mark.parametrize("key", [*PARAMS.studies.trained, *PARAMS.studies.untrained, *PARAMS.studies.compared])
def test_every_study_has_its_figure(key: str) -> None:
    figure = "schedule-steps" if key in PARAMS.schedule_steps else f"study-{key}"
    assert (ARTIFACTS.figures / f"{figure}.png").exists()
    if key not in PARAMS.studies.compared:
        assert (ARTIFACTS.study(key) / "table.csv").exists()


def test_the_classifier_is_good_enough_to_measure_with() -> None:
    found = json.loads(ARTIFACTS.reference("classifier.json").read_text())
    assert found["test_accuracy"] >= 0.992
    assert len(found["readers_test_accuracy"]) == PARAMS.evaluation.readers.count
    assert min(found["readers_test_accuracy"]) >= 0.99


def test_real_images_are_legible() -> None:
    with ARTIFACTS.reference("real.csv").open() as file:
        (read,) = (row for row in csv.DictReader(file) if row["metric"] == "legible")
    assert float(read["value"]) >= 0.95
