"""Pictures of a comparison: the curves of both sides in the same axes, and their images beside each other."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

from thaw.compare.compare import Comparison, Pair
from thaw.files import read_csv, reading, replacing
from thaw.metrics import METRICS
from thaw.results.differences import Side

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACROSS = 3
PANEL = 3.4, 2.3
"""The width and height of a panel, in inches."""
SHEETS = {"samples": "samples", "reconstructions": "restorations"}
PICTURED = 3
"""Of how many variants at most pictures are drawn."""
SIDE = 560
"""The width of a sheet in a picture, in pixels."""
CAPTION = 30

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Curve:
    """Two columns of a table of a variant as a curve, one for each training where the table has several.

    Of the rows, those are drawn whose columns are as `of` says and whose y is there.
    """

    table: str
    x: str
    y: str
    of: Mapping[str, str] = field(default_factory=dict)
    band: bool = False
    dotted: bool = False
    scale: float = 1

    def lines(self, side: Side) -> Iterator[Rows]:
        """The rows of each line."""
        rows = read_csv(side.state.artifacts.table(side.variant, self.table))
        rows = [row for row in rows if row.get(self.y) and all(row[name] == value for name, value in self.of.items())]
        for training in dict.fromkeys(row.get("seed") for row in rows):
            yield [row for row in rows if row.get("seed") == training]


class Panel(NamedTuple):
    """A chart: its title, the label below it, which of its axes are logarithmic (`y`, `xy`), and its curves."""

    title: str
    label: str
    log: str
    curves: Sequence[Curve]


SEEN = "images seen in training"
PANELS = (
    # The training loss would only hide the others.
    Panel("loss", SEEN, "y", [Curve("loss", "images", "validation_loss"), Curve("loss", "images", "generator_loss"),
                              Curve("loss", "images", "discriminator_loss", dotted=True)]),
    Panel(METRICS["fid_classifier"].title, SEEN, "y", [Curve("fid", "images", "fid_classifier", band=True)]),
    Panel("test loss", "t/T", "y", [Curve("test_loss", "tau", "test_loss", band=True)]),
    *(
        Panel(f"{METRICS[key].title} of restorations", "from t/T; dotted: directly", "", [
            Curve("severity", "tau", "value", {"metric": key, "restoration": "iterative"}, band=True),
            Curve("severity", "tau", "value", {"metric": key, "restoration": "direct"}, dotted=True),
        ])
        for key in ("rmse", "ssim", "class_preservation")
    ),
    Panel("ᾱ, what is left of the image", "t/T", "", [Curve("normality", "tau", "alpha_bar")]),
    Panel("bits per dimension and step", "t", "xy", [Curve("likelihood", "first_t", "per_step", {"term": "L_t"})]),
    Panel("share of a class among samples, %", "class", "", [Curve("classes", "class", "share", scale=100)]),
)  # fmt: skip


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
    sides = [(comparison.before, pair.before), (comparison.after, pair.after)]
    paths = []
    if panels := [panel for panel in PANELS if any(any(c.lines(side)) for _, side in sides for c in panel.curves)]:
        paths.append(folder / f"{prefix}curves.svg")
        with replacing(paths[-1]) as temporary:
            draw(panels, sides, temporary)
    for sheet, name in SHEETS.items():
        shown = [(label, side) for label, side in sides if sheet == "samples" or _restores(side)]
        found = {label: side.state.artifacts.sheet(side.variant, sheet) for label, side in shown}
        if found := {label: path for label, path in found.items() if path.exists()}:
            paths.append(folder / f"{prefix}{name}.png")
            with replacing(paths[-1]) as temporary:
                beside(found, SIDE).save(temporary)
    return paths


def _restores(side: Side) -> bool:
    """Whether a variant restores images, as a GAN does not."""
    return any(found.metric.applies_to == "restorations" for found in side.measured.values())


def draw(panels: Sequence[Panel], sides: Sequence[tuple[str, Side]], path: Path) -> None:
    """Write an SVG with the panels in rows of ACROSS, and below them which colour is which side."""
    # Matplotlib takes longer to import than a comparison without pictures takes.
    import matplotlib as mpl
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from thaw.figures.drawing import STYLE, nth_color, readable_log_axis

    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    # Text stays text.
    with style.context(STYLE), mpl.rc_context({"svg.fonttype": "none"}):
        figure = Figure(figsize=(across * PANEL[0], down * PANEL[1] + 0.3))
        colors = [nth_color(number) for number in range(len(sides))]
        for number, panel in enumerate(panels):
            axes = figure.add_subplot(down, across, number + 1, title=panel.title, xlabel=panel.label)
            for (_, side), color in zip(sides, colors, strict=True):
                for curve in panel.curves:
                    _plot(axes, curve, side, color)
            if "x" in panel.log:
                axes.set_xscale("log")
                readable_log_axis(axes.xaxis, *axes.get_xlim())
            if "y" in panel.log:
                axes.set_yscale("log")
                readable_log_axis(axes.yaxis, *axes.get_ylim())
        legend = [Line2D([], [], color=color) for color in colors]
        figure.legend(legend, [label for label, _ in sides], loc="outside lower center", ncols=len(sides))
        figure.savefig(path, format="svg", metadata={"Date": None})


def _plot(axes: "Axes", curve: Curve, side: Side, color: str) -> None:
    for rows in curve.lines(side):
        x = [float(row[curve.x]) for row in rows]
        axes.plot(x, [curve.scale * float(row[curve.y]) for row in rows], color=color, ls=":" if curve.dotted else "-")
        if curve.band:
            low, high = ([float(row[name]) for row in rows] for name in ("low", "high"))
            axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def _opened(path: Path) -> Image.Image:
    with reading(path):
        return Image.open(path).convert("RGB")


def beside(pictures: dict[str, Path], width: int) -> Image.Image:
    """Pictures of one width beside each other, each below its name, pixels enlarged without smoothing.

    Raises ThawError as `reading` does.
    """
    images = [_opened(path) for path in pictures.values()]
    scale = [max(1, width // image.width) for image in images]
    images = [ImageOps.scale(i, k, Image.Resampling.NEAREST) for i, k in zip(images, scale, strict=True)]
    gap = CAPTION // 2
    size = sum(image.width for image in images) + gap * (len(images) + 1), max(i.height for i in images) + CAPTION + gap
    canvas = Image.new("RGB", size, "white")
    pen, font, left = ImageDraw.Draw(canvas), ImageFont.load_default(size=CAPTION // 2), gap
    for name, image in zip(pictures, images, strict=True):
        pen.text((left, CAPTION // 4), name, fill="#222222", font=font)
        canvas.paste(image, (left, CAPTION))
        left += image.width + gap
    return canvas
