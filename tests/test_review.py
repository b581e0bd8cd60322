"""The review of a branch, as the Markdown of a comment."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from comparison_fixtures import SECOND, Project, measured
from PIL import Image
from typer.testing import CliRunner

from thaw.cli import app
from thaw.errors import ThawError
from thaw.pipeline.why import Rerun, reruns

Review = Callable[..., str]
UNSYNCED: list[Rerun] = []


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project on a branch of its own; whether it is in sync is up to the test."""
    found = Project(tmp_path)
    found.git("checkout", "-qb", "mine")
    monkeypatch.setattr("thaw.compare.review.out_of_sync", lambda artifacts: UNSYNCED)
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.fixture
def review(project: Project) -> Review:
    """The command against main; what it prints, after a look at its exit code."""

    def run(*arguments: str, expect: int = 0) -> str:
        done = CliRunner().invoke(app, ["review", "--base", "main", *arguments], catch_exceptions=False)
        assert done.exit_code == expect, done.output
        return done.stdout

    return run


def test_nothing_changed_is_one_sentence(review: Review) -> None:
    said = review("--fail-on-regression")
    assert said.startswith("Nothing changed since `main (")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("value", "summary", "code"),
    [(40, "**1 worse**", 1), (10, "**1 better**", 0), (20.5, "1 within noise", 0)],
)
def test_a_change_is_judged_and_a_regression_fails(
    project: Project, review: Review, value: float, summary: str, code: int
) -> None:
    project.measure(measured(value, variant=SECOND, trainings=1))
    project.commit("rerun")
    said = review("--fail-on-regression", expect=code)
    assert f"Metrics of `{SECOND}`: {summary}." in said
    assert ("there is one training" in said) == (value != 20.5)
    assert review() == said


def test_a_metric_that_is_neither_better_nor_worse_changed(project: Project, review: Review) -> None:
    values = {"main": 3.0, "mine": 2.0}
    project.on_both_branches(lambda branch: project.measure(measured(values[branch], 0.1, "class_entropy")))
    assert "**1 changed**" in review("--fail-on-regression")


def test_parameters_are_listed_with_both_values(project: Project, review: Review) -> None:
    project.edit("name: cosine", "name: constant")
    said = review()
    assert "Parameters: 1 changed" in said
    assert f"| `variants.{SECOND}.train.degradation.schedule.name` | `cosine` | `constant` |" in said


def test_variants_that_came_and_went_are_named(project: Project, review: Review) -> None:
    project.edit(f"  {SECOND}:\n", "  brand-new:\n")
    project.measure(measured(12, variant="brand-new"))
    said = review("--fail-on-regression")
    assert "New: `brand-new`." in said
    assert f"Removed: `{SECOND}`." in said
    assert "| FID (classifier) | 12.0 [11.0, 13.0] |" in said


def test_only_what_the_branch_changed_is_reviewed(project: Project, review: Review) -> None:
    """What was committed to main since the branch left it is no change of the branch."""
    project.git("checkout", "-q", "main")
    project.measure(measured(99))
    project.commit("theirs")
    project.git("checkout", "-q", "mine")
    assert review().startswith("Nothing changed")


def test_a_base_with_results_of_an_earlier_layout_is_said(project: Project, review: Review) -> None:
    project.git("mv", "results", "plots")
    project.git("branch", "-f", "main", project.commit("as it was"))
    project.git("mv", "plots", "results")
    project.edit("threads: 1", "threads: 2")
    said = review("--fail-on-regression")
    assert "lie in the layout of an earlier version of thaw and cannot be read" in said
    assert "| `threads` | `1` | `2` |" in said
    assert "Metrics of" not in said
    assert "Figures before" not in said


def entry(stage: str, deps: dict[str, str], outs: dict[str, str], param: int = 0) -> str:
    """A stage of dvc.lock."""

    def listed(files: dict[str, str]) -> str:
        return "".join(f"    - path: {path}\n      md5: {md5}\n" for path, md5 in files.items())

    return (
        f"  {stage}:\n    cmd: thaw {stage}\n    deps:\n{listed(deps)}    params:\n      params.yaml:\n"
        f"        variants.v.{stage}:\n          key: {param}\n    outs:\n{listed(outs)}"
    )


def test_what_ran_again_is_explained_by_its_first_cause(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    head = "schema: '2.0'\nstages:\n"
    kept = entry("kept@v", {"data": "1"}, {"x": "1"})
    gone = entry("gone@v", {}, {}).replace("    deps:\n", "").replace("    outs:\n", "")
    before.write_text(
        head + kept + entry("train@v", {"data": "1", "src/a.py": "1"}, {"models/v": "1"}, 0)
        + entry("sample@v", {"models/v": "1"}, {"samples/v": "1"})
        + entry("again@v", {"data": "1"}, {"y": "1"}) + gone
    )  # fmt: skip
    after.write_text(
        head + kept + entry("train@v", {"data": "1", "src/a.py": "2"}, {"models/v": "2"}, 7)
        + entry("sample@v", {"models/v": "2"}, {"samples/v": "2"})
        + entry("again@v", {"data": "1"}, {"y": "2"})
    )  # fmt: skip
    assert reruns(before, after) == [
        Rerun("train", "v", "`variants.v.train@v.key` and `src/a.py`"),
        Rerun("sample", "v", "what earlier stages made"),
        Rerun("again", "v", "nothing that it reads: it was repeated, with another outcome"),
        Rerun("gone", "v", "it is gone"),
    ]
    assert reruns(after, after) == []


def test_what_ran_and_what_it_took_stand_in_the_review(project: Project, review: Review) -> None:
    (project.artifacts.root / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n" + entry(f"train@{SECOND}", {"data": "1"}, {"models": "1"})
    )
    path = project.artifacts.run(SECOND)
    path.write_text(json.dumps({"train": {"seconds": 90, "device": "cpu", "torch": "2.0"}}))
    project.commit("ran")
    said = review()
    assert f"| `{SECOND}` | `train` | it is new |" in said
    assert "What ran took 1.5 minutes" in said
    assert f"Minutes: `{SECOND}` 1.5." in said
    assert "another machine" not in said
    project.git("branch", "-f", "main")
    path.write_text(json.dumps({"train": {"seconds": 30, "device": "cuda", "torch": "2.0"}}))
    project.measure(measured(10, variant=SECOND))
    assert "another machine than before (device cpu → cuda)" in review()


def test_results_out_of_sync_are_said_first(project: Project, review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thaw.compare.review.out_of_sync", lambda artifacts: [Rerun("train", SECOND, "`params`")])
    said = review()
    assert "**Not in sync**: 1 stage would run again" in said
    assert f"| `{SECOND}` | `train` | `params` |" in said


@pytest.fixture
def drawn(project: Project) -> Project:
    """A figure that the branch changed, and one that it added."""
    project.artifacts.figures.mkdir()
    colors = {"main": 0, "mine": 255}

    def draw(branch: str) -> None:
        project.artifacts.figures.mkdir(exist_ok=True)
        Image.new("L", (30, 20), colors[branch]).save(project.artifacts.figures / "loss.png")

    project.on_both_branches(draw)
    Image.new("L", (30, 20)).save(project.artifacts.figures / "new.png")
    return project


def test_figures_are_written_before_and_after(drawn: Project, review: Review, tmp_path: Path) -> None:
    said = review("--figures", "pairs")
    assert "Figures before and after: 2 changed" in said
    assert "](pairs/loss.png)" in said
    pair = Image.open(tmp_path / "pairs" / "loss.png").convert("L")
    row = [pair.getpixel((x, pair.height - 20)) for x in range(pair.width)]
    assert row.count(0) == 30, "the old one is black"
    assert Image.open(tmp_path / "pairs" / "new.png").width < pair.width


def test_figures_are_linked_where_this_runs_on_github(
    drawn: Project, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--figures DIR" in review()
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://example.org")
    monkeypatch.setenv("GITHUB_REPOSITORY", "a/b")
    assert "<img" not in review(), "what is not committed cannot be linked"
    head = drawn.commit("figures")
    said = review()
    base = drawn.git("merge-base", "main", "HEAD")
    for commit in (base, head):
        assert f'src="https://example.org/a/b/raw/{commit}/results/figures/loss.png"' in said


def test_the_review_is_written_to_a_file(project: Project, review: Review, tmp_path: Path) -> None:
    said = review()
    assert review("-o", "comment.md") == ""
    assert (tmp_path / "comment.md").read_text() == said


def test_a_base_that_is_no_revision_is_said(project: Project) -> None:
    with pytest.raises(ThawError, match="no revision"):
        CliRunner().invoke(app, ["review", "--base", "nowhere"], catch_exceptions=False)
