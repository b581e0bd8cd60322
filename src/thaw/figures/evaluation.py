"""The figures that take a score apart: by severity, by t, by term, by class, by the number of samples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from thaw.artifacts import Artifacts
from thaw.params import Params
from thaw.reporting.drawing import SMALL, WIDTH, Drawing, nth_color, nth_line, readable_log_axis
from thaw.reporting.drawing import shares as draw_shares
from thaw.reporting.families import by_family, existing
from thaw.reporting.results import join

SCORES = {"rmse": "RMSE", "ssim": "SSIM", "psnr": "PSNR (dB)", "class_preservation": "class kept"}
STYLES = {"iterative": "-", "direct": ":"}
LONGEST_BAR = 1.8
"""Of the median bar; a longer one is cut, so that it does not squash the others."""


def _with_rows(params: Params, path: Callable[[str], Path]) -> dict[str, pd.DataFrame]:
    """The tables of the compared variants that have any rows, by variant."""
    tables = {variant: pd.read_csv(found) for variant, found in existing(params, path).items()}
    return {variant: table for variant, table in tables.items() if len(table)}


def _panels(params: Params, tables: dict[str, pd.DataFrame], rows: int, height: float) -> tuple[Figure, Any, Any]:
    """A figure with a column of `rows` panels for each family, legends below, and the variants of each family."""
    families = by_family(params, tables)
    legend = 0.2 + 0.165 * max(len(variants) for variants in families.values())
    figure = plt.figure(figsize=(WIDTH, rows * height + legend))
    above, below = figure.subfigures(2, 1, height_ratios=[rows * height, legend], squeeze=False)[:, 0]
    axes = above.subplots(rows, len(families), squeeze=False, sharex="col", sharey="row")
    names = below.subplots(1, len(families), squeeze=False)[0]
    for column, panel, (name, variants) in zip(axes.T, names, families.items(), strict=True):
        column[0].set_title(name.replace(", ", ",\n"))
        lines = [Line2D([], [], label=variant, **nth_line(number)) for number, variant in enumerate(variants)]
        panel.legend(handles=lines, loc="upper left", fontsize=SMALL, handlelength=1.6, borderaxespad=0)
        panel.axis("off")
    return figure, axes, families


def severity(artifacts: Artifacts, params: Params) -> Drawing | None:
    """Scores of restored test images against the severity that they were degraded to."""
    tables = _with_rows(params, artifacts.severity)
    if not tables:
        return None
    known = pd.concat(tables.values())
    metrics = [metric for metric in SCORES if (known["metric"] == metric).any()]
    figure, axes, families = _panels(params, tables, len(metrics), 1.6)
    for column, variants in zip(axes.T, families.values(), strict=True):
        for color, variant in enumerate(variants):
            for panel, metric in zip(column, metrics, strict=True):
                for restoration, style in STYLES.items():
                    table = tables[variant]
                    found = table[(table["metric"] == metric) & (table["restoration"] == restoration)]
                    panel.plot(found["tau"], found["value"], style, color=nth_color(color), linewidth=1.1)
                    if restoration == "iterative":
                        panel.fill_between(
                            found["tau"], found["low"], found["high"], color=nth_color(color), alpha=0.15, linewidth=0
                        )
    for row, metric in zip(axes, metrics, strict=True):
        row[0].set_ylabel(SCORES[metric])
    for panel in axes[-1]:
        panel.set_xlabel("severity $t/T$")
    count = int(known["n"].iloc[0])
    return Drawing(
        figure,
        f"Restorations of {count} test images by the severity t/T that they were degraded to: by the variant's own "
        "sampler (solid, with their intervals) and directly, by one answer of the network (dotted). Of the "
        "first training of each variant.",
        f"Line charts of {join([SCORES[m] for m in metrics])} against t/T, a column each for {join(list(families))}.",
        [artifacts.severity(variant) for variant in tables],
    )


def test_loss(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The loss on test images against t/T."""
    tables = _with_rows(params, artifacts.test_loss)
    if not tables:
        return None
    figure, axes, families = _panels(params, tables, 1, 2.9)
    for panel, variants in zip(axes[0], families.values(), strict=True):
        for variant in variants:
            table = tables[variant]
            line = panel.plot(table["tau"], table["test_loss"], linewidth=1.2)[0]
            panel.fill_between(
                table["tau"], table["low"], table["high"], color=line.get_color(), alpha=0.15, linewidth=0
            )
        panel.set(yscale="log", xlabel="$t/T$")
    axes[0, 0].set_ylabel("test loss")
    return Drawing(
        figure,
        "The squared error of the network's answer on test images by t/T, with their intervals. The mean over t, which "
        "is the test loss, depends on how many steps a schedule spends where the answer is easy.",
        f"Line charts of the loss against t/T on a logarithmic scale, one for each of {join(list(families))}.",
        [artifacts.test_loss(variant) for variant in tables],
    )


def likelihood(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The bound on the likelihood: the terms by t, and what each kind of term adds up to."""
    tables = _with_rows(params, artifacts.likelihood)
    if not tables:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 1.7 + 0.26 * len(tables)), width_ratios=(1, 1))
    for table in tables.values():
        terms = table[table["term"] == "L_t"]
        left.plot((terms["first_t"] + terms["last_t"]) / 2, terms["per_step"], linewidth=1.2)
    left.set(xscale="log", yscale="log", xlabel="$t$", ylabel="bits per dimension and step", title="$L_{t-1}$ by step")
    parts = {
        name: np.array([table.loc[table["term"] == term, "bits"].sum() for table in tables.values()])
        for term, name in (("L_0", "$L_0$"), ("L_t", r"$\sum L_{t-1}$"), ("L_T", "$L_T$"))
    }
    totals = sum(parts.values(), np.zeros(len(tables)))
    end = min(totals.max(), LONGEST_BAR * float(np.median(totals)))
    cut = totals > end
    bottom = np.zeros(len(tables))
    for (name, values), shade in zip(parts.items(), ("#4d4d4d", "#a6a6a6", "#dedede"), strict=True):
        right.barh(range(len(tables)), values, left=bottom, label=name, color=shade, height=0.62)
        bottom += values
    for row, (total, beyond) in enumerate(zip(totals, cut, strict=True)):
        right.plot(-0.03 * end, row, clip_on=False, marker="s", markersize=5, color=nth_color(row))
        right.text(min(total, end), row, f" {total:.2f}", va="center", fontsize=SMALL)
        if beyond:
            right.text(0.93 * end, row, "//", va="center", ha="center", fontsize=13, color="white", weight="bold")
    right.set(yticks=range(len(tables)), yticklabels=list(tables), xlabel="bits per dimension", xlim=(0, end))
    right.tick_params(axis="y", labelsize=SMALL, length=0, pad=9)
    right.spines["left"].set_visible(False)
    right.invert_yaxis()
    right.grid(False)
    right.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.1, handlelength=1, columnspacing=1)
    count = int(next(iter(tables.values()))["n"].iloc[0])
    note = " A bar with a break is longer than its picture; the number says how long." if cut.any() else ""
    return Drawing(
        figure,
        f"The variational bound on {count} test images in bits per dimension: the terms L_t−1 a step (left, coloured "
        f"as the squares beside the names), and L₀, their sum and L_T (right), whose whole is the bound.{note}",
        "A line chart of the terms against t on logarithmic scales, and stacked bars: "
        + join([f"{variant} {total:.2f}" for variant, total in zip(tables, totals, strict=True)])
        + " bits per dimension.",
        [artifacts.likelihood(variant) for variant in tables],
    )


def classes(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The share of each class among the samples of each variant, and among the test images."""
    tables = _with_rows(params, artifacts.classes)
    if not tables:
        return None
    first = next(iter(tables.values()))
    rows = {"test images": first["test_images"], **{variant: table["share"] for variant, table in tables.items()}}
    shares = np.array(list(rows.values()))
    figure, axes = plt.subplots(figsize=(WIDTH, 0.7 + 0.21 * len(rows)))
    draw_shares(axes, shares, list(rows), first["class"], max(0.3, float(np.quantile(shares, 0.97))))
    axes.set_xlabel("class, as the classifier sees it")
    commonest = [
        f"{name} most {first['class'].iloc[int(np.argmax(row))]}" for name, row in zip(rows, shares, strict=True)
    ]
    return Drawing(
        figure,
        "Which classes the samples show, in per cent, as the classifier sees them; the first row has the labels of the "
        "test images.",
        f"A table of shares with darker cells for larger ones: {join(commonest)}.",
        [artifacts.classes(variant) for variant in tables],
    )


def extrapolation(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The Frechet distance against 1/n, and the line that goes to infinitely many samples."""
    tables = _with_rows(params, artifacts.extrapolation)
    if not tables:
        return None
    figure, axes, families = _panels(params, tables, 1, 2.9)
    for panel, variants in zip(axes[0], families.values(), strict=True):
        for number, variant in enumerate(variants):
            table = tables[variant]
            color = nth_color(number)
            panel.plot(1000 / table["n"], table["fid_classifier"], "o", markersize=2, color=color)
            slope, limit = np.polyfit(1000 / table["n"], table["fit"], 1)
            along = np.linspace(0, 1000 / table["n"].min(), 50)  # on this scale a line is a curve
            panel.plot(along, limit + slope * along, **nth_line(number) | {"linewidth": 0.9})
        panel.set(xlabel="$1000/n$", xlim=(0, None), yscale="log")
        panel.xaxis.set_major_locator(MaxNLocator(3))
    known = pd.concat(tables.values())["fid_classifier"]
    readable_log_axis(axes[0, 0].yaxis, known.min(), known.max())
    axes[0, 0].set_ylabel("FID (classifier)")
    limits = [f"{variant} {table['limit'].iloc[0]:.1f}" for variant, table in tables.items()]
    return Drawing(
        figure,
        "Fréchet distance of subsets of the samples against one over their number, and the line through them: what it "
        "meets at the left edge is the distance for infinitely many samples. Of the first training of each variant; "
        "the scale is logarithmic, on which the lines are curves.",
        f"Points that fall on lines, one a variant. The limits: {join(limits)}.",
        [artifacts.extrapolation(variant) for variant in tables],
    )
