"""The figures of the processes themselves, before any training: schedules, degraded images, distance from N(0, 1)."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from thaw.core.sheets import STRIP_COLUMNS, read_sheet
from thaw.figures.drawing import SMALL, WIDTH, Drawing, color, line, nth_color, read_table
from thaw.figures.families import different, existing, kind, table_paths
from thaw.figures.tiles import Grid, Tiles, grid_figure
from thaw.params import Choice, Params
from thaw.results.layout import Artifacts
from thaw.results.wording import join


def noised(artifacts: Artifacts, params: Params) -> dict[str, tuple[str, pd.DataFrame]]:
    """The tables of the different Gaussian degradations by variant, each with the name of its schedule."""
    found = different(params, table_paths(artifacts, params, "normality"), lambda train: train.degradation)
    degradations = {variant: params.variant(variant).train.degradation for variant in found}
    return {
        variant: (schedule_name(degradation), read_table(found[variant]))
        for variant, degradation in degradations.items()
        if degradation.name == "gaussian_noise"
    }


def schedule_name(degradation: Choice) -> str:
    """A schedule in a legend: its name, its largest or only beta, and T."""
    schedule: dict[str, Any] = degradation.options["schedule"]
    beta = schedule.get("beta_max", schedule.get("beta"))
    clip = "clip " if schedule["name"] == "cosine" else ""
    return f"{schedule['name'].replace('_', '-')} {clip}{beta:g}, T = {degradation.options['steps']}"


def schedules(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The schedules: beta_t and alpha_bar_t against t/T."""
    curves = noised(artifacts, params)
    if not curves:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.3))
    for variant, (name, table) in curves.items():
        left.plot(table["tau"], table["beta"], label=name, **line(params, variant))
        right.plot(table["tau"], table["alpha_bar"], label=name, **line(params, variant))
    left.set(yscale="log", xlabel="$t/T$", ylabel=r"$\beta_t$", title="noise added at a step")
    right.set(xlabel="$t/T$", ylabel=r"$\bar\alpha_t$", title="share of the image's variance left")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    ends = join([f"{name} ends with {table['alpha_bar'].iloc[-1]:.1e}" for name, table in curves.values()])
    names = join([name for name, _ in curves.values()])
    return Drawing(
        figure,
        "Noise schedules: the variance β_t added at step t (left, logarithmic) and what is left of the image, ᾱ_t.",
        f"Two line charts of {names} against t/T. Of the image's variance, {ends}.",
        [artifacts.table(variant, "normality") for variant in curves],
    )


def forward(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The forward processes, one strip a variant, of the same image."""
    there = existing(params, lambda variant: artifacts.sheet(variant, "forward"))
    # One of an adversarial target degrades nothing.
    there = {variant: path for variant, path in there.items() if kind(params, variant) != "gan"}
    sheets = different(params, there, lambda train: train.degradation)
    if not sheets:
        return None
    strips = np.concatenate([read_sheet(path, params.data.pixels)[:1] for path in sheets.values()])
    names = [params.title(variant).rpartition(", ")[0] for variant in sheets]
    columns = [f"{k / (STRIP_COLUMNS - 1):g}" for k in range(STRIP_COLUMNS)]
    return Drawing(
        grid_figure(Grid(strips, names, columns)),
        "Forward processes of the same test image, from x (left) to z_T (right), labelled by t/T.",
        f"One strip of {STRIP_COLUMNS} images for each of {join(names)}: the image turns into what the variant "
        "starts its sampling from.",
        list(sheets.values()),
    )


def normality(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The Kolmogorov-Smirnov test and the Wasserstein distance of z_t against t/T, over many images and of one."""
    tables = noised(artifacts, params)
    if not tables:
        return None
    figure = plt.figure(figsize=(WIDTH, 4.5 + 0.1 * len(tables)))
    heights = [2.1, 2.2, 0.2 + 0.1 * len(tables)]
    above, below, names_below = figure.subfigures(3, 1, height_ratios=heights, squeeze=False)[:, 0]
    top = above.subplots(1, 3)
    alone, ranges = below.subplots(1, 2, width_ratios=[1, 1.35])
    for row, (variant, (name, table)) in enumerate(tables.items()):
        for panel, column in zip((*top, alone), ("median_p", "accepted", "wasserstein", "one_p"), strict=True):
            width = 0.7 if panel is alone else 1.2
            panel.plot(table["tau"], table[column], label=name, linewidth=width, **line(params, variant))
        first = read_table(artifacts.table(variant, "first_accepted"))["first_t"].dropna() / table["t"].iloc[-1]
        if len(first):
            low, median, high = first.quantile([0.05, 0.5, 0.95])
            ink = color(params, variant)
            ranges.plot([first.min(), first.max()], [row, row], color=ink, linestyle="-", linewidth=1)
            ranges.plot([low, high], [row, row], color=ink, linestyle="-", linewidth=5, alpha=0.6)
            ranges.plot(median, row, "o", color="white", markeredgecolor=ink, markersize=5)
    for panel in (top[0], alone):
        panel.axhline(params.normality.significance, color="black", linewidth=0.8)
    top[0].set(xlabel="$t/T$", ylabel="median $p$", title="KS test of $z_t$")
    top[1].set(xlabel="$t/T$", ylabel="share not rejected", title=f"at the {params.normality.significance:g} level")
    top[2].set(xlabel="$t/T$", ylabel="$W_1$ to $N(0, 1)$", title="distance", ylim=(0, None))
    alone.set(xlabel="$t/T$", ylabel="$p$", title="one image, one draw")
    ranges.set(xlabel="$t/T$ from which it stays accepted", title="where one curve says normal")
    ranges.set(yticks=range(len(tables)), yticklabels=[name for name, _ in tables.values()], xlim=(0, 1.02))
    ranges.tick_params(axis="y", labelsize=SMALL)
    ranges.invert_yaxis()
    names_below.legend(*top[0].get_legend_handles_labels(), loc="center", ncols=2)
    tests = params.normality.images * params.normality.draws
    names = join([name for name, _ in tables.values()])
    return Drawing(
        figure,
        f"How near the pixels of z_t come to N(0, 1), over {params.normality.images} test images and "
        f"{params.normality.draws} draws of the noise. A test that does not reject proves nothing, so the distance "
        "W₁ stands beside it. Below: the curve of one image and one draw, and the range over all images and draws of "
        "the step from which such a curve stays accepted (line: all, bar: nine tenths, circle: median).",
        f"Four line charts against t/T for {names}: the median p-value of {tests} tests, the share of them that do "
        "not reject, the Wasserstein distance, and the p-value of a single test; and a chart of ranges.",
        [artifacts.table(variant, name) for variant in tables for name in ("normality", "first_accepted")],
    )


def markov_chain(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The forward and the reverse process as a graphical model, whose nodes are images of a strip."""
    strips = [artifacts.sheet(variant, "forward") for variant in noised(artifacts, params)]
    path = next((path for path in strips if path.exists()), None)
    if path is None:
        return None
    strip = read_sheet(path, params.data.pixels)[0]
    figure = plt.figure(figsize=(WIDTH, 1.75), layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, 1.75))
    axes.axis("off")
    centres = [0.62, 2.36, 4.14, 5.88]
    columns = {"$z_T$": -1, "$z_t$": 2, "$z_{t-1}$": 1, "$z_0 = x$": 0}  # a tenth of T apart
    for centre, (name, column) in zip(centres, columns.items(), strict=True):
        _node(figure, axes, centre, name, strip[column])
    for left, right, named in zip(centres, centres[1:], (False, True, False), strict=False):
        reverse = r"$p_\theta(z_{t-1}\,|\,z_t)$" if named else r"$\cdots$"
        onward = r"$q(z_t\,|\,z_{t-1})$" if named else r"$\cdots$"
        _arrow(axes, (left + HALF + 0.05, 1.17), (right - HALF - 0.05, 1.17), reverse, nth_color(0), "-")
        _arrow(axes, (right - HALF - 0.05, 0.87), (left + HALF + 0.05, 0.87), onward, nth_color(1), "--")
    return Drawing(
        figure,
        "The Markov chain of a diffusion model: the forward process q adds noise to the image (dashed, to the left), "
        "and the learned reverse process p_θ takes it away again (to the right). One step changes less than an eye "
        "sees, so the two images in the middle lie T/10 steps apart.",
        "Four images in a row, from noise on the left over two noisy images to a clear one, joined by arrows to the "
        "right that are labelled p and by dashed arrows to the left that are labelled q.",
        [path],
    )


HALF = 0.46
"""Half the side of a node, in inches."""


def _node(figure: Figure, axes: Axes, centre: float, name: str, image: Tiles) -> None:
    bottom = 1.02 - HALF
    width, height = figure.get_size_inches()
    picture = figure.add_axes(((centre - HALF) / width, bottom / height, 2 * HALF / width, 2 * HALF / height))
    picture.imshow(image, vmin=0, vmax=255)
    picture.axis("off")
    axes.add_patch(Rectangle((centre - HALF, bottom), 2 * HALF, 2 * HALF, fill=False, linewidth=2, color="#333333"))
    axes.text(centre, bottom - 0.24, name, ha="center", va="center", fontsize=13)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], label: str, color: str, style: str
) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color=color, linestyle=style,
                                   linewidth=1.4, shrinkA=0, shrinkB=0))  # fmt: skip
    above = start[0] < end[0]
    axes.text((start[0] + end[0]) / 2, start[1] + (0.16 if above else -0.18), label, ha="center", va="center",
              fontsize=9.5, color=color)  # fmt: skip


def central_pixels(artifacts: Artifacts, params: Params) -> Drawing | None:
    """How often each grey level occurs in the centres from which zoom starts, and in whole images."""
    known = [path for path in table_paths(artifacts, params, "levels").values() if len(read_table(path))]
    if not known or not artifacts.reference("levels.csv").exists():
        return None
    paths = {"centre": known[0], "all": artifacts.reference("levels.csv")}
    counts = {name: read_table(path)["count"] for name, path in paths.items()}
    figure, axes = plt.subplots(figsize=(WIDTH, 2.9))
    half_range, number = params.data.half_range, np.arange(len(counts["all"]))
    levels = half_range * (2 * number / number.max() - 1)
    share = {name: count / count.sum() for name, count in counts.items()}
    axes.bar(levels, share["centre"], width=levels[1] - levels[0], color=nth_color(0), label="centres")
    axes.step(levels, share["all"], where="mid", color=nth_color(1), linewidth=1, label="whole images")
    axes.set(yscale="log", xlabel="pixel value", ylabel="share of the pixels")
    axes.set_xlim(-1.02 * half_range, 1.02 * half_range)
    axes.legend(loc="upper center", ncols=2)
    dark, bright = (share["centre"][part].sum() for part in (levels < -0.8 * half_range, levels > 0.8 * half_range))
    variant = next(v for v in params.compared if params.variant(v).train.degradation.name == "zoom")
    side = params.data.pixels - int(params.variant(variant).train.degradation.options["steps"])
    return Drawing(
        figure,
        f"The pixel values of the central {side}×{side} pixels of the training images, from which the latent `pixels` "
        "of zoom is drawn, beside those of whole images; the scale is logarithmic. Of the central ones "
        f"{100 * dark:.0f} % lie in the darkest tenth of the range and {100 * bright:.0f} % in the brightest.",
        "A histogram of the pixel values of the centres, and a line for those of whole images, on a logarithmic scale. "
        f"Of the central pixels {100 * dark:.0f} % are nearly black and {100 * bright:.0f} % nearly white.",
        list(paths.values()),
    )
