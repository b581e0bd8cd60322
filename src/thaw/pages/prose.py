"""The pages that somebody wrote, and how many words they have."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thaw.params import read_yaml

DROPPED = re.compile(
    r"\A---\n.*?\n---\n"  # front matter
    r"|^(`{3,}).*?^\1[`]*\s*$"  # cells and code
    r"|^\$\$.*?\$\$(?:\s*\{#[^}]*\})?"  # displayed formulas
    r"|\$[^$\n]+\$"
    r"|<!--.*?-->"
    r"|\{\{<.*?>\}\}"
    r"|\[?-?@[\w-]+[^\]\s]*\]?"  # citations and references
    r"|\{[#.][^}]*\}"  # attributes
    r"|^:::.*?$"
    r"|\]\([^)]*\)",  # where a link leads
    re.MULTILINE | re.DOTALL,
)
WORD = re.compile(r"[^\W_](?:[^\W_]|[’'–-](?=[^\W_]))*")


def count_words(markdown: str) -> int:
    """The words of a page's source: its prose and headings, without code, formulas, citations and attributes."""
    return len(WORD.findall(DROPPED.sub(" ", markdown)))


def chapters(report: Path) -> list[str]:
    """The pages that _quarto.yml of a book names, in their order, in whatever parts."""
    return list(_pages(read_yaml(report / "_quarto.yml")["book"]))


def _pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, str) and entry.endswith(".qmd"):
        yield entry
    elif isinstance(entry, list | dict):
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from _pages(inner)
