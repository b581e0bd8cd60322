"""Figures, animations and demos on a page: each figure with its caption, alternative text, label and provenance."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from thaw.figures.families import representative_chains, visited
from thaw.files import read_json, reading
from thaw.metrics import METRICS
from thaw.pages.tables import COLUMNS, placeholder, provenance
from thaw.results.measurements import results
from thaw.results.wording import join

SYMBOLS = {"z": "z", "ᾱ": r"\bar\alpha"}
MADE_BY = "`make report` makes what it is drawn from."


def typeset(text: str) -> str:
    """A text with its formulas as mathematics, and metrics and columns by the names that tables have."""

    def spelled(found: re.Match[str]) -> str:
        symbol, index, key = found.groups()
        if symbol:
            return f"${SYMBOLS[symbol]}_{index}$"
        return METRICS[key].name if key in METRICS else COLUMNS.get(key, found[0])

    return re.sub(r"(?<![$\w])`?(?:([zᾱ])_([tT])|([a-z]+_\w+))`?(?![$\w])", spelled, text)


def figure(name: str) -> None:
    """Print a figure with its caption, its alternative text, its label `fig-NAME` and its provenance."""
    if entry := _drawn(name):
        chart = (results().artifacts.figures / f"{name}.svg").exists()
        picture = _copied(f"{name}.{'svg' if chart else 'png'}")
        print_figure(name, picture, entry["caption"], entry["alt"], _sources(entry))
    else:
        placeholder(f"fig-{name}", MADE_BY)


def print_figure(name: str, picture: str, caption: str, alt: str, sources: Sequence[Path]) -> None:
    """Print a picture, whose path is as a page has it, with all that belongs to it."""
    chart = " .chart" if picture.endswith(".svg") else ""
    print(f'![{typeset(caption)}]({picture}){{#fig-{name}{chart} fig-alt="{_spoken(alt)}"}}\n')
    provenance(sources, "figures")


def animation(family: str) -> None:
    """Print the animation of a family of variants, labelled `fig-animation-FAMILY`.

    A still figure stands for it in the PDF, and in the HTML of a reader who asked for less motion.
    """
    name = f"animation-{family}"
    if not (entry := _drawn(name)):
        placeholder(f"fig-{name}", MADE_BY)
        return
    spoken = _spoken(entry["alt"])
    still = f'![]({_copied(entry["still"] + ".png")}){{.still fig-alt="{spoken}"}}'
    print(f'::: {{#fig-{name}}}\n\n::: {{.content-visible when-format="html"}}\n')
    print(f'![]({_copied(f"{name}.webp")}){{.moving fig-alt="{spoken}"}}\n\n{still}\n\n:::\n')
    print(f'::: {{.content-hidden when-format="html"}}\n\n{still}\n\n:::\n\n{typeset(entry["caption"])}\n\n:::\n')
    provenance(_sources(entry), "figures")


def stepper() -> None:
    """Print a chain of each kind of degradation, which a reader of the HTML moves through, labelled `fig-steps`.

    A picture holds every step of a chain side by side, of which the page shows one: the sample, until its script says
    otherwise.
    """
    found = results()
    if not (chains := representative_chains(found.artifacts, found.params)):
        placeholder("fig-steps", MADE_BY)
        return
    print("::: {#fig-steps}\n\n:::: {.stepper}\n")
    for kind, variant in chains.items():
        name, title = f"steps-{kind}.png", found.params.title(variant)
        path = found.artifacts.sheet(variant, "chain")
        with reading(path), Image.open(path) as sheet:  # the first rows are z_t and the estimate
            pair = sheet.crop((0, 0, sheet.width, 2 * found.params.data.pixels))
            pair.save(copies() / name, optimize=True)
        alt = _spoken(f"A step of sampling with {title}: z_t, and below it the estimate of the image.")
        steps = " ".join(map(str, visited(found.params, variant)))
        print(f':::: {{.chain data-t="{steps}"}}\n![](figures/{name}){{.nolightbox fig-alt="{alt}"}}\n\n{kind}\\')
        print("[t = 0]{.t}\n::::\n")
    named = [f"{kind} by {found.named(variant)}" for kind, variant in chains.items()]
    print("::::\n\nSampling step by step, with $z_t$ above, and below it the estimate of the image that the network "
          f"makes of it: {join(named)}.\n\n:::\n")  # fmt: skip
    provenance([found.artifacts.sheet(variant, "chain") for variant in chains.values()], "sample")


def demo(key: str) -> None:
    """Print where the page is on which a reader tries models and, in Quarto's HTML, that page in a frame."""
    page, _ = results().artifacts.demo(key)
    if not page.exists():
        print(f"The page is not there yet: `dvc repro demo@{key}` makes it.\n")
        return
    print(f"It is `{page.relative_to(results().artifacts.root)}`, one file that needs nothing beside it.\n")
    shutil.copyfile(page, results().artifacts.report / page.name)  # Quarto copies nothing from beside report/
    frame = f'<iframe class="demo" src="{page.name}" title="Models to try" loading="lazy"></iframe>'
    print(f'::: {{.content-visible .beside when-format="html"}}\n[Open it alone]({page.name}){{target="_blank"}}\n')
    print(f"::: column-page-right\n```{{=html}}\n{frame}\n```\n:::\n:::\n")


def _drawn(name: str) -> dict[str, Any] | None:
    """What the stage `figures` says of a figure, or None where it has not drawn it."""
    captions = results().artifacts.figures / "captions.json"
    return read_json(captions).get(name)


def copies() -> Path:
    """The folder of what pages show: Quarto copies what stands below report/, and nothing beside it."""
    folder = results().artifacts.report / "figures"
    folder.mkdir(exist_ok=True)
    return folder


def _copied(name: str) -> str:
    """The path of a picture for a page."""
    shutil.copyfile(results().artifacts.figures / name, copies() / name)
    return f"figures/{name}"


def _spoken(alt: str) -> str:
    return alt.replace('"', "'")


def _sources(entry: dict[str, Any]) -> list[Path]:
    return [results().artifacts.root / source for source in entry["sources"]]
