"""The cells of all pages run in one kernel, and what they print put where Quarto looks before it runs a page.

Quarto starts a kernel for every page, and each takes longer to start than to print what the page asks for. With
`freeze: auto` it leaves a page alone that it finds in the freezer, `_freeze/PAGE/execute-results/FORMAT.json`, beside a
checksum of the page as it is. Where the format of these files should change, Quarto runs the pages itself. FORMAT is
Quarto's name of a format, `typ` that of typst.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from thaw.errors import ThawError
from thaw.files import write_json
from thaw.reporting.cells import Cell, execute
from thaw.reporting.ready_tables import with_html_tables, with_typst_tables
from thaw.reporting.render import Source, read_book, read_source


def freeze(folder: Path) -> None:
    """Replace the freezer of the Quarto book in `folder` by what its pages print now.

    Pages that do more than print Markdown are left to Quarto, and so are all where a page cannot be read here. Raises
    ThawError where a cell fails.
    """
    freezer = folder / "_freeze"
    shutil.rmtree(freezer, ignore_errors=True)
    try:
        book = read_book(folder)
        sources = [read_source(book, name) for name, _, _ in book.chapters]
        filters = book.files("filters", "typst")
    except ThawError as error:
        print(f"Quarto runs the pages by itself: {error}", file=sys.stderr)
        return
    pages = [source for source in sources if source.cells and all(map(_prints_as_it_is, source.cells))]
    execute([(source.cells, source.cells_run_in) for source in pages])
    pages = [source for source in pages if all(map(_printed_nothing_else, source.cells))]
    printed = [cell.markdown(source.cells_run_in) for source in pages for cell in source.cells]
    try:
        with ThreadPoolExecutor() as beside:
            typst = beside.submit(with_typst_tables, printed, filters)
            ready = {"html": with_html_tables(printed), "typ": typst.result()}
    except ThawError as error:
        print(f"Quarto reads all tables by itself: {error}", file=sys.stderr)
        ready = {"html": printed, "typ": printed}
    for name, pieces in ready.items():
        rest = iter(pieces)
        for source in pages:
            content = source.path.read_text("utf-8")  # with \n for every kind of line end, as Quarto reads it too
            result = {"engine": "jupyter", "markdown": _markdown(source, rest), "supporting": [], "filters": []}
            checksum = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
            path = freezer / Path(source.name).with_suffix("") / "execute-results" / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"hash": checksum, "result": result})


def _prints_as_it_is(cell: Cell) -> bool:
    return cell.inline or (cell.options["output"] == "asis" and not cell.options["echo"])


def _printed_nothing_else(cell: Cell) -> bool:
    return cell.inline or all(output["output_type"] == "stream" for output in cell.outputs)


def _markdown(source: Source, printed: Iterator[str]) -> str:
    """The page, with the next of what is printed in the place of each cell."""
    front = f"---\n{json.dumps(source.front)}\n---\n\n" if source.front else ""
    return front + "".join(next(printed) if isinstance(piece, Cell) else piece for piece in source.pieces)
