"""Sentences are decided by the measurements: doctored ones change them. Tables say what is old and what is absent."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from comparison_fixtures import ROOT, measured, rows

from thaw.files import write_csv, write_json
from thaw.pages import show
from thaw.pages.appendix import CORE_WATTS, GPU_WATTS
from thaw.pages.illustrations import typeset
from thaw.pages.prose import count_words
from thaw.pages.sentences import diversity, likelihood, losses, memorisation, severity
from thaw.params import read_yaml
from thaw.results.history import History
from thaw.results.layout import Artifacts
from thaw.results.measurements import Results, results

A, B = "ddpm-linear", "ddpm-cosine"
MEASURED = {
    "fid_infinite": (20.0, 30.0), "unique_fraction": (0.99, 0.5), "class_entropy": (3.3, 2.0),
    "memorized_fraction": (0.01, 0.2), "test_loss": (0.05, 0.01), "bits_per_dim": (2.5, 3.5),
}  # fmt: skip
HALF = {"fid_infinite": 2.0, "unique_fraction": 0.02, "class_entropy": 0.05, "memorized_fraction": 0.01}
REAL = {"unique_fraction": 0.98, "class_entropy": 3.31, "memorized_fraction": 0.015}


def restored(steps: float, once: float) -> list[dict[str, Any]]:
    return [{"t": 500, "tau": 0.5, "restoration": name, "metric": "rmse", "value": value, "low": value - 0.01,
             "high": value + 0.01, "n": 200} for name, value in (("iterative", steps), ("direct", once))]  # fmt: skip


def measure(artifacts: Artifacts, **changed: tuple[float, float]) -> Results:
    """Write made-up results of two variants and read them."""
    write_csv(artifacts.summary, rows(
        measured(value, HALF.get(key, 0.001), key, variant=name, trainings=1)
        for key, pair in (MEASURED | changed).items() for name, value in zip((A, B), pair, strict=True)
    ))  # fmt: skip
    results.cache_clear()
    return Results(artifacts)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Artifacts]:
    """A project of two variants with made-up results; what prints reads it."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    params = read_yaml(ROOT / "params.yaml")
    params["variants"] = {name: params["variants"][name] for name in (A, B)}
    params["studies"] = {"trained": {}, "untrained": {}, "compared": {}}
    params["demos"] = {}
    del params["titles"]
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    artifacts = Artifacts(tmp_path)
    real = rows(measured(value, HALF[key], key) for key, value in REAL.items())
    write_csv(artifacts.reference("real.csv"), real, [name for name in real[0] if name != "variant"])
    for name, bits in ((A, (1.0, 0.5)), (B, (1.25, 0.1))):
        write_csv(artifacts.table(name, "severity"), restored(0.2, 0.3))
        terms = zip(("L_0", "L_T"), bits, strict=True)
        write_csv(artifacts.table(name, "likelihood"), [{"term": term, "bits": value} for term, value in terms])
    measure(artifacts)
    monkeypatch.chdir(tmp_path)
    yield artifacts
    results.cache_clear()


@pytest.fixture
def said(project: Artifacts, capsys: pytest.CaptureFixture[str]) -> Any:
    """What has been printed since the last call."""
    return lambda: capsys.readouterr().out


def test_who_lacks_diversity_is_named_until_nobody_does(project: Artifacts) -> None:
    sentence = diversity(Results(project))
    assert f"The samples of `{B}` (0.500) are more alike than real images (unique 0.980)" in sentence
    assert f"`{B}` (2.00) are less even in their classes" in sentence
    assert A not in sentence
    alike = diversity(measure(project, unique_fraction=(0.99, 0.97), class_entropy=(3.3, 3.3)))
    assert "No variant has samples that are more alike" in alike
    assert "No variant has samples that are less even" in alike


def test_memorisation_is_suspected_only_beyond_the_noise(project: Artifacts) -> None:
    assert f"; `{B}` (0.200) more often, beyond the noise" in memorisation(Results(project))
    within = measure(project, memorized_fraction=(0.01, 0.02))
    assert "there is no sign that any learned its images by heart" in memorisation(within)


def test_restoring_step_by_step_is_better_where_it_is(project: Artifacts) -> None:
    assert severity(Results(project), "rmse").endswith("by severity yet."), "schedules differ in what is left at T/2"
    params = json.loads(project.params.read_text())
    for name in (A, B):
        params["variants"][name]["train"] |= {"degradation": {"name": "blur", "steps": 1000}, "target": "clean"}
    project.params.write_text(json.dumps(params))
    assert (
        f"By RMSE, restorations from t = T/2 are better step by step for `{A}` (0.200) and `{B}` (0.200)."
        in severity(Results(project), "rmse")
    )
    write_csv(project.table(A, "severity"), restored(0.3, 0.2))
    write_csv(project.table(B, "severity"), restored(0.2, 0.205))
    sentence = severity(Results(project), "rmse")
    assert f"better at once for `{A}` (0.300) and the same within the noise for `{B}` (0.200)" in sentence


def test_the_lowest_loss_is_not_the_best_model_unless_it_is(project: Artifacts) -> None:
    assert f"`{B}` has the lowest test loss, 0.0100; by FID it is number 2." in losses(Results(project))
    agreeing = measure(project, test_loss=(0.01, 0.05))
    assert f"`{A}` has the lowest test loss, 0.0100; by FID it is number 1." in losses(agreeing)


def test_the_likelihood_names_the_best_and_the_furthest_from_noise(project: Artifacts) -> None:
    sentence = likelihood(Results(project))
    assert f"`{A}` has the lowest bound on the bits per dimension" in sentence
    assert f"The highest bound is that of `{B}`, 3.50, of which $L_0$, the price of the grey levels behind" in sentence
    assert "$z_1$, is 1.25." in sentence
    assert f"is largest for `{A}`: 0.5 bits per dimension." in sentence


def test_without_measurements_no_sentence_claims_anything(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    nothing = Results(Artifacts(tmp_path))
    for sentence in (diversity, memorisation, likelihood):
        assert sentence(nothing).endswith("measured yet.")
    assert severity(nothing, "rmse").endswith("measured by severity yet.")
    assert losses(nothing).startswith("Too few variants")


def test_one_table_has_every_metric_of_every_variant(said: Any) -> None:
    show.everything()
    lines = [line for line in said().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len((A, B, "real images"))
    assert lines[0].count("|") == len(MEASURED) + 2
    assert "**20.0**[†]{.dagger} [\\[18.0, 22.0\\]]{.interval}" in lines[2]


def test_the_confidence_is_the_parameter(project: Artifacts, said: Any) -> None:
    assert show.confidence() == "95 %"
    project.params.write_text(project.params.read_text().replace('"confidence": 0.95', '"confidence": 0.9'))
    results.cache_clear()
    show.everything()
    show.measurements(A)
    text = said()
    assert "with 90 % intervals" in text
    assert "| 90 % interval |" in text
    assert "95 %" not in text


def lock(artifacts: Artifacts, **changed: Any) -> None:
    """Write a dvc.lock by which a variant was trained with the present parameters, but for what changed."""
    trained = read_yaml(artifacts.params)["variants"][A]["train"] | changed
    stages = {f"train@{A}": {"params": {"params.yaml": {f"variants.{A}.train": trained, "threads": 1}}}}
    (artifacts.root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def test_results_of_other_parameters_are_called_old_in_their_place(project: Artifacts, said: Any) -> None:
    lock(project, target="clean")
    show.missing()
    assert f"Results are out of date\n\n`{A}` ran with other parameters" in said()
    show.comparison(["fid_infinite"], "tbl-x", "X.")
    text = said()
    assert f"| `{A}`‡ |" in text
    assert f"| `{B}` |" in text
    show.gallery("gallery-ddpm")
    text = said()
    assert f"`variants.{A}.train.target` was `clean` and is `noise`" in text
    assert text.count("## Out of date") == 1


def test_results_of_these_parameters_are_not_old_however_the_lock_writes_them(project: Artifacts, said: Any) -> None:
    lock(project, ema_decay="1e-05")
    params = json.loads(project.params.read_text())
    for name in (A, B):
        params["variants"][name]["train"]["ema_decay"] = 0.00001
    project.params.write_text(json.dumps(params))
    show.missing()
    assert said() == ""


def test_a_variant_with_a_title_goes_by_it_and_can_be_looked_up(project: Artifacts, said: Any) -> None:
    params = json.loads(project.params.read_text())
    project.params.write_text(json.dumps(params | {"titles": {A: "Linear"}}))
    results.cache_clear()
    show.comparison(["fid_infinite"], "tbl-x", "X.")
    text = said()
    assert f'| [Linear]{{.model data-variant="{A}"}} |' in text
    assert f"| `{B}` |" in text


def test_what_is_missing_keeps_its_place_and_its_label(project: Artifacts, said: Any) -> None:
    write_csv(project.summary, rows([measured(20, variant=A)]))
    results.cache_clear()
    show.missing()
    assert f"`params.yaml` asks for `{B}`, of which there are none" in said()
    show.gallery("gallery-ddpm")
    show.uniqueness()
    show.comparison(["ssim"], "tbl-restored", "Restored.")
    show.costs()
    show.epoch_times()
    show.environment()
    text = said()
    for label in (f"tbl-{B}", f"fig-samples-{A}", "tbl-uniqueness", "tbl-restored", "tbl-costs", "tbl-epoch-times",
                  "tbl-packages"):  # fmt: skip
        assert f"{{#{label} .absent}}" in text


def run(device: str, seconds: float) -> dict[str, Any]:
    return {"seconds": seconds, "date": "2026-01-02", "device": device, "precision": "fp32", "torch": "2",
            "images": 500, "peak_memory_mib": 7}  # fmt: skip


def test_costs_are_those_of_the_runs(project: Artifacts, said: Any) -> None:
    for name, device in ((A, "cpu x"), (B, "cuda y")):
        entries = {"train": {**run(device, 3600), "parameters": 2_000_000, "multiply_adds": 3_000_000}}
        write_json(project.run(name), {**entries, "sample": run(device, 50)})
    show.costs()
    text = said()
    on_cpu, on_gpu = (3650 * watts / 3.6e6 for watts in (CORE_WATTS, CORE_WATTS + GPU_WATTS))
    assert f"| `{A}` | 2.00 | 3 | 60.0 | 0.8 | – | 0 | 100.0 | {on_cpu:.2g} |" in text
    assert f"| {on_gpu:.2g} |" in text
    assert "an estimate and was not measured" in text
    show.environment()
    assert "| cuda y | fp32 | 2 | 2 | 2026-01-02 | 7 |" in said()
    data = results().params.data
    write_csv(project.reference("levels.csv"), [{"level": 0, "count": 250 * data.channels * data.pixels**2}])
    show.epoch_times()
    text = said()
    assert "one epoch, that is 250 training images" in text
    assert f"| `{A}` | `cnn` | 1800 |" in text


def test_an_animation_has_a_still_for_print_and_for_who_asked_for_less_motion(project: Artifacts, said: Any) -> None:
    project.figures.mkdir()
    project.report.mkdir()
    for name in ("animation-blur.webp", "chain-a.png"):
        (project.figures / name).write_bytes(b"picture")
    entry = {"caption": "It moves.", "alt": 'a "blur"', "sources": ["params.yaml"], "still": "chain-a"}
    write_json(project.figures / "captions.json", {"animation-blur": entry})
    show.animation("blur")
    text = said()
    assert "![](figures/animation-blur.webp){.moving fig-alt=\"a 'blur'\"}" in text
    assert text.count("![](figures/chain-a.png){.still") == 2
    assert text.index('.content-hidden when-format="html"') < text.rindex("chain-a.png") < text.index("It moves.")
    assert (project.report / "figures" / "animation-blur.webp").read_bytes() == b"picture"
    show.animation("zoom")
    assert "{#fig-animation-zoom .absent}" in said()


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


@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        ("from z_T (left) to z_t", "from $z_T$ (left) to $z_t$"),
        ("`alpha_bar_T` and ᾱ_t", "$\\bar\\alpha_T$ and $\\bar\\alpha_t$"),
        ("the distance from_naive of fid_infinite", "the distance from naive (RMS) of FID∞ (classifier)"),
        ("$z_T$, x_y and `params.yaml`", "$z_T$, x_y and `params.yaml`"),
    ],
)
def test_captions_have_mathematics_and_names(plain: str, expected: str) -> None:
    assert typeset(plain) == expected
