"""What `thaw status` finds is what DVC finds, in words; what `thaw prune` takes away is what is left behind."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from thaw.artifacts import Artifacts
from thaw.params import read_params
from thaw.pipeline.explain import duration, explain
from thaw.pipeline.lock import forget, read_lock
from thaw.pipeline.parameters import parameters_that_differ
from thaw.pipeline.plan import Plan
from thaw.pipeline.prune import Leftovers
from thaw.pipeline.running import environment
from thaw.pipeline.scratch import scratch_copy
from thaw.pipeline.status import Status

ROOT = Path(__file__).parents[1]
Pruned = tuple[Artifacts, set[str], dict[str, Any], str]
GAUSSIAN, COLD, STUDY = "ddpm-linear", "cold-zoom-cnn", "trivial-losses"


def keep(project: Artifacts, variants: list[str], studies: list[str]) -> None:
    """Leave a few variants and untrained studies in params.yaml."""
    yaml = YAML()
    content = yaml.load(project.params.read_text())
    content["variants"] = {name: content["variants"][name] for name in variants}
    untrained = {name: content["studies"]["untrained"][name] for name in studies}
    content["studies"] = {"trained": {}, "untrained": untrained, "compared": {}}
    with project.params.open("w") as file:
        yaml.dump(content, file)


def files(root: Path) -> set[str]:
    return {
        path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and ".git" not in path.parts
    }


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Pruned:
    """A copy of the project with two variants and one study, pruned; with the files and dvc.lock from before."""
    project = scratch_copy(Artifacts(ROOT), tmp_path_factory.mktemp("project") / "thaw")
    keep(project, [GAUSSIAN, COLD], [STUDY])
    (project.root / "metrics" / "notes.json").write_text("{}")
    (project.figures / "sketch-of-mine.png").write_bytes(b"")
    before, lock = files(project.root), read_lock(project)
    leftovers = Leftovers.find(project)
    listed = leftovers.listed(project.root)
    leftovers.remove(project)
    return project, before, lock, listed


def test_pruning_takes_what_is_left_behind_and_nothing_else(pruned: Pruned) -> None:
    project, before, lock, listed = pruned
    gone = sorted(set(read_params(ROOT / "params.yaml").variants) - {GAUSSIAN, COLD}, key=len)
    studies = read_params(ROOT / "params.yaml").studies
    gone_studies = {*studies.trained, *studies.untrained} - {STUDY}
    removed = before - files(project.root)
    assert removed
    for path in removed:
        names = [part.removesuffix(".json").removesuffix(".csv") for part in path.split("/")]
        of_a_figure = path.startswith("figures/") and any(
            path.endswith(f"-{name}.png") for name in (*gone, *gone_studies)
        )
        assert of_a_figure or set(names) & {*gone, *gone_studies}, path
    kept = before - removed
    assert not [path for path in kept for name in gone if f"/{name}." in path or f"/{name}/" in path]
    for name in (GAUSSIAN, COLD):
        assert {
            f"metrics/{name}.json",
            f"plots/loss/{name}.csv",
            f"sheets/{name}/samples.png",
            f"runs/{name}.json",
        } <= kept
    assert {"metrics/notes.json", "figures/sketch-of-mine.png", f"studies/{STUDY}/table.csv"} <= kept
    stages = {name: entry for name, entry in lock.items() if name.partition("@")[2] in ("", GAUSSIAN, COLD, STUDY)}
    assert read_lock(project) == stages
    assert all(name in listed for name in (*gone, *gone_studies))
    assert not Leftovers.find(project)


@pytest.fixture
def project(pruned: Pruned, tmp_path: Path) -> Artifacts:
    """A fresh copy of that project."""
    return scratch_copy(pruned[0], tmp_path / "thaw")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_dvc_finds_the_same(project: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of difference at once: parameters, code, data, results by git and by DVC, commands, no run at all."""
    root = project.root
    monkeypatch.chdir(root)  # DVC names stages as seen from the current folder
    edit(project.params, "beta_max: 0.02", "beta_max: 0.03")
    edit(project.params, "  confidence: 0.95", "")
    edit(project.params, f"{STUDY}:", f"another:\n      name: trivial_losses\n    {STUDY}:")
    edit(root / "src" / "thaw" / "stages" / "sample.py", "import", "import  ")
    edit(root / "src" / "thaw" / "training" / "checkpoint.py", "import", "import  ")
    (root / "src" / "thaw" / "data" / "__pycache__").mkdir()
    (root / "src" / "thaw" / "data" / "__pycache__" / "ignored.pyc").write_bytes(b"")
    (root / "data" / "raw" / "mnist" / "more.gz").write_bytes(b"")
    project.metrics(COLD).unlink()
    project.sheet(COLD, "samples").write_bytes(b"")
    project.models(COLD).mkdir(parents=True)
    project.description(COLD).write_text("{}")
    edit(project.lock, f"thaw audit {COLD}", f"thaw check {COLD}")
    forget(project.lock, {f"normality@{GAUSSIAN}"})

    changes = Status.read(project).changes
    with Repo(str(root)) as repo:
        expected = {name: entries for name, entries in repo.status().items() if name != "report"}

    never = {name for name, found in changes.items() if found[0].kind == "never run"}
    assert never >= {f"normality@{GAUSSIAN}", "untrained_study@another"}
    assert set(changes) == set(expected)
    for name in set(expected) - never:
        theirs: dict[tuple[str, str], str] = {}
        for entry in expected[name]:
            if entry == "changed command":
                theirs["command", "cmd"] = "modified"
                continue
            for kind, of in (("changed deps", "dependency"), ("changed outs", "output")):
                for path, how in entry.get(kind, {}).items():
                    theirs |= (
                        {("parameter", key): h for key, h in how.items()}
                        if isinstance(how, dict)
                        else {(of, path): how}
                    )
        assert {(change.kind, change.name): change.how for change in changes[name]} == theirs, name


def test_the_words_name_what_changed_and_what_follows(project: Artifacts) -> None:
    edit(project.params, "beta_max: 0.02", "beta_max: 0.03")
    edit(project.root / "src" / "thaw" / "stages" / "audit.py", "import", "import  ")
    text, outdated = explain(project)
    assert outdated
    blocks = text.split("\n")
    assert any(
        line.startswith(f"{GAUSSIAN}: normality, train, objective, sample, evaluate, audit (about ") for line in blocks
    )
    assert f"    parameter variants.{GAUSSIAN}.train.degradation.schedule.beta_max: 0.02 → 0.03" in blocks
    assert "    code src/thaw/stages/audit.py changed" in blocks
    assert f"normality@{COLD}" not in Plan.of(Status.read(project), project).stages


def test_what_is_not_here_is_made_again_only_where_it_is_needed(project: Artifacts) -> None:
    before = Plan.of(Status.read(project), project)
    project.intervals(GAUSSIAN).write_text("doctored\n")
    plan = Plan.of(Status.read(project), project)
    new = set(plan.stages) - set(before.stages)
    assert new <= {f"{kind}@{GAUSSIAN}" for kind in ("train", "sample", "evaluate")} | set(plan.pipeline.after)
    assert {f"train@{GAUSSIAN}", f"sample@{GAUSSIAN}"} <= set(plan.repeated)
    assert f"evaluate@{GAUSSIAN}" in plan.stages


def test_the_check_has_an_exit_status_and_imports_neither_torch_nor_dvc(project: Artifacts) -> None:
    project.metrics(COLD).unlink()
    code = (
        "import sys; sys.argv = ['thaw', 'status', '--check']\n"
        "from thaw.cli import main\n"
        "try: main()\n"
        "finally: print({'torch', 'dvc'} & set(sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=project.root, env=environment(ROOT), capture_output=True, text=True)
    assert done.stderr == "set()\n"
    assert done.returncode == 1
    assert f"result metrics/{COLD}.json is missing" in done.stdout


def test_differences_are_told_leaf_by_leaf() -> None:
    old = {"name": "cosine", "s": 0.008, "steps": [1, 2]}
    new = {"name": "linear", "beta_max": 0.02, "steps": [1, 2]}
    assert parameters_that_differ(old, new, "schedule") == [
        ("schedule.name", "cosine", "linear"),
        ("schedule.s", 0.008, None),
        ("schedule.beta_max", None, 0.02),
    ]


@pytest.mark.parametrize(("minutes", "said"), [(0.05, "3 s"), (0.8, "a minute"), (28.4, "28 min"), (143, "2 h 23 min")])
def test_durations_are_those_of_a_person(minutes: float, said: str) -> None:
    assert duration(minutes) == said
