"""Sentences are decided by the measurements: doctored ones change them. Tables say what is old and what is absent."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from thaw.artifacts import Artifacts
from thaw.files import write_csv, write_json
from thaw.params import read_yaml
from thaw.reporting import show
from thaw.reporting.appendix import CORE_WATTS, GPU_WATTS
from thaw.reporting.freshness import VARIANT_STAGES, outdated
from thaw.reporting.prose import count_words
from thaw.reporting.provenance import History
from thaw.reporting.results import Results, results
from thaw.reporting.statements import (
    diversity_sentence,
    likelihood_sentence,
    loss_sentence,
    memorisation_sentence,
    severity_sentence,
)  # fmt: skip

ROOT = Path(__file__).parents[1]
A, B = "ddpm-linear", "ddpm-cosine"
MEASURED = {
    "fid_classifier": (20.0, 30.0), "unique_fraction": (0.99, 0.5), "class_entropy": (3.3, 2.0),
    "memorized_fraction": (0.01, 0.2), "test_loss": (0.05, 0.01), "bits_per_dim": (2.5, 3.5),
}  # fmt: skip
HALF = {"fid_classifier": 2.0, "unique_fraction": 0.02, "class_entropy": 0.05, "memorized_fraction": 0.01}
REAL = {"unique_fraction": 0.98, "class_entropy": 3.31, "memorized_fraction": 0.015}


def row(metric: str, value: float, **more: Any) -> dict[str, Any]:
    half = HALF.get(metric, 0.001)
    return {**more, "metric": metric, "value": value, "low": value - half, "high": value + half, "n": 1000,
            "trainings": 1, "method": "made up", "floor": None}  # fmt: skip


def severity(steps: float, once: float) -> list[dict[str, Any]]:
    return [{"t": 500, "tau": 0.5, "restoration": name, "metric": "rmse", "value": value, "low": value - 0.01,
             "high": value + 0.01, "n": 200} for name, value in (("iterative", steps), ("direct", once))]  # fmt: skip


def likelihood(name: str) -> list[dict[str, Any]]:
    return [{"term": "L_0", "bits": 1.0 if name == A else 1.25}, {"term": "L_T", "bits": 0.5 if name == A else 0.1}]


def measure(artifacts: Artifacts, measured: dict[str, tuple[float, float]]) -> Results:
    """Write made-up results of two variants and read them."""
    rows = [row(metric, value, variant=name) for metric, pair in measured.items()
            for name, value in zip((A, B), pair, strict=True)]  # fmt: skip
    write_csv(artifacts.summary, rows)
    results.cache_clear()
    return Results(artifacts)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Artifacts]:
    """A project of two variants with made-up results; what prints reads it."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    params = read_yaml(ROOT / "params.yaml")
    params["variants"] = {name: params["variants"][name] for name in (A, B)}
    params["studies"] = {"trained": {}, "untrained": {}, "compared": {}}
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    artifacts = Artifacts(tmp_path)
    write_csv(artifacts.real, [row(metric, value) for metric, value in REAL.items()])
    for name in (A, B):
        write_csv(artifacts.severity(name), severity(0.2, 0.3))
        write_csv(artifacts.likelihood(name), likelihood(name))
    measure(artifacts, MEASURED)
    monkeypatch.chdir(tmp_path)
    yield artifacts
    results.cache_clear()


def test_who_lacks_diversity_is_named_until_nobody_does(project: Artifacts) -> None:
    said = diversity_sentence(Results(project))
    assert f"The samples of `{B}` (0.500) are more alike than real images (unique 0.980)" in said
    assert f"`{B}` (2.00) are less even in their classes" in said
    assert A not in said
    alike = measure(project, MEASURED | {"unique_fraction": (0.99, 0.97), "class_entropy": (3.3, 3.3)})
    assert "No variant has samples that are more alike" in diversity_sentence(alike)
    assert "No variant has samples that are less even" in diversity_sentence(alike)


def test_memorisation_is_suspected_only_beyond_the_noise(project: Artifacts) -> None:
    assert f"; `{B}` (0.200) more often, beyond the noise" in memorisation_sentence(Results(project))
    within = measure(project, MEASURED | {"memorized_fraction": (0.01, 0.02)})
    assert "there is no sign that any learned its images by heart" in memorisation_sentence(within)


def test_restoring_step_by_step_is_better_where_it_is(project: Artifacts) -> None:
    assert (
        f"By RMSE, restorations from t = T/2 are better step by step for `{A}` (0.200) and `{B}` (0.200)."
        in severity_sentence(Results(project), "rmse")
    )
    write_csv(project.severity(A), severity(0.3, 0.2))
    write_csv(project.severity(B), severity(0.2, 0.205))
    said = severity_sentence(Results(project), "rmse")
    assert f"better at once for `{A}` (0.300) and the same within the noise for `{B}` (0.200)" in said


def test_the_lowest_loss_is_not_the_best_model_unless_it_is(project: Artifacts) -> None:
    assert f"`{B}` has the lowest test loss, 0.0100; by FID it is number 2." in loss_sentence(Results(project))
    agreeing = measure(project, MEASURED | {"test_loss": (0.01, 0.05)})
    assert f"`{A}` has the lowest test loss, 0.0100; by FID it is number 1." in loss_sentence(agreeing)


def test_the_likelihood_names_the_best_and_the_furthest_from_noise(project: Artifacts) -> None:
    said = likelihood_sentence(Results(project))
    assert f"`{A}` has the lowest bound on the bits per dimension" in said
    assert f"The highest bound is that of `{B}`, 3.50, of which $L_0$, the price of the grey levels behind" in said
    assert "$z_1$, is 1.25." in said
    assert f"is largest for `{A}`: 0.5 bits per dimension." in said


def test_without_measurements_no_sentence_claims_anything(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    nothing = Results(Artifacts(tmp_path))
    for sentence in (diversity_sentence, memorisation_sentence, likelihood_sentence):
        assert sentence(nothing).endswith("measured yet.")
    assert severity_sentence(nothing, "rmse").endswith("measured by severity yet.")
    assert loss_sentence(nothing).startswith("Too few variants")


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_one_table_has_every_metric_of_every_variant(project: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    show.everything()
    lines = [line for line in printed(capsys).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len((A, B, "real images"))
    assert lines[0].count("|") == len(MEASURED) + 2
    assert "**20.0**† [\\[18.0, 22.0\\]]{.interval}" in lines[2]


def test_the_confidence_is_the_parameter(project: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    assert show.confidence() == "95 %"
    project.params.write_text(project.params.read_text().replace('"confidence": 0.95', '"confidence": 0.9'))
    results.cache_clear()
    show.everything()
    show.measurements(A)
    said = printed(capsys)
    assert "with 90 % intervals" in said
    assert "| 90 % interval |" in said
    assert "95 %" not in said


def lock(artifacts: Artifacts, **changed: Any) -> None:
    """Write a dvc.lock by which a variant was trained with the present parameters, but for what changed."""
    trained = read_yaml(artifacts.params)["variants"][A]["train"] | changed
    stages = {f"train@{A}": {"params": {"params.yaml": {f"variants.{A}.train": trained, "threads": 1}}}}
    (artifacts.root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def test_results_of_other_parameters_are_called_old_in_their_place(
    project: Artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    lock(project, target="clean")
    (change,) = outdated(project, VARIANT_STAGES, A)
    assert change == (f"variants.{A}.train.target", "clean", "noise")
    assert not outdated(project, VARIANT_STAGES, B)
    show.missing()
    assert f"Results are out of date\n\n`{A}` ran with other parameters" in printed(capsys)
    show.comparison(["fid_classifier"], "tbl-x", "X.")
    said = printed(capsys)
    assert f"| `{A}`‡ |" in said
    assert f"| `{B}` |" in said
    show.variants()
    said = printed(capsys)
    assert f"`variants.{A}.train.target` was `clean` and is `noise`" in said
    assert said.count("## Out of date") == 1


def test_results_of_these_parameters_are_not_old(project: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    lock(project)
    assert not outdated(project, VARIANT_STAGES, A)
    show.missing()
    assert printed(capsys) == ""


def test_numbers_that_the_lock_writes_in_another_way_are_the_same(project: Artifacts) -> None:
    lock(project, ema_decay="1e-05")
    project.params.write_text(project.params.read_text().replace(f'"{A}": {{"train": {{', f'"{A}": {{"train": {{"ema_decay": 0.00001, '))  # fmt: skip  # noqa: E501
    assert not outdated(project, VARIANT_STAGES, A)


def test_what_is_missing_keeps_its_place_and_its_label(project: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(project.summary, [row("fid_classifier", 20, variant=A)])
    results.cache_clear()
    show.missing()
    assert f"`params.yaml` asks for `{B}`, of which there are none" in printed(capsys)
    show.variants()
    show.uniqueness()
    show.comparison(["ssim"], "tbl-restored", "Restored.")
    show.costs()
    show.environment()
    said = printed(capsys)
    for label in (f"tbl-{B}", f"fig-samples-{A}", "tbl-uniqueness", "tbl-restored", "tbl-costs", "tbl-packages"):
        assert f"{{#{label} .absent}}" in said


def run(device: str, seconds: float) -> dict[str, Any]:
    return {"seconds": seconds, "date": "2026-01-02", "device": device, "precision": "fp32", "torch": "2",
            "images": 500, "peak_memory_mib": 7}  # fmt: skip


def test_costs_are_those_of_the_runs(project: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    for name, device in ((A, "cpu x"), (B, "cuda y")):
        entries = {"train": {**run(device, 3600), "parameters": 2_000_000, "multiply_adds": 3_000_000}}
        write_json(project.run(name), {**entries, "sample": run(device, 50)})
    show.costs()
    said = printed(capsys)
    on_cpu, on_gpu = (3650 * watts / 3.6e6 for watts in (CORE_WATTS, CORE_WATTS + GPU_WATTS))
    assert f"| `{A}` | 2.00 | 3 | 60.0 | 0.8 | – | 0 | 100.0 | {on_cpu:.2g} |" in said
    assert f"| {on_gpu:.2g} |" in said
    assert "an estimate and was not measured" in said
    show.environment()
    assert "| cuda y | fp32 | 2 | 2 | 2026-01-02 | 7 |" in printed(capsys)


def test_an_animation_has_a_still_for_print_and_for_who_asked_for_less_motion(
    project: Artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    project.figures.mkdir()
    project.report.mkdir()
    for name in ("animation-blur.webp", "chain-a.png"):
        (project.figures / name).write_bytes(b"picture")
    entry = {"caption": "It moves.", "alt": 'a "blur"', "sources": ["params.yaml"], "still": "chain-a"}
    write_json(project.figures / "captions.json", {"animation-blur": entry})
    show.animation("blur")
    said = printed(capsys)
    assert "![](figures/animation-blur.webp){.moving fig-alt=\"a 'blur'\"}" in said
    assert said.count("![](figures/chain-a.png){.still") == 2
    assert said.index('.content-hidden when-format="html"') < said.rindex("chain-a.png") < said.index("It moves.")
    assert (project.report / "figures" / "animation-blur.webp").read_bytes() == b"picture"
    show.animation("zoom")
    assert "{#fig-animation-zoom .absent}" in printed(capsys)


def test_provenance_is_the_newest_revision_of_any_source() -> None:
    known = History((("new", frozenset({"a"})), ("old", frozenset({"a", "b"}))), frozenset({"b"}))
    assert known.last_change(["a", "b"]) == "revision `new` with changes that are not committed"
    assert known.last_change(["a"]) == "revision `new`"
    assert known.last_change(["c"]) == "no revision yet"


def test_words_are_those_that_somebody_wrote() -> None:
    page = """---
title: not counted
---
# Two words {#sec-x .unnumbered}

It's by @ho2020, of $x + y$ and [a link](index.qmd#nowhere); see [@ho2020; @song2021].

$$ not = counted $$ {#eq-x}

```{python}
not_counted = 1
```
"""
    assert count_words(page) == len(["Two", "words", "It's", "by", "of", "and", "a", "link", "see"])
