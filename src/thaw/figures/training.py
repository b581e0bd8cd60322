"""The figures of training: loss curves, and how near the samples come to real images as it goes on."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from thaw.figures.drawing import SMALL, WIDTH, Drawing, line, nth_color, of_tables, read_table, readable_log_axis
from thaw.figures.families import by_family, short_titles, table_paths
from thaw.params import Params
from thaw.results.layout import Artifacts
from thaw.results.wording import join

LOSSES = {
    "train_loss": ("training", 0),
    "validation_loss": ("validation (EMA)", 1),
    "generator_loss": ("generator", 2),
    "discriminator_loss": ("discriminator", 3),
}
"""The columns of a loss curve, each with its name and the number of its colour."""


@of_tables("loss")
def loss(params: Params, tables: dict[str, pd.DataFrame]) -> Drawing:
    """Training and validation loss, one panel a variant."""
    figure, panels = _panels(len(tables), 3, 1.35, 0.4)
    lines: dict[str, Any] = {}
    for axis, (variant, table) in zip(panels, tables.items(), strict=True):
        columns = [column for column in LOSSES if column in table]
        for _, rows in table.groupby("seed"):
            for column in columns:
                name, number = LOSSES[column]
                lines[name] = axis.plot(rows["images"], rows[column], color=nth_color(number), linewidth=0.9)[0]
        last = table["images"].max()
        for fraction in params.train_budget(variant).milestones:
            axis.axvline(fraction * last, color="black", linewidth=0.6, linestyle=":")
        axis.set(yscale="log")
        readable_log_axis(axis.yaxis, table[columns].min().min(), table[columns].max().max())
        axis.set_title(params.title(variant), fontsize=8)
        axis.tick_params(labelsize=SMALL)
        _thousands(axis, 4)
    for axis in panels[-3:]:
        axis.set_xlabel("images seen")
    figure.legend(lines.values(), lines.keys(), loc="outside upper center", ncols=4)
    return Drawing(
        figure,
        "Training loss and validation loss of the averaged weights (mean squared errors), one line a training; for a "
        "GAN the losses of its two networks (cross-entropies). Dotted lines are the milestones. The scales differ: "
        "losses of different targets or schedules measure different things.",
        f"One chart of loss curves for each of {join([*map(params.title, tables)])}.",
    )


def schedule_losses(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The losses of the schedules that one network is compared under: training beside validation, in the same axes."""
    paths = table_paths(artifacts, params, "loss")
    groups: dict[tuple[str, str], list[str]] = {}
    for variant in paths:
        train = params.variant(variant).train
        if train.degradation.name == "gaussian_noise":
            groups.setdefault((train.network.name, train.target), []).append(variant)
    variants = max(groups.values(), key=len, default=[])
    if len(variants) < 2:
        return None
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 3.2), sharex=True, sharey=True)
    called = short_titles(params, variants)
    shown = {variant: read_table(paths[variant]).query("seed == seed.min()") for variant in variants}
    for variant, first in shown.items():
        for panel, column in zip(panels, ("train_loss", "validation_loss"), strict=True):
            panel.plot(first["images"], first[column], linewidth=1.0, label=called[variant], **line(params, variant))
    for panel, title in zip(panels, ("training", "validation (EMA)"), strict=True):
        panel.set(yscale="log", xlabel="images seen", title=title)
        _thousands(panel, 4)
    values = pd.concat([first[["train_loss", "validation_loss"]] for first in shown.values()])
    readable_log_axis(panels[0].yaxis, values.min().min(), values.max().max())
    panels[0].set_ylabel("loss")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Drawing(
        figure,
        "The losses of the first training under each noise schedule, with the same network and budget. A schedule "
        "that spends more steps on much noise has an easier task and a lower loss, so their order is not that of the "
        "samples.",
        f"Two charts of loss against images seen, with a line for each of {join([*map(params.title, variants)])}.",
        [paths[variant] for variant in variants],
    )


def _panels(count: int, most: int, height: float, extra: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, at most `most` in a row, whose rows are `height` inches high."""
    down = -(-count // most)
    size = WIDTH, extra + height * down
    figure, axes = plt.subplots(down, min(most, count), figsize=size, squeeze=False, **options)
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, list(axes.flat[:count])


def _thousands(panel: Axes, ticks: int) -> None:
    """Count images along the axis in thousands."""
    panel.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g} k")
    panel.xaxis.set_major_locator(MaxNLocator(ticks))


def fid(artifacts: Artifacts, params: Params) -> Drawing | None:
    """fid_classifier by milestone, with intervals and the floor, one panel a family of variants."""
    paths, floor = table_paths(artifacts, params, "fid"), artifacts.reference("floor.csv")
    if not paths or not floor.exists():
        return None
    families = by_family(params, paths)
    figure, panels = _panels(len(families), 2, 2.9, 0.2, sharey=True)
    count, ends, lowest, highest = 0, [], float("inf"), 0.0
    floors = read_table(floor).set_index("n")["fid_classifier"]
    for panel, (name, variants) in zip(panels, families.items(), strict=True):
        called = short_titles(params, variants)
        for variant in variants:
            table = read_table(paths[variant])
            count = int(table["n"].iloc[0])
            ends.append(f"{params.title(variant)} {table['fid_classifier'].iloc[-1]:.0f}")
            errors = [table["fid_classifier"] - table["low"], table["high"] - table["fid_classifier"]]
            lowest, highest = min(lowest, table["fid_classifier"].min()), max(highest, table["fid_classifier"].max())
            panel.errorbar(
                table["images"], table["fid_classifier"], [e.clip(lower=0) for e in errors],
                marker="o", markersize=3, capsize=2, linewidth=1.2, label=called[variant], **line(params, variant),
            )  # fmt: skip
        if count in floors:
            lowest = min(lowest, floors[count])
            panel.axhline(floors[count], color="black", linewidth=0.8, linestyle=":", label="real images")
        panel.set(yscale="log", xlabel="images seen in training", title=name)
        _thousands(panel, 5)
        panel.legend(fontsize=7, handlelength=1.2, loc="upper left", ncols=2,
                     bbox_to_anchor=(-0.17, -0.2), columnspacing=0.8, handletextpad=0.5)  # fmt: skip
    readable_log_axis(panels[0].yaxis, lowest, highest)
    for panel in panels[::2]:
        panel.set_ylabel("FID (classifier)")
    return Drawing(
        figure,
        f"Fréchet distance by milestone, of {count} samples from the first training of each variant, drawn in "
        f"{params.budget.sample.milestone_steps} steps, with their intervals. So few raise every value; {count} "
        "real images score what the dotted line shows.",
        f"Line charts of the distance against images seen, by family. At the end: {join(ends)}.",
        [*paths.values(), floor],
    )
