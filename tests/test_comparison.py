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
from comparison_fixtures import FIRST, ROOT, SECOND, Project, measured
from PIL import Image
from typer.testing import CliRunner

from thaw.cli import app
from thaw.errors import ThawError
from thaw.metrics import METRICS
from thaw.params import read_params
from thaw.results.differences import Difference, Gap, Side, State, chance, difference, differences, differs
from thaw.results.history import extracted, find_revision, forked_from
from thaw.results.layout import Artifacts
from thaw.results.measurements import Results

Thaw = Callable[..., str]
OTHER_WAY = {"better": "worse", "worse": "better"}


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


def between(project: Project) -> list[Difference]:
    """The differences of the two variants."""
    state = State("workspace", project.artifacts)
    return differences(Side(state, FIRST), Side(state, SECOND))


# --- The rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "before", "after", "verdict"),
    [
        ("fid_classifier", 20, 10, "better"),
        ("fid_classifier", 10, 20, "worse"),
        ("ssim", 10, 20, "better"),
        ("ssim", 20, 10, "worse"),
        ("class_entropy", 20, 10, "changed"),
        ("background_level", 10, 20, "changed"),
        ("fid_classifier", 10, 11, "within noise"),
        ("fid_classifier", 10, 10, "the same"),
    ],
)
def test_a_verdict_is_about_the_second_side(key: str, before: float, after: float, verdict: str) -> None:
    assert difference(measured(before, key=key), measured(after, key=key)).verdict == verdict


@pytest.mark.parametrize(("gap", "more_than_noise"), [(4.9, False), (5.1, True)])
def test_half_widths_add_in_squares(gap: float, more_than_noise: bool) -> None:
    a, b = measured(10, 3), measured(10 + gap, 4)
    assert differs(a, b) == differs(b, a) == more_than_noise


def test_the_report_and_the_commands_give_the_committed_results_the_same_verdicts() -> None:
    """Every metric of every two of the first variants of each kind, either way round."""
    artifacts = Artifacts(ROOT)
    state, report = State("workspace", artifacts), Results(artifacts)
    chosen = {v.train.degradation.name + v.train.network.name: name for name, v in report.params.variants.items()}
    pairs = 0
    for a, b in combinations(chosen.values(), 2):
        found, other_way = differences(Side(state, a), Side(state, b)), differences(Side(state, b), Side(state, a))
        assert [OTHER_WAY.get(d.verdict, d.verdict) for d in found] == [d.verdict for d in other_way]
        for d in (d for d in found if d.gap):
            before, after = (report.find(name, d.metric.key) for name in (a, b))
            assert before
            assert after
            assert difference(before, after).gap == d.gap
            assert d.gap.paired == (d.metric.applies_to == "restorations")
            pairs += d.gap.paired
    assert pairs > 20


def test_what_was_measured_on_one_side_only_is_absent(project: Project) -> None:
    project.measure(measured(1, key="ssim", variant=SECOND))
    assert {d.metric.key: d.verdict for d in between(project)} == {"fid_classifier": "absent", "ssim": "absent"}


def test_what_measures_different_things_is_not_compared(project: Project) -> None:
    project.measure(*(measured(10, key=key) for key in ("fid_classifier", "kid_classifier", "test_loss")))
    counts = {"fid_classifier": 200, "kid_classifier": 200, "test_loss": 1000}
    project.measure(*(measured(50, key=key, variant=SECOND, n=n) for key, n in counts.items()))
    fid, kid, loss = between(project)
    assert [d.verdict for d in (fid, kid, loss)] == ["not comparable", "worse", "not comparable"]
    assert "the number of samples (1000 and 200)" in fid.reason
    assert "different targets or degradations" in loss.reason


def test_other_images_or_another_classifier_make_results_incomparable(project: Project) -> None:
    before = Side(State("workspace", project.artifacts), FIRST)
    assert before.state.classifiers == ("a", None)
    for other in ({"sha256": "b"}, {"sha256": "a", "readers_sha256": "c"}):
        project.artifacts.reference("classifier.json").write_text(json.dumps(other))
        [found] = differences(before, Side(State("workspace", project.artifacts), SECOND))
        assert found.reason == "they were measured with another classifier"
    project.edit("dataset: mnist", "dataset: fashion_mnist")
    [found] = differences(before, Side(State("workspace", project.artifacts), SECOND))
    assert "other images" in found.reason


def test_pairs_find_a_difference_that_the_intervals_hide(project: Project) -> None:
    """What makes an image hard is common to both sides; only where the images are the same does it cancel."""
    scores = np.linspace(0.1, 0.9, 40)[None]
    for variant, shift in ((FIRST, 0.0), (SECOND, 0.01)):
        project.measure(measured(0.5 + shift, 0.1, "rmse", variant=variant))
        project.restore(variant, scores + shift + 1e-4 * np.cos(7 * np.arange(40)) * shift)
    assert [(d.gap and d.gap.paired, d.verdict) for d in between(project)] == [(True, "worse")]
    project.restore(SECOND, scores[:, :30])
    assert [(d.gap and d.gap.paired, d.verdict) for d in between(project)] == [(False, "within noise")]


@pytest.mark.parametrize(("value", "survives"), [(2.0, False), (6.0, True)])
def test_of_many_comparisons_only_a_large_difference_survives(value: float, survives: bool) -> None:
    gap = Gap(value, value - 1.9, value + 1.9, paired=False)
    assert gap.beyond_noise
    assert gap.survives(20, 0.95) == survives
    assert gap.survives(1, 0.95)


def test_the_number_expected_by_chance_is_said() -> None:
    gap = Gap(2.0, 0.1, 3.9, paired=False)
    found = [Difference(METRICS["ssim"], measured(1), measured(3), gap, "better")] * 40
    assert "Each was tested at 95 %, so about 2 of 40 would be" in chance(found, 0.95)
    assert chance(found[:1], 0.9) == "One difference was tested, at 90 %."
    assert chance([], 0.95) == ""


# --- Revisions -------------------------------------------------------------------------------------------------------


def test_a_revision_is_found_by_branch_tag_hash_and_experiment(project: Project) -> None:
    root, commit = project.artifacts.root, project.git("rev-parse", "HEAD")
    project.git("tag", "v1")
    project.git("update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/bold-cosine", commit)
    for name in ("main", "v1", commit[:8], "HEAD", "bold-cosine"):
        assert find_revision(root, name).commit == commit
    assert find_revision(root, "main").label == f"main ({commit[:7]})"
    assert find_revision(root, commit[:8]).label == commit[:8]


def test_an_unknown_or_ambiguous_revision_is_said(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    root, commit = project.artifacts.root, project.git("rev-parse", "HEAD")
    with pytest.raises(ThawError, match=r"mian is no revision .*did you mean main\?"):
        find_revision(root, "mian")
    for start in (commit, "0" * 40):
        project.git("update-ref", f"refs/exps/{start[:2]}/{start[2:]}/twice", commit)
    with pytest.raises(ThawError, match="2 experiments are called twice"):
        find_revision(root, "twice")
    with pytest.raises(ThawError, match="not in a git repository"):
        find_revision(tmp_path_factory.mktemp("nowhere"), "main")


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
    with extracted(root, find_revision(root, "HEAD"), ["params.yaml", "results/variants", "no-such-folder"]) as there:
        assert there.params.read_text() == before
        assert there.table(FIRST, "intervals").exists()
        assert not there.reference("classifier.json").exists()
        place = there.root
    assert not place.exists()
    assert project.artifacts.params.read_text() == edited
    assert project.git("status", "--porcelain") == "M params.yaml"


# --- The command -----------------------------------------------------------------------------------------------------


def test_two_variants_are_compared_in_a_terminal(project: Project, thaw: Thaw) -> None:
    project.measure(measured(10, variant=SECOND), measured(3, key="class_entropy", variant=SECOND))
    said = thaw("compare", FIRST, SECOND)
    assert "train.degradation.schedule.name" in said
    assert re.search(r"FID\s.*-10\.0\s+better", said)
    assert f"Only {SECOND} has class entropy" in said
    assert max(map(len, said.splitlines())) <= 80


def test_json_holds_what_the_terminal_shows(project: Project, thaw: Thaw) -> None:
    project.measure(measured(10, variant=SECOND))
    found = json.loads(thaw("compare", FIRST, SECOND, "--json", "--no-pictures"))
    assert (found["before"], found["after"]) == (FIRST, SECOND)
    assert {p["key"] for p in found["parameters"]} >= {"train.degradation.schedule.name"}
    [metric] = found["pairs"][0]["metrics"]
    assert metric["verdict"] == "better"
    assert metric["difference"]["value"] == -10
    assert metric["before"] == {"value": 20, "low": 19, "high": 21, "n": 1000, "trainings": 1}


def test_pictures_are_written_and_linked(project: Project, thaw: Thaw) -> None:
    for variant in (FIRST, SECOND):
        project.draw(variant)
    said = thaw("compare", FIRST, SECOND, "--md")
    links = re.findall(r"!\[.*?\]\((.*?)\)", said)
    assert [Path(link).name for link in links] == ["curves.svg", "samples.png"]
    curves, samples = (project.artifacts.root / link for link in links)
    drawing = ElementTree.parse(curves).getroot()
    texts = {text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")}
    assert {"loss", FIRST, SECOND} <= texts
    assert "test loss" not in texts, "neither side has one"
    first = curves.read_bytes()
    thaw("compare", FIRST, SECOND)
    assert curves.read_bytes() == first
    size = read_params(project.artifacts.params).data.pixels
    assert Image.open(samples).width > 2 * 8 * size
    assert project.git("status", "--porcelain", "--", ".thaw") == ""


def test_revisions_are_compared_by_the_variants_that_differ(project: Project, thaw: Thaw) -> None:
    project.git("checkout", "-qb", "other")
    project.edit("name: cosine", "name: constant")
    project.measure(measured(10, variant=SECOND))
    project.commit("other")
    project.git("checkout", "-q", "main")
    found = json.loads(thaw("compare", "--rev", "main", "other", "--json"))
    assert [pair["after"] for pair in found["pairs"]] == [SECOND]
    assert found["parameters"][0]["key"] == f"variants.{SECOND}.train.degradation.schedule.name"
    both = json.loads(thaw("compare", "--rev", "main", "other", FIRST, "--json"))
    assert [metric["verdict"] for metric in both["pairs"][0]["metrics"]] == ["the same"]
    assert "No result differs" in thaw("compare", "--rev", "main", "workspace")


def test_results_of_an_earlier_layout_are_not_compared(project: Project, thaw: Thaw) -> None:
    project.edit("threads: 1", "threads: 2")
    project.git("mv", "results", "plots")
    project.commit("as it was")
    project.git("mv", "plots", "results")
    project.edit("threads: 2", "threads: 1")
    found = json.loads(thaw("compare", "--rev", "HEAD", "workspace", "--json"))
    assert found["parameters"] == [{"key": "threads", "before": 2, "after": 1}]
    assert found["pairs"] == []
    [note] = found["notes"]
    assert "lie in the layout of an earlier version of thaw" in note
    assert "No result differs" not in thaw("compare", "--rev", "HEAD", "workspace", "--md")


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


@pytest.mark.parametrize("modules", ["thaw.compare.pictures, thaw.compare.views", "thaw.pages.show"])
def test_commands_and_pages_import_nothing_that_takes_long(modules: str) -> None:
    slow = {"torch", "dvc", "pandas", "matplotlib", "scipy"}
    script = f"import sys, {modules}; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
