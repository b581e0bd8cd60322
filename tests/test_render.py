"""`thaw render` on a small book that uses everything the report uses, against real Quarto where there is one."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from bs4 import BeautifulSoup, Tag
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from thaw.errors import ThawError
from thaw.reporting import cells
from thaw.reporting.crossref import Node, Page, number_pages
from thaw.reporting.render import labels, render

BOOK = {
    "_quarto.yml": """
project:
  type: book
book:
  title: A small book
  subtitle: "For {{< var course.name >}}"
  author: "{{< var author >}}"
  chapters:
    - index.qmd
    - first.qmd
    - part: The second part
      chapters:
        - second.qmd
  appendices:
    - repeat.qmd
bibliography: references.bib
lang: en
execute:
  echo: false
  warning: false
format:
  html:
    css: own.css
    include-after-body: own.html
    html-math-method: mathml
""",
    "own.css": ".own { color: teal }\n",
    "own.html": "<script>document.title += ' and more'</script>\n",
    "_variables.yml": "author: Ada Lovelace\ncourse:\n  name: Deep Learning & more\n",
    "references.bib": """
@article{ho2020, title={Denoising Diffusion Probabilistic Models}, author={Ho, Jonathan and Jain, Ajay},
  journal={NeurIPS}, year={2020}}
@article{bansal2022, title={Cold Diffusion}, author={Bansal, Arpit}, journal={arXiv}, year={2022}}
""",
    "index.qmd": """---
jupyter: python3
---

# Summary {.unnumbered}

{{< meta title >}} by {{< var author >}}; best `{python} 1 + 1`.
See @fig-forward, @tbl-pipe, @eq-alpha, @sec-first, [-@fig-forward], [Fig. @fig-forward], @sec-repeat, @fig-repeat.

![Everything at once](wide.png){#fig-summary fig-alt="a blue box" width=50%}

## Overview

Nothing.
""",
    "_shared.qmd": """The shared paragraph says `{python} name`.

```{python}
#| label: fig-included
#| fig-cap: "Drawn in an *included* file"
#| fig-alt: "a rising line"
import matplotlib.pyplot as plt
plt.figure(figsize=(2, 1))
plt.plot([0, 1]);
```
""",
    "first.qmd": """
```{python}
#| include: false
import sys, warnings
from pathlib import Path
from IPython.display import HTML, Markdown
name = "a_b *c*"
print("never seen")
```

# The first chapter {#sec-first}

Values: `{python} f"{0.123456:.3f}"` and `{python} Markdown("**bold**")`. A note.[^n]
[The overview](index.qmd#overview).

[^n]: Which refers to @tbl-html.

{{< include _shared.qmd >}}

![A strip of $z_t$ after @ho2020.](wide.png){#fig-forward fig-alt="six grey squares" width=200}

| variant | FID |
|:--------|----:|
| a       | 1.5 |

: Scores {#tbl-pipe}

$$ z_t = \\sqrt{\\bar\\alpha_t}\\, x $$ {#eq-alpha}

## Overview {#sec-overview}

By @eq-alpha and @sec-overview, after [@ho2020; @bansal2022], [@fig-forward; @tbl-pipe].

### Details {#sec-details}

::: {.callout-note}
A plain note.
:::

::: {.callout-warning}
## Mind the step
A titled one.
:::

::: {layout-ncol=2}
![](wide.png){fig-alt="left"}

![](wide.png){fig-alt="right"}
:::

::: {.content-visible when-format="html"}
Seen in HTML.
:::

::: {.content-hidden when-format="html"}
Hidden in HTML, @fig-nowhere.
:::

::: {.content-visible when-format="pdf"}
Seen in PDF.
:::

## Aside {.unnumbered}

## Close {#sec-close}
""",
    "second.qmd": """# The second chapter {#sec-second}

```{python}
#| output: asis
print("## Computed {#sec-computed}\\n\\nA **computed** sentence about @tbl-cell.\\n")
print("![Printed](wide.png){#fig-printed fig-alt='printed'}\\n")
```

```{python}
#| label: tbl-cell
#| tbl-cap: "From a cell, as in @fig-printed"
from IPython.display import HTML, Markdown
Markdown("| a | b |\\n|---|---|\\n| 1 | 2 |")
```

::: {#tbl-html}

```{=html}
<table><thead><tr><th>raw</th></tr></thead><tbody><tr><td>7</td></tr></tbody></table>
```

A raw table
:::

```{python}
#| label: tbl-rich
#| tbl-cap: "Raw from a cell"
HTML("<table><tr><td>rich</td></tr></table>")
```

```{python}
#| echo: true
import sys, warnings, os
warnings.warn("not to be seen")
print(sys.executable, os.getcwd())
6 * 7
```

```{python}
#| eval: false
#| echo: true
raise SystemExit("never run")
```

::: {#fig-panel layout-ncol=2}
![Left](wide.png){#fig-left fig-alt="l"}

![Right](wide.png){#fig-right fig-alt="r"}

Both sides
:::

$$
\\bar\\alpha_t = \\prod_{s \\le t} (1 - \\beta_s)
$$ {#eq-bar}

See @fig-right, @fig-included, @sec-details, @sec-second and @sec-repeat.
""",
    "repeat.qmd": """# Reproducibility {#sec-repeat}

![The appendix's own](wide.png){#fig-repeat fig-alt="again"}

## Steps {#sec-steps}

@sec-steps, @sec-first, @eq-bar.
""",
}

PRINTED = {
    "fig-summary": "Figure 1",
    "sec-first": "Chapter 1",
    "fig-included": "Figure 1.1",
    "fig-forward": "Figure 1.2",
    "tbl-pipe": "Table 1.1",
    "eq-alpha": "Equation 1.1",
    "sec-overview": "Section 1.1",
    "sec-details": "Section 1.1.1",
    "sec-close": "Section 1.2",
    "sec-second": "Chapter 2",
    "sec-computed": "Section 2.1",
    "fig-printed": "Figure 2.1",
    "tbl-cell": "Table 2.1",
    "tbl-html": "Table 2.2",
    "tbl-rich": "Table 2.3",
    "fig-panel": "Figure 2.2",
    "fig-left": "(a)",
    "fig-right": "(b)",
    "eq-bar": "Equation 2.1",
    "sec-repeat": "Appendix A",
    "fig-repeat": "Figure A.1",
    "sec-steps": "Section A.1",
}


def write_book(folder: Path, **changed: str) -> Path:
    """The book above, or a smaller one in which `index_qmd="..."` and the like are all there is."""
    folder.mkdir(exist_ok=True)
    files = {name.replace("_qmd", ".qmd"): content for name, content in changed.items()} or BOOK
    if changed:
        config = "project:\n  type: book\nbook:\n  title: T\n  chapters: [index.qmd]\n"
        files = {"_quarto.yml": config, "references.bib": BOOK["references.bib"], **files}
    for name, content in files.items():
        (folder / name).write_text(content)
    Image.new("RGB", (400, 100), (80, 120, 200)).save(folder / "wide.png")
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_book(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="module")
def html(project: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("out") / "deep" / "report.html"
    assert render(project, output) == output
    return output.read_text()


@pytest.fixture(scope="module")
def page(html: str) -> BeautifulSoup:
    return BeautifulSoup(html, "html.parser")


def words(element: Tag) -> str:
    return " ".join(element.get_text().split())


def references(soup: BeautifulSoup) -> list[str]:
    return [words(link) for link in soup.find_all("a", class_="quarto-xref")]


def test_every_label_has_its_number(html: str) -> None:
    assert labels(html) == PRINTED


def test_references_print_what_their_labels_say(page: BeautifulSoup) -> None:
    shown = references(page)
    assert shown[:5] == ["Figure 1.2", "Table 1.1", "Equation 1.1", "1 The first chapter", "1.2"]
    assert shown[5:8] == ["Fig. 1.2", "Appendix A — Reproducibility", "Figure A.1"]
    assert {"Figure 2.2 (b)", "Section 1.1.1", "Chapter 2", "Appendix A", "Section A.1", "Table 2.1"} <= set(shown)


def test_the_file_needs_nothing_else(html: str, page: BeautifulSoup) -> None:
    assert all(str(image["src"]).startswith("data:image/png") for image in page.find_all("img"))
    assert not page.find_all(["link", "iframe"])
    assert not page.find_all("script", src=True)
    assert not re.search(r"url\(|@import|src=\"http", html)
    assert len(page.find_all("math", display="block")) == 2


def test_every_link_within_the_file_arrives(page: BeautifulSoup) -> None:
    identifiers = [str(element["id"]) for element in page.find_all(id=True)]
    assert len(identifiers) == len(set(identifiers))
    inner = [str(link["href"])[1:] for link in page.find_all("a", href=re.compile("^#"))]
    assert len(inner) > 30
    assert set(inner) <= set(identifiers)
    assert page.find("a", string="The overview")["href"] == "#overview"
    assert words(page.find(id="overview").h2) == "Overview"


def test_images_keep_their_alternative_text(page: BeautifulSoup) -> None:
    spoken = {image["alt"] for image in page.find_all("img")}
    expected = {"a blue box", "a rising line", "six grey squares", "left", "right", "printed", "l", "r", "again"}
    assert spoken == expected


def test_variables_expressions_and_includes(page: BeautifulSoup) -> None:
    text = words(page)
    assert "A small book by Ada Lovelace; best 2." in text
    assert words(page.find(class_="subtitle")) == "For Deep Learning & more"
    assert "Values: 0.123 and bold." in text
    assert "The shared paragraph says a_b *c*." in text  # a string prints as it is
    assert "never seen" not in text


def test_what_cells_print(project: Path, page: BeautifulSoup) -> None:
    blocks = [words(block) for block in page.find_all("pre")]
    assert f"{sys.executable} {project.resolve()}" in blocks
    assert "42" in blocks
    assert 'raise SystemExit("never run")' in blocks
    assert not any("seen" in block for block in blocks if "warnings.warn" not in block)
    assert words(page.find(id="tbl-rich").table) == "rich"
    assert page.find(id="tbl-cell").find("a", class_="quarto-xref")["href"] == "#fig-printed"


def test_conditional_content_is_html_s(page: BeautifulSoup) -> None:
    text = words(page)
    assert "Seen in HTML." in text
    assert "Hidden in HTML" not in text
    assert "Seen in PDF" not in text


def test_callouts_and_layouts(page: BeautifulSoup) -> None:
    note, warning = page.find_all(class_="callout")
    assert words(note) == "Note A plain note."
    assert words(warning.find(class_="callout-title")) == "Mind the step"
    sides = page.find("img", alt="left").find_parent(class_="layout")
    assert "2" in str(sides["style"])
    assert len(sides.find_all("img")) == 2


def test_wide_things_scroll_in_their_own_box(page: BeautifulSoup) -> None:
    assert all(table.find_parent(class_="scroll") for table in page.find_all("table"))
    assert all(formula.find_parent(class_="display") for formula in page.find_all("math", display="block"))


def test_styles_and_scripts_of_the_book_are_in_the_file(page: BeautifulSoup) -> None:
    assert any(".own { color: teal }" in style.get_text() for style in page.find_all("style"))
    assert "and more" in page.find_all("script")[-1].get_text()


def test_notes_and_bibliography(page: BeautifulSoup) -> None:
    assert "Ho and Jain (2020)" in words(page.find(id="fig-forward"))
    assert words(page.find(id="fn1")).startswith("Which refers to Table 2.2.")
    entries = [words(entry) for entry in page.find_all(class_="csl-entry")]
    assert len(entries) == 2
    assert "Cold Diffusion" in entries[0]


def test_says_which_renderer_made_it(page: BeautifulSoup) -> None:
    assert "plain renderer" in words(page.find(class_="banner"))
    assert page.html["lang"] == "en"
    contents = words(page.find("nav"))
    assert "1 The first chapter" in contents
    assert contents.index("The second part") < contents.index("2 The second chapter")


@pytest.mark.skipif(not shutil.which("quarto"), reason="quarto is not installed")
def test_quarto_prints_the_same_labels_and_references(html: str, project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "book")
    environment = {**os.environ, "QUARTO_PYTHON": sys.executable}
    command = ["quarto", "render", str(tmp_path / "book"), "--to", "html"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = [
        (tmp_path / "book" / "_book" / f"{name}.html").read_text() for name in ("index", "first", "second", "repeat")
    ]
    theirs: dict[str, str] = {}
    for content in pages:
        theirs |= labels(content)
    assert theirs == labels(html)

    def elsewhere(soup: BeautifulSoup) -> list[str]:
        # Quarto gathers notes at the end of each page, the plain renderer at the end of the file.
        for notes in soup.find_all(id="footnotes"):
            notes.decompose()
        return references(soup)

    quartos = [shown for content in pages for shown in elsewhere(BeautifulSoup(content, "html.parser"))]
    assert quartos == elsewhere(BeautifulSoup(html, "html.parser"))


WRONG = {
    "a reference": ("# S\n\nSee @fig-none.", r"index\.qmd: @fig-none refers to nothing"),
    "a citation": ("# S\n\nSee @nobody1999.", r"index\.qmd: @nobody1999 is neither a label nor a key"),
    "an image": ("# S\n\n![a](none.png)", r"index\.qmd: the image none\.png does not exist"),
    "a remote image": ("# S\n\n![a](https://example.org/a.png)", r"is on another machine"),
    "a remote raw image": ("# S\n\n<img src='https://example.org/a.png'>\n", r"is on another machine"),
    "a variable": ("# S\n\n{{< var a.b >}}", r"names a value that does not exist: add a\.b to _variables\.yml"),
    "a shortcode": ("# S\n\n{{< video x.mp4 >}}", r"does not know the shortcode \{\{< video"),
    "an include": ("# S\n\n{{< include _none.qmd >}}", r"_none\.qmd does not exist: .* index\.qmd includes in line 3"),
    "an endless include": (
        "# S\n\n{{< include index.qmd >}}",
        r"index\.qmd, line 3: index\.qmd ends up including itself",
    ),
    "a label": ("# S\n\n![a](wide.png){#fig-a}\n\n![b](wide.png){#fig-a}", r"the label fig-a is given a second time"),
    "a link": ("# S\n\n[x](none.qmd)", r"the link to none\.qmd leads to no page"),
    "no title": ("Text only.", r"index\.qmd has 0 headings of level 1"),
    "two titles": ("# S\n\n# T", r"index\.qmd has 2 headings of level 1"),
    "an option": ("# S\n\n```{python}\n#| fig-cpa: x\n1\n```", r"index\.qmd, line 3: .* the cell option fig-cpa"),
    "options": (
        "# S\n\n```{python}\n#| fig-cap: [x\n1\n```",
        r"index\.qmd, line 3: what follows #\| is not valid YAML",
    ),
    "a language": ("# S\n\n```{r}\n1\n```", r"index\.qmd, line 3: a cell in r; only Python"),
    "an open block": ("# S\n\n```{python}\n1\n", r"index\.qmd, line 3: the block opened here is never closed"),
    "an expression": ("# S\n\n`{python} 1`", r"index\.qmd, line 3: .*add `jupyter: python3`"),
    "an unnumbered section": ("# S\n\n## T {#sec-t .unnumbered}\n\n@sec-t", r"@sec-t has no number to print"),
    "a formula": ("# S\n\n$$ \\frac{a $$", r"pandoc refuses it: .*math"),
    "an open div": ("# S\n\n::: {.callout-note}\nx\n", r"index\.qmd: pandoc refuses it: .*unclosed"),
    "a mixed bracket": ("# S {#sec-s}\n\n[@sec-s; @ho2020]", r"at @sec-s Quarto prints the reference alone"),
    "a citation after a reference": ("# S {#sec-s}\n\n@sec-s [@ho2020]", r"Quarto prints the reference alone"),
    "a printed figure": (
        "# S\n\n```{python}\n#| label: fig-a\n#| output: asis\nprint(1)\n```",
        r"index\.qmd, line 3: Quarto takes the last paragraph",
    ),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_in_one_sentence(content: str, message: str, tmp_path: Path) -> None:
    config = "project:\n  type: book\nbook:\n  title: T\n  chapters: [index.qmd]\nbibliography: references.bib\n"
    book = write_book(tmp_path / "book", index_qmd=content, **{"_quarto.yml": config})
    output = tmp_path / "report.html"
    output.write_text("the old one")
    with pytest.raises(ThawError, match=message) as caught:
        render(book, output)
    assert "\n" not in str(caught.value)
    assert output.read_text() == "the old one"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["book", "report.html"]


def test_a_failing_cell_is_named_with_its_line_and_its_kernel_ends(tmp_path: Path) -> None:
    cell = "# S\n\n```{python}\n#| label: tbl-x\nx = 1\nx + missing\n```\n"
    before = set(psutil.Process().children())
    with pytest.raises(ThawError, match=r"^index\.qmd, line 6 \(cell tbl-x\): .*NameError: name 'missing'"):
        render(write_book(tmp_path / "book", index_qmd=cell), tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
    assert set(psutil.Process().children()) <= before


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("project:\n  type: website\n", "only books"),
        ("project: {type: book}\nbook: {chapters: [none.qmd]}\n", r"none\.qmd does not exist: .* lists"),
        ("project: {type: book}\nbook: {chapters: [{href: x}]}\n", r"the chapter \{'href': 'x'\} is neither"),
        ("project: {type: book}\nbook: {chapters: []}\nbibliography: no.bib\n", r"the bibliography no\.bib does not"),
        ("project: [", r"_quarto\.yml is not valid YAML"),
        (
            "project: {type: book}\nbook: {chapters: [], title: T}\nformat: {html: {css: no.css}}\n",
            r"css names no\.css, which is no file beside it",
        ),
    ],
)
def test_a_wrong_project_file(config: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=message):
        render(write_book(tmp_path / "book", **{"_quarto.yml": config}), tmp_path / "report.html")


def test_a_folder_without_a_project(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=r"_quarto\.yml does not exist"):
        render(tmp_path, tmp_path / "report.html")


def headings(levels: list[int]) -> Iterator[Node]:
    for index, level in enumerate([1, *levels]):
        yield {"t": "Header", "c": [level, [f"sec-{index}", [], []], [{"t": "Str", "c": "x"}]]}


@given(st.lists(st.integers(2, 6), max_size=30))
def test_section_numbers_rise_through_a_chapter(levels: list[int]) -> None:
    targets = number_pages([Page("a.qmd", Path(), list(headings(levels)))])
    numbers = [tuple(map(int, target.number.split("."))) for target in targets.values()]
    assert all(before < after for before, after in pairwise(numbers))
    assert [len(number) for number in numbers] == [1, *levels]


LATE = """# Late

```{python}
#| output: asis
import time
get_ipython().kernel.iopub_thread.schedule(lambda: time.sleep(SECONDS))
print("arrived", "at", "last")
```
"""


def test_a_kernel_waits_for_what_it_prints_as_long_as_its_reader(tmp_path: Path) -> None:
    cell = "# S\n\n```{python}\nimport sys\nprint([s.flush_timeout for s in (sys.stdout, sys.stderr)])\n```\n"
    output = render(write_book(tmp_path / "book", index_qmd=cell), tmp_path / "report.html")
    assert str([cells.PATIENCE_SECONDS] * 2) in output.read_text()


def test_what_never_arrives_stops_the_rendering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "PATIENCE_SECONDS", 1)
    book = write_book(tmp_path / "book", index_qmd=LATE.replace("SECONDS", "15"))
    with pytest.raises(ThawError, match=r"index\.qmd.*did not arrive within 1 seconds: render again"):
        render(book, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


PIECES = r"""# Pieces

```{python}
#| output: asis
#| warning: false
import sys

print("| a | b |\n|---|---|\n| 1 ", end="", flush=True)
print("beside it", file=sys.stderr, flush=True)
print("| 2 |\n\n: Whole. {#tbl-whole}")
```
"""


def test_what_is_printed_in_pieces_is_put_together(tmp_path: Path) -> None:
    output = render(write_book(tmp_path / "book", index_qmd=PIECES), tmp_path / "report.html")
    table = BeautifulSoup(output.read_text(), "html.parser").find(id="tbl-whole").table
    assert [[words(cell) for cell in row.find_all(["th", "td"])] for row in table.find_all("tr")] == [
        ["a", "b"],
        ["1", "2"],
    ]
