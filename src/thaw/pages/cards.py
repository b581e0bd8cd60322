"""The cards of the variants, which the pages show beside their names: what each draws, and how well."""

import base64
import io
import json
from html import escape

from PIL import Image

from thaw.figures.families import gallery_page
from thaw.files import reading
from thaw.pages.illustrations import copies
from thaw.results.measurements import Results, results

SHOWN = (8, 2)
"""How many samples stand on a card, across and down."""
NUMBERS = ("fid_infinite", "legible", "coverage")
"""The metrics that stand on a card."""
QUALITY = 70
"""Of the pictures, which together are loaded with every page: small digits need no more."""


def cards() -> None:
    """Write figures/cards.js: the card in HTML of every variant that has samples, by the variant's name.

    All pages load it. It is a script, since nothing else can be read by a page that is opened as a file.
    """
    found = results()
    variants = [name for name in found.params.variants if found.artifacts.sheet(name, "samples").exists()]
    made = json.dumps({variant: card(found, variant) for variant in variants}, indent=0, ensure_ascii=False)
    (copies() / "cards.js").write_text(f"window.cards = {made};\n", encoding="utf-8")


def card(found: Results, variant: str) -> str:
    """The card of one variant: its first samples, its numbers and, if the gallery has it, a link to its place there."""
    picture, title = io.BytesIO(), escape(found.params.title(variant))
    path = found.artifacts.sheet(variant, "samples")
    with reading(path), Image.open(path) as sheet:
        width, height = (min(s, n * found.params.data.pixels) for s, n in zip(sheet.size, SHOWN, strict=True))
        sheet.crop((0, 0, width, height)).save(picture, "webp", quality=QUALITY, method=6)
    encoded = base64.b64encode(picture.getvalue()).decode()
    measured = [measurement for key in NUMBERS if (measurement := found.find(variant, key))]
    numbers = "".join(f"<dt>{m.metric.title}</dt><dd>{m.show()}</dd>" for m in measured)
    place = f"{gallery_page(found.params, variant)}.html#model-{variant}"
    link = f'<a href="{place}">{title} in the gallery</a>' if variant in found.variants else ""
    return (
        f'<img src="data:image/webp;base64,{encoded}" width="{width}" height="{height}" alt="Samples of {title}">'
        f"<dl>{numbers}</dl>{link}"
    )
