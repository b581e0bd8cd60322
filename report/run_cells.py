"""What Quarto runs before it renders the book: the cells of all pages, in one kernel instead of one for each page."""

import os
import sys
from pathlib import Path

if os.environ.get("QUARTO_PROJECT_RENDER_ALL"):  # a page that is rendered alone is always run by Quarto
    try:
        from thaw.errors import ThawError
        from thaw.reporting.freezer import freeze
    except ModuleNotFoundError as error:
        sys.exit(
            f"The report's pages need {error.name}, which {sys.executable} does not have: `make env` sets up an "
            "environment that has it, and QUARTO_PYTHON names the Python that Quarto takes."
        )
    try:
        freeze(Path(__file__).parent)
    except ThawError as error:
        sys.exit(f"thaw: {error}")
