"""What is put where Quarto looks before it runs a page, and what Quarto does with it where there is one."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from thaw.errors import ThawError
from thaw.reporting.freezer import freeze

ROOT = Path(__file__).parents[1]
CONFIG = """
project: {type: book, pre-render: run_cells.py}
book: {title: T, chapters: [index.qmd, drawn.qmd, plain.qmd]}
jupyter: python3
execute: {echo: false, freeze: auto}
"""
INDEX = """---
lang: en
---

# Summary

{{< include _shared.qmd >}}

Half of it is `{python} 1 / 2`.
"""
SHARED = """Shared.

```{python}
#| output: asis
import os
from pathlib import Path

print("## Printed {#sec-printed}")
with Path("processes").open("a") as file:
    file.write(f"{os.getpid()}\\n")
```
"""
DRAWN = """# Drawn

```{python}
#| output: asis
import os
from pathlib import Path

with Path("processes").open("a") as file:
    file.write(f"{os.getpid()}\\n")
```
"""
PLAIN = "# Plain\n\nSee @sec-printed.\n"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    folder = tmp_path / "book"
    folder.mkdir()
    pages = {"index": INDEX, "_shared": SHARED, "drawn": DRAWN, "plain": PLAIN}
    for name, content in pages.items():
        (folder / f"{name}.qmd").write_text(content)
    (folder / "_quarto.yml").write_text(CONFIG)
    shutil.copy(ROOT / "report" / "run_cells.py", folder)
    return folder


def frozen(book: Path) -> set[str]:
    return {path.parts[-3] for path in book.glob("_freeze/*/execute-results/html.json")}


def run_cells(book: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **settings}
    command = [sys.executable, "run_cells.py"]
    return subprocess.run(command, cwd=book, env=environment, capture_output=True, text=True)


def test_a_page_is_kept_as_it_prints_beside_the_checksum_of_its_source(book: Path) -> None:
    freeze(book)
    assert frozen(book) == {"index", "drawn"}
    for name in ("html", "typ"):
        kept = json.loads((book / "_freeze" / "index" / "execute-results" / f"{name}.json").read_text())
        assert kept["hash"] == hashlib.md5(INDEX.encode()).hexdigest()
        assert kept["result"]["engine"] == "jupyter"
        lines = kept["result"]["markdown"].splitlines()
        assert [line for line in lines if line] == [
            "---", '{"lang": "en"}', "---", "# Summary", "Shared.", "## Printed {#sec-printed}", "Half of it is 0.5.",
        ]  # fmt: skip


def test_one_kernel_runs_all_pages(book: Path) -> None:
    freeze(book)
    processes = (book / "processes").read_text().split()
    assert len(processes) == 2
    assert len(set(processes)) == 1


@pytest.mark.parametrize(
    "cell",
    ["#| output: asis\nfrom IPython.display import display, HTML\n\ndisplay(HTML('<b>1</b>'))", "1 + 1",
     "#| output: asis\n#| echo: true\nprint(1)"],
    ids=["a display", "a value", "source"],
)  # fmt: skip
def test_a_page_that_shows_more_than_it_prints_is_left_to_quarto(cell: str, book: Path) -> None:
    (book / "drawn.qmd").write_text(f"# Drawn\n\n```{{python}}\n{cell}\n```\n")
    freeze(book)
    assert frozen(book) == {"index"}


TABLE = "print('| a | b |\\n|:--|--:|\\n| *x* | 1 |\\n\\n: Numbers. {#tbl-numbers}\\n')"
BROKEN = "return {{ Table = function() return quarto.missing() end }}"


def with_a_table(book: Path, filters: str) -> None:
    page = f"# Drawn\n\n```{{python}}\n#| output: asis\n{TABLE}\n```\n\nSee @tbl-numbers.\n"
    (book / "drawn.qmd").write_text(page)
    (book / "_quarto.yml").write_text(f"{CONFIG}format: {{html: default, typst: {{filters: [{filters}]}}}}\n")
    (book / "broken.lua").write_text(BROKEN)


def test_tables_are_kept_in_the_language_of_the_output(book: Path) -> None:
    with_a_table(book, "")
    freeze(book)
    for name, written in (("html", '<td style="text-align: left;"><em>x</em></td>'), ("typ", "[#emph[x]], [1]")):
        kept = json.loads((book / "_freeze" / "drawn" / "execute-results" / f"{name}.json").read_text())
        assert written in kept["result"]["markdown"]
        assert "::: {#tbl-numbers}" in kept["result"]["markdown"]


def test_tables_that_only_quarto_can_shape_are_left_to_it(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_a_table(book, "broken.lua")
    freeze(book)
    assert "Quarto reads all tables by itself: the tables: pandoc refuses it" in capsys.readouterr().err
    for name in ("html", "typ"):
        kept = json.loads((book / "_freeze" / "drawn" / "execute-results" / f"{name}.json").read_text())
        assert "| *x* | 1 |" in kept["result"]["markdown"]


def test_a_filter_that_is_no_file_leaves_all_to_quarto(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_a_table(book, "some-extension")
    freeze(book)
    assert "filters names some-extension" in capsys.readouterr().err
    assert not frozen(book)


def test_what_was_kept_before_is_never_left_behind(book: Path) -> None:
    freeze(book)
    (book / "drawn.qmd").write_text("# Drawn\n\n```{python}\n#| output: asis\nmissing\n```\n")
    with pytest.raises(ThawError, match=r"^drawn\.qmd, line 5: .*NameError: name 'missing'"):
        freeze(book)
    assert not frozen(book)


def test_a_page_that_only_quarto_can_run_leaves_all_to_quarto(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    freeze(book)
    (book / "drawn.qmd").write_text("# Drawn\n\n```{r}\n1\n```\n")
    freeze(book)
    assert not frozen(book)
    assert "a cell in r" in capsys.readouterr().err


def test_nothing_is_run_before_a_page_that_is_rendered_alone(book: Path) -> None:
    done = run_cells(book)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not frozen(book)


def test_a_failing_cell_stops_the_rendering_with_one_sentence(book: Path) -> None:
    (book / "drawn.qmd").write_text("# Drawn\n\n```{python}\n#| output: asis\nmissing\n```\n")
    done = run_cells(book, QUARTO_PROJECT_RENDER_ALL="1")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("thaw: drawn.qmd, line 5: the cell stops with NameError")


def test_a_python_that_lacks_thaw_is_named(book: Path) -> None:
    command = [sys.executable, "-S", "run_cells.py"]  # without site-packages
    environment = {"PATH": os.environ["PATH"], "QUARTO_PROJECT_RENDER_ALL": "1"}
    done = subprocess.run(command, cwd=book, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("The report's pages need thaw, which")
    assert "QUARTO_PYTHON" in done.stderr


@pytest.mark.skipif(shutil.which("quarto") is None, reason="quarto is not on PATH")
def test_quarto_takes_what_was_kept(book: Path) -> None:
    cell = DRAWN.removeprefix("# Drawn\n")
    with_a_table(book, "")
    (book / "drawn.qmd").write_text((book / "drawn.qmd").read_text() + cell)
    environment = {**os.environ, "QUARTO_PYTHON": sys.executable, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        ["quarto", "render", str(book), "--to", "html"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(set((book / "processes").read_text().split())) == 1
    page = BeautifulSoup((book / "_book" / "index.html").read_text(), "html.parser")
    assert page.find(id="sec-printed").h2.get_text(strip=True).endswith("Printed")
    assert "Half of it is 0.5." in page.get_text()
    drawn = BeautifulSoup((book / "_book" / "drawn.html").read_text(), "html.parser")
    numbers = drawn.find(id="tbl-numbers")
    assert numbers.figcaption.get_text(strip=True).replace("\xa0", " ") == "Table 2.1: Numbers."
    assert [cell.get_text() for cell in numbers.find_all("td")] == ["x", "1"]
    assert drawn.find(class_="quarto-xref").get_text().replace("\xa0", " ") == "Table 2.1"
    reference = BeautifulSoup((book / "_book" / "plain.html").read_text(), "html.parser").find(class_="quarto-xref")
    assert reference["href"].removeprefix("./") == "index.html#sec-printed"
