"""The figures of the studies: pictures and curves as a study left them; variants side by side."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator, NullLocator

from thaw.core.sheets import read_sheet
from thaw.figures.drawing import SMALL, WIDTH, Drawing, band, color, line, nth_color, read_table, readable_log_axis
from thaw.figures.families import short_titles
from thaw.figures.tiles import Grid, draw_grid, grid_figure
from thaw.files import read_json
from thaw.metrics import METRICS
from thaw.params import Comparison, Params
from thaw.results.layout import Artifacts
from thaw.results.wording import code, join

SHOWN = 12
"""Samples of each variant of a comparison."""
EACH = 7
"""Samples at the fewest and at all steps, where the schedules are shown by their steps."""
DRAWN = ("study.json", "curves.csv", "strips.png")
FEW = 5
"""Strips of a study that leave room for larger pictures."""
CURVES = 2.1
"""The height of a band of charts, in inches."""
LONG = 12
"""Letters of a name that leave no room for a second one beside a grid."""
NARROWEST, SHORTEST = 2.2, 1.05
"""A chart beside pictures, in inches, its share of labels and legend included."""
COMPARED = ("fid_infinite", "legible", "class_preservation_matched", "rmse_matched", "ssim_matched")


def draw_study(artifacts: Artifacts, params: Params, key: str) -> Drawing | None:
    """What a study found: its strips of pictures, and its curves."""
    folder = artifacts.study(key)
    if not (folder / "study.json").exists():
        return None
    found: dict[str, Any] = read_json(folder / "study.json")
    labels = [strip["label"] for strip in found["strips"]]
    largest = 2 if len(labels) > FEW else 3  # so that most studies have two to a page
    strips = read_sheet(folder / "strips.png", params.data.pixels) if labels else None
    grid = None if strips is None else Grid(strips, labels, found["columns"], largest=largest)
    if grid and not found["axes"]:
        figure = grid_figure(grid)
    elif found["axes"]:
        figure = _with_curves(grid, read_table(folder / "curves.csv"), found["axes"])
    else:
        return None
    parts = [f"rows of pictures labelled {join(labels)}"] if labels else []
    if found["axes"]:
        parts.append(f"line charts of {join(list(found['axes']['y'].values()))}")
    drawn = [folder / name for name in DRAWN if (folder / name).exists()]
    return Drawing(figure, found["caption"], f"Study {key}: {'; '.join(parts)}.", drawn)


def schedule_steps(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The schedules of one network by the number of sampling steps: pictures at the fewest and at all of them."""
    found = {
        key: block for key, block in params.schedule_steps.items() if (artifacts.study(key) / "curves.csv").exists()
    }
    if not found:
        return None
    called = short_titles(params, [block.variant for block in found.values()])
    titles = [called[block.variant] for block in found.values()]
    # A strip for each number of steps; studies of another profile may have fewer images in it.
    sheets = [read_sheet(artifacts.study(key) / "strips.png", params.data.pixels) for key in found]
    each = min(EACH, *(sheet.shape[1] for sheet in sheets))
    tiles = np.stack([np.concatenate([sheet[0][:each], sheet[-1][:each]]) for sheet in sheets])
    curves = {title: read_table(artifacts.study(key) / "curves.csv") for title, key in zip(titles, found, strict=True)}
    columns = ["fewest steps", *[""] * (each - 1), "all steps", *[""] * (each - 1)]
    figure, below = _above(Grid(tiles, titles, columns), 3.3)
    panel = below.subplots()
    for block, (title, table) in zip(found.values(), curves.items(), strict=True):
        of_variant = line(params, block.variant) | {"marker": "o", "markersize": 3, "label": title}
        panel.plot(table["steps"], table["fid_classifier"], **of_variant)
    panel.set(xscale="log", yscale="log", xlabel="sampling steps", ylabel=METRICS["fid_classifier"].title)
    known = pd.concat(curves.values())
    panel.set_xticks(ticks := sorted(set(known["steps"])), [str(count) for count in ticks])
    panel.xaxis.set_minor_locator(NullLocator())
    readable_log_axis(panel.yaxis, known["fid_classifier"].min(), known["fid_classifier"].max())
    wide = (known["high"] - known["low"]).median()
    below.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=SMALL)
    ends = [f"{title} {table['fid_classifier'].iloc[-1]:.0f}" for title, table in curves.items()]
    return Drawing(
        figure,
        f"The same networks sampled in few steps and in all of theirs: the first {each} samples at the fewest and at "
        f"all steps, and the Fréchet distance, whose intervals are about {wide:.0f} wide. So few samples raise all.",
        f"Two blocks of images for each of {join(titles)}, and a line chart of the distance against the number of "
        f"steps. At all steps: {join(ends)}.",
        [artifacts.study(key) / name for key in found for name in ("curves.csv", "strips.png")],
    )


def _above(grid: Grid, height: float) -> tuple[Figure, SubFigure]:
    """A figure with a grid of tiles, and the band below it, so many inches high."""
    above = grid.size[1] / plt.rcParams["figure.dpi"]
    figure = plt.figure(figsize=(WIDTH, above + height))
    draw_grid(figure, grid)
    return figure, figure.subfigures(2, 1, height_ratios=[above, height], squeeze=False)[1, 0]


def _with_curves(grid: Grid | None, curves: pd.DataFrame, axes: Mapping[str, Any]) -> Figure:
    """A figure of curves, below a grid of tiles or, where there is room, beside it."""
    count = len(axes["y"])
    wide, high = (side / plt.rcParams["figure.dpi"] for side in grid.size) if grid else (0, 0)
    if grid and WIDTH - wide >= NARROWEST and high >= SHORTEST * count:
        figure = plt.figure(figsize=(WIDTH, high))
        draw_grid(figure, grid)
        beside = figure.subfigures(1, 2, width_ratios=[wide, WIDTH - wide], squeeze=False)[0, 1]
        panels = beside.subplots(count, 1, squeeze=False, sharex=True)[:, 0]
        _curves(panels, curves, axes, 2 if max(map(len, curves[axes["series"]])) < LONG else 1)
        for panel in panels[:-1]:
            panel.set_xlabel("")
        return figure
    figure, band = _above(grid, CURVES) if grid else (fig := plt.figure(figsize=(WIDTH, CURVES)), fig)
    _curves(band.subplots(1, count, squeeze=False)[0], curves, axes, 4)
    return figure


def _curves(panels: np.ndarray, curves: pd.DataFrame, axes: Mapping[str, Any], across: int) -> None:
    for panel, (column, label) in zip(panels, axes["y"].items(), strict=True):
        for index, (name, rows) in enumerate(curves.groupby(axes["series"], sort=False)):
            rows = rows.dropna(subset=[column])
            panel.plot(rows[axes["x"]], rows[column], marker="o" if len(rows) <= 12 else None, markersize=3,
                       linewidth=1.2, label=str(name))  # fmt: skip
            if {"low", "high"} <= set(curves.columns) and panel is panels[0]:
                band(panel, rows[axes["x"]], rows, nth_color(index))
        panel.set(xlabel=axes["x_label"], title=METRICS[column].title if column in METRICS else label)
        if axes["log_x"]:
            panel.set_xscale("log")
            values = sorted(set(curves[axes["x"]]))
            panel.set_xticks(values if len(values) <= 12 else [values[0], values[-1]])
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_locator(NullLocator())
        if axes["log_y"]:
            panel.set_yscale("log")
            readable_log_axis(panel.yaxis, curves[column].min(), curves[column].max())
    lines, names = panels[0].get_legend_handles_labels()
    panels[0].figure.legend(lines, names, loc="outside lower center", ncols=min(across, len(names)), fontsize=SMALL)


def _confounds(comparison: Comparison) -> str:
    """In what the variants differ beside what the comparison is about."""
    return f" The variants differ in {join(code(comparison.confounds))} too." if comparison.confounds else ""


def draw_comparison(artifacts: Artifacts, params: Params, key: str) -> Drawing | None:
    """Variants side by side: a row of samples of each, and what was measured of them with intervals."""
    comparison = params.studies.compared[key]
    if not artifacts.summary.exists():
        return None
    summary = read_table(artifacts.summary)
    measured = set(summary["variant"])
    present = [v for v in comparison.variants if v in measured and artifacts.sheet(v, "samples").exists()]
    if not present:
        return None
    sheets = [read_sheet(artifacts.sheet(variant, "samples"), params.data.pixels) for variant in present]
    # The first samples of each sheet, whose rows hold fewer, side by side; of another profile it may have few.
    rows = [np.concatenate(list(sheet[:2])) for sheet in sheets]
    shown = min(SHOWN, *map(len, rows))
    tiles = np.stack([row[:shown] for row in rows])
    titles = [*short_titles(params, present).values()]
    metrics = [metric for metric in COMPARED if metric in set(summary[summary["variant"].isin(present)]["metric"])]
    figure, below = _above(Grid(tiles, titles), 0.8 + 0.2 * len(present))
    panels = below.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for panel, metric in zip(panels, metrics, strict=True):
        for y, variant in enumerate(present):
            for row in summary[(summary["variant"] == variant) & (summary["metric"] == metric)].to_dict("records"):
                panel.errorbar(row["value"], y, xerr=[[row["value"] - row["low"]], [row["high"] - row["value"]]],
                               fmt="o", capsize=3, color=color(params, variant), markersize=4)  # fmt: skip
        panel.set(ylim=(len(present) - 0.5, -0.5), xlabel=METRICS[metric].title)
        panel.set_yticks(range(len(present)), titles)
        panel.xaxis.set_major_locator(MaxNLocator(3))
        panel.tick_params(labelsize=SMALL)
        panel.grid(True, axis="x")
        panel.grid(False, axis="y")
    return Drawing(
        figure,
        f"{comparison.title[0].upper()}{comparison.title[1:]}: the first samples of each variant, not selected, and "
        f"what was measured of it, with their intervals.{_confounds(comparison)}",
        f"A row of images for each of {join(titles)}, and below them dots with error bars for "
        f"{join([METRICS[metric].title for metric in metrics])}.",
        [artifacts.summary, *(artifacts.sheet(variant, "samples") for variant in present)],
    )
