"""The report's pages stand on their own: each reference arrives, whatever params.yaml asks for and has results of."""

import contextlib
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from comparison_fixtures import ROOT
from ruamel.yaml import YAML

from thaw.pages.plain import printed
from thaw.pages.prose import chapters
from thaw.params import read_params
from thaw.results.measurements import results

CHAPTERS = chapters(ROOT / "report")
CODE = re.compile(r"^```\{python\}.*?^```|`\{python\}[^`]*`", re.MULTILINE | re.DOTALL)
LABEL = re.compile(r"\{#((?:fig|tbl|eq|sec)-[^\s}]+)")
REFERENCE = re.compile(r"(?<![\w`])@((?:fig|tbl|eq|sec)-[\w-]+)")
CITATION = re.compile(r"(?<![\w`])@([a-z]+\d{4}[a-z]*)")


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
        params["demos"] = {}
    with (root / "params.yaml").open("w") as file:
        YAML().dump(params, file)
    if request.param != "no results":
        shutil.copytree(ROOT / "results", root / "results")
        (root / "data").mkdir()
        for name in ("data/published.csv", "requirements.lock", "dvc.lock"):
            shutil.copy(ROOT / name, root / name)
    results.cache_clear()
    with contextlib.chdir(root / "report"):
        printed_pages = {name: "\n".join(printed(Path(name), {}, {"echo": False})) for name in CHAPTERS}
    results.cache_clear()
    return printed_pages


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
    prose = CODE.sub("", (ROOT / "report" / chapter).read_text())
    named = [name for name in read_params(ROOT / "params.yaml").variants if re.search(rf"\b{name}\b", prose)]
    assert named == []


def test_what_params_yaml_asks_for_has_its_section(book: dict[str, str]) -> None:
    params = read_params(ROOT / "params.yaml")
    studies = params.studies
    alone = [
        key for key in (*studies.trained, *studies.untrained, *studies.compared) if key not in params.schedule_steps
    ]
    asked = [*(f"#model-{name}}}" for name in params.compared), *(f"#sec-study-{key}}}" for key in alone)]
    text = "".join(book.values())
    assert [mark for mark in asked if mark in text] in (asked, asked[:1])
    assert "{#fig-schedule-steps" in text
