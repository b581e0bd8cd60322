"""A comparison for a terminal, as Markdown and as JSON."""

import json
import textwrap
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thaw.reporting.comparison import Comparison, Pair, shown
from thaw.reporting.metrics import Metric
from thaw.reporting.snapshots import BETTER, CHANGED, WORSE, Difference, Estimate

STYLES = {BETTER: "green", WORSE: "red", CHANGED: "yellow"}
ARROWS = {"lower": "↓", "higher": "↑", None: " "}
WIDE = 108
"""The width, in columns, from which an interval stands beside its value and not below it."""


def measured(metric: Metric, estimate: Estimate | None, between: str = " ") -> str:
    """A value and its interval; the value alone where it is not estimated from a sample."""
    if estimate is None:
        return "–"
    if estimate.low == estimate.high:
        return metric.show(estimate.value)
    return f"{metric.show(estimate.value)}{between}[{metric.show(estimate.low)}, {metric.show(estimate.high)}]"


def gap_of(difference: Difference, between: str = " ") -> str:
    """The difference and its interval, with signs."""
    if difference.gap is None:
        return "–"
    value, low, high = (f"{bound:+.{difference.metric.digits}f}" for bound in difference.gap[:3])
    return f"{value}{between}[{low}, {high}]"


def title(metric: Metric) -> str:
    """The metric's title, after an arrow to where it is better."""
    return f"{ARROWS[metric.better]} {metric.title}".strip()


def heading(comparison: Comparison, pair: Pair) -> str:
    """What is set beside what."""
    of = "" if pair.before.variant != pair.after.variant else f"{pair.name}: "
    return f"{of}{comparison.after} against {comparison.before}"


def print_comparison(comparison: Comparison) -> None:
    """Print the tables and notes, laid out for the width of the terminal."""
    console = Console()
    if comparison.parameters:
        console.print(_parameters(comparison, console.width), "")
    for pair in comparison.pairs:
        console.print(_metrics(comparison, pair, console.width), "")
    if not comparison.pairs:
        console.print(f"No result differs between {comparison.before} and {comparison.after}.")
    for note in comparison.notes():
        console.print(Text(note.replace("`", "")), style="dim")
    for path in [path for pair in comparison.pairs for path in pair.pictures]:
        console.print(Text(str(path)), soft_wrap=True)


def _parameters(comparison: Comparison, width: int) -> Table:
    table = _table("Parameters that differ")
    table.add_column("key", no_wrap=True)
    for name in (comparison.before, comparison.after):
        table.add_column(_broken(name, width), overflow="fold")
    for parameter in comparison.parameters:
        key = "\n".join(textwrap.wrap(parameter.key.replace(".", ". "), 40, break_on_hyphens=False)).replace(". ", ".")
        table.add_row(*map(Text, (key, shown(parameter.before), shown(parameter.after))))
    return table


def _metrics(comparison: Comparison, pair: Pair, width: int) -> Table:
    between = " " if width >= WIDE else "\n"
    table = _table(heading(comparison, pair))
    table.add_column("metric", min_width=12)
    for name in (comparison.before, comparison.after, "difference"):
        table.add_column(_broken(name, width), justify="right", no_wrap=True)
    table.add_column("the second is" if width >= WIDE else "second\nis")
    for difference in pair.differences:
        table.add_row(
            title(difference.metric), Text(measured(difference.metric, difference.before, between)),
            Text(measured(difference.metric, difference.after, between)), Text(gap_of(difference, between)),
            Text(difference.verdict, style=STYLES.get(difference.verdict, "dim")),
        )  # fmt: skip
    return table


def _table(caption: str) -> Table:
    return Table(title=caption, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0),
                 pad_edge=False, show_edge=False)  # fmt: skip


def _broken(name: str, width: int) -> str:
    """A long name on several lines, broken at its hyphens."""
    return "\n".join(textwrap.wrap(name, 24 if width >= WIDE else 15))


def as_markdown(comparison: Comparison) -> str:
    """The same as Markdown, with links to the pictures."""
    parts = [f"## {comparison.after} against {comparison.before}"]
    if comparison.parameters:
        parts.append(parameter_table(comparison))
    for pair in comparison.pairs:
        if len(comparison.pairs) > 1 or pair.before.variant == pair.after.variant:
            parts.append(f"### {pair.name}")
        parts.append(metric_table(comparison.before, comparison.after, pair.differences))
        parts += [f"![{pair.name}: {path.stem.rsplit('-', 1)[-1]}]({path})" for path in pair.pictures]
    if not comparison.pairs:
        parts.append(f"No result differs between {comparison.before} and {comparison.after}.")
    return "\n\n".join([*parts, *comparison.notes()])


def parameter_table(comparison: Comparison) -> str:
    """The parameters that differ, as a Markdown table."""
    rows = [[f"`{p.key}`", f"`{shown(p.before)}`", f"`{shown(p.after)}`"] for p in comparison.parameters]
    return markdown_table(["parameter", comparison.before, comparison.after], rows, ":--")


def metric_table(before: str, after: str, found: Sequence[Difference]) -> str:
    """Metrics with their verdicts, as a Markdown table."""
    rows = [
        [title(d.metric), measured(d.metric, d.before), measured(d.metric, d.after), gap_of(d), emphasized(d.verdict)]
        for d in found
    ]
    return markdown_table(["metric", before, after, "difference", f"{after} is"], rows, "--:")


def emphasized(verdict: str) -> str:
    """A verdict beyond the noise in bold."""
    return f"**{verdict}**" if verdict in STYLES else verdict


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """A table whose columns but the first are aligned as `align` says; bars in cells are escaped."""
    lines = [header, [":--", *[align] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def to_json(comparison: Comparison) -> str:
    """All of it for programs."""

    def estimate(found: Any) -> Any:
        return found and found._asdict()

    content = {
        "before": comparison.before,
        "after": comparison.after,
        "confidence": comparison.confidence,
        "parameters": [parameter._asdict() for parameter in comparison.parameters],
        "pairs": [
            {
                "before": pair.before.variant,
                "after": pair.after.variant,
                "metrics": [
                    {
                        "key": difference.metric.key, "better": difference.metric.better,
                        "before": estimate(difference.before), "after": estimate(difference.after),
                        "difference": estimate(difference.gap), "verdict": difference.verdict,
                    }
                    for difference in pair.differences
                ],
                "pictures": [str(path) for path in pair.pictures],
            }
            for pair in comparison.pairs
        ],
        "notes": comparison.notes(),
    }  # fmt: skip
    return json.dumps(content, indent=2, ensure_ascii=False)
