"""Pictures of a comparison: the curves of both sides in the same axes, and their images beside each other."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from thaw.files import replacing
from thaw.reporting import charts
from thaw.reporting.charts import COLORS, Line, Panel
from thaw.reporting.comparison import Comparison, Pair
from thaw.reporting.snapshots import Side, read_table

LOSSES = {"validation_loss": False, "generator_loss": False, "discriminator_loss": True}
"""The columns of a loss curve that are drawn, and whether dotted; the training loss would only hide the others."""
SCORES = {"rmse": "RMSE", "ssim": "SSIM", "class_preservation": "class kept"}
SEEN = "images seen in training"
ACROSS = 3
SHEETS = {"samples": "samples", "reconstructions": "restorations"}
PICTURED = 3
"""Of how many variants at most pictures are drawn."""
SIDE = 560
"""The width of a sheet in a picture, in pixels."""
CAPTION = 30

Table = list[dict[str, str]]


def with_pictures(comparison: Comparison, folder: Path) -> Comparison:
    """The same comparison with its pictures, written below `folder`; without any where it has too many variants."""
    if len(comparison.pairs) > PICTURED:
        return comparison
    names = [re.sub(r"[^\w.-]+", "-", label).strip("-") for label in (comparison.before, comparison.after)]
    place = Path(os.path.relpath(folder)) / "--".join(names)
    pairs = [replace(pair, pictures=_write(comparison, pair, place)) for pair in comparison.pairs]
    return replace(comparison, pairs=pairs)


def _write(comparison: Comparison, pair: Pair, folder: Path) -> list[Path]:
    """Write the pictures that the artifacts of either side allow; their paths."""
    prefix = f"{pair.after.variant}-" if pair.before.variant == pair.after.variant else ""
    labels = comparison.before, comparison.after
    paths = []
    if panels := curves(pair):
        paths.append(folder / f"{prefix}curves.svg")
        with replacing(paths[-1]) as temporary:
            temporary.write_text(charts.draw(panels, labels, ACROSS), encoding="utf-8")
    for sheet, name in SHEETS.items():
        found = {
            label: path
            for label, side in zip(labels, (pair.before, pair.after), strict=True)
            if (path := side.snapshot.artifacts.sheet(side.variant, sheet)).exists()
            and (sheet == "samples" or side.snapshot.scores(side.variant)[1])  # a GAN restores nothing
        }
        if found:
            paths.append(folder / f"{prefix}{name}.png")
            with replacing(paths[-1]) as temporary:
                beside(found, SIDE).save(temporary)
    return paths


def beside(pictures: dict[str, Path], width: int) -> Image.Image:
    """Pictures of one width beside each other, each below its name, pixels enlarged without smoothing."""
    images = [Image.open(path).convert("RGB") for path in pictures.values()]
    scale = [max(1, width // image.width) for image in images]
    images = [
        i.resize((i.width * k, i.height * k), Image.Resampling.NEAREST) for i, k in zip(images, scale, strict=True)
    ]
    gap = CAPTION // 2
    size = sum(image.width for image in images) + gap * (len(images) + 1), max(i.height for i in images) + CAPTION + gap
    canvas = Image.new("RGB", size, "white")
    pen, font, left = ImageDraw.Draw(canvas), ImageFont.load_default(size=CAPTION // 2), gap
    for name, image in zip(pictures, images, strict=True):
        pen.text((left, CAPTION // 4), name, fill="#222222", font=font)
        canvas.paste(image, (left, CAPTION))
        left += image.width + gap
    return canvas


def curves(pair: Pair) -> list[Panel]:
    """Every curve that either side has, in a panel a kind."""
    panels = [
        _panel(pair, Panel("loss", SEEN, log="y"), _loss),
        _panel(pair, Panel("FID (classifier)", SEEN, log="y"), _fid),
        _panel(pair, Panel("test loss", "t/T", log="y"), _test_loss),
        *(
            _panel(pair, Panel(f"{name} of restorations", "from t/T; dotted: directly"), _severity(metric))
            for metric, name in SCORES.items()
        ),
        _panel(pair, Panel("ᾱ, what is left of the image", "t/T"), _schedule),
        _panel(pair, Panel("bits per dimension and step", "t", log="xy"), _likelihood),
        _panel(pair, Panel("share of a class among samples, %", "class"), _classes),
    ]
    return [panel for panel in panels if panel.lines]


def _panel(pair: Pair, panel: Panel, draw: Callable[[Side, str], list[Line]]) -> Panel:
    lines = [line for side, color in zip((pair.before, pair.after), COLORS, strict=True) for line in draw(side, color)]
    return replace(panel, lines=lines)


def _column(table: Table, name: str) -> list[float]:
    return [float(row[name]) for row in table]


def _line(table: Table, x: str, y: str, color: str, *, band: bool = False, dotted: bool = False) -> list[Line]:
    """A curve of two columns of a table; none where the table is empty."""
    if not table:
        return []
    low, high = (_column(table, "low"), _column(table, "high")) if band else ([], [])
    return [Line(_column(table, x), _column(table, y), color, low=low, high=high, dotted=dotted)]


def _loss(side: Side, color: str) -> list[Line]:
    table = read_table(side.snapshot.artifacts.loss(side.variant))
    return [
        line
        for seed in dict.fromkeys(row["seed"] for row in table)
        for column, dotted in LOSSES.items()
        if column in table[0]
        for line in _line([r for r in table if r["seed"] == seed], "images", column, color, dotted=dotted)
    ]


def _fid(side: Side, color: str) -> list[Line]:
    return _line(read_table(side.snapshot.artifacts.fid(side.variant)), "images", "fid_classifier", color, band=True)


def _test_loss(side: Side, color: str) -> list[Line]:
    return _line(read_table(side.snapshot.artifacts.test_loss(side.variant)), "tau", "test_loss", color, band=True)


def _severity(metric: str) -> Callable[[Side, str], list[Line]]:
    def draw(side: Side, color: str) -> list[Line]:
        table = [r for r in read_table(side.snapshot.artifacts.severity(side.variant)) if r["metric"] == metric]
        iterative, direct = ([r for r in table if r["restoration"] == kind] for kind in ("iterative", "direct"))
        return [
            *_line(iterative, "tau", "value", color, band=True),
            *_line(direct, "tau", "value", color, dotted=True),
        ]

    return draw


def _schedule(side: Side, color: str) -> list[Line]:
    table = read_table(side.snapshot.artifacts.normality(side.variant))
    return _line([row for row in table if row["alpha_bar"]], "tau", "alpha_bar", color)


def _likelihood(side: Side, color: str) -> list[Line]:
    table = read_table(side.snapshot.artifacts.likelihood(side.variant))
    return _line([row for row in table if row["term"] == "L_t"], "first_t", "per_step", color)


def _classes(side: Side, color: str) -> list[Line]:
    table = read_table(side.snapshot.artifacts.classes(side.variant))
    shares = [{**row, "percent": str(100 * float(row["share"]))} for row in table]
    return _line(shares, "class", "percent", color)
