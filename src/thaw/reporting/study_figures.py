"""The figures of the studies: pictures, curves and shares of classes as a study left them; variants side by side."""

import json
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from thaw.artifacts import Artifacts
from thaw.params import Params
from thaw.reporting.drawing import WIDTH, Drawing
from thaw.reporting.metrics import METRICS
from thaw.reporting.results import join
from thaw.reporting.tiles import draw_tiles
from thaw.sheets import read_sheet

SHOWN = 8
COMPARED = ("fid_classifier", "class_preservation_half", "rmse_half", "ssim_half")


def draw_study(artifacts: Artifacts, params: Params, key: str) -> Drawing | None:
    """What a study found: its strips of pictures, its curves, and how its samples spread over the classes."""
    folder = artifacts.study(key)
    if not (folder / "study.json").exists():
        return None
    found: dict[str, Any] = json.loads((folder / "study.json").read_text())
    table = pd.read_csv(folder / "table.csv")
    shares = [name for name in map(str, table.columns) if name.removeprefix("class_").isdigit()]
    strips = read_sheet(folder / "strips.png", params.data.size) if found["strips"] else None
    heights = []
    if strips is not None:
        heights.append(0.2 + min(0.52, 6.0 / strips.shape[1]) * len(strips))
    if found["axes"]:
        heights.append(2.6)
    if shares:
        heights.append(0.7 + 0.17 * len(table))
    if not heights:
        return None
    figure = plt.figure(figsize=(WIDTH, sum(heights) + 0.2))
    bands = iter(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    if strips is not None:
        draw_tiles(
            next(bands).subplots(), strips, [strip["label"] for strip in found["strips"]], found["columns"] or None
        )
    if found["axes"]:
        panels = next(bands).subplots(1, len(found["axes"]["y"]), squeeze=False)[0]
        _curves(panels, pd.read_csv(folder / "curves.csv"), found["axes"])
    if shares:
        _shares(next(bands).subplots(), table, shares)
    labels = [strip["label"] for strip in found["strips"]]
    parts = ([f"rows of pictures labelled {join(labels)}"] if labels else []) + (
        [f"line charts of {join(list(found['axes']['y'].values()))}"] if found["axes"] else []
    )
    alt = f"Study {key}: {'; '.join(parts + (['a table of shares of classes'] if shares else []))}."
    note = " Below, the share of each class among the samples, as the classifier sees them." if shares else ""
    return Drawing(figure, found["caption"] + note, alt, sorted(folder.iterdir()))


def _curves(panels: np.ndarray, curves: pd.DataFrame, axes: Mapping[str, Any]) -> None:
    for panel, (column, label) in zip(panels, axes["y"].items(), strict=True):
        for index, (name, rows) in enumerate(curves.groupby(axes["series"], sort=False)):
            rows = rows.dropna(subset=[column])
            style = ("-", "--", ":", "-.")[index // 8 % 4]
            panel.plot(rows[axes["x"]], rows[column], style, marker="o" if len(rows) <= 12 else None, markersize=3,
                       linewidth=1.2, label=str(name))  # fmt: skip
            if {"low", "high"} <= set(curves.columns) and panel is panels[0]:
                panel.fill_between(rows[axes["x"]], rows["low"], rows["high"], alpha=0.15)
        panel.set(xlabel=axes["x_label"], title=METRICS[column].title if column in METRICS else label)
        if axes["log_x"]:
            panel.set_xscale("log")
            values = sorted(set(curves[axes["x"]]))
            panel.set_xticks(values if len(values) <= 12 else [values[0], values[-1]])
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_locator(NullLocator())
        if axes["log_y"]:
            panel.set_yscale("log")
            if curves[column].max() < 30 * curves[column].min():  # less than the powers of ten would show
                panel.yaxis.set_major_formatter("{x:g}")
                panel.yaxis.set_minor_formatter("{x:g}")
    panels[-1].legend(fontsize=6.5)


def _shares(panel: Axes, table: pd.DataFrame, columns: list[str]) -> None:
    """A row for each condition and a cell for each class, darker the more samples are of it."""
    values = table[columns].to_numpy()
    top = max(0.3, float(np.nanmax(values)))
    panel.imshow(values, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    for y, row in enumerate(values):
        for x, share in enumerate(row):
            color = "white" if share > 0.6 * top else "black"
            panel.text(x, y, f"{100 * share:.0f}", ha="center", va="center", fontsize=6.5, color=color)
    panel.set_yticks(range(len(table)), table.iloc[:, 0].astype(str))
    panel.set_xticks(range(len(columns)), [column.removeprefix("class_") for column in columns])
    panel.set_xlabel("class, % of samples")
    panel.grid(False)
    panel.tick_params(length=0)


def draw_comparison(artifacts: Artifacts, params: Params, key: str) -> Drawing | None:
    """Variants side by side: a row of samples of each, and what was measured of them with intervals."""
    comparison = params.studies.compared[key]
    if not artifacts.summary.exists():
        return None
    summary = pd.read_csv(artifacts.summary)
    measured = set(summary["variant"])
    present = [v for v in comparison.variants if v in measured and artifacts.sheet(v, "samples").exists()]
    if not present:
        return None
    rows = [read_sheet(artifacts.sheet(variant, "samples"), params.data.size) for variant in present]
    # The first two rows of each sheet, side by side.
    tiles = np.stack([np.concatenate(list(sheet[:2])) for sheet in rows])
    metrics = [metric for metric in COMPARED if metric in set(summary[summary["variant"].isin(present)]["metric"])]
    height = 0.5 + 0.25 * len(present)
    figure = plt.figure(figsize=(WIDTH, 0.6 + 0.42 * len(present) + height))
    heights = [0.2 + 0.42 * len(present), height + 0.4]
    above, below = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    draw_tiles(above.subplots(), tiles, present)
    for panel, metric in zip(below.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        for y, variant in enumerate(present):
            found = summary[(summary["variant"] == variant) & (summary["metric"] == metric)]
            if len(found):
                row = found.iloc[0]
                panel.errorbar(row["value"], y, xerr=[[row["value"] - row["low"]], [row["high"] - row["value"]]],
                               fmt="o", capsize=3, color=f"C{y}", markersize=4)  # fmt: skip
        panel.set_yticks(range(len(present)), present if panel is below.axes[0] else [""] * len(present))
        panel.set(ylim=(len(present) - 0.5, -0.5), xlabel=METRICS[metric].title)
        panel.grid(True, axis="x")
    return Drawing(
        figure,
        f"{comparison.title[0].upper()}{comparison.title[1:]}: the first samples of each variant, not selected, and "
        "what was measured of it, with 95 % intervals.",
        f"A row of images for each of {join(present)}, and below them dots with error bars for "
        f"{join([METRICS[metric].title for metric in metrics])}.",
        [artifacts.summary, *(artifacts.sheet(variant, "samples") for variant in present)],
    )
