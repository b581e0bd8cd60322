"""What has to run for a change, and what has to be made again or brought from DVC's cache for that."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from thaw.pipeline.plan import Plan, seconds, spoken
from thaw.pipeline.status import Change, Stage, Status
from thaw.results.layout import Artifacts


def status(changed: Sequence[str] = (), missing: Sequence[str] = (), stored: Sequence[str] = ()) -> Status:
    """Two variants and a study of one: train writes a model and a loss, from which sample and a summary are made."""
    stages: dict[str, Stage] = {}

    def add(name: str, reads: dict[str, str]) -> None:
        kind, _, key = name.partition("@")
        large = f"{ {'train': 'models', 'sample': 'samples'}.get(kind) }/{key}"
        stages[name] = Stage(
            name, reads, [Change("code", "src", "modified")] * (name in changed),
            [large] * (large in missing), [large] * (large in stored),
        )  # fmt: skip

    add("reference", {})
    for key in "ab":
        add(f"train@{key}", {})
        add(f"sample@{key}", {f"models/{key}": f"train@{key}"})
        add(f"evaluate@{key}", {f"samples/{key}": f"sample@{key}", "real": "reference"})
    add("study@s", {"models/a": "train@a"})
    add("summarize", {f"{kind}/{key}": f"{kind}@{key}" for kind in ("train", "evaluate") for key in "ab"})
    return Status(stages)


ABSENT = ("models/a", "models/b", "samples/a", "samples/b")


def test_what_reads_what_changes_runs_too() -> None:
    plan = Plan.of(status(["sample@a"]))
    assert list(plan.stages) == ["sample@a", "evaluate@a", "summarize"]
    assert list(plan.by_subject) == ["a", "summarize"]
    assert not Plan.of(status()).stages


def test_absent_results_are_made_again_only_where_they_are_read() -> None:
    assert not Plan.of(status(missing=ABSENT)).stages
    assert list(Plan.of(status(["summarize"], ABSENT)).stages) == ["summarize"]
    plan = Plan.of(status(["evaluate@a"], ABSENT))
    assert list(plan.stages) == ["train@a", "sample@a", "evaluate@a", "summarize"]
    assert plan.repeated == {"train@a", "sample@a"}
    plan = Plan.of(status(["study@s"], ABSENT))
    assert (list(plan.stages), plan.repeated) == (["train@a", "study@s"], {"train@a"})
    assert list(Plan.of(status(missing=ABSENT), whole=True).stages) == list(status().stages)[1:]


def test_what_dvc_keeps_is_brought_and_not_made_again() -> None:
    plan = Plan.of(status(["evaluate@a"], missing=["models/a"], stored=["samples/a", "samples/b"]))
    assert (list(plan.stages), plan.checked_out) == (["evaluate@a", "summarize"], ["samples/a"])
    whole = Plan.of(status(["sample@b"], stored=ABSENT), whole=True)
    assert set(whole.checked_out) == {"models/a", "models/b", "samples/a"}


def test_a_target_stands_for_itself_and_what_it_needs() -> None:
    changed = status(["reference", "train@a", "sample@b"])
    assert list(Plan.of(changed, ["a"]).stages) == ["reference", "train@a", "sample@a", "evaluate@a"]
    assert list(Plan.of(changed, ["s"]).stages) == ["train@a", "study@s"]
    assert list(Plan.of(changed, ["sample"]).stages) == ["train@a", "sample@a", "sample@b"]
    assert list(Plan.of(changed, ["evaluate@b"], force=True).stages) == [
        "reference", "train@b", "sample@b", "evaluate@b"
    ]  # fmt: skip
    assert list(Plan.of(changed, ["s"], pages=True).stages) == ["train@a", "study@s", "summarize"]


def test_times_are_those_of_the_last_run(tmp_path: Path) -> None:
    project, stages = Artifacts(tmp_path), status().stages
    for path, kind in ((project.run("a"), "train"), (project.study_run("s"), "study")):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({kind: {"seconds": 7.5}}))
    assert seconds(project, stages["train@a"]) == seconds(project, stages["study@s"]) == 7.5
    assert seconds(project, stages["sample@a"]) is seconds(project, stages["train@b"]) is None
    assert seconds(project, stages["summarize"]) is None


@pytest.mark.parametrize(("minutes", "said"), [(0.05, "3 s"), (1, "1 min"), (28.4, "28 min"), (143, "2 h 23 min")])
def test_durations_are_those_of_a_person(minutes: float, said: str) -> None:
    assert spoken(minutes * 60) == said
