"""A variant's card holds its first samples and the numbers of the summary, and leads to its place in the gallery."""

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup
from comparison_fixtures import FIRST, ROOT, SECOND, measured, rows
from PIL import Image

from thaw.core.sheets import write_sheet
from thaw.files import write_csv
from thaw.pages import cards
from thaw.params import read_params
from thaw.results.layout import Artifacts
from thaw.results.measurements import Results

PARAMS = read_params(ROOT / "params.yaml")
STUDIED = next(name for name in PARAMS.variants if name not in PARAMS.compared)
VALUES = {"fid_infinite": 12.34, "legible": 0.5678, "coverage": 0.25, "recall": 0.111}
SIZE = PARAMS.data.pixels
SHADES = np.arange(0, 256, 16, dtype=np.uint8).reshape(2, 8)
"""The grey of each sample that a card shows."""


@pytest.fixture
def project(tmp_path: Path) -> Artifacts:
    """Two variants with samples and numbers, one of them of a study alone, and one with numbers and no samples."""
    artifacts = Artifacts(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    artifacts.report.mkdir()
    variants = (FIRST, SECOND, STUDIED)
    found = [measured(value, key=key, variant=variant) for variant in variants for key, value in VALUES.items()]
    write_csv(artifacts.summary, rows(found))
    shades = np.concatenate([SHADES, SHADES[::-1]])  # more rows than a card has
    tiles = np.broadcast_to(shades[..., None, None, None], (*shades.shape, 1, SIZE, SIZE))
    for variant in (FIRST, STUDIED):
        write_sheet(artifacts.sheet(variant, "samples"), list(tiles))
    return artifacts


def made(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> dict[str, BeautifulSoup]:
    """The cards, as the script has them that the pages load."""
    for module in ("cards", "illustrations"):
        monkeypatch.setattr(f"thaw.pages.{module}.results", lambda: Results(artifacts))
    cards.cards()
    script = (artifacts.report / "figures" / "cards.js").read_text()
    found = json.loads(script.removeprefix("window.cards = ").removesuffix(";\n"))
    return {variant: BeautifulSoup(card, "html.parser") for variant, card in found.items()}


def numbers(card: BeautifulSoup) -> dict[str, str]:
    return {str(term.string): str(term.find_next("dd").string) for term in card.find_all("dt")}


def test_a_card_holds_the_numbers_of_the_summary(project: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"FID∞ (classifier)": "12.3", "legible": "0.568", "coverage": "0.250"}
    assert numbers(made(project, monkeypatch)[FIRST]) == expected
    project.summary.write_text(project.summary.read_text().replace("0.5678", "0.9"))
    assert numbers(made(project, monkeypatch)[FIRST]) == expected | {"legible": "0.900"}


def test_its_picture_is_of_the_first_samples(project: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    image = made(project, monkeypatch)[FIRST].img
    assert PARAMS.title(FIRST) in image["alt"]
    picture = Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))).convert("L")
    assert picture.size == (int(image["width"]), int(image["height"])) == (8 * SIZE, 2 * SIZE)
    middles = slice(SIZE // 2, None, SIZE)
    assert np.abs(np.asarray(picture)[middles, middles].astype(int) - SHADES).max() < 8


def test_a_variant_without_samples_has_no_card(project: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(made(project, monkeypatch)) == {FIRST, STUDIED}
    shutil.rmtree(project.results)
    assert made(project, monkeypatch) == {}


def test_a_card_leads_to_the_gallery_where_that_has_the_variant(
    project: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made(project, monkeypatch)
    assert found[FIRST].a["href"] == f"gallery-ddpm.html#model-{FIRST}"
    assert found[STUDIED].a is None


def test_all_cards_of_the_results_together_are_light() -> None:
    found = Results(Artifacts(ROOT))
    drawn = [name for name in PARAMS.variants if found.artifacts.sheet(name, "samples").exists()]
    assert sum(len(cards.card(found, variant)) for variant in drawn) < 150_000
