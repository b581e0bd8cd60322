"""The figures that take a score apart: by severity, by t, by term, by class, by the number of samples, by sample."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from thaw.artifacts import Artifacts
from thaw.params import Params
from thaw.reporting.drawing import WIDTH, Drawing, nth_color
from thaw.reporting.families import by_family, existing
from thaw.reporting.results import join
from thaw.reporting.tiles import draw_tiles
from thaw.sheets import read_sheet

SCORES = {"rmse": "RMSE", "ssim": "SSIM", "psnr": "PSNR (dB)", "class_preservation": "class kept"}
STYLES = {"iterative": "-", "direct": ":"}


def _with_rows(params: Params, path: Callable[[str], Path]) -> dict[str, pd.DataFrame]:
    """The tables of the compared variants that have any rows, by variant."""
    tables = {variant: pd.read_csv(found) for variant, found in existing(params, path).items()}
    return {variant: table for variant, table in tables.items() if len(table)}


def _panels(params: Params, tables: dict[str, pd.DataFrame], rows: int, height: float) -> tuple[Figure, Any, Any]:
    """A figure with a column of `rows` panels for each family, and the variants of each family."""
    families = by_family(params, tables)
    figure, axes = plt.subplots(
        rows, len(families), figsize=(WIDTH, height), squeeze=False, sharex="all" if rows > 1 else False, sharey="row"
    )
    for column, name in zip(axes[0], families, strict=True):
        column.set_title(name)
    return figure, axes, families


def _legends(axes: Any) -> None:
    """A legend below each column, of the lines that have a name."""
    for panel in axes[-1]:
        panel.legend(loc="upper left", bbox_to_anchor=(0, -0.32), fontsize=6.5, handlelength=1.2)


def severity(artifacts: Artifacts, params: Params) -> Drawing | None:
    """Scores of restored test images against the severity that they were degraded to."""
    tables = _with_rows(params, artifacts.severity)
    if not tables:
        return None
    known = pd.concat(tables.values())
    metrics = [metric for metric in SCORES if (known["metric"] == metric).any()]
    figure, axes, families = _panels(params, tables, len(metrics), 1.2 + 1.65 * len(metrics))
    for column, variants in zip(axes.T, families.values(), strict=True):
        for color, variant in enumerate(variants):
            for panel, metric in zip(column, metrics, strict=True):
                for restoration, style in STYLES.items():
                    table = tables[variant]
                    found = table[(table["metric"] == metric) & (table["restoration"] == restoration)]
                    name = variant if restoration == "iterative" else None
                    panel.plot(found["tau"], found["value"], style, color=nth_color(color), label=name, linewidth=1.2)
                    if restoration == "iterative":
                        panel.fill_between(
                            found["tau"], found["low"], found["high"], color=nth_color(color), alpha=0.15, linewidth=0
                        )
    for row, metric in zip(axes, metrics, strict=True):
        row[0].set_ylabel(SCORES[metric])
    for panel in axes[-1]:
        panel.set_xlabel("severity t/T")
    _legends(axes)
    count = int(known["n"].iloc[0])
    return Drawing(
        figure,
        f"Restorations of {count} test images by the severity t/T that they were degraded to: by the variant's own "
        "sampler (solid, with 95 % intervals) and directly, by one answer of the network (dotted). Of the "
        "first training of each variant.",
        f"Line charts of {join([SCORES[m] for m in metrics])} against t/T, a column each for {join(list(families))}.",
        [artifacts.severity(variant) for variant in tables],
    )


def test_loss(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The loss on test images against t/T."""
    tables = _with_rows(params, artifacts.test_loss)
    if not tables:
        return None
    figure, axes, families = _panels(params, tables, 1, 4.2)
    for panel, variants in zip(axes[0], families.values(), strict=True):
        for variant in variants:
            table = tables[variant]
            line = panel.plot(table["tau"], table["test_loss"], label=variant, linewidth=1.2)[0]
            panel.fill_between(
                table["tau"], table["low"], table["high"], color=line.get_color(), alpha=0.15, linewidth=0
            )
        panel.set(yscale="log", xlabel="t/T")
    axes[0, 0].set_ylabel("test loss")
    _legends(axes)
    return Drawing(
        figure,
        "The squared error of the network's answer on test images by t/T, with 95 % intervals. The mean over t, which "
        "is the test loss, depends on how many steps a schedule spends where the answer is easy.",
        f"Line charts of the loss against t/T on a logarithmic scale, one for each of {join(list(families))}.",
        [artifacts.test_loss(variant) for variant in tables],
    )


def likelihood(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The bound on the likelihood: the terms by t, and what each kind of term adds up to."""
    tables = _with_rows(params, artifacts.likelihood)
    if not tables:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 1.3 + 0.27 * len(tables)), width_ratios=(1.2, 1))
    _terms(left, tables)
    bottom = np.zeros(len(tables))
    for number, (term, name) in enumerate((("L_0", "L₀"), ("L_t", "Σ L_t−1"), ("L_T", "L_T"))):
        sums = np.array([table.loc[table["term"] == term, "bits"].sum() for table in tables.values()])
        right.barh(range(len(tables)), sums, left=bottom, label=name, color=nth_color(number), height=0.7)
        bottom += sums
    for row, total in enumerate(bottom):
        right.text(total, row, f" {total:.2f}", va="center", fontsize=7)
    right.set(yticks=range(len(tables)), yticklabels=list(tables), xlabel="bits per dimension")
    right.set_xlim(0, 1.15 * bottom.max())
    right.tick_params(axis="y", labelsize=6.5)
    right.invert_yaxis()
    right.grid(False)
    right.legend(loc="upper left", bbox_to_anchor=(0, -0.15), ncols=3)
    count = int(next(iter(tables.values()))["n"].iloc[0])
    return Drawing(
        figure,
        f"The variational bound on {count} test images in bits per dimension: the terms L_t−1 a step (left), and L₀, "
        "their sum and L_T (right), whose whole is the bound.",
        "A line chart of the terms against t on logarithmic scales, and stacked bars: "
        + join([f"{variant} {total:.2f}" for variant, total in zip(tables, bottom, strict=True)])
        + " bits per dimension.",
        [artifacts.likelihood(variant) for variant in tables],
    )


def _terms(axes: Axes, tables: dict[str, pd.DataFrame]) -> None:
    for number, table in enumerate(tables.values()):
        terms = table[table["term"] == "L_t"]
        axes.plot((terms["first_t"] + terms["last_t"]) / 2, terms["per_step"], color=nth_color(number),
                  linestyle="-" if number < 8 else "--", linewidth=1.2, label=list(tables)[number])  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="t", ylabel="bits per dimension and step")
    axes.legend(fontsize=6)


def classes(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The share of each class among the samples of each variant, and among the test images."""
    tables = _with_rows(params, artifacts.classes)
    if not tables:
        return None
    first = next(iter(tables.values()))
    rows = {"test images": first["test_images"], **{variant: table["share"] for variant, table in tables.items()}}
    shares = np.array(list(rows.values()))
    figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.22 * len(rows)))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=max(0.3, np.quantile(shares, 0.97)), aspect="auto")
    for y, x in np.ndindex(*shares.shape):
        dark = shares[y, x] > 0.6 * max(0.3, np.quantile(shares, 0.97))
        axes.text(x, y, f"{100 * shares[y, x]:.0f}", ha="center", va="center", fontsize=6.5,
                  color="white" if dark else "black")  # fmt: skip
    axes.set(xticks=range(shares.shape[1]), xticklabels=first["class"], yticks=range(len(rows)), yticklabels=list(rows))
    axes.set_xlabel("class, as the classifier sees it")
    axes.tick_params(axis="y", labelsize=7, length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
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
    figure, axes, families = _panels(params, tables, 1, 4.2)
    for panel, variants in zip(axes[0], families.values(), strict=True):
        for variant in variants:
            table = tables[variant]
            points = panel.plot(1 / table["n"], table["fid_classifier"], "o", markersize=2.5, label=variant)[0]
            slope, limit = np.polyfit(1 / table["n"], table["fit"], 1)
            along = np.linspace(0, 1 / table["n"].min(), 50)  # on this scale a line is a curve
            panel.plot(along, limit + slope * along, color=points.get_color(), linewidth=0.9)
        panel.set(xlabel="1/n", xlim=(0, None), yscale="log")
        panel.xaxis.set_major_locator(MaxNLocator(3))
    axes[0, 0].set_ylabel("FID (classifier)")
    _legends(axes)
    limits = [f"{variant} {table['limit'].iloc[0]:.1f}" for variant, table in tables.items()]
    return Drawing(
        figure,
        "Fréchet distance of subsets of the samples against one over their number, and the line through them: what it "
        "meets at the left edge is the distance for infinitely many samples. Of the first training of each variant; "
        "the scale is logarithmic, on which the lines are curves.",
        f"Points that fall on lines, one a variant. The limits: {join(limits)}.",
        [artifacts.extrapolation(variant) for variant in tables],
    )


def confidence(artifacts: Artifacts, params: Params, variant: str) -> Drawing | None:
    """The samples whose class the classifier is most and least sure of."""
    return _sheet(
        artifacts.sheet(variant, "confidence"), params, ["surest", "", "least sure", ""],
        f"The samples of `{variant}` whose class the classifier is surest of (two rows), and those of which it is "
        "least sure: the best and the worst, chosen by a measure and not by hand.",
        f"Four rows of images generated by {variant}.",
    )  # fmt: skip


def neighbours(artifacts: Artifacts, params: Params, variant: str) -> Drawing | None:
    """Samples above the training images that are nearest to them."""
    return _sheet(
        artifacts.sheet(variant, "neighbours"), params, ["surest", "nearest training", "any", "nearest training"],
        f"Samples of `{variant}`, the surest and some that nobody chose, each above the training image that is nearest "
        "to it pixel by pixel. A model that had learned its images by heart would show the same picture twice.",
        f"Two pairs of rows: images generated by {variant}, and below each a similar training image.",
    )  # fmt: skip


def _sheet(path: Path, params: Params, rows: list[str], caption: str, alt: str) -> Drawing | None:
    if not path.exists():
        return None
    figure, axes = plt.subplots(figsize=(WIDTH * 0.85, 2.6))
    draw_tiles(axes, read_sheet(path, params.data.size), rows)
    return Drawing(figure, caption, alt, [path])
