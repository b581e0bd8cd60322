"""`thaw prune` takes away what is left behind and nothing else."""

import json
from pathlib import Path

from pipeline_fixtures import STUDY, A, B, Project

from thaw.params import read_yaml
from thaw.pipeline.prune import leftovers, remove
from thaw.pipeline.status import Status


def files(root: Path) -> set[str]:
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith((".git/", ".dvc/"))}


def test_nothing_is_left_of_variants_and_studies_that_are_there(project: Project) -> None:
    assert not leftovers(project)


def test_pruning_takes_what_is_left_behind_and_nothing_else(project: Project) -> None:
    project.figures.mkdir()
    for name in (f"chain-{B}", f"chain-{A}", f"chain-{A}-{B}", f"study-{STUDY}", "sketch"):
        (project.figures / f"{name}.png").write_bytes(b"")
    (project.figures / f"study-{STUDY}.svg").write_bytes(b"")
    project.checkpoint(B, 0).mkdir(parents=True)
    content = read_yaml(project.params)
    content["variants"] = {A: content["variants"][A], f"{A}-{B}": content["variants"][B]}
    content["studies"]["trained"] = {}
    project.params.write_text(json.dumps(content))
    before = files(project.root)

    found = leftovers(project)
    assert {path.relative_to(project.root).as_posix() for path in found} == {
        f"results/variants/{B}", f"results/studies/{STUDY}", f"models/{B}", f"samples/{B}", f".thaw/checkpoints/{B}",
        f"results/figures/chain-{B}.png", f"results/figures/study-{STUDY}.png",
        f"results/figures/study-{STUDY}.svg",
    }  # fmt: skip
    remove(found)

    assert before - files(project.root) == {
        f"results/variants/{B}/metrics.json", f"results/variants/{B}/run.json", f"results/studies/{STUDY}/table.csv",
        f"models/{B}/w", f"samples/{B}/s", f"results/figures/chain-{B}.png", f"results/figures/study-{STUDY}.png",
        f"results/figures/study-{STUDY}.svg",
    }  # fmt: skip
    assert not leftovers(project)
    assert not Status.read(project).stages[f"train@{A}"].changes
