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
from thaw.artifacts import Artifacts
from thaw.errors import ThawError
from thaw.hardware import bf16_is_fast
from thaw.params import read_params, write_profile
from thaw.pipeline import environment, outdated, scratch_copy
from thaw.training.checkpoint import read_tensors

ROOT = Path(__file__).parents[1]
EDITED, KEPT = "ddpm-cosine", ("ddpm-linear", "cold-zoom-cnn", "gan-dcgan")
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
    """Leave a few variants in params.yaml, a study of one and a study of none, so that the chain takes minutes."""
    yaml = YAML()
    content = yaml.load(project.params.read_text())
    content["variants"] = {name: content["variants"][name] for name in ("ddpm-linear", EDITED, *KEPT[1:])}
    study = {"name": "zoom_evolution", "variant": "cold-zoom-cnn"}
    untrained = {name: content["studies"]["untrained"][name] for name in STUDIED["untrained"]}
    content["studies"] = {"trained": {STUDIED["trained"][0]: study}, "untrained": untrained, "compared": {}}
    with project.params.open("w") as file:
        yaml.dump(content, file)


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
        assert {"fid_infinite", "kid_classifier", "precision", "recall", "class_entropy", "unique_fraction",
                "memorized_fraction"} <= set(metrics)  # fmt: skip
        restores = {"rmse", "ssim", "psnr", "class_preservation", "test_loss"}
        assert restores & set(metrics) == (set() if variant.startswith("gan") else restores)
        for key in ("ks_accepted_at_T", "bits_per_dim"):
            assert (key in metrics) == variant.startswith("ddpm")
        tables = {path.parent.name for path in (made.root / "plots").glob(f"*/{variant}.csv")}
        assert tables == {
            "audit", "classes", "extrapolation", "fid", "first_accepted", "intervals", "likelihood", "loss",
            "normality", "objective", "restorations", "schedule", "severity", "test_loss", "uniqueness",
        }  # fmt: skip
        for seed in params.train_budget(variant).seeds:
            assert made.weights(variant, seed).exists()
        assert set(json.loads(made.run(variant).read_text())) == {"evaluate", "objective", "sample", "train"}
        assert not made.checkpoint(variant, 0).exists(), "a finished training leaves no checkpoint"
    for key in (*STUDIED["trained"], *STUDIED["untrained"]):
        assert (made.study(key) / "table.csv").exists()
        assert (made.figures / f"study-{key}.png").exists()
    assert outdated(made) == []


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
        assert f"metrics/{variant}.json" in table
    assert "fid_classifier" in table


def test_the_library_gives_the_images_of_the_stages(made: Artifacts) -> None:
    drawn, _ = read_tensors(made.samples("ddpm-linear"))
    model = thaw_library.load("ddpm-linear", root=made.root)
    images = model.sample(64, seed=0)
    # The noise is the same to the bit; a convolution may round otherwise for another number of images.
    rounding = 0.05 if bf16_is_fast(model.device) else 1e-4
    torch.testing.assert_close(images, drawn["unconditional.0"][:64], rtol=0, atol=rounding)
    noisy = model.degrade(images, t=500)
    assert model.restore(noisy, t=500).shape == images.shape


def test_a_repetition_in_another_order_writes_the_same_bytes(made: Artifacts) -> None:
    """Forced, alone, without the run cache: what ran beside another variant before is the same to the byte."""
    variant = "cold-zoom-cnn"
    before = {path: path.read_bytes() for path in made_by(made, variant)}
    stages = [f"{stage}@{variant}" for stage in ("normality", "train", "objective", "sample", "evaluate", "audit")]
    dvc(made.root, "repro", "--force", "--no-run-cache", "-s", *stages)
    after = {path: path.read_bytes() for path in made_by(made, variant)}
    assert before.keys() == after.keys()
    assert [path for path in before if before[path] != after[path]] == []


def made_by(project: Artifacts, variant: str) -> list[Path]:
    """Every file that the stages of a variant write, but for runs/."""
    singles = [project.metrics(variant), project.samples(variant)]
    singles += sorted((project.root / "plots").glob(f"*/{variant}.csv"))
    folders = [project.models(variant), project.sheet(variant, "samples").parent]
    return singles + sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def test_a_fresh_clone_renders_without_training(clone: Artifacts) -> None:
    before = clone.metrics("ddpm-linear").read_bytes()
    said = thaw(clone.root, "report")
    assert "plain renderer" in said
    assert (clone.book / "index.html").exists()
    assert not (clone.root / "models").exists(), "nothing was trained"
    assert clone.metrics("ddpm-linear").read_bytes() == before


def test_weights_that_are_not_here_are_named_with_what_makes_them(clone: Artifacts) -> None:
    with pytest.raises(
        ThawError, match=r"`dvc repro train@ddpm-linear` trains it \(it took \d+ minutes\), or `dvc pull`"
    ):
        thaw_library.load("ddpm-linear", root=clone.root)


def test_an_edited_schedule_reruns_that_variant_alone(clone: Artifacts) -> None:
    kept = {variant: clone.metrics(variant).read_bytes() for variant in KEPT}
    text = clone.params.read_text()
    edited = text.replace("schedule: {name: cosine, s: 0.008, beta_max: 0.1}", "schedule: {name: constant, beta: 0.01}")
    assert edited != text
    clone.params.write_text(edited)
    assert "variants.ddpm-cosine.train.degradation.schedule" in dvc(clone.root, "params", "diff")

    thaw(clone.root, "report")

    assert sorted(path.name for path in (clone.root / "models").iterdir() if path.is_dir()) == [EDITED]
    assert {variant: clone.metrics(variant).read_bytes() for variant in KEPT} == kept
    assert outdated(clone) == []
    changed = dvc(clone.root, "metrics", "diff", "--md")
    assert f"metrics/{EDITED}.json" in changed
    assert not [variant for variant in KEPT if f"metrics/{variant}.json" in changed]
    dvc(clone.root, "plots", "diff", "--out", "diff")
    assert (clone.root / "diff" / "index.html").exists()


def test_an_edit_that_needs_absent_samples_is_asked_about_first(clone: Artifacts) -> None:
    """Only the evaluation of one variant is outdated, and its samples are not on this machine."""
    clone.intervals("ddpm-linear").write_text("doctored\n")
    said = thaw(clone.root, "report", expect=2)
    assert "train@ddpm-linear and sample@ddpm-linear" in said
    assert "minutes" in said
    assert "dvc pull" in said
    run(clone.root, "git", "checkout", "-q", "--", "plots/intervals/ddpm-linear.csv")


def test_an_edited_study_of_no_model_runs_alone(clone: Artifacts) -> None:
    edited = clone.params.read_text().replace("{name: trivial_losses}", "{name: trivial_losses, images: 7}")
    assert edited != clone.params.read_text()
    clone.params.write_text(edited)
    before = (clone.study("trivial-losses") / "table.csv").read_bytes()
    assert [stage for stage in outdated(clone) if "@" in stage] == ["untrained_study@trivial-losses"]
    thaw(clone.root, "report")
    assert (clone.study("trivial-losses") / "table.csv").read_bytes() != before
    assert outdated(clone) == []


def test_an_edited_study_asks_before_its_model_is_trained_again(clone: Artifacts) -> None:
    edited = clone.params.read_text().replace("name: zoom_evolution", "every: 6\n      name: zoom_evolution")
    assert edited != clone.params.read_text()
    clone.params.write_text(edited)
    said = thaw(clone.root, "report", expect=2)
    assert "cold-zoom-cnn has to be evaluated or studied again, and train@cold-zoom-cnn" in said
    run(clone.root, "git", "checkout", "-q", "--", "params.yaml")
