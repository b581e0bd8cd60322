"""The figure of the first page: every variant by its distance from real images, with its samples beside it."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.lines import Line2D

from thaw.core.sheets import read_sheet
from thaw.figures.drawing import SMALL, WIDTH, Drawing, color, read_table
from thaw.figures.families import existing, family
from thaw.figures.tiles import GAP, Grid, draw_grid
from thaw.metrics import METRICS
from thaw.params import Params
from thaw.results.layout import Artifacts
from thaw.results.wording import join

METRIC = METRICS["fid_infinite"]
TILES = 7
"""Samples of each variant."""
NAMES, CHART = 2.15, 1.85
"""Inches for the names on the left and for the chart on the right."""
MARKERS = "osD^"
"""Of the families."""
EDGE = 0.62
"""Inches below the rows for the axis and the legend."""


def ranking(artifacts: Artifacts, params: Params) -> Drawing | None:
    """Variants from the nearest to real images to the furthest: name, first samples, distance with its interval."""
    sheets = existing(params, lambda variant: artifacts.sheet(variant, "samples"))
    if not artifacts.summary.exists():
        return None
    rows = read_table(artifacts.summary).query("metric == @METRIC.key").set_index("variant")
    rows = rows.loc[[name for name in rows.index if name in sheets]].sort_values("value")
    if rows.empty:
        return None
    dpi = plt.rcParams["figure.dpi"]
    tiles = [read_sheet(sheets[name], params.data.pixels)[:1, :TILES] for name in rows.index]
    grid = Grid(tiles[0], width=WIDTH - NAMES - CHART)
    height = (tiles[0].shape[2] * max(1, int(grid.scale)) + 3 * GAP) / dpi
    figure = plt.figure(figsize=(WIDTH, EDGE + height * len(rows)), layout="none")
    for number, strip in enumerate(tiles):
        top = round(number * height * dpi) + GAP
        draw_grid(figure, Grid(strip, width=grid.width), (round(NAMES * dpi), top))

    total = figure.get_size_inches()[1]
    left = (NAMES + grid.size[0] / dpi + 0.08) / WIDTH
    panel = figure.add_axes((left, EDGE / total, 0.985 - left, 1 - EDGE / total))
    families = {name: family(params, name) for name in rows.index}
    markers = dict(zip(dict.fromkeys(families.values()), MARKERS, strict=False))
    for number, (name, row) in enumerate(rows.iterrows()):
        ink, group = color(params, str(name)), families[str(name)]
        panel.plot([row["low"], row["high"]], [number, number], color=ink, linewidth=1.6, solid_capstyle="butt")
        panel.plot(row["value"], number, markers[group], color=ink, markersize=4.5)
        panel.annotate(METRIC.show(row["value"]), (row["high"], number), xytext=(4, 0), textcoords="offset points",
                       va="center", fontsize=SMALL)  # fmt: skip
        figure.text(0, 1 - (number + 0.5) * height / total, params.title(str(name)), va="center", fontsize=8)
    floor = artifacts.reference("real.csv")
    real = read_table(floor).query("metric == @METRIC.key")["value"] if floor.exists() else pd.Series(dtype=float)
    if len(real):
        panel.axvline(real.iloc[0], color="black", linewidth=0.9, linestyle=":", label="real images")
    panel.set(xlim=(min([0, *real]) - 1, 1.16 * rows["high"].max()), ylim=(len(rows) - 0.5, -0.5), yticks=[])
    panel.set_xlabel(f"{METRIC.name.partition(' (')[0]} (lower is better)")
    panel.grid(axis="x")
    panel.spines["left"].set_visible(False)
    handles: list[Any] = [
        Line2D([], [], color="#666666", marker=marker, linestyle="", markersize=4.5, label=group)
        for group, marker in markers.items()
    ]
    handles += panel.get_legend_handles_labels()[0]
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 0), "borderaxespad": 0}
    figure.legend(handles=handles, ncols=2, fontsize=SMALL, handlelength=1.2, **place)
    best = [f"{params.title(str(name))} {METRIC.show(value)}" for name, value in rows["value"].head(3).items()]
    return Drawing(
        figure,
        f"Every model by its distance from real images ({METRIC.name}, with its interval), beside its first {TILES} "
        "samples, not selected. The dotted line is what real images score.",
        f"A ranking of {len(rows)} models with a row of generated digits and a distance each; the first are "
        f"{join(best)}.",
        [artifacts.summary, *([floor] if len(real) else []), *(sheets[str(name)] for name in rows.index)],
    )
