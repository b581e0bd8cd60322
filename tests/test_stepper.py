"""The pictures that the gallery's slider moves through hold the columns of the sheets, each with its step."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from comparison_fixtures import ROOT

from thaw.core.sheets import STRIP_COLUMNS, read_sheet, write_sheet
from thaw.figures.families import kind, visited
from thaw.pages import illustrations
from thaw.params import read_params
from thaw.results.layout import Artifacts
from thaw.results.measurements import Results

PARAMS = read_params(ROOT / "params.yaml")
KINDS = {kind(PARAMS, variant): variant for variant in reversed(PARAMS.compared)}
"""A variant of each kind, the first."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifacts:
    artifacts = Artifacts(tmp_path)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    artifacts.report.mkdir()
    monkeypatch.setattr(illustrations, "results", lambda: Results(artifacts))
    return artifacts


def test_a_picture_has_the_columns_of_its_sheet(project: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    rng, size = np.random.default_rng(0), PARAMS.data.pixels
    for variant in KINDS.values():
        tiles = rng.integers(256, size=(4, STRIP_COLUMNS, 1, size, size), dtype=np.uint8)
        write_sheet(project.sheet(variant, "chain"), list(tiles))
    illustrations.stepper()
    printed = capsys.readouterr().out
    shown = re.findall(r'\{\.chain data-t="([\d ]+)"\}\n!\[\]\(figures/steps-([\w-]+)\.png\)', printed)
    assert {name for _, name in shown} == KINDS.keys() - {"gan"}
    for steps, name in shown:
        picture = read_sheet(project.report / "figures" / f"steps-{name}.png", size)
        sheet = read_sheet(project.sheet(KINDS[name], "chain"), size)
        assert np.array_equal(picture, sheet[:2]), "z_t and the estimate of the first image"
        assert [int(step) for step in steps.split()] == visited(PARAMS, KINDS[name])
        assert len(steps.split()) == picture.shape[1]


def test_without_chains_its_place_says_so(project: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    illustrations.stepper()
    assert "{#fig-steps .absent}" in capsys.readouterr().out
