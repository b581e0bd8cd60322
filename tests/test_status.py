"""What is outdated is what DVC finds outdated, and why is said in words."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version

import pytest
from pipeline_fixtures import ROOT, STUDY, A, B, Project

from thaw.core import hardware
from thaw.errors import ThawError
from thaw.params import read_yaml
from thaw.pipeline.explain import explain
from thaw.pipeline.machine import machine_notes, this_machine
from thaw.pipeline.parameters import parameters_that_differ
from thaw.pipeline.running import DVC, environment
from thaw.pipeline.status import Change, Status
from thaw.pipeline.why import LOCK, Rerun, in_brief, in_words, out_of_sync, parameters_since


def changes(project: Project) -> dict[str, list[str]]:
    return {name: [in_words(change) for change in s.changes] for name, s in Status.read(project).outdated.items()}


def test_every_kind_of_change_is_found_where_dvc_finds_it(project: Project) -> None:
    project.change("variants", A, "train", "target", "clean")
    project.change("studies", "trained", "another", {"name": "zoom_evolution", "variant": A})
    project.edit("src/layers/a.py", "1", "2")
    project.edit("data/raw.txt", "1", "2")
    project.edit("dvc.yaml", "> results/summary.csv", ">results/summary.csv")
    project.metrics(B).unlink()
    project.study(STUDY).joinpath("table.csv").write_text("mine")
    trained = "data data/raw.txt changed"
    assert changes(project) == {
        "reference": [trained],
        f"train@{A}": [f"parameter variants.{A}.train.target was noise and is clean", trained],
        f"train@{B}": [trained],
        f"sample@{A}": ["code src/layers changed"],
        f"sample@{B}": ["code src/layers changed"],
        f"evaluate@{B}": [f"result results/variants/{B}/metrics.json is missing"],
        f"study@{STUDY}": [f"result results/studies/{STUDY}/table.csv is not what its stage wrote"],
        "study@another": ["study has never run"],
        "summarize": [
            "its command is cat results/variants/*/metrics.json >results/summary.csv now",
            f"parameter variants.{A}.train.target was noise and is clean",
            "input results/variants changed",
        ],
    }
    said = subprocess.run([*DVC, "status", "--json"], cwd=project.root, env=environment(ROOT), capture_output=True)
    assert set(json.loads(said.stdout)) - {"report"} == set(changes(project))


def test_what_is_merely_absent_outdates_nothing(project: Project) -> None:
    shutil.rmtree(project.root / "samples")
    shutil.rmtree(project.models(A))
    found = Status.read(project)
    assert not found.outdated
    assert found.stages[f"train@{A}"].stored == [f"models/{A}"]
    project.lack("models")
    found = Status.read(project)
    assert not found.outdated
    assert found.stages[f"train@{A}"].missing == [f"models/{A}"]
    assert found.stages[f"evaluate@{A}"].reads == {
        "results/reference/real.csv": "reference", f"samples/{A}": f"sample@{A}"
    }  # fmt: skip
    assert explain(project) == (
        "Everything is up to date with params.yaml, the code and the data.\n"
        "The models and samples of 2 variants are not on this machine; nothing needs them now, and `dvc pull` or "
        "`thaw repro` brings them.", False,
    )  # fmt: skip


def test_an_absent_model_that_is_no_longer_the_one_sampled_from_outdates_its_samples(project: Project) -> None:
    project.lack()
    lock = read_yaml(project.root / "dvc.lock")
    lock["stages"][f"train@{A}"]["outs"][0]["md5"] = f"{'0' * 32}.dir"
    (project.root / "dvc.lock").write_text(json.dumps(lock))
    assert changes(project) == {f"sample@{A}": [f"input models/{A} changed"]}


def test_the_status_groups_what_runs_for_the_same_reason_and_says_how_long(project: Project) -> None:
    project.edit("src/layers/a.py", "1", "2")
    project.change("variants", B, "train", "trainings", 2)
    project.lack()
    text, outdated = explain(project)
    assert outdated
    assert text.splitlines()[:-1] == [
        f"{A}: train (its result is not on this machine), sample, evaluate (about 12 min)",
        "    code src/layers changed (a.py)",
        f"{B}: train, sample, evaluate (about 12 min)",
        f"    parameter variants.{B}.train.trainings was 1 and is 2",
        "    code src/layers changed (a.py)",
        f"{STUDY}: study",
        f"    follows from train@{B}",
        "summarize",
        f"    parameter variants.{B}.train.trainings was 1 and is 2",
    ]
    assert text.splitlines()[-1].startswith("`thaw report` brings this up to date in about 23 min")


def test_the_status_of_a_target_is_about_that_and_what_it_needs(project: Project) -> None:
    project.edit("src/layers/a.py", "1", "2")
    text, _ = explain(project, [A])
    assert text.startswith(f"{A}: sample, evaluate")
    assert f"`thaw report {A}` brings" in text
    assert B not in text
    assert explain(project, [STUDY, "train"])[0] == (
        f"Everything about {STUDY} and train is up to date with params.yaml, the code and the data."
    )
    with pytest.raises(ThawError, match=r"no variant, study or stage ddpm-liner \(did you mean ddpm-linear\?\)"):
        explain(project, ["ddpm-liner"])


def test_the_check_has_an_exit_status_and_does_not_import_torch(project: Project) -> None:
    project.metrics(A).unlink()
    code = (
        "import sys; sys.argv = ['thaw', 'status', '--check']\n"
        "from thaw.cli import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.root, env=environment(ROOT), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "False\n"
    assert f"result results/variants/{A}/metrics.json is missing" in done.stdout


def test_what_dvc_refuses_is_one_sentence(project: Project) -> None:
    project.edit("dvc.yaml", "${item.variant}", "${item.vacant}")
    with pytest.raises(ThawError, match=r"^DVC cannot work in this project: .*study@.*; `dvc status` says more\.$"):
        Status.read(project)


@pytest.mark.parametrize("wrong", ["stages", "deps", "path"])
def test_a_lock_of_wrong_types_is_one_sentence(project: Project, wrong: str) -> None:
    lock = read_yaml(project.root / LOCK)
    stage = lock["stages"][f"train@{A}"]
    holder = {"stages": lock, "deps": stage, "path": stage["deps"][0]}[wrong]
    holder[wrong] = 5 if wrong == "path" else [5]
    (project.root / LOCK).write_text(json.dumps(lock))
    for read in (Status.read, lambda artifacts: parameters_since(artifacts, A)):
        with pytest.raises(ThawError, match=r"^[^\n]*dvc\.lock[^\n]*$"):
            read(project)


def test_a_review_names_the_first_few_causes(project: Project) -> None:
    project.change("variants", A, "train", "target", "clean")
    project.edit("src/train.py", "1", "2")
    found = out_of_sync(project)
    assert found[0] == Rerun("train", A, f"`variants.{A}.train.target` and `src/train.py`")
    assert found[-1] == Rerun("summarize", "", f"`variants.{A}.train.target`")
    causes = [Change("never run", "x"), Change("command", "x"), *(Change("code", name, "modified") for name in "abc")]
    assert in_brief(causes) == "it has never run, its command, `a` and 2 more"


def test_a_page_names_the_parameters_that_changed_since(project: Project) -> None:
    assert parameters_since(project, A) == []
    project.change("variants", A, "train", "target", "clean")
    for _ in range(2):  # as found, and as kept
        (change,) = parameters_since(project, A)
        assert in_words(change, "`") == f"parameter `variants.{A}.train.target` was `noise` and is `clean`"
    assert parameters_since(project, B) == parameters_since(project, "of no stage") == []
    (project.root / "dvc.lock").unlink()
    assert parameters_since(project, A) == []


def test_another_machine_than_that_of_the_training_is_noted(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THAW_PRECISION", "bf16")
    here = this_machine()
    same = {"torch": f"{version('torch')}+cu1", **{key: here[key] for key in here if key != "torch"}}
    project.run(A).write_text(json.dumps({"train": same}))
    assert machine_notes(project, [A, B]) == []
    project.run(B).write_text(json.dumps({"train": {**same, "torch": "1.0", "precision": "fp32"}}))
    if "precision" in here:
        assert machine_notes(project, [A, B, "of no run"]) == [
            f"1 variant was trained with torch 1.0 in fp32; here it would be with torch {here['torch']} in bf16, and "
            "a rerun gives other last digits."
        ]


def test_this_machine_is_described_as_run_json_describes_it() -> None:
    there = hardware.environment(hardware.device())
    assert this_machine() == {key: value.partition("+")[0] for key, value in there.items()}


def test_differences_are_told_leaf_by_leaf() -> None:
    old = {"name": "cosine", "s": 0.008, "steps": [1, 2]}
    new = {"name": "linear", "beta_max": 0.02, "steps": [1, 2]}
    assert parameters_that_differ(old, new, "schedule") == [
        ("schedule.name", "cosine", "linear"),
        ("schedule.s", 0.008, None),
        ("schedule.beta_max", None, 0.02),
    ]
