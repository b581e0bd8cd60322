"""Rendering the report with whichever renderer this machine has."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from thaw.artifacts import Artifacts
from thaw.errors import ThawError
from thaw.reporting.prose import chapters
from thaw.reporting.render import render


def publish(artifacts: Artifacts) -> str:
    """Render report/ to report/_book, and return a sentence that says where it is and what rendered it.

    Quarto does it where it is installed, beside this Python or elsewhere; otherwise the plain renderer does. Raises
    ThawError where the rendering fails.
    """
    page = artifacts.book / "index.html"
    quarto = find_quarto()
    if quarto is None:
        render(artifacts.report, page)
        return f"The report is {page} (by thaw's plain renderer, since there is no quarto on PATH)."
    pages = [(artifacts.book / name).with_suffix(".html") for name in chapters(artifacts.report)]
    by_quarto(quarto, artifacts.report, pages)
    return f"The report is {page} (by quarto)."


def find_quarto() -> str | None:
    """The program `quarto`, beside this Python or on PATH, or None where it is not installed."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return shutil.which("quarto", path=programs)


def by_quarto(quarto: str, source: Path, written: Sequence[Path]) -> None:
    """Have Quarto render a page or a project to the files `written`. Raises ThawError where one of them is missing."""
    import quarto as interface  # the name of PyPI's package is that of the program

    os.environ["QUARTO_PYTHON"] = sys.executable
    os.environ["QUARTO_PATH"] = quarto
    for file in written:
        file.unlink(missing_ok=True)
    interface.render(str(source))  # it does not say whether Quarto succeeded
    for file in written:
        if not file.exists():
            raise ThawError(f"quarto could not render {source} to {file.name}, for the reason above.")
