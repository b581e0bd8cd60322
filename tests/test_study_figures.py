"""The figures and the page of the studies, from studies and metrics that were made up."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from thaw.artifacts import Artifacts
from thaw.files import write_csv
from thaw.params import read_params
from thaw.reporting import show
from thaw.reporting.results import Results
from thaw.reporting.study_figures import draw_comparison, draw_study
from thaw.sheets import write_sheet

PARAMS = read_params(Path(__file__).parents[1] / "params.yaml")
SIZE = PARAMS.data.size
AXES = {
    "x": "steps",
    "y": {"fid": "the distance"},
    "x_label": "steps",
    "series": "sampler",
    "log_x": True,
    "log_y": False,
}


@pytest.fixture
def project(tmp_path: Path) -> Artifacts:
    """A folder with one study, `made-up`, of two conditions."""
    artifacts = Artifacts(tmp_path)
    folder = artifacts.study("made-up")
    tiles = np.random.default_rng(0).integers(0, 256, (3, 1, SIZE, SIZE), dtype=np.uint8)
    write_sheet(folder / "strips.png", [tiles, tiles])
    write_csv(folder / "table.csv", [{"sampler": name, "fid": 1.5, "class_0": 0.25, "class_1": 0.75} for name in "ab"])
    write_csv(folder / "curves.csv", [{"sampler": name, "steps": n, "fid": n / 2, "low": n / 4, "high": 1.0 * n}
                                      for name in "ab" for n in (1, 2, 4)])  # fmt: skip
    strips = [{"label": label, "images": 3} for label in ("first", "second")]
    study = {"caption": "What it shows.", "strips": strips, "columns": ["x", "y", "z"], "axes": AXES}
    (folder / "study.json").write_text(json.dumps(study))
    return artifacts


def texts(figure: plt.Figure) -> set[str]:
    """All that is written in a figure."""
    figure.canvas.draw()
    found = figure.findobj(lambda artist: isinstance(artist, plt.Text))
    return {text.get_text() for text in found}


def test_a_study_is_drawn_with_its_pictures_curves_and_classes(project: Artifacts) -> None:
    drawing = draw_study(project, PARAMS, "made-up")
    assert drawing is not None
    assert {"first", "second", "x", "y", "z", "the distance", "a", "b", "25", "75"} <= texts(drawing.figure)
    assert drawing.caption.startswith("What it shows.")
    assert "share of each class" in drawing.caption
    assert "first and second" in drawing.alt
    assert {path.name for path in drawing.sources} == {"strips.png", "table.csv", "curves.csv", "study.json"}
    lines = [line for axes in drawing.figure.findobj(plt.Axes) for line in axes.lines]
    assert [list(line.get_ydata()) for line in lines] == [[0.5, 1, 2], [0.5, 1, 2]]
    plt.close(drawing.figure)


def test_a_study_that_has_not_run_is_not_drawn(project: Artifacts) -> None:
    assert draw_study(project, PARAMS, "another") is None


def test_a_table_alone_is_no_figure(project: Artifacts) -> None:
    folder = project.study("made-up")
    write_csv(folder / "table.csv", [{"sampler": "a", "fid": 1.0}])
    (folder / "study.json").write_text(json.dumps({"caption": "", "strips": [], "columns": [], "axes": None}))
    assert draw_study(project, PARAMS, "made-up") is None


def test_the_shares_of_classes_stand_in_the_figure_and_not_in_the_table(
    project: Artifacts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        (project.root / name).write_bytes((Path(__file__).parents[1] / name).read_bytes())
    monkeypatch.setattr(show, "results", lambda: Results(project))
    show._study_table("made-up")
    printed = capsys.readouterr().out
    assert "| sampler | fid |" in printed
    assert "| a | 1.5 |" in printed
    assert "tbl-study-made-up" in printed
    assert "class" not in printed


def test_variants_are_set_side_by_side_as_far_as_they_were_measured(project: Artifacts) -> None:
    key, comparison = next(iter(PARAMS.studies.compared.items()))
    first, second = comparison.variants[:2]
    tiles = np.zeros((8, 1, SIZE, SIZE), dtype=np.uint8)
    write_sheet(project.sheet(first, "samples"), [tiles] * 8)
    assert draw_comparison(project, PARAMS, key) is None, "nothing was measured"
    row = {"variant": first, "metric": "fid_classifier", "value": 9.0, "low": 7.0, "high": 12.0}
    write_csv(project.summary, [row, row | {"variant": second}])
    drawing = draw_comparison(project, PARAMS, key)
    assert drawing is not None
    written = texts(drawing.figure)
    assert first in written
    assert second not in written, "it has no samples"
    assert "FID (classifier)" in written
    assert comparison.title in drawing.caption.lower() or comparison.title[1:] in drawing.caption
    plt.close(drawing.figure)
