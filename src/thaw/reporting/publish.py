"""Rendering the report with whichever renderer this machine has."""

import os
import shutil
import sys
from pathlib import Path

from thaw.artifacts import Artifacts
from thaw.errors import ThawError
from thaw.reporting.render import render


def publish(artifacts: Artifacts) -> str:
    """Render report/ to report/_book, and return a sentence that says where it is and what rendered it.

    Quarto does it where it is installed, beside this Python or elsewhere; otherwise the plain renderer does. Raises
    ThawError where the rendering fails.
    """
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    page = artifacts.book / "index.html"
    quarto = shutil.which("quarto", path=programs)
    if quarto is None:
        render(artifacts.report, page)
        return f"The report is {page} (by thaw's plain renderer, since there is no quarto on PATH)."
    import quarto as interface  # the name of PyPI's package is that of the program

    os.environ["QUARTO_PYTHON"] = sys.executable
    os.environ["QUARTO_PATH"] = quarto
    page.unlink(missing_ok=True)
    interface.render(str(artifacts.report))  # it does not say whether Quarto succeeded
    if not page.exists():
        raise ThawError("quarto could not render report/, for the reason above.")
    return f"The report is {page} (by quarto)."
