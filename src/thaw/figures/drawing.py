"""What a figure is to the rest of the report."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from thaw.figures.families import table_paths
from thaw.files import read_csv
from thaw.params import Params
from thaw.results.layout import Artifacts

STYLE = Path(__file__).parent / "style.mplstyle"
"""The one style of every figure, for matplotlib's style.context."""
WIDTH = 6.5
"""Of a full-width figure in inches, about that of the text on a page, so that type is printed in its own size."""
SMALL = 7.5
"""The size of the smallest type, in points."""


@dataclass(frozen=True)
class Drawing:
    """A figure, what it shows, what someone who cannot see it should know, and the artifacts it was drawn from."""

    figure: Figure
    caption: str
    alt: str
    sources: list[Path] = field(default_factory=list)

    @property
    def is_chart(self) -> bool:
        """Whether it is lines and letters alone, which any size and the dark suit, and no pictures."""
        return not self.figure.findobj(AxesImage) and not self.figure.images


Overview = Callable[[Artifacts, Params], Drawing | None]
Tables = dict[str, pd.DataFrame]


def read_table(path: Path, **options: Any) -> pd.DataFrame:
    """A table, with options for pandas. Raises ThawError as `read_csv` does."""
    read_csv(path, needed=True)
    return pd.read_csv(path, **options)


def of_tables(name: str) -> Callable[[Callable[[Params, Tables], Drawing]], Overview]:
    """Let a function draw what the tables of one name have, by variant; no figure where none of them has any rows."""

    def decorate(draw: Callable[[Params, Tables], Drawing]) -> Overview:
        @functools.wraps(draw)
        def drawn(artifacts: Artifacts, params: Params) -> Drawing | None:
            paths = table_paths(artifacts, params, name)
            tables = {variant: table for variant, path in paths.items() if len(table := read_table(path))}
            if not tables:
                return None
            drawing = draw(params, tables)
            drawing.sources.extend(paths[variant] for variant in tables)
            return drawing

        return drawn

    return decorate


@dataclass(frozen=True)
class Animation:
    """A moving picture: its frames, each shown for some milliseconds, and what a Drawing says of itself.

    `still` is the name of the figure that stands for it where nothing moves.
    """

    frames: list[Figure]
    milliseconds: list[int]
    still: str
    caption: str
    alt: str
    sources: list[Path]


def nth_color(number: int) -> str:
    """A colour of the style in force; a name such as C0 would be looked up when the figure is saved, under another."""
    colors: list[str] = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    return to_hex(colors[number % len(colors)])


def line(params: Params, variant: str) -> dict[str, Any]:
    """The colour and the dashes of a variant, the same in every figure."""
    entries = list(mpl.rcParams["axes.prop_cycle"])
    return dict(entries[list(params.variants).index(variant) % len(entries)])


def color(params: Params, variant: str) -> str:
    """The colour of a variant."""
    return str(line(params, variant)["color"])


def band(panel: Axes, x: pd.Series, table: pd.DataFrame, color: str) -> None:
    """The intervals about a line, whose ends are the columns `low` and `high`."""
    panel.fill_between(x, table["low"], table["high"], color=color, alpha=0.15, linewidth=0)


def readable_log_axis(axis: Any, low: float, high: float) -> None:
    """Plain numbers on a logarithmic axis from `low` to `high`: powers of ten, and what lies between if few fit."""
    decades = np.log10(high / low) if low > 0 else 9.0
    subs = (1.0, 2.0, 5.0) if decades < 1.6 else (1.0, 3.0) if decades < 2.5 else (1.0,)
    axis.set_major_locator(MaxNLocator(4) if decades < 0.7 else LogLocator(subs=subs))
    axis.set_minor_locator(NullLocator())
    if decades < 4:
        axis.set_major_formatter("{x:g}")


def shares(
    panel: Axes, values: npt.NDArray[Any], rows: Sequence[str], columns: Iterable[object], darkest: float
) -> None:
    """A table of shares in per cent, with darker cells for larger ones; `darkest` is the share from which all are."""
    panel.pcolormesh(values, cmap="Blues", vmin=0, vmax=darkest)
    panel.invert_yaxis()
    for y, x in np.ndindex(*values.shape):
        ink = "white" if values[y, x] > 0.6 * darkest else "black"
        panel.text(x + 0.5, y + 0.5, f"{100 * values[y, x]:.0f}", ha="center", va="center", fontsize=SMALL, color=ink)
    panel.set_yticks(np.arange(len(rows)) + 0.5, rows)
    panel.set_xticks(np.arange(values.shape[1]) + 0.5, [str(column) for column in columns])
    panel.grid(False)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
