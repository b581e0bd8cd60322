"""What a figure is to the rest of the report."""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

WIDTH = 7.0
"""Of a full-width figure, in inches."""


@dataclass(frozen=True)
class Drawing:
    """A figure, what it shows, what someone who cannot see it should know, and the artifacts it was drawn from."""

    figure: Figure
    caption: str
    alt: str
    sources: list[Path]
