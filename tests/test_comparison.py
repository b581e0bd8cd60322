"""Comparing two variants or two revisions."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from comparison_fixtures import FIRST, ROOT, SECOND, Project
from PIL import Image
from typer.testing import CliRunner

from thaw.artifacts import Artifacts
from thaw.cli import app
from thaw.errors import ThawError
from thaw.params import read_params, read_yaml
from thaw.pipeline.parameters import parameters_that_differ
from thaw.reporting.charts import Axis, Line, Panel, draw
from thaw.reporting.metrics import METRICS
from thaw.reporting.pairs import excludes_zero, paired
from thaw.reporting.results import Measurement, differs
from thaw.reporting.revisions import extracted, find_revision, forked_from
from thaw.reporting.snapshots import (
    ABSENT,
    BETTER,
    CHANGED,
    INCOMPARABLE,
    NOISE,
    SAME,
    WORSE,
    Difference,
    Estimate,
    Gap,
    Side,
    Snapshot,
    chance,
    differences,
)  # fmt: skip

Thaw = Callable[..., str]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def thaw(project: Project, monkeypatch: pytest.MonkeyPatch) -> Thaw:
    """The command, run in the project; its output."""
    monkeypatch.chdir(project.artifacts.root)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def side(project: Project, variant: str) -> Side:
    return Side(Snapshot("workspace", project.artifacts, read_yaml(project.artifacts.params)), variant)


def estimate(value: float, half: float = 1.0, n: int = 1000, trainings: int = 3) -> Estimate:
    return Estimate(value, value - half, value + half, n, trainings)


# --- The rules -------------------------------------------------------------------------------------------------------


def test_the_verdicts_on_the_committed_results_are_those_of_the_report() -> None:
    """Every metric of every two of the first variants of each kind: in pairs where images are shared, and else not."""
    artifacts = Artifacts(ROOT)
    params = read_params(artifacts.params)
    snapshot = Snapshot("workspace", artifacts, read_yaml(artifacts.params))
    chosen = {v.train.degradation.name + v.train.network.name: name for name, v in params.variants.items()}
    paired_ones = 0
    for a, b in combinations(chosen.values(), 2):
        for found in differences(Side(snapshot, a), Side(snapshot, b)):
            if found.gap is None or found.before is None or found.after is None:
                continue
            expected = paired(artifacts, b, a, found.metric.key, params.evaluation.confidence)
            assert found.gap.paired == (expected is not None)
            if expected is not None:
                paired_ones += 1
                assert found.gap[:3] == pytest.approx(expected, rel=1e-9, abs=1e-12)
                assert found.gap.beyond_noise == excludes_zero(expected)
            else:
                first, second = (
                    Measurement(name, found.metric, *e, None)
                    for name, e in ((a, found.before), (b, found.after))
                )  # fmt: skip
                assert found.gap.beyond_noise == differs(first, second), (a, b, found.metric.key)
    assert paired_ones > 20


@pytest.mark.parametrize(
    ("key", "before", "after", "verdict"),
    [
        ("fid_classifier", 20, 10, BETTER),
        ("fid_classifier", 10, 20, WORSE),
        ("ssim", 10, 20, BETTER),
        ("ssim", 20, 10, WORSE),
        ("class_entropy", 20, 10, CHANGED),
        ("background_level", 10, 20, CHANGED),
        ("fid_classifier", 10, 11, NOISE),
        ("fid_classifier", 10, 10, SAME),
    ],
)
def test_a_verdict_is_about_the_second_side(
    project: Project, key: str, before: float, after: float, verdict: str
) -> None:
    project.measure(FIRST, {key: estimate(before)})
    project.measure(SECOND, {key: estimate(after)})
    [found] = differences(side(project, FIRST), side(project, SECOND))
    assert found.verdict == verdict


def test_what_was_measured_on_one_side_only_is_absent(project: Project) -> None:
    project.measure(SECOND, {"ssim": estimate(1)})
    found = differences(side(project, FIRST), side(project, SECOND))
    assert {d.metric.key: d.verdict for d in found} == {"fid_classifier": ABSENT, "ssim": ABSENT}


@pytest.mark.parametrize(
    ("key", "n", "verdict"), [("fid_classifier", 200, INCOMPARABLE), ("kid_classifier", 200, WORSE)]
)
def test_what_depends_on_the_number_of_samples_is_not_compared_across_it(
    project: Project, key: str, n: int, verdict: str
) -> None:
    project.measure(FIRST, {key: estimate(10)})
    project.measure(SECOND, {key: estimate(50, n=n)})
    [found] = differences(side(project, FIRST), side(project, SECOND))
    assert found.verdict == verdict


def test_losses_of_different_schedules_are_not_compared(project: Project) -> None:
    for variant, value in ((FIRST, 1), (SECOND, 50)):
        project.measure(variant, {"test_loss": estimate(value)})
    [found] = differences(side(project, FIRST), side(project, SECOND))
    assert found.verdict == INCOMPARABLE
    assert "different targets or degradations" in found.reason


def test_other_images_or_another_classifier_make_results_incomparable(project: Project) -> None:
    before = side(project, FIRST)
    assert before.snapshot.classifier == "a"
    project.artifacts.classifier_metrics.write_text(json.dumps({"sha256": "b"}))
    [found] = differences(before, side(project, SECOND))
    assert found.reason == "they were measured with another classifier"
    project.edit("dataset: mnist", "dataset: fashion_mnist")
    [found] = differences(before, side(project, SECOND))
    assert "other images" in found.reason


def test_pairs_find_a_difference_that_the_intervals_hide(project: Project) -> None:
    """What makes an image hard is common to both sides; only where the images are the same does it cancel."""
    scores = np.linspace(0.1, 0.9, 40)[None]
    for variant, shift in ((FIRST, 0.0), (SECOND, 0.01)):
        project.measure(variant, {"rmse": estimate(0.5 + shift, half=0.1)})
        project.restore(variant, scores + shift + 1e-4 * np.cos(7 * np.arange(40)) * shift)
    [found] = differences(side(project, FIRST), side(project, SECOND))
    assert found.gap is not None
    assert (found.gap.paired, found.verdict) == (True, WORSE)
    project.restore(SECOND, scores[:, :30])
    [found] = differences(side(project, FIRST), side(project, SECOND))
    assert found.gap is not None
    assert (found.gap.paired, found.verdict) == (False, NOISE)


@pytest.mark.parametrize(("value", "survives"), [(2.0, False), (6.0, True)])
def test_of_many_comparisons_only_a_large_difference_survives(value: float, survives: bool) -> None:
    gap = Gap(value, value - 1.9, value + 1.9, paired=False)
    assert gap.beyond_noise
    assert gap.survives(20, 0.95) == survives
    assert gap.survives(1, 0.95)


def test_the_number_expected_by_chance_is_said() -> None:
    gap = Gap(2.0, 0.1, 3.9, paired=False)
    found = [Difference(METRICS["ssim"], estimate(1), estimate(3), gap, BETTER)] * 40
    assert "Each was tested at 95 %, so about 2 of 40 would be" in chance(found, 0.95)
    assert chance([], 0.95) == ""


def test_parameters_differ_by_dotted_key() -> None:
    a = {"train": {"schedule": {"name": "linear", "beta": 0.1}, "seeds": [0]}, "same": 1}
    b = {"train": {"schedule": {"name": "cosine"}, "seeds": [0, 1], "new": {"x": 1}}, "same": 1}
    assert [tuple(p) for p in parameters_that_differ(a, b)] == [
        ("train.schedule.name", "linear", "cosine"),
        ("train.schedule.beta", 0.1, None),
        ("train.seeds", [0], [0, 1]),
        ("train.new", None, {"x": 1}),
    ]


# --- Revisions -------------------------------------------------------------------------------------------------------


def test_a_revision_is_found_by_branch_tag_hash_and_experiment(project: Project) -> None:
    root, commit = project.artifacts.root, project.git("rev-parse", "HEAD")
    project.git("tag", "v1")
    project.git("update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/bold-cosine", commit)
    for name in ("main", "v1", commit[:8], "HEAD", "bold-cosine"):
        assert find_revision(root, name).commit == commit
    assert find_revision(root, "main").label == f"main ({commit[:7]})"
    assert find_revision(root, commit[:8]).label == commit[:8]


def test_an_unknown_revision_is_said_with_the_nearest_name(project: Project) -> None:
    with pytest.raises(ThawError, match=r"mian is no revision .*did you mean main\?"):
        find_revision(project.artifacts.root, "mian")


def test_an_experiment_on_two_commits_is_ambiguous(project: Project) -> None:
    commit = project.git("rev-parse", "HEAD")
    for start in (commit, "0" * 40):
        project.git("update-ref", f"refs/exps/{start[:2]}/{start[2:]}/twice", commit)
    with pytest.raises(ThawError, match="2 experiments are called twice"):
        find_revision(project.artifacts.root, "twice")


def test_no_repository_is_said(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match="not in a git repository"):
        find_revision(tmp_path, "main")


def test_a_branch_is_compared_with_where_it_left_the_other(project: Project) -> None:
    start = project.git("rev-parse", "HEAD")
    project.git("checkout", "-qb", "mine")
    project.edit("seed: 0", "seed: 1")
    project.commit("mine")
    project.git("checkout", "-q", "main")
    project.edit("threads: 1", "threads: 2")
    project.commit("theirs")
    project.git("checkout", "-q", "mine")
    revision = find_revision(project.artifacts.root, "main")
    assert revision.commit != start
    assert forked_from(project.artifacts.root, revision).commit == start


def test_extracting_leaves_the_working_tree_alone(project: Project) -> None:
    root = project.artifacts.root
    before = project.artifacts.params.read_text()
    project.edit("threads: 1", "threads: 2")
    edited = project.artifacts.params.read_text()
    with extracted(root, find_revision(root, "HEAD"), ["params.yaml", "plots", "no-such-folder"]) as there:
        assert there.params.read_text() == before
        assert there.intervals(FIRST).exists()
        assert not there.classifier_metrics.exists()
        place = there.root
    assert not place.exists()
    assert project.artifacts.params.read_text() == edited
    assert project.git("status", "--porcelain") == "M params.yaml"


# --- The command -----------------------------------------------------------------------------------------------------


def test_two_variants_are_compared_in_a_terminal(project: Project, thaw: Thaw) -> None:
    project.measure(SECOND, {"fid_classifier": estimate(10), "class_entropy": estimate(3)})
    said = thaw("compare", FIRST, SECOND)
    assert "train.degradation.schedule.name" in said
    assert re.search(r"FID\s.*-10\.0\s+better", said)
    assert f"Only {SECOND} has class entropy" in said
    assert max(map(len, said.splitlines())) <= 80


def test_json_holds_what_the_terminal_shows(project: Project, thaw: Thaw) -> None:
    project.measure(SECOND, {"fid_classifier": estimate(10)})
    found = json.loads(thaw("compare", FIRST, SECOND, "--json", "--no-pictures"))
    assert (found["before"], found["after"]) == (FIRST, SECOND)
    assert {p["key"] for p in found["parameters"]} >= {"train.degradation.schedule.name"}
    [metric] = found["pairs"][0]["metrics"]
    assert metric["verdict"] == "better"
    assert metric["difference"]["value"] == -10
    assert metric["before"]["low"] == 19


def test_pictures_are_written_and_linked(project: Project, thaw: Thaw) -> None:
    for variant in (FIRST, SECOND):
        project.draw(variant)
    said = thaw("compare", FIRST, SECOND, "--md")
    links = re.findall(r"!\[.*?\]\((.*?)\)", said)
    assert [Path(link).name for link in links] == ["curves.svg", "samples.png"]
    curves, samples = (project.artifacts.root / link for link in links)
    drawing = ElementTree.parse(curves).getroot()
    assert {FIRST, SECOND} <= {text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")}
    size = read_params(project.artifacts.params).data.size
    assert Image.open(samples).width > 2 * 8 * size
    assert project.git("status", "--porcelain", "--", ".thaw") == ""


def test_revisions_are_compared_by_the_variants_that_differ(project: Project, thaw: Thaw) -> None:
    project.git("checkout", "-qb", "other")
    project.edit("name: cosine", "name: constant")
    project.measure(SECOND, {"fid_classifier": estimate(10)})
    project.commit("other")
    project.git("checkout", "-q", "main")
    found = json.loads(thaw("compare", "--rev", "main", "other", "--json"))
    assert [pair["after"] for pair in found["pairs"]] == [SECOND]
    assert found["parameters"][0]["key"] == f"variants.{SECOND}.train.degradation.schedule.name"
    both = json.loads(thaw("compare", "--rev", "main", "other", FIRST, "--json"))
    assert [metric["verdict"] for metric in both["pairs"][0]["metrics"]] == ["the same"]
    assert "No result differs" in thaw("compare", "--rev", "main", "workspace")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ddpm-liner", SECOND], "did you mean"),
        ([FIRST], "1 name was given"),
        ([FIRST, FIRST], "compared with itself"),
        (["--rev", "main", "nowhere"], "no revision"),
        (["--rev", "main", "HEAD", "nobody"], "has a variant nobody"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(thaw: Thaw, arguments: list[str], message: str) -> None:
    with pytest.raises(ThawError, match=message):
        thaw("compare", *arguments)


def test_the_commands_import_nothing_that_takes_long() -> None:
    script = (
        "import sys, thaw.reporting.comparison_pictures, thaw.reporting.comparison_views, thaw.reporting.review_views;"
        "print(sorted({'torch', 'dvc', 'pandas', 'matplotlib', 'scipy.stats'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- Charts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "log"), [([0.0, 1.0], False), ([17, 53], False), ([3e-6, 0.2], True), ([20, 200], True)]
)
def test_ticks_are_few_and_on_the_axis(values: list[float], log: bool) -> None:
    axis = Axis.over(values, 0, 100, log)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 9
    places = [axis.place(tick) for tick in ticks]
    assert places == sorted(places)
    assert all(0 <= place <= 100 for place in places)


def test_a_curve_stands_where_its_values_are() -> None:
    document = draw([Panel("a < b", "x", [Line([0, 1], [0, 1], "#123456")])], ["one", "two"], across=3)
    curve = next(p for p in ElementTree.fromstring(document).iter("{http://www.w3.org/2000/svg}path")
                 if p.get("stroke") == "#123456")  # fmt: skip
    (x0, y0), (x1, y1) = (map(float, point.split()) for point in curve.attrib["d"][1:].split("L"))
    assert x0 < x1
    assert y0 > y1  # pixels count downwards
