"""The real chain at the smoke profile, on the real data, in temporary clones."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

import thaw as thaw_library
from thaw.core import hardware
from thaw.core.tensors import read_tensors
from thaw.errors import ThawError
from thaw.params import read_params, write_profile
from thaw.pipeline.running import environment
from thaw.pipeline.scratch import scratch_copy
from thaw.pipeline.status import Status
from thaw.results.layout import OF_VARIANT, SHEETS, Artifacts

ROOT = Path(__file__).parents[1]
EDITED, KEPT = "ddpm-cosine", ("cold-zoom-cnn", "gan-dcgan")
RESTORING = "cold-zoom-cnn"
STUDIED = {"trained": ("zoom-of-the-cnn",), "untrained": ("trivial-losses",)}

pytestmark = pytest.mark.pipeline


def run(root: Path, *command: str, expect: int = 0) -> str:
    """Run a program of this environment in a clone, without Quarto; its output."""
    env = environment(root)
    env["PATH"] = os.pathsep.join(p for p in env["PATH"].split(os.pathsep) if not (Path(p) / "quarto").exists())
    env |= {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@example.org"}  # fmt: skip
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == expect, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def thaw(root: Path, *arguments: str, expect: int = 0) -> str:
    return run(root, sys.executable, "-m", "thaw", *arguments, expect=expect)


def dvc(root: Path, *arguments: str) -> str:
    return run(root, sys.executable, "-m", "dvc", *arguments)


def commit(root: Path) -> None:
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "results")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """A copy of the project in which the whole chain has run at the smoke profile, two variants at a time."""
    project = scratch_copy(Artifacts(ROOT), tmp_path_factory.mktemp("made") / "thaw")
    write_profile(project.params, project.profile("smoke"))
    keep_few(project)
    thaw(project.root, "repro", "--jobs", "2")
    commit(project.root)
    return project


def keep_few(project: Artifacts) -> None:
    """Leave a few variants in params.yaml, a study of one and a study of none, so that the chain takes minutes.

    DVC reads and writes all of dvc.lock for every stage, so what the other variants have there goes too.
    """
    yaml = YAML()
    content = yaml.load(project.params.read_text())
    content["variants"] = {name: content["variants"][name] for name in (EDITED, *KEPT)}
    study = {"name": "zoom_evolution", "variant": RESTORING}
    untrained = {name: content["studies"]["untrained"][name] for name in STUDIED["untrained"]}
    content["studies"] = {"trained": {STUDIED["trained"][0]: study}, "untrained": untrained, "compared": {}}
    content["demos"] = {}
    with project.params.open("w") as file:
        yaml.dump(content, file)
    lock = project.root / "dvc.lock"
    entries = yaml.load(lock.read_text())
    entries["stages"] = {name: entry for name, entry in entries["stages"].items() if "@" not in name}
    with lock.open("w") as file:
        yaml.dump(entries, file)


@pytest.fixture(scope="module")
def clone(made: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """A fresh clone of the results, with nothing in DVC's cache."""
    root = tmp_path_factory.mktemp("clone") / "thaw"
    run(made.root, "git", "clone", "-q", str(made.root), str(root))
    return Artifacts(root)


def test_every_artifact_is_there(made: Artifacts) -> None:
    params = read_params(made.params)
    for variant in params.variants:
        metrics = json.loads(made.metrics(variant).read_text())
        assert "fid_classifier" in metrics
        assert {"fid_infinite", "kid_classifier", "legible", "precision", "recall", "density", "coverage",
                "class_entropy", "unique_fraction", "memorized_fraction"} <= set(metrics)  # fmt: skip
        restores = {"rmse", "ssim", "psnr", "class_preservation", "matched_t", "test_loss"}
        assert restores & set(metrics) == (set() if variant.startswith("gan") else restores)
        for key in ("ks_accepted_at_T", "bits_per_dim"):
            assert (key in metrics) == variant.startswith("ddpm")
        there = {path.relative_to(made.root) for path in made.variant(variant).rglob("*.*")}
        expected = [made.table(variant, name) for names in OF_VARIANT.values() for name in names]
        absent = {"milestone_restorations", "reconstructions"} if variant.startswith("gan") else set()
        expected += [made.sheet(variant, name) for names in SHEETS.values() for name in names if name not in absent]
        expected += [made.metrics(variant), made.run(variant)]
        assert there == {path.relative_to(made.root) for path in expected}
        for seed in params.train_budget(variant).seeds:
            assert made.weights(variant, seed).exists()
        assert set(json.loads(made.run(variant).read_text())) == {"evaluate", "sample", "train"}
        assert not made.checkpoint(variant, 0).exists(), "a finished training leaves no checkpoint"
    for key in (*STUDIED["trained"], *STUDIED["untrained"]):
        assert (made.study(key) / "table.csv").exists()
        assert (made.figures / f"study-{key}.png").exists()
    assert not Status.read(made).outdated


def test_peak_memory_of_every_stage_is_under_three_gibibytes(made: Artifacts) -> None:
    for variant in read_params(made.params).variants:
        for stage, entry in json.loads(made.run(variant).read_text()).items():
            assert entry["peak_memory_mib"] < 3 * 1024, f"{stage}@{variant}"


def test_the_report_is_one_page_that_holds_every_figure_and_number(made: Artifacts) -> None:
    page = (made.book / "index.html").read_text()
    assert "plain renderer" in page
    for figure in json.loads((made.figures / "captions.json").read_text()):
        assert f'id="fig-{figure}"' in page
    for variant in read_params(made.params).variants:
        value = json.loads(made.metrics(variant).read_text())["fid_classifier"]
        assert f"{value:.1f}" in page
    assert not re.search(r'(src|href)="(?!#|data:|https?://)[^"]', page), "the page needs a file beside it"
    assert "?@" not in page


def test_dvc_shows_the_metrics_as_a_table(made: Artifacts) -> None:
    table = dvc(made.root, "metrics", "show", "--md")
    for variant in read_params(made.params).variants:
        assert f"variants/{variant}/metrics.json" in table
    assert "fid_classifier" in table


def test_the_library_gives_the_images_of_the_stages(made: Artifacts) -> None:
    drawn, _ = read_tensors(made.samples(EDITED))
    model = thaw_library.load(EDITED, root=made.root)
    images = model.sample(64, seed=0)
    # The noise is the same to the bit; a convolution may round otherwise for another number of images.
    rounding = 0.05 if hardware.precision(model.device) == "bf16" else 1e-4
    torch.testing.assert_close(images, drawn["unconditional.0"][:64], rtol=0, atol=rounding)
    noisy = model.degrade(images, t=500)
    assert model.restore(noisy, t=500).shape == images.shape


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_repetition_alone_writes_the_same_bytes(
    made: Artifacts, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By plain DVC, in another folder, where nothing runs beside it: twice where the chain ran in another precision."""
    own = hardware.precision(hardware.device())
    monkeypatch.setenv("THAW_PRECISION", precision)
    stages = [f"{stage}@{RESTORING}" for stage in ("forward", "train", "sample", "evaluate")]

    def repeated(name: str) -> dict[str, bytes]:
        project = scratch_copy(made, tmp_path / name)
        dvc(project.root, "repro", "--force", "--no-run-cache", "-s", *stages)
        return made_by(project, RESTORING)

    first = made_by(made, RESTORING) if precision == own else repeated("first")
    second = repeated("second")
    assert first.keys() == second.keys()
    assert [path for path in first if first[path] != second[path]] == []
    assert json.loads(second["models/cold-zoom-cnn/model.json"])["environment"]["precision"] == precision


def made_by(project: Artifacts, variant: str) -> dict[str, bytes]:
    """Every file that the stages of a variant write, but for run.json, by its path in the project."""
    folders = [project.variant(variant), project.models(variant), project.samples(variant).parent]
    found = {path for folder in folders for path in folder.rglob("*") if path.is_file()} - {project.run(variant)}
    return {path.relative_to(project.root).as_posix(): path.read_bytes() for path in sorted(found)}


def test_a_fresh_clone_renders_without_training(clone: Artifacts) -> None:
    before = clone.metrics(EDITED).read_bytes()
    said = thaw(clone.root, "report")
    assert "plain renderer" in said
    assert (clone.book / "index.html").exists()
    assert not (clone.root / "models").exists(), "nothing was trained"
    assert clone.metrics(EDITED).read_bytes() == before


def test_weights_that_are_not_here_are_named_with_what_makes_them(clone: Artifacts) -> None:
    with pytest.raises(
        ThawError, match=r"`dvc repro train@ddpm-cosine` trains it \(it took \d+ minutes\), or `dvc pull`"
    ):
        thaw_library.load(EDITED, root=clone.root)


def test_an_edit_that_needs_absent_results_is_asked_about_first(clone: Artifacts) -> None:
    """The evaluation of one variant and a study of it are outdated, and its model and samples are not here."""
    clone.table(RESTORING, "intervals").write_text("doctored\n")
    clone.params.write_text(edited(clone, "name: zoom_evolution", "every: 6\n      name: zoom_evolution"))
    said = thaw(clone.root, "report", expect=2)
    assert f"train@{RESTORING} and sample@{RESTORING}" in said
    assert re.search(r"about (\d+ s|a minute|\d+ min)", said)
    assert "dvc pull" in said
    run(clone.root, "git", "checkout", "-q", "--", "results", "params.yaml")


def edited(project: Artifacts, old: str, new: str) -> str:
    """The text of params.yaml with one thing changed."""
    text = project.params.read_text()
    assert old in text
    return text.replace(old, new)


def test_an_edited_schedule_and_study_rerun_alone(clone: Artifacts) -> None:
    kept = {variant: clone.metrics(variant).read_bytes() for variant in KEPT}
    table = (clone.study("trivial-losses") / "table.csv").read_bytes()
    new = "schedule: {name: constant, beta: 0.01}"
    clone.params.write_text(edited(clone, "schedule: {name: cosine, s: 0.008, beta_max: 0.1}", new))
    clone.params.write_text(edited(clone, "{name: trivial_losses}", "{name: trivial_losses, images: 7}"))
    assert "variants.ddpm-cosine.train.degradation.schedule" in dvc(clone.root, "params", "diff")
    said = thaw(clone.root, "status", "--check", expect=1)
    assert f"parameter variants.{EDITED}.train.degradation.schedule.name was cosine and is constant" in said
    assert "trivial-losses: untrained_study" in said

    thaw(clone.root, "report")

    assert sorted(path.name for path in (clone.root / "models").iterdir() if path.is_dir()) == [EDITED]
    assert {variant: clone.metrics(variant).read_bytes() for variant in KEPT} == kept
    assert (clone.study("trivial-losses") / "table.csv").read_bytes() != table
    assert not Status.read(clone).outdated
    changed = dvc(clone.root, "metrics", "diff", "--md")
    assert f"variants/{EDITED}/metrics.json" in changed
    assert not [variant for variant in KEPT if f"variants/{variant}/metrics.json" in changed]
    dvc(clone.root, "plots", "diff", "--out", "diff")
    assert (clone.root / "diff" / "index.html").exists()


def test_the_review_of_that_edit_is_about_that_variant_alone(clone: Artifacts) -> None:
    said = thaw(clone.root, "review", "--base", "HEAD")
    assert f"Metrics of `{EDITED}`: " in said
    assert f"| `variants.{EDITED}.train.degradation.schedule.name` | `cosine` | `constant` |" in said
    assert re.search(rf"\| `{EDITED}` \| .*`train`.* \| `variants\.{EDITED}\.train\.degradation\.schedule", said)
    assert "The results are in sync" in said
    assert not [variant for variant in KEPT if f"| `{variant}`" in said]


def test_what_a_remote_holds_is_evaluated_without_training(
    made: Artifacts, clone: Artifacts, tmp_path_factory: pytest.TempPathFactory
) -> None:
    remote = str(tmp_path_factory.mktemp("remote"))
    for project in (made, clone):
        dvc(project.root, "remote", "add", "--local", "--default", "storage", remote)
    dvc(made.root, "push", "-q")
    dvc(clone.root, "pull", "-q", f"train@{RESTORING}", f"sample@{RESTORING}")
    assert not [
        path for stage in Status.read(clone).stages.values() if stage.key == RESTORING for path in stage.missing
    ]
    kept, before = clone.metrics(RESTORING).read_bytes(), json.loads(clone.run(RESTORING).read_text())
    clone.metrics(RESTORING).unlink()
    clone.run(RESTORING).unlink()
    dvc(
        clone.root,
        "repro",
        "--no-run-cache",
        "-s",
        *(f"{stage}@{RESTORING}" for stage in ("train", "sample", "evaluate")),
    )
    assert clone.metrics(RESTORING).read_bytes() == kept
    assert set(json.loads(clone.run(RESTORING).read_text())) == {"evaluate"} < set(before), (
        "nothing was trained or drawn"
    )
