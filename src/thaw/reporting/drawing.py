"""What a figure is to the rest of the report."""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.colors import to_hex
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


def nth_color(number: int) -> str:
    """A colour of the style in force; a name such as C0 would be looked up when the figure is saved, under another."""
    return to_hex(f"C{number}")
