"""Tables written in the language of the output before Quarto sees them.

Quarto's filters go through every word of every cell many times, which takes longer than everything else on a page of
tables. What is HTML or Typst already they leave alone. The label and the caption stay Markdown, so that Quarto numbers
the table and resolves the references in its caption.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from thaw.reporting.render import pandoc

TABLE = re.compile(
    r"^(?P<table>\|.*\|\n\|[:|-]+\|\n(?:\|.*\|\n)+)\n: (?P<caption>.*) \{#(?P<label>tbl-[\w-]+)\}\n", re.MULTILINE
)
"""A table as `thaw.reporting.tables` prints it."""
RESOLVED = re.compile(r"@|\{\{<")
"""What Quarto resolves: references, citations and shortcodes."""
BETWEEN = "--- the next table ---"
WITHOUT_WIDTHS = "--columns=1000000"
"""pandoc gives columns widths by the dashes below their titles where a row is longer than this."""
HTML_TABLE = '<table class="caption-top table" data-quarto-disable-processing="true">'
"""Quarto's classes of a table, and the attribute of one that it is not to read again."""


def with_html_tables(pieces: Sequence[str]) -> list[str]:
    """The pieces of Markdown with their tables as HTML. Raises ThawError where pandoc refuses one."""

    def html(markdown: str) -> str:
        return _written(markdown, "--to=html5", "--mathml").replace("<table>", HTML_TABLE)

    return _with_tables("html", html, pieces)


def with_typst_tables(pieces: Sequence[str], filters: Sequence[Path]) -> list[str]:
    """The pieces of Markdown with their tables in Typst, as Lua filters shape them.

    Raises ThawError where pandoc refuses a table.
    """

    def typst(markdown: str) -> str:
        return _written(markdown, "--to=typst", *(f"--lua-filter={path}" for path in filters))

    return _with_tables("typst", typst, pieces)


def _written(markdown: str, *options: str) -> str:
    return pandoc(["--from=markdown", "--wrap=none", WITHOUT_WIDTHS, *options], markdown, "the tables")


def _with_tables(language: str, write: Callable[[str], str], pieces: Sequence[str]) -> list[str]:
    """The pieces with their tables in a language, but for tables in whose cells Quarto has something to resolve."""

    def raw(content: str) -> str:
        return f"```{{={language}}}\n{content}\n```"

    found = [match["table"] for piece in pieces for match in TABLE.finditer(piece) if _is_plain(match)]
    tables = iter(write(f"\n{raw(BETWEEN)}\n\n".join(found)).split(BETWEEN))

    def replaced(match: re.Match[str]) -> str:
        if not _is_plain(match):
            return match[0]
        return f"::: {{#{match['label']}}}\n\n{raw(next(tables).strip())}\n\n{match['caption']}\n\n:::\n"

    return [TABLE.sub(replaced, piece) for piece in pieces]


def _is_plain(match: re.Match[str]) -> bool:
    return not RESOLVED.search(match["table"])
