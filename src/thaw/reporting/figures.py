"""Every figure of the report, drawn once, from git-tracked artifacts.

A figure is a function of the artifacts that returns a Drawing, or None where none of its artifacts exist. Captions and
alternative texts are made with the figure, so that they say what is in it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import matplotlib.ticker
import pandas as pd

from thaw.artifacts import Artifacts
from thaw.params import Choice, Params
from thaw.reporting import evaluation_figures
from thaw.reporting.drawing import WIDTH, Drawing, nth_color
from thaw.reporting.families import by_family, different, existing
from thaw.reporting.results import join, pictures
from thaw.reporting.study_figures import draw_comparison, draw_study
from thaw.reporting.tiles import draw_tiles
from thaw.sheets import STRIP_COLUMNS, read_sheet

LOSSES = {
    "train_loss": ("training", "C0"),
    "validation_loss": ("validation (EMA)", "C1"),
    "generator_loss": ("generator", "C2"),
    "discriminator_loss": ("discriminator", "C3"),
}
"""The columns of a loss curve, each with its name and colour."""
STYLE = Path(__file__).parent / "style.mplstyle"
SHOWN = 6


def draw_all(artifacts: Artifacts, params: Params) -> dict[str, Drawing]:
    """Every figure that the artifacts allow, by name."""
    mpl.use("agg")
    with plt.style.context(STYLE), mpl.rc_context({"figure.max_open_warning": 0}):  # a style cannot set this
        drawn = {name: draw(artifacts, params) for name, draw in OVERVIEWS.items()}
        for name, draw in PER_VARIANT.items():
            drawn |= {
                f"{name}-{variant}": draw(artifacts, params, variant)
                for variant in params.compared
                if name in pictures(params, variant)
            }
        for key in (*params.studies.trained, *params.studies.untrained):
            drawn[f"study-{key}"] = draw_study(artifacts, params, key)
        for key in params.studies.compared:
            drawn[f"study-{key}"] = draw_comparison(artifacts, params, key)
        return {name: drawing for name, drawing in drawn.items() if drawing}


def noised(artifacts: Artifacts, params: Params) -> dict[str, tuple[str, pd.DataFrame]]:
    """The tables of the different Gaussian degradations by variant, each with the name of its schedule."""
    paths = {
        variant: path
        for variant, path in existing(params, artifacts.normality).items()
        if params.variant(variant).train.degradation.name == "gaussian_noise"
    }
    found = different(params, paths, lambda train: train.degradation)
    return {
        variant: (schedule_name(params.variant(variant).train.degradation), pd.read_csv(path))
        for variant, path in found.items()
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
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.2))
    for name, table in curves.values():
        left.plot(table["tau"], table["beta"], label=name)
        right.plot(table["tau"], table["alpha_bar"], label=name)
    left.set(yscale="log", xlabel="t/T", ylabel="β_t", title="noise added at a step")
    right.set(xlabel="t/T", ylabel="ᾱ_t", title="share of the image's variance left")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    ends = join([f"{name} ends with {table['alpha_bar'].iloc[-1]:.1e}" for name, table in curves.values()])
    names = join([name for name, _ in curves.values()])
    return Drawing(
        figure,
        "Noise schedules: the variance β_t added at step t (left, logarithmic) and what is left of the image, ᾱ_t.",
        f"Two line charts of {names} against t/T. Of the image's variance, {ends}.",
        [artifacts.normality(variant) for variant in curves],
    )


def forward(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The forward processes, one strip a variant, of the same image."""
    sheets = existing(params, lambda variant: artifacts.sheet(variant, "forward"))
    sheets = different(params, sheets, lambda train: train.degradation)
    if not sheets:
        return None
    figure, axes = plt.subplots(len(sheets), 1, figsize=(WIDTH, 0.25 + 0.62 * len(sheets)), squeeze=False)
    columns = [f"{k * 100 // (STRIP_COLUMNS - 1)} %" for k in range(STRIP_COLUMNS)]
    for row, (variant, path) in enumerate(sheets.items()):
        tiles = read_sheet(path, params.data.size)[:1]
        draw_tiles(axes[row, 0], tiles, [variant], columns if row == 0 else None)
    return Drawing(
        figure,
        "Forward processes of the same test image, from x (left) to z_T (right), labelled by t/T.",
        f"One strip of {STRIP_COLUMNS} images for each of {join(list(sheets))}: the image turns into what the variant "
        "starts its sampling from.",
        list(sheets.values()),
    )


def normality(artifacts: Artifacts, params: Params) -> Drawing | None:
    """The Kolmogorov-Smirnov test and the Wasserstein distance of z_t against t/T, over many images and of one."""
    tables = noised(artifacts, params)
    if not tables:
        return None
    figure = plt.figure(figsize=(WIDTH, 5.4))
    grid = figure.add_gridspec(2, 3)
    top = [figure.add_subplot(grid[0, column]) for column in range(3)]
    alone, ranges = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1:])
    for row, (variant, (name, table)) in enumerate(tables.items()):
        for panel, column in zip((*top, alone), ("median_p", "accepted", "wasserstein", "one_p"), strict=True):
            panel.plot(table["tau"], table[column], label=name, linewidth=0.9 if panel is alone else None)
        first = pd.read_csv(artifacts.first_accepted(variant))["first_t"].dropna() / table["t"].iloc[-1]
        if len(first):
            low, median, high = first.quantile([0.05, 0.5, 0.95])
            ranges.plot([first.min(), first.max()], [row, row], color=nth_color(row), linewidth=1)
            ranges.plot([low, high], [row, row], color=nth_color(row), linewidth=5, alpha=0.6)
            ranges.plot(median, row, "o", color="white", markeredgecolor=nth_color(row), markersize=5)
    for panel in (top[0], alone):
        panel.axhline(params.normality.significance, color="black", linewidth=0.8)
    top[0].set(xlabel="t/T", ylabel="median p", title="KS test of z_t")
    top[1].set(xlabel="t/T", ylabel="share not rejected", title=f"at the {params.normality.significance:g} level")
    top[2].set(xlabel="t/T", ylabel="W₁ to N(0, 1)", title="distance", ylim=(0, None))
    alone.set(xlabel="t/T", ylabel="p", title="one image, one draw")
    ranges.set(xlabel="t/T from which a single curve stays accepted", title="where such a curve would say normal")
    ranges.set(yticks=range(len(tables)), yticklabels=[name for name, _ in tables.values()], xlim=(0, 1.02))
    ranges.tick_params(axis="y", labelsize=6.5)
    ranges.invert_yaxis()
    figure.legend(*top[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
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
        [path for variant in tables for path in (artifacts.normality(variant), artifacts.first_accepted(variant))],
    )


def loss(artifacts: Artifacts, params: Params) -> Drawing | None:
    """Training and validation loss, one panel a variant."""
    paths = existing(params, artifacts.loss)
    if not paths:
        return None
    across = min(4, len(paths))
    down = -(-len(paths) // across)
    figure, axes = plt.subplots(down, across, figsize=(WIDTH, 0.4 + 1.7 * down), squeeze=False)
    for axis in axes.flat[len(paths) :]:
        axis.remove()
    lines: dict[str, Any] = {}
    for axis, (variant, path) in zip(axes.flat, paths.items(), strict=False):
        table = pd.read_csv(path)
        for _, rows in table.groupby("seed"):
            for column in (column for column in LOSSES if column in table):
                name, color = LOSSES[column]
                lines[name] = axis.plot(rows["images"], rows[column], color=color, alpha=0.6, linewidth=1.2)[0]
        last = table["images"].max()
        for fraction in params.train_budget(variant).milestones:
            axis.axvline(fraction * last, color="black", linewidth=0.6, linestyle=":")
        axis.set(yscale="log", xlabel="images seen")
        axis.set_title(variant, fontsize=8)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g} k")
        axis.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4)
    return Drawing(
        figure,
        "Training loss and validation loss of the averaged weights (mean squared errors), one line a training; for a "
        "GAN the losses of its two networks (cross-entropies). Dotted lines are the milestones. The scales differ: "
        "losses of different targets or schedules measure different things.",
        f"One chart of loss curves for each of {join(list(paths))}.",
        list(paths.values()),
    )


def fid(artifacts: Artifacts, params: Params) -> Drawing | None:
    """fid_classifier by milestone, with intervals and the floor, one panel a family of variants."""
    paths = existing(params, artifacts.fid)
    if not paths or not artifacts.floor.exists():
        return None
    families = by_family(params, paths)
    figure, axes = plt.subplots(
        -(-len(families) // 2), min(2, len(families)), squeeze=False, sharey=True,
        figsize=(WIDTH, 0.2 + 2.9 * -(-len(families) // 2)),
    )  # fmt: skip
    for axis in axes.flat[len(families) :]:
        axis.remove()
    count, ends, floors = 0, [], pd.read_csv(artifacts.floor).set_index("n")["fid_classifier"]
    for panel, (name, variants) in zip(axes.flat, families.items(), strict=False):
        for variant in variants:
            table = pd.read_csv(paths[variant])
            count = int(table["n"].iloc[0])
            ends.append(f"{variant} {table['fid_classifier'].iloc[-1]:.0f}")
            errors = [table["fid_classifier"] - table["low"], table["high"] - table["fid_classifier"]]
            panel.errorbar(
                table["images"], table["fid_classifier"], [e.clip(lower=0) for e in errors],
                marker="o", markersize=3, capsize=2, linewidth=1.2, label=variant,
            )  # fmt: skip
        if count in floors:
            panel.axhline(floors[count], color="black", linewidth=0.8, linestyle=":", label="real images")
        panel.set(yscale="log", xlabel="images seen in training", title=name)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g} k")
        panel.legend(fontsize=6.5)
    for row in axes:
        row[0].set_ylabel("FID (classifier)")
    return Drawing(
        figure,
        f"Fréchet distance by milestone, of {count} samples from the first training of each variant, with 95 % "
        f"intervals. So few samples raise every value; {count} real images score what the dotted line shows.",
        f"Line charts of the distance against images seen, by family. At the end: {join(ends)}.",
        [*paths.values(), artifacts.floor],
    )


def overview(artifacts: Artifacts, params: Params) -> Drawing | None:
    """Samples of every variant side by side."""
    sheets = existing(params, lambda variant: artifacts.sheet(variant, "samples"))
    if not sheets:
        return None
    across = min(4, len(sheets))
    down = -(-len(sheets) // across)
    figure, axes = plt.subplots(down, across, figsize=(WIDTH, 0.1 + 1.95 * down), squeeze=False)
    for axis in axes.flat[len(sheets) :]:
        axis.remove()
    for axis, (variant, path) in zip(axes.flat, sheets.items(), strict=False):
        draw_tiles(axis, read_sheet(path, params.data.size)[:SHOWN, :SHOWN])
        axis.set_title(variant, loc="center", fontsize=8)
    return Drawing(
        figure,
        f"Unconditional samples, the first {SHOWN * SHOWN} of each variant, not selected.",
        f"Grids of {SHOWN} by {SHOWN} generated images from {join(list(sheets))}.",
        list(sheets.values()),
    )


def samples(artifacts: Artifacts, params: Params, variant: str) -> Drawing | None:
    """The sheet of samples of one variant."""
    path = artifacts.sheet(variant, "samples")
    if not path.exists():
        return None
    figure, axes = plt.subplots(figsize=(4.2, 4.2))
    tiles = read_sheet(path, params.data.size)
    draw_tiles(axes, tiles)
    count = tiles.shape[0] * tiles.shape[1]
    return Drawing(
        figure,
        f"The first {count} unconditional samples of `{variant}`, not selected.",
        f"A grid of {count} images generated by {variant}.",
        [path],
    )


def milestones(artifacts: Artifacts, params: Params, variant: str) -> Drawing | None:
    """Samples of one variant by milestone, from the same latents."""
    path = artifacts.sheet(variant, "milestones")
    if not path.exists():
        return None
    tiles = read_sheet(path, params.data.size)
    budget = params.train_budget(variant)
    rows = [f"{fraction * budget.images / 1000:.3g} k" for fraction in budget.milestones[: len(tiles)]]
    figure, axes = plt.subplots(figsize=(4.6, 0.2 + 0.5 * len(tiles)))
    draw_tiles(axes, tiles, rows)
    axes.set_ylabel("images seen")
    return Drawing(
        figure,
        f"Samples of `{variant}` as its training goes on; a column starts from the same latent.",
        f"Rows of images generated by {variant} after {join(rows)} images of training.",
        [path],
    )


def reconstructions(artifacts: Artifacts, params: Params, variant: str) -> Drawing | None:
    """Test images, degraded and restored."""
    path = artifacts.sheet(variant, "reconstructions")
    if not path.exists():
        return None
    figure, axes = plt.subplots(figsize=(WIDTH * 0.85, 3.0))
    rows = ["original", "degraded, T/2", "restored", "degraded, T", "restored"]
    draw_tiles(axes, read_sheet(path, params.data.size), rows)
    return Drawing(
        figure,
        f"Test images (first row), degraded by `{variant}` to t = T/2 and to t = T, and restored from there.",
        f"Five rows of ten images: originals, two degraded versions, and what {variant} restores from each.",
        [path],
    )


def chain(artifacts: Artifacts, params: Params, variant: str) -> Drawing | None:
    """The backward process: z_t and the estimate of x on the way from z_T to the sample."""
    path = artifacts.sheet(variant, "chain")
    if not path.exists():
        return None
    tiles = read_sheet(path, params.data.size)
    figure, axes = plt.subplots(figsize=(WIDTH, 0.3 + 0.62 * len(tiles)))
    columns = ["z_T", *[""] * (tiles.shape[1] - 2), "sample"]
    draw_tiles(axes, tiles, ["z_t", "estimate of x"] * (len(tiles) // 2), columns)
    return Drawing(
        figure,
        f"Sampling with `{variant}`, from z_T (left) to the sample (right): z_t above, and below it the estimate of "
        "the image that the network makes of it.",
        f"Pairs of strips of {tiles.shape[1]} images: noise or a latent becomes an image of a digit.",
        [path],
    )


OVERVIEWS: dict[str, Callable[[Artifacts, Params], Drawing | None]] = {
    "schedules": schedules,
    "forward": forward,
    "normality": normality,
    "loss": loss,
    "fid": fid,
    "overview": overview,
    "severity": evaluation_figures.severity,
    "test-loss": evaluation_figures.test_loss,
    "likelihood": evaluation_figures.likelihood,
    "classes": evaluation_figures.classes,
    "extrapolation": evaluation_figures.extrapolation,
}
PER_VARIANT: dict[str, Callable[[Artifacts, Params, str], Drawing | None]] = {
    "samples": samples,
    "milestones": milestones,
    "reconstructions": reconstructions,
    "chain": chain,
    "confidence": evaluation_figures.confidence,
    "neighbours": evaluation_figures.neighbours,
}
