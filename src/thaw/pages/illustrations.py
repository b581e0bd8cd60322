"""Figures and animations on a page: each with its caption, alternative text, label and provenance."""

import json
import shutil
from typing import Any

from thaw.reporting.provenance import provenance
from thaw.reporting.results import results
from thaw.reporting.tables import placeholder

MADE_BY = "`thaw repro` makes what it is drawn from."


def figure(name: str) -> None:
    """Print a figure with its caption, its alternative text, its label `fig-NAME` and its provenance."""
    entry = _drawn(name)
    if entry is None:
        placeholder(f"fig-{name}", MADE_BY)
        return
    print(f'![{entry["caption"]}]({_copied(f"{name}.png")}){{#fig-{name} fig-alt="{_spoken(entry)}"}}\n')
    _provenance(entry)


def animation(family: str) -> None:
    """Print the animation of a family of variants, labelled `fig-animation-FAMILY`.

    A still figure stands for it in the PDF, and in the HTML of a reader who asked for less motion.
    """
    name = f"animation-{family}"
    entry = _drawn(name)
    if entry is None:
        placeholder(f"fig-{name}", MADE_BY)
        return
    spoken = _spoken(entry)
    still = f'![]({_copied(entry["still"] + ".png")}){{.still fig-alt="{spoken}"}}'
    print(f"::: {{#fig-{name}}}\n")
    print('::: {.content-visible when-format="html"}\n')
    print(f'![]({_copied(f"{name}.webp")}){{.moving fig-alt="{spoken}"}}\n\n{still}\n\n:::\n')
    print(f'::: {{.content-hidden when-format="html"}}\n\n{still}\n\n:::\n')
    print(f"{entry['caption']}\n\n:::\n")
    _provenance(entry)


def _drawn(name: str) -> dict[str, Any] | None:
    """What the stage `figures` says of a figure, or None where it has not drawn it."""
    captions = results().artifacts.figures / "captions.json"
    known: dict[str, Any] = json.loads(captions.read_text()) if captions.exists() else {}
    return known.get(name)


def _copied(name: str) -> str:
    """The path of a picture for a page: Quarto copies what stands below report/, and nothing beside it."""
    copies = results().artifacts.report / "figures"
    copies.mkdir(exist_ok=True)
    shutil.copyfile(results().artifacts.figures / name, copies / name)
    return f"figures/{name}"


def _spoken(entry: dict[str, Any]) -> str:
    return str(entry["alt"]).replace('"', "'")


def _provenance(entry: dict[str, Any]) -> None:
    root = results().artifacts.root
    provenance([root / source for source in entry["sources"]], "figures")
