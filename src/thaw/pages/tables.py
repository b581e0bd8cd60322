"""Markdown as the pages print it: tables, their cells, and what stands in the place of something missing."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from thaw.params import Choice
from thaw.reporting.results import Measurement


def table(header: Sequence[str], rows: Sequence[Sequence[str]], label: str, caption: str, align: str = "--:") -> None:
    """Print a Markdown table with a label and a caption; all columns but the first are aligned as `align` says."""
    print("| " + " | ".join(header) + " |")
    print("|" + "|".join([":--", *[align] * (len(header) - 1)]) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(f"\n: {caption} {{#{label}}}\n")


def placeholder(label: str, what: str) -> None:
    """Print, in the place of a figure or a table, that it is not there; references to its label still arrive."""
    kind = "figure" if label.startswith("fig-") else "table"
    print(f"::: {{#{label} .absent}}\n\n*This {kind} is not there yet: {what}*\n")
    print(f"Missing: {label.partition('-')[2]}.\n\n:::\n")


def warning(title: str, message: str) -> None:
    """Print a callout that a reader cannot overlook."""
    print(f"::: {{.callout-warning}}\n## {title}\n\n{message}\n\n:::\n")


def percent(confidence: float) -> str:
    """A confidence as it stands before the word interval."""
    return f"{100 * confidence:g} %"


def bracketed(bounds: str) -> str:
    """An interval in brackets as the page styles it: small, and its brackets no link."""
    return f"[\\{bounds[:-1]}\\]]{{.interval}}" if bounds else ""


def interval(measurement: Measurement) -> str:
    """The interval in brackets, or nothing for what is not estimated from a sample."""
    if measurement.low == measurement.high:
        return ""
    return f"[{measurement.metric.show(measurement.low)}, {measurement.metric.show(measurement.high)}]"


def plain_cell(measurement: Measurement | None) -> str:
    """A measurement and its interval; a dash where there is none, a dagger where it comes of few images."""
    if measurement is None:
        return "–"
    mark = "†" if measurement.of_few_images else ""
    return f"{measurement.show()}{mark} {bracketed(interval(measurement))}".strip()


def best_cell(measurement: Measurement | None, best: Measurement | None) -> str:
    """The same, in bold where none of its metric is better."""
    text = plain_cell(measurement)
    if measurement is None or best is None or measurement.value != best.value or measurement.metric.better is None:
        return text
    return text.replace(measurement.show(), f"**{measurement.show()}**", 1)


def value(found: Any) -> str:
    """A number of a table that thaw wrote, in three digits; a dash where there is none."""
    if pd.isna(found):
        return "–"
    if isinstance(found, str):
        return found
    return f"{found:.0f}" if float(found).is_integer() else f"{found:.3g}"


def describe(choice: Choice) -> str:
    """A choice and its options."""

    def show(option: Any) -> str:
        if isinstance(option, dict):
            return describe(Choice.model_validate(option))
        if isinstance(option, bool):
            return str(option).lower()
        return f"{option:g}" if isinstance(option, float) else str(option)

    options = ", ".join(f"{name} {show(option)}" for name, option in choice.options.items())
    return f"`{choice.name}`" + (f" ({options})" if options else "")
