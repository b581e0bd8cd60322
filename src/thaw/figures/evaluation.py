"""The figures that take a score apart: by severity, by t, by term, by class, by the number of samples."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from thaw.figures.drawing import SMALL, WIDTH, Drawing, band, color, line, of_tables, readable_log_axis, shares
from thaw.figures.families import by_family, short_titles
from thaw.params import Params
from thaw.results.wording import join

SCORES = {"rmse": "RMSE", "ssim": "SSIM", "psnr": "PSNR (dB)", "class_preservation": "class kept"}
STYLES = {"iterative": "-", "direct": ":"}
TERMS = (("L_0", "$L_0$", "#4d4d4d"), ("L_t", r"$\sum L_{t-1}$", "#a6a6a6"), ("L_T", "$L_T$", "#dedede"))
LONGEST_BAR = 1.8
"""Of the median bar; a longer one is cut, so that it does not squash the others."""


def _panels(
    params: Params, tables: dict[str, pd.DataFrame], across: str, down: Sequence[str], height: float
) -> tuple[Figure, list[tuple[Any, list[str]]], str]:
    """A figure with a column of panels for each family of variants, and legends below.

    `across` is the label below the columns, `down` has those beside the rows. Returns the panels of each column with
    its variants, and the families in words.
    """
    families, rows = by_family(params, tables), len(down)
    legend = 0.2 + 0.165 * max(len(variants) for variants in families.values())
    figure = plt.figure(figsize=(WIDTH, rows * height + legend))
    above, below = figure.subfigures(2, 1, height_ratios=[rows * height, legend], squeeze=False)[:, 0]
    axes = above.subplots(rows, len(families), squeeze=False, sharex="col", sharey="row")
    names = below.subplots(1, len(families), squeeze=False)[0]
    for column, panel, (name, variants) in zip(axes.T, names, families.items(), strict=True):
        called = short_titles(params, variants)
        column[0].set_title(name.replace(", ", ",\n"))
        lines = [Line2D([], [], label=called[v], color=color(params, v), linestyle="-") for v in variants]
        panel.legend(handles=lines, loc="upper left", fontsize=SMALL, handlelength=1.6, borderaxespad=0)
        panel.axis("off")
    for label, row in zip(down, axes, strict=True):
        row[0].set_ylabel(label)
    for panel in axes[-1]:
        panel.set_xlabel(across)
    return figure, list(zip(axes.T, families.values(), strict=True)), join(list(families))


@of_tables("severity")
def severity(params: Params, tables: dict[str, pd.DataFrame]) -> Drawing:
    """Scores of restored test images against the severity that they were degraded to."""
    known = pd.concat(tables.values())
    metrics = [metric for metric in SCORES if (known["metric"] == metric).any()]
    figure, columns, families = _panels(params, tables, "severity $t/T$", [SCORES[m] for m in metrics], 1.25)
    for column, variants in columns:
        for variant in variants:
            for panel, metric in zip(column, metrics, strict=True):
                for restoration, style in STYLES.items():
                    table = tables[variant]
                    found = table[(table["metric"] == metric) & (table["restoration"] == restoration)]
                    panel.plot(found["tau"], found["value"], style, color=color(params, variant), linewidth=1.1)
                    if restoration == "iterative":
                        band(panel, found["tau"], found, color(params, variant))
    count = int(known["n"].iloc[0])
    return Drawing(
        figure,
        f"Restorations of {count} test images by the severity t/T that they were degraded to: by the variant's own "
        "sampler (solid, with their intervals) and directly, by one answer of the network (dotted). Of the "
        "first training of each variant.",
        f"Line charts of {join([SCORES[m] for m in metrics])} against t/T, a column each for {families}.",
    )


@of_tables("test_loss")
def test_loss(params: Params, tables: dict[str, pd.DataFrame]) -> Drawing:
    """The loss on test images against t/T."""
    figure, columns, families = _panels(params, tables, "$t/T$", ["test loss"], 2.9)
    for (panel,), variants in columns:
        for variant in variants:
            table = tables[variant]
            panel.plot(table["tau"], table["test_loss"], "-", linewidth=1.2, color=color(params, variant))
            band(panel, table["tau"], table, color(params, variant))
        panel.set(yscale="log")
    return Drawing(
        figure,
        "The squared error of the network's answer on test images by t/T, with their intervals. The mean over t, which "
        "is the test loss, depends on how many steps a schedule spends where the answer is easy.",
        f"Line charts of the loss against t/T on a logarithmic scale, one for each of {families}.",
    )


@of_tables("likelihood")
def likelihood(params: Params, tables: dict[str, pd.DataFrame]) -> Drawing:
    """The bound on the likelihood: the terms by t, and what each kind of term adds up to."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 1.7 + 0.26 * len(tables)), width_ratios=(1, 1))
    for variant, table in tables.items():
        terms = table[table["term"] == "L_t"]
        middle = (terms["first_t"] + terms["last_t"]) / 2
        left.plot(middle, terms["per_step"], linewidth=1.2, **line(params, variant))
    left.set(xscale="log", yscale="log", xlabel="$t$", ylabel="bits per dimension and step", title="$L_{t-1}$ by step")
    totals = np.zeros(len(tables))
    for term, name, shade in TERMS:
        values = np.array([table.loc[table["term"] == term, "bits"].sum() for table in tables.values()])
        right.barh(range(len(tables)), values, left=totals, label=name, color=shade, height=0.62)
        totals = totals + values
    end = min(totals.max(), LONGEST_BAR * float(np.median(totals)))
    cut = totals > end
    for row, (variant, total, beyond) in enumerate(zip(tables, totals, cut, strict=True)):
        right.plot([-0.11 * end, -0.02 * end], [row, row], clip_on=False, **line(params, variant))
        right.text(min(total, end), row, f" {total:.2f}", va="center", fontsize=SMALL)
        if beyond:
            right.text(0.93 * end, row, "//", va="center", ha="center", fontsize=13, color="white", weight="bold")
    right.set(
        yticks=range(len(tables)), yticklabels=[*map(params.title, tables)], xlabel="bits per dimension", xlim=(0, end)
    )
    right.tick_params(axis="y", labelsize=SMALL, length=0, pad=19)
    right.spines["left"].set_visible(False)
    right.invert_yaxis()
    right.grid(False)
    right.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.1, handlelength=1, columnspacing=1)
    count = int(next(iter(tables.values()))["n"].iloc[0])
    note = " A bar with a break is longer than its picture; the number says how long." if cut.any() else ""
    return Drawing(
        figure,
        f"The variational bound on {count} test images in bits per dimension: the terms L_t−1 a step (left, drawn "
        f"as beside the names), and L₀, their sum and L_T (right), whose whole is the bound.{note}",
        "A line chart of the terms against t on logarithmic scales, and stacked bars: "
        + join([f"{params.title(variant)} {total:.2f}" for variant, total in zip(tables, totals, strict=True)])
        + " bits per dimension.",
    )


@of_tables("classes")
def classes(params: Params, tables: dict[str, pd.DataFrame]) -> Drawing:
    """The share of each class among the samples of each variant, and among the test images."""
    first = next(iter(tables.values()))
    rows = {
        "test images": first["test_images"],
        **{params.title(variant): table["share"] for variant, table in tables.items()},
    }
    values = np.array(list(rows.values()))
    figure, axes = plt.subplots(figsize=(WIDTH, 0.7 + 0.21 * len(rows)))
    shares(axes, values, list(rows), first["class"], max(0.3, float(np.quantile(values, 0.97))))
    axes.set_xlabel("class, as the classifier sees it")
    commonest = [f"{name} most {first['class'].iloc[row.argmax()]}" for name, row in zip(rows, values, strict=True)]
    return Drawing(
        figure,
        "Which classes the samples show, in per cent, as the classifier sees them; the first row has the labels of the "
        "test images.",
        f"A table of shares with darker cells for larger ones: {join(commonest)}.",
    )


@of_tables("extrapolation")
def extrapolation(params: Params, tables: dict[str, pd.DataFrame]) -> Drawing:
    """The Frechet distance against 1/n, and the line that goes to infinitely many samples."""
    figure, columns, _ = _panels(params, tables, "$1000/n$", ["FID (classifier)"], 2.9)
    for (panel,), variants in columns:
        for variant in variants:
            table = tables[variant]
            panel.plot(1000 / table["n"], table["fid_classifier"], "o", markersize=2, color=color(params, variant))
            slope, limit = np.polyfit(1000 / table["n"], table["fit"], 1)
            along = np.linspace(0, 1000 / table["n"].min(), 50)  # on this scale a line is a curve
            panel.plot(along, limit + slope * along, "-", linewidth=0.9, color=color(params, variant))
        panel.set(xlim=(0, None), yscale="log")
        panel.xaxis.set_major_locator(MaxNLocator(3))
    (first,), _ = columns[0]
    known = pd.concat(tables.values())["fid_classifier"]
    readable_log_axis(first.yaxis, known.min(), known.max())
    limits = [f"{params.title(variant)} {table['limit'].iloc[0]:.1f}" for variant, table in tables.items()]
    return Drawing(
        figure,
        "Fréchet distance of subsets of the samples against one over their number, and the line through them: what it "
        "meets at the left edge is the distance for infinitely many samples. Of the first training of each variant; "
        "the scale is logarithmic, on which the lines are curves.",
        f"Points that fall on lines, one a variant. The limits: {join(limits)}.",
    )
