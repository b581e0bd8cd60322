"""Rendering the student's own report, which is no chapter of the book."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from ruamel.yaml import YAML

from thaw.artifacts import Artifacts
from thaw.errors import ThawError
from thaw.files import replacing
from thaw.reporting.cells import read_yaml
from thaw.reporting.coursework import WORDS, chosen, page
from thaw.reporting.publish import by_quarto, find_quarto
from thaw.reporting.render import render
from thaw.reporting.results import Results

VARIANTS = "THAW_VARIANTS"
"""The variable of the environment that the page reads the names of its variants from."""
FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


def publish_paper(artifacts: Artifacts, variants: str) -> str:
    """Render report/coursework.qmd about `variants` to report/_coursework; say where it is and how many words it has.

    Quarto makes an HTML and a PDF file where it is installed; otherwise the plain renderer makes the HTML file. Raises
    ThawError where params.yaml has no such variant or the rendering fails; what stood there before then stays.
    """
    if not page(artifacts).is_file():
        raise ThawError(f"{page(artifacts)} does not exist: it should be the report; `git checkout` brings it back.")
    names = chosen(Results(artifacts), variants)
    os.environ[VARIANTS] = ",".join(names)
    output = artifacts.coursework / "coursework.html"
    quarto = find_quarto()
    if quarto is None:
        _by_plain_renderer(artifacts, output)
        where = f"{output} (by thaw's plain renderer, since there is no quarto on PATH, which would make a PDF too)"
    else:
        written = [page(artifacts).with_suffix(suffix) for suffix in (".html", ".pdf")]
        by_quarto(quarto, page(artifacts), written)
        for file in written:
            with replacing(output.with_suffix(file.suffix)) as temporary:
                file.replace(temporary)
        where = f"{output} and {output.with_suffix('.pdf').name} beside it (by quarto)"
    return f"The report about {', '.join(names)} is {where}. {_word_count(output)}"


def _by_plain_renderer(artifacts: Artifacts, output: Path) -> None:
    """Render the page as a book of one chapter without a number, which is what the plain renderer knows."""
    source = page(artifacts)
    report = source.parent
    variables: dict[str, Any] = read_yaml((report / "_variables.yml").read_text("utf-8"), "_variables.yml")
    config: dict[str, Any] = read_yaml((report / "_quarto.yml").read_text("utf-8"), "_quarto.yml")
    written = FRONT_MATTER.match(text := source.read_text("utf-8"))
    front = read_yaml(written[1], f"{source.name}, its front matter,") if written else {}
    body = text[written.end() :] if written else text
    book = {
        "title": front.get("title", "Report"),
        "subtitle": variables.get("course", ""),
        "author": variables.get("author", ""),
        "chapters": ["index.qmd"],
    }
    config = variables | config | {"book": book}
    project = artifacts.scratch("coursework")
    with replacing(project) as folder:
        left_out = shutil.ignore_patterns("_book", "_coursework", "_freeze", "*.qmd", ".*", "figures")
        shutil.copytree(report, folder, ignore=left_out)
        with (folder / "_quarto.yml").open("w", encoding="utf-8") as file:
            YAML().dump(config, file)
        (folder / "index.qmd").write_text(f"# Abstract {{.unnumbered}}\n\n{{{{< meta abstract >}}}}\n\n{body}", "utf-8")
    # The page writes its pictures into report/figures, wherever it is rendered.
    (project / "figures").symlink_to(report / "figures", target_is_directory=True)
    render(project, output)


def _word_count(output: Path) -> str:
    counted = BeautifulSoup(output.read_text("utf-8"), "html.parser").find(class_="word-count")
    words = int(counted.get_text()) if counted else 0
    too_many = f", {words - WORDS} too many" if words > WORDS else ""
    return f"It has {words} words of at most {WORDS}{too_many}."
