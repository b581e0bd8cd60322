"""Rendering the report, and the student's own, with Quarto where this machine has it, or else with `plain`."""

import os
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from thaw.errors import ThawError
from thaw.files import reading, replacing
from thaw.pages.coursework import WORDS, chosen, page
from thaw.pages.plain import render
from thaw.pages.prose import chapters
from thaw.results.layout import Artifacts
from thaw.results.measurements import Results, results

VARIANTS = "THAW_VARIANTS"
"""The variable of the environment that coursework.qmd reads the names of its variants from."""
PLAIN = "by thaw's plain renderer, since there is no quarto on PATH"


def publish(artifacts: Artifacts) -> str:
    """Render report/ to report/_book, and return a sentence that says where it is and what rendered it.

    Raises ThawError where a figure is damaged or the rendering fails.
    """
    _check_figures(artifacts.figures)
    index = artifacts.book / "index.html"
    written = [(artifacts.book / name).with_suffix(".html") for name in chapters(artifacts.report)]
    if by_quarto(artifacts.report, written):
        return f"The report is {index} (by quarto)."
    results.cache_clear()  # the pages are run in this process
    render(artifacts.report, index)
    return f"The report is {index} ({PLAIN})."


def publish_coursework(artifacts: Artifacts, variants: str) -> str:
    """Render report/coursework.qmd about `variants` to report/_coursework; say where it is and how many words it has.

    Quarto makes an HTML and a PDF file; the plain renderer makes the HTML file. Raises ThawError where params.yaml has
    no such variant, a figure is damaged or the rendering fails; what stood there before then stays.
    """
    _check_figures(artifacts.figures)
    source = page(artifacts)
    if not source.is_file():
        raise ThawError(f"{source} does not exist: it should be the report; `git checkout` brings it back.")
    names = chosen(Results(artifacts), variants)
    os.environ[VARIANTS] = ",".join(names)
    output = artifacts.report / "_coursework" / "coursework.html"
    written = [source.with_suffix(suffix) for suffix in (".html", ".pdf")]
    if by_quarto(source, written):
        for file in written:
            with replacing(output.with_suffix(file.suffix)) as temporary:
                file.replace(temporary)
        where = f"{output} and {output.with_suffix('.pdf').name} beside it (by quarto)"
    else:
        results.cache_clear()
        render(artifacts.report, output, alone=source.name)
        where = f"{output} ({PLAIN}, which would make a PDF too)"
    counted = re.search(r'class="word-count">(\d+)<', output.read_text("utf-8"))
    words = int(counted[1]) if counted else 0
    too_many = f", {words - WORDS} too many" if words > WORDS else ""
    return f"The report about {', '.join(names)} is {where}. It has {words} words of at most {WORDS}{too_many}."


def _check_figures(folder: Path) -> None:
    """Raise ThawError where a figure is damaged, in whose place a browser would show nothing, and nobody would know."""
    for path in sorted(folder.glob("*.*")):
        with reading(path):
            if path.suffix == ".svg":
                ET.parse(path)
            elif path.suffix in (".png", ".webp"):
                with Image.open(path) as picture:
                    picture.load()


def find_quarto() -> str | None:
    """The program `quarto`, beside this Python or on PATH, or None where it is not installed."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return shutil.which("quarto", path=programs)


def by_quarto(source: Path, written: Sequence[Path]) -> bool:
    """Have Quarto render a page or a project to the files `written`; False where Quarto is not installed.

    Raises ThawError where one of the files is missing afterwards.
    """
    quarto = find_quarto()
    if quarto is None:
        return False
    import quarto as interface  # the name of PyPI's package is that of the program

    os.environ |= {"QUARTO_PYTHON": sys.executable, "QUARTO_PATH": quarto}
    for file in written:
        file.unlink(missing_ok=True)
    interface.render(str(source))  # it does not say whether Quarto succeeded
    for file in written:
        if not file.exists():
            raise ThawError(f"quarto could not render {source} to {file.name}, for the reason above.")
    return True
