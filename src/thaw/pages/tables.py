"""Markdown as the pages print it: tables, their cells and their origin, and what stands for something missing."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thaw.params import Choice
from thaw.results.history import history
from thaw.results.layout import Artifacts, find_root
from thaw.results.measurements import Measurement
from thaw.results.wording import code, join, markdown_table, shown

COLUMNS = {
    "alpha_bar": "$\\bar\\alpha_t$", "alpha_bar_T": "$\\bar\\alpha_T$", "best_multiple": "best multiple of $z_t$",
    "dispersion": "dispersion of hits", "distance": "distance (RMS)", "from_naive": "from naive (RMS)",
    "high": "to", "hit": "points hit", "hit_expected": "points hit, expected", "hit_T": "points hit, all steps",
    "largest_share": "largest step", "low": "from", "off_data": "off the data", "off_data_T": "off the data, all steps",
    "outside": "outside the range", "spatial_rms": "spatial RMS", "z_t": "$z_t$", "zero": "0",
}  # fmt: skip
"""What the columns of studies' tables are called, in their captions too."""
NUMBER = re.compile(r"(\W*\d+)(\.\d+)?(?![\d.e])")
"""What stands before the point of a number, signs and the stars of bold type too, and its decimals."""
MARKUP = re.compile(r"([\\`*\[\]<>$])")
POINT, DIGIT = "\u2008", "\u2007"
"""Spaces as wide as a point and as a digit."""


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], label: str, caption: str, align: str = "--:", *,
    absent: str = "", note: str = "", sources: Sequence[Path] = (), stage: str = "",
) -> None:  # fmt: skip
    """Print a Markdown table with a label, a caption, a note below it, and where it came from.

    All columns but the first are aligned as `align` says, numbers on the right by their points. Where there are no
    rows, `absent` says why, in its place.
    """
    if not rows:
        placeholder(label, absent)
        return
    if align == "--:":
        first, *others = zip(*rows, strict=True)
        rows = list(zip(first, *map(under_each_other, others), strict=True))
    print(f"{markdown_table(header, rows, align)}\n\n: {caption} {{#{label}}}\n" + (f"\n{note}\n" if note else ""))
    provenance(sources, stage)


def under_each_other(cells: Sequence[str]) -> list[str]:
    """The cells of a column on the right, with spaces after those numbers that have fewer decimals than others."""
    found = [NUMBER.match(cell) for cell in cells]
    most = max((len(number[2] or "") for number in found if number), default=0)
    padded = []
    for cell, number in zip(cells, found, strict=True):
        lacking = most - len(number[2] or "") if number else 0
        if number and lacking:
            end = number.end() + (2 if "**" in number[1] else 0)
            gap = DIGIT * lacking if number[2] else POINT + DIGIT * (lacking - 1)
            cell = cell[:end] + gap + cell[end:]
        padded.append(cell)
    return padded


def placeholder(label: str, what: str) -> None:
    """Print, in the place of a figure or a table, that it is not there; references to its label still arrive."""
    kind = "figure" if label.startswith("fig-") else "table"
    print(f"::: {{#{label} .absent}}\n\n*This {kind} is not there yet: {what}*\n")
    print(f"Missing: {label.partition('-')[2]}.\n\n:::\n")


def warning(title: str, message: str) -> None:
    """Print a callout that a reader cannot overlook."""
    print(f"::: {{.callout-warning}}\n## {title}\n\n{message}\n\n:::\n")


def provenance(sources: Sequence[Path], stage: str) -> None:
    """Print where a figure or table came from: its stage, its artifacts, and the revision that last changed them."""
    if not sources:
        return
    root = find_root(sources[0].parent)
    names = [source.relative_to(root).as_posix() for source in sources]
    of_variants = Artifacts(root).variant("")
    places = {source.relative_to(of_variants).parts[0] for source in sources if source.is_relative_to(of_variants)}
    if len(places) > 1:  # the same files of several variants
        sources = [of_variants.joinpath("*", *source.relative_to(of_variants).parts[1:])
                   if source.is_relative_to(of_variants) else source for source in sources]  # fmt: skip
    listed = {source.relative_to(root) for source in sources}
    shared = Counter(source.parent for source in listed)
    listed = {source.parent if shared[source.parent] > 1 else source for source in listed}
    revision = history(root).last_change(names)
    made_of = join(code(sorted(map(Path.as_posix, listed))))
    print(f"::: {{.provenance}}\nStage `{stage}`, from {made_of} at {revision}.\n:::\n")


def bracketed(bounds: str) -> str:
    """An interval in brackets as the page styles it: small, and its brackets no link."""
    return f"[\\{bounds[:-1]}\\]]{{.interval}}" if bounds else ""


def best_cell(measurement: Measurement | None, best: Measurement | None = None) -> str:
    """A measurement and its interval, in bold if it is as good as the best; a dagger if it comes of few images.

    A dash where there is none.
    """
    if measurement is None:
        return "–"
    shown, mark = measurement.show(), "[†]{.dagger}" if measurement.of_few_images else ""
    if best and measurement.metric.better and measurement.value == best.value:
        shown = f"**{shown}**"
    return f"{shown}{mark} {bracketed(measurement.bounds)}".strip()


def value(found: str) -> str:
    """A cell of a table that thaw wrote, as text, numbers in three digits; a dash where there is nothing."""
    try:
        number = float(found)
    except ValueError:
        return MARKUP.sub(r"\\\1", found) or "–"
    return f"{number:.0f}" if number.is_integer() else f"{number:.3g}"


def describe(choice: Choice) -> str:
    """A choice and its options."""

    def show(option: Any) -> str:
        return describe(Choice.model_validate(option)) if isinstance(option, dict) else shown(option)

    options = ", ".join(f"{name} {show(option)}" for name, option in choice.options.items())
    return f"`{choice.name}`" + (f" ({options})" if options else "")
