"""The pages that somebody wrote: what they say of themselves, their order, and how many words they have."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw.errors import ThawError
from thaw.params import read_yaml

FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
DROPPED = re.compile(
    r"^(`{3,}).*?^\1[`]*\s*$"  # cells and code
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
    return len(WORD.findall(DROPPED.sub(" ", FRONT_MATTER.sub(" ", markdown))))


def parse_yaml(content: str, where: str) -> dict[str, Any]:
    """The `key: value` lines of a part of a page. Raises ThawError, naming `where`, if they are something else."""
    try:
        return dict(YAML(typ="safe").load(content) or {})
    except (YAMLError, TypeError, ValueError) as error:
        raise ThawError(f"{where}: {' '.join(str(error).split())}; give `key: value` lines.") from error


def front_matter(page: Path) -> dict[str, Any]:
    """What a page says of itself in the lines above its text, with what its `metadata-files` say beside it."""
    found = FRONT_MATTER.match(page.read_text("utf-8")) if page.exists() else None
    front = parse_yaml(found[1], f"{page.name}, its front matter") if found else {}
    for name in front.get("metadata-files", []):
        front = read_yaml(page.parent / name) | front
    return front


def chapters(report: Path) -> list[str]:
    """The pages that _quarto.yml of a book names, in their order, in whatever parts. Raises ThawError without any."""
    path = report / "_quarto.yml"
    found = list(_pages((read_yaml(path) or {}).get("book")))
    if not found:
        raise ThawError(f"{path} names no page of a book: list the pages below `book: chapters:`.")
    return found


def _pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, str) and entry.endswith(".qmd"):
        yield entry
    elif isinstance(entry, list | dict):
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from _pages(inner)
