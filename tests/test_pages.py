"""The report's pages stand on their own: each reference arrives, whatever params.yaml asks for and has results of."""

import contextlib
import io
import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from thaw.params import read_params
from thaw.reporting.cells import Cell, Line, read_pieces, read_yaml
from thaw.reporting.results import results

ROOT = Path(__file__).parents[1]
CONFIG = read_yaml((ROOT / "report" / "_quarto.yml").read_text(), "_quarto.yml")
CHAPTERS: list[str] = CONFIG["book"]["chapters"] + CONFIG["book"]["appendices"]
ARTIFACTS = ("figures", "metrics", "plots", "reference", "runs", "sheets")

LABEL = re.compile(r"\{#((?:fig|tbl|eq|sec)-[^\s}]+)")
REFERENCE = re.compile(r"(?<![\w`])@((?:fig|tbl|eq|sec)-[\w-]+)")
CITATION = re.compile(r"(?<![\w`])@([a-z]+\d{4}[a-z]*)")


def pieces(chapter: str) -> list[str | Cell]:
    """The prose and the cells of a chapter."""
    path = ROOT / "report" / chapter
    lines = [Line(text, path, number) for number, text in enumerate(path.read_text().splitlines(), start=1)]
    return list(read_pieces(lines, {"echo": False, "eval": True, "include": True, "output": True, "warning": False}))


def prose(chapter: str) -> str:
    """What somebody wrote."""
    return "".join(piece for piece in pieces(chapter) if isinstance(piece, str))


def printed(chapter: str) -> str:
    """A chapter as the renderers get it: its prose, and what its cells print in this process."""
    names: dict[str, Any] = {}
    out = io.StringIO()
    for piece in pieces(chapter):
        if isinstance(piece, str):
            out.write(piece)
        else:
            with contextlib.redirect_stdout(out):
                exec(piece.source, names)
            out.write("\n")
    return out.getvalue()


@pytest.fixture(scope="module", params=["one variant", "no results"])
def book(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The whole book, printed for one variant and no study, and for all of them without results.

    Rendering it for the committed results is what other tests do; a reference that leads nowhere fails there.
    """
    root = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "dvc.yaml", root)
    (root / "report").mkdir()
    for page in (ROOT / "report").glob("*.qmd"):
        shutil.copy(page, root / "report")
    for name in ("_quarto.yml", "_variables.yml"):
        shutil.copy(ROOT / "report" / name, root / "report")
    params = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    if request.param == "one variant":
        params["variants"] = dict(list(params["variants"].items())[:1])
        params["studies"] = {"trained": {}, "untrained": {}, "compared": {}}
    with (root / "params.yaml").open("w") as file:
        YAML().dump(params, file)
    if request.param != "no results":
        for name in ARTIFACTS:
            shutil.copytree(ROOT / name, root / name)
        (root / "data").mkdir()
        for name in ("data/published.csv", "requirements.lock", "dvc.lock"):
            shutil.copy(ROOT / name, root / name)
    before = Path.cwd()
    os.chdir(root)
    results.cache_clear()
    try:
        return {chapter: printed(chapter) for chapter in CHAPTERS}
    finally:
        os.chdir(before)
        results.cache_clear()


def test_every_label_stands_once_and_every_reference_arrives(book: dict[str, str]) -> None:
    labels = Counter(label for text in book.values() for label in LABEL.findall(text))
    assert [label for label, count in labels.items() if count > 1] == []
    for chapter, text in book.items():
        assert sorted(set(REFERENCE.findall(text)) - labels.keys()) == [], chapter


def test_every_source_is_cited_and_every_citation_has_its_source() -> None:
    sources = re.findall(r"^@\w+\{(\w+),", (ROOT / "report" / "references.bib").read_text(), re.MULTILINE)
    pages = (ROOT / "report").glob("*.qmd")
    cited = {key for page in pages for key in CITATION.findall(page.read_text())}
    assert len(sources) == len(set(sources))
    assert cited == set(sources)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_result_is_typed(chapter: str) -> None:
    """Only computed text may name a variant: what a sentence says of one would not change with its results."""
    named = [name for name in read_params(ROOT / "params.yaml").variants if re.search(rf"\b{name}\b", prose(chapter))]
    assert named == []


def test_what_params_yaml_asks_for_has_its_section(book: dict[str, str]) -> None:
    params = read_params(ROOT / "params.yaml")
    studies = params.studies
    asked = [*params.compared, *(f"study-{key}" for key in (*studies.trained, *studies.untrained, *studies.compared))]
    text = "".join(book.values())
    assert [name for name in asked if f"{{#sec-{name}}}" in text] in (asked, asked[:1])
