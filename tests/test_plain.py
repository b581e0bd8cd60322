"""The plain renderer on a small book that uses everything the report uses, against real Quarto where there is one."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from comparison_fixtures import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from small_book import BIBLIOGRAPHY, PRINTED, write_book

from thaw.errors import ThawError
from thaw.pages.plain import render
from thaw.results.measurements import results

LABEL = re.compile(r"^(fig|tbl|eq|sec)-")
needs_quarto = pytest.mark.skipif(shutil.which("quarto") is None, reason="quarto is not on PATH")


def words(element: Tag) -> str:
    return " ".join(element.get_text().split())


def labels(pages: list[BeautifulSoup]) -> dict[str, str]:
    """Each label of pages by either renderer with what is printed for it, such as {"fig-x": "Figure 2.1"}.

    A part of a figure gives "(a)", an unnumbered section its title.
    """
    return dict(pair for page in pages for element in page.find_all(id=LABEL) for pair in _printed(element))


def _printed(element: Tag) -> Iterator[tuple[str, str]]:
    label, shown = str(element["id"]), words(element)
    if label.startswith("sec-"):
        title = words(element.find(re.compile("^h[1-6]$")) or element)
        chapter = element.find(class_="chapter-number")
        number = str(element.get("data-number") or (chapter.get_text() if chapter else ""))
        named = f"{'Section' if '.' in number else 'Chapter'} {number}" if number else title
        yield label, title.split(" —")[0] if title.startswith("Appendix ") else named
    elif label.startswith("eq-"):
        yield label, f"Equation {re.findall(r'[{(]([A-Z]?[0-9.]+)[)}]', shown)[-1]}"
    elif element.name != "figcaption":  # Quarto names the captions after their figures
        for caption in element.find_all("figcaption"):
            if caption.find_parent(id=LABEL) is element:
                yield label, re.match(r"\(\w\)|[^:]*", words(caption))[0]


def references(pages: list[BeautifulSoup]) -> list[str]:
    """What the references print, but for those in notes, which stand in another order with Quarto."""
    found = [link for page in pages for link in page.find_all("a", class_="quarto-xref")]
    return [words(link) for link in found if not link.find_parent(id="footnotes")]


def by_quarto(folder: Path, names: list[str]) -> list[BeautifulSoup]:
    command = ["quarto", "render", str(folder), "--to", "html"]
    done = subprocess.run(command, env={**os.environ, "QUARTO_PYTHON": sys.executable}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [BeautifulSoup((folder / "_book" / f"{name}.html").read_text(), "html.parser") for name in names]


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_book(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="module")
def page(book: Path, tmp_path_factory: pytest.TempPathFactory) -> BeautifulSoup:
    output = tmp_path_factory.mktemp("out") / "deep" / "report.html"
    render(book, output)
    return BeautifulSoup(output.read_text(), "html.parser")


def test_every_label_has_its_number_and_every_reference_prints_it(page: BeautifulSoup) -> None:
    assert labels([page]) == PRINTED
    shown = references([page])
    assert shown[:5] == ["Figure 1.1", "Table 1.1", "Equation 1.1", "1 The first chapter", "1.1"]
    assert shown[5:8] == ["Fig. 1.1", "Appendix A — Reproducibility", "Figure A.1"]
    assert {"Figure 2.2 (b)", "Section 1.1.1", "Chapter 2", "Appendix A", "Section A.1", "Figure 2.1"} <= set(shown)


def test_the_file_needs_nothing_else_and_every_link_in_it_arrives(page: BeautifulSoup) -> None:
    assert all(str(image["src"]).startswith("data:image/png") for image in page.find_all("img"))
    assert not page.find_all(["link", "iframe"])
    assert not page.find_all("script", src=True)
    assert any(".own { color: teal }" in style.get_text() for style in page.find_all("style"))
    assert "and more" in page.find_all("script")[-1].get_text()
    identifiers = [str(element["id"]) for element in page.find_all(id=True)]
    assert len(identifiers) == len(set(identifiers))
    inner = {str(link["href"])[1:] for link in page.find_all("a", href=re.compile("^#"))}
    assert inner <= set(identifiers)
    assert words(page.find(id=page.find("a", string="The overview")["href"][1:]).h2) == "Overview"
    assert page.find("a", string="all")["href"] == "#sec-second"


def test_variables_expressions_includes_and_formats(page: BeautifulSoup) -> None:
    text = words(page)
    assert "A small book by Ada Lovelace; best 2, not {{< var author >}}." in text
    assert words(page.find(class_="subtitle")) == "For Deep Learning & more"
    assert "Value: 0.123." in text
    assert "The shared paragraph says a_b *c*." in text  # a string prints as it is
    assert "Seen in HTML." in text
    for hidden in ("never seen", "Hidden in HTML"):
        assert hidden not in text
    assert {image["alt"] for image in page.find_all("img")} == {
        "a blue box", "six grey squares", "printed", "l", "r", "again",
    }  # fmt: skip


def test_what_cells_print(book: Path, page: BeautifulSoup) -> None:
    blocks = [words(block) for block in page.find_all("pre")]
    assert {f"{sys.executable} {book.resolve()}", "42", 'raise SystemExit("never run")'} <= set(blocks)
    assert page.find(id="tbl-frame").td.get_text() == "41"
    assert page.find(id="tbl-frame").find("a", class_="quarto-xref")["href"] == "#fig-printed"


def test_callouts_layouts_notes_and_bibliography(page: BeautifulSoup) -> None:
    note, warning = page.find_all(class_="callout")
    assert words(note) == "Note A plain note."
    assert words(warning.find(class_="callout-title")) == "Mind the step"
    assert "2" in str(page.find(id="fig-left").find_parent(class_="layout")["style"])
    assert "Ho and Jain (2020)" in words(page.find(id="fig-forward"))
    assert words(page.find(class_="footnotes").li).startswith("Which refers to Table 2.1.")
    assert ["Cold Diffusion" in words(entry) for entry in page.find_all(class_="csl-entry")] == [True, False]
    assert "plain renderer" in words(page.find(class_="banner"))
    assert "1 The first chapter" in words(page.find("nav"))


@needs_quarto
def test_quarto_prints_the_same_labels_and_references(page: BeautifulSoup, book: Path, tmp_path: Path) -> None:
    theirs = by_quarto(shutil.copytree(book, tmp_path / "book"), ["index", "first", "second", "repeat"])
    assert labels(theirs) == labels([page])
    assert references(theirs) == references([page])


@needs_quarto
def test_quarto_numbers_the_report_alike(tmp_path: Path) -> None:
    for name in ("report", "results"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("_book", "_coursework", ".*"))
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    results.cache_clear()
    render(tmp_path / "report", tmp_path / "plain.html")
    ours = [BeautifulSoup((tmp_path / "plain.html").read_text(), "html.parser")]
    theirs = by_quarto(tmp_path / "report", [path.stem for path in (ROOT / "report").glob("[a-z]*.qmd")
                                             if path.stem != "coursework"])  # fmt: skip
    assert labels(theirs) == labels(ours)
    assert sorted(references(theirs)) == sorted(references(ours))


WRONG = {
    "a reference": ("See @fig-none.", r"index\.qmd: @fig-none refers to nothing"),
    "a citation": ("See @nobody1999.", r"nobody1999 not found"),
    "an image": ("![a](none.png)", r"index\.qmd: the image none\.png does not exist"),
    "an include": ("{{< include _none.qmd >}}", r"_none\.qmd does not exist: mend index\.qmd"),
    "an endless include": ("{{< include index.qmd >}}", r"index\.qmd ends up including itself"),
    "a label": ("![a](wide.png){#fig-a}\n\n![b](wide.png){#fig-a}", r"index\.qmd: the label fig-a is given a second"),
    "a link": ("[x](none.qmd)", r"index\.qmd: the link to none\.qmd leads to no page"),
    "an open block": ("```{python}\n1\n", r"index\.qmd, line 3: the block opened here is never closed"),
    "an open div": ("::: {.callout-note}\nx\n", r"Div at index\.qmd .* unclosed"),
    "options": ("```{python}\n#| fig-cap: [x\n1\n```", r"index\.qmd, line 4: .*give `key: value` lines"),
    "a cell": ("```{python}\nx = 1\nx + missing\n```", r"index\.qmd, line 5: .*NameError: name 'missing'"),
    "a cell that ends": ("```{python}\nexit(3)\n```", r"index\.qmd, line 4: .*SystemExit: 3"),
    "syntax": ("```{python}\nx = 1\nx = = 2\n```", r"index\.qmd, line 5: .*SyntaxError"),
    "an expression": ("`{python} 1 / 0`", r"index\.qmd, line 3: .*ZeroDivisionError"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_in_one_sentence(content: str, message: str, tmp_path: Path) -> None:
    config = "book: {title: T, chapters: [index.qmd]}\nbibliography: references.bib\n"
    files = {"_quarto.yml": config, "references.bib": BIBLIOGRAPHY, "index.qmd": f"# S\n\n{content}"}
    output = tmp_path / "report.html"
    output.write_text("the old one")
    with pytest.raises(ThawError, match=message) as caught:
        render(write_book(tmp_path / "book", files), output)
    assert "\n" not in str(caught.value)
    assert output.read_text() == "the old one"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["book", "report.html"]


WRONG_BOOKS = {
    "project: {type: website}": "names no page of a book",
    "book: {title: T, chapters: [none.qmd]}": r"none\.qmd does not exist: mend _quarto\.yml",
    "book: {title: T, chapters: [index.qmd]}\nbibliography: no.bib": r"no\.bib",
    "project: [": r"_quarto\.yml line 2",
}


@pytest.mark.parametrize(("config", "message"), WRONG_BOOKS.items())
def test_a_wrong_project_file(config: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=message):
        render(write_book(tmp_path / "book", {"_quarto.yml": config, "index.qmd": "# S"}), tmp_path / "report.html")


def test_what_only_quarto_knows_is_printed_plainly(tmp_path: Path) -> None:
    unknown = (
        "# S\n\n{{< video x.mp4 >}} {{< var a.b >}}\n\n```{r}\n1 + 1\n```\n\n::: {.panel-tabset}\n## A\n\nx\n:::\n"
    )
    files = {"_quarto.yml": "book: {title: T, chapters: [index.qmd]}", "index.qmd": unknown}
    render(write_book(tmp_path / "book", files), tmp_path / "report.html")
    text = words(BeautifulSoup((tmp_path / "report.html").read_text(), "html.parser").main)
    assert text == "1 S {{< video x.mp4 >}} ?var:a.b {r} 1 + 1 1.1 A x"


@settings(max_examples=10)
@given(st.lists(st.integers(2, 6), max_size=30))
def test_section_numbers_rise_through_a_chapter(tmp_path_factory: pytest.TempPathFactory, levels: list[int]) -> None:
    folder = tmp_path_factory.mktemp("book")
    headings = [f"{'#' * level} x {{#sec-{index}}}\n" for index, level in enumerate([1, *levels])]
    files = {"_quarto.yml": "book: {title: T, chapters: [index.qmd]}", "index.qmd": "\n".join(headings)}
    render(write_book(folder, files), folder / "report.html")
    printed = labels([BeautifulSoup((folder / "report.html").read_text(), "html.parser")])
    numbers = [tuple(map(int, shown.split()[1].split("."))) for shown in printed.values()]
    assert all(before < after for before, after in pairwise(numbers))
    assert [len(number) for number in numbers] == [1, *levels]
