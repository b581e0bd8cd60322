"""Comparisons and reviews for readers: in a terminal, as Markdown, and as JSON."""

import json
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thaw.compare.compare import Comparison, Pair
from thaw.metrics import METRICS, Metric
from thaw.pipeline.parameters import Parameter
from thaw.pipeline.why import Rerun
from thaw.results.differences import BETTER, BEYOND, CHANGED, WORSE, Difference, Side, counted
from thaw.results.history import git
from thaw.results.layout import Artifacts
from thaw.results.measurements import Measurement
from thaw.results.wording import code, many, markdown_table, shown, some

if TYPE_CHECKING:  # what a review reads takes longer to import than a comparison takes
    from thaw.compare.review import Review

STYLES = {BETTER: "green", WORSE: "red", CHANGED: "yellow"}
ARROWS = {"lower": "↓ ", "higher": "↑ ", None: ""}
WIDE = 108
"""The width, in columns, from which an interval stands beside its value and not below it."""
HEADLINES = 12
"""How many of the metrics beyond the noise a review has above the folds, the worse first."""
PARAMETERS, VARIANTS, FIGURES, NAMES = 40, 6, 8, 12
"""How many of each a review shows: GitHub takes 65 536 characters in a comment."""
IMAGE_WIDTH = 380


def title(metric: Metric) -> str:
    """The metric's title, after an arrow to where it is better."""
    return ARROWS[metric.better] + metric.title


def measured(found: Measurement | None, between: str = " ") -> str:
    """A value and its interval; the value alone where it is not estimated from a sample."""
    return between.join(filter(None, (found.show(), found.bounds))) if found else "–"


def gap_of(found: Difference, between: str = " ") -> str:
    """The difference and its interval, with signs."""
    return between.join(found.gap.show(found.metric)) if found.gap else "–"


def nothing_differs(comparison: Comparison) -> list[str]:
    """That no result differs, where that is so and known."""
    if comparison.pairs or comparison.unreadable:
        return []
    return [f"No result differs between {comparison.before} and {comparison.after}."]


# --- In a terminal ---------------------------------------------------------------------------------------------------


def print_comparison(comparison: Comparison) -> None:
    """Print the tables and notes, laid out for the width of the terminal."""
    console = Console()
    if comparison.parameters:
        console.print(_parameters(comparison, console.width), "")
    for pair in comparison.pairs:
        console.print(_metrics(comparison, pair, console.width), "")
    for line in nothing_differs(comparison):
        console.print(line)
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
    of = "" if pair.before.variant != pair.after.variant else f"{pair.name}: "
    table = _table(f"{of}{comparison.after} against {comparison.before}")
    table.add_column("metric", min_width=12)
    for name in (comparison.before, comparison.after, "difference"):
        table.add_column(_broken(name, width), justify="right", no_wrap=True)
    table.add_column("the second is" if width >= WIDE else "second\nis")
    for found in pair.differences:
        cells = measured(found.before, between), measured(found.after, between), gap_of(found, between)
        style = STYLES.get(found.verdict, "dim")
        table.add_row(title(found.metric), *map(Text, cells), Text(found.verdict, style=style))
    return table


def _table(caption: str) -> Table:
    return Table(title=caption, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0),
                 pad_edge=False, show_edge=False)  # fmt: skip


def _broken(name: str, width: int) -> str:
    """A long name on several lines, broken at its hyphens."""
    return "\n".join(textwrap.wrap(name, 24 if width >= WIDE else 15))


# --- For programs ----------------------------------------------------------------------------------------------------


def to_json(comparison: Comparison) -> str:
    """All of a comparison."""
    pairs = [
        {
            "before": pair.before.variant,
            "after": pair.after.variant,
            "metrics": [
                {
                    "key": found.metric.key,
                    "better": found.metric.better,
                    "before": found.before and found.before.numbers,
                    "after": found.after and found.after.numbers,
                    "difference": found.gap and found.gap._asdict(),
                    "verdict": found.verdict,
                }
                for found in pair.differences
            ],
            "pictures": [str(path) for path in pair.pictures],
        }
        for pair in comparison.pairs
    ]
    everything = {name: getattr(comparison, name) for name in ("before", "after", "confidence")}
    everything["parameters"] = [parameter._asdict() for parameter in comparison.parameters]
    return json.dumps(everything | {"pairs": pairs, "notes": comparison.notes()}, indent=2, ensure_ascii=False)


# --- As Markdown -----------------------------------------------------------------------------------------------------


def as_markdown(comparison: Comparison) -> str:
    """A comparison, with links to its pictures."""
    parts = [f"## {comparison.after} against {comparison.before}"]
    if comparison.parameters:
        parts.append(parameter_table(comparison.parameters, comparison.before, comparison.after))
    for pair in comparison.pairs:
        if len(comparison.pairs) > 1 or pair.before.variant == pair.after.variant:
            parts.append(f"### {pair.name}")
        parts.append(metric_table(pair.differences, comparison.before, comparison.after))
        parts += [f"![{pair.name}: {path.stem.rsplit('-', 1)[-1]}]({path})" for path in pair.pictures]
    return "\n\n".join([*parts, *nothing_differs(comparison), *comparison.notes()])


def parameter_table(parameters: Iterable[Parameter], before: str, after: str) -> str:
    """Parameters with both values."""
    rows = [code([p.key]) + [f"`{shown(v)}`" if v is not None else "–" for v in p[1:]] for p in parameters]
    return markdown_table(["parameter", before, after], rows, ":--")


def metric_table(found: Iterable[Difference], before: str, after: str) -> str:
    """Metrics with their verdicts, those beyond the noise in bold."""
    rows = [
        [title(d.metric), measured(d.before), measured(d.after), gap_of(d),
         f"**{d.verdict}**" if d.beyond_noise else d.verdict]
        for d in found
    ]  # fmt: skip
    return markdown_table(["metric", before, after, "difference", f"{after} is"], rows, "--:")


def review_markdown(review: "Review", root: Path, pictures: Mapping[str, Path]) -> str:
    """The comment on a pull request; `pictures` are figures before and after, side by side, where they are written."""
    base = f"`{review.base.label}`"
    if review.empty:
        same = "parameters, results and figures are the same, and the results are in sync"
        return f"Nothing changed since {base}: {same}."
    comparison = review.comparison
    parts = [f"## What changed since {base}", _summary(review), *_headlines(comparison)]
    if parameters := comparison.parameters:
        table = parameter_table(parameters[:PARAMETERS], "before", "after")
        left = len(parameters) - PARAMETERS
        more = f"\n\nand {left} more; `dvc params diff` lists all." if left > 0 else ""
        parts.append(_folded(f"Parameters: {len(parameters)} changed", table + more))
    parts += [_folded(f"New variant {side.variant}", _values(side)) for side in review.added]
    if comparison.pairs:
        parts.append(_folded("Every metric of the variants that changed", _every_metric(review)))
    if review.reruns:
        costs = [f"`{name}` {minutes:.1f}" for name, minutes in review.costs.items()]
        took = f"\n\nMinutes: {some(costs, NAMES)}." if costs else ""
        heading = f"What ran again, and why: {many(len(review.reruns), 'stage')}"
        parts.append(_folded(heading, _stages(review.reruns) + took))
    if number := len(review.figures):
        parts.append(_folded(f"Figures before and after: {number} changed", _figures(review, root, pictures)))
    if review.unsynced:
        parts.append(_folded("What is not in sync", _stages(review.unsynced)))
    return "\n\n".join(parts)


def _summary(review: "Review") -> str:
    """The verdicts, the variants that came and went, the cost, and whether all is in sync."""
    lines = []
    if counts := counted(review.comparison.differences):
        words = [f"**{counts[word]} {word}**" for word in BEYOND if word in counts]
        words += [f"{number} {word}" for word, number in counts.items() if word not in BEYOND]
        names = code(pair.name for pair in review.comparison.pairs)
        lines.append(f"Metrics of {some(names, NAMES)}: {', '.join(words)}.")
    elif not review.comparison.unreadable:  # of which the notes speak
        lines.append("No metric of any variant that was there before changed.")
    if review.added:
        lines.append(f"New: {some(code(side.variant for side in review.added), NAMES)}.")
    if review.removed:
        lines.append(f"Removed: {some(code(review.removed), NAMES)}.")
    if review.costs:
        lines.append(f"What ran took {sum(review.costs.values()):.1f} minutes, by the `run.json` of each.")
    if review.machines:
        lines.append(f"It ran on another machine than before ({'; '.join(review.machines)}), which alone can change "
                     "the last digits, and so a training.")  # fmt: skip
    in_sync = "The results are in sync with the parameters, the code and the data."
    unsynced = f"**Not in sync**: {many(len(review.unsynced), 'stage')} would run again; see below."
    return " ".join([*lines, unsynced if review.unsynced else in_sync])


def _headlines(comparison: Comparison) -> list[str]:
    """The metrics beyond the noise, the worse first, and how to take them."""
    found = [(pair, d) for pair in comparison.pairs for d in pair.differences if d.beyond_noise]
    found.sort(key=lambda entry: (WORSE, BETTER, CHANGED).index(entry[1].verdict))
    rows = [
        [f"`{pair.name}`", title(d.metric), measured(d.before), measured(d.after), f"**{d.verdict}**"]
        for pair, d in found[:HEADLINES]
    ]
    parts = [markdown_table(["variant", "metric", "before", "after", "after is"], rows, ":--")] if rows else []
    if len(found) > HEADLINES:
        parts.append(f"{len(found) - HEADLINES} more are beyond the noise; they stand below.")
    return [*parts, *filter(None, [" ".join(comparison.notes())])]


def _values(side: Side) -> str:
    rows = [[METRICS[key].title, measured(side.measured[key])] for key in METRICS if key in side.measured]
    return markdown_table(["metric", "value"], rows, "--:") if rows else "It has no results yet."


def _every_metric(review: "Review") -> str:
    shown_ones, left = review.comparison.pairs[:VARIANTS], review.comparison.pairs[VARIANTS:]
    parts = [part for p in shown_ones for part in (f"**{p.name}**", metric_table(p.differences, "before", "after"))]
    if left:
        names = some(code(pair.name for pair in left), NAMES)
        parts.append(f"`thaw compare --rev {review.base.commit[:7]} workspace` prints those of {names} too.")
    return "\n\n".join(parts)


def _stages(reruns: Sequence[Rerun]) -> str:
    """A table with a row for all that runs for the same reason."""
    stages: dict[tuple[str, str], list[str]] = {}
    for rerun in reruns:
        own = rerun.reason.replace(f".{rerun.of}.", ".NAME.") if rerun.of else rerun.reason
        stages.setdefault((rerun.of, own), []).append(f"`{rerun.stage}`")
    alike: dict[tuple[str, str], list[str]] = {}
    for (of, reason), names in stages.items():
        alike.setdefault((", ".join(names), reason), []).append(of)
    rows = []
    for (together, reason), ofs in alike.items():
        owners = ", ".join(f"`{of}`" if of else "everything" for of in ofs)
        owners = f"{len(ofs)} variants or studies" if len(ofs) > VARIANTS else owners
        rows.append([owners, together, reason.replace("NAME", ofs[0]) if len(ofs) == 1 else reason])
    return markdown_table(["of", "stages", "because of"], rows, ":--")


def _figures(review: "Review", root: Path, pictures: Mapping[str, Path]) -> str:
    if pictures:
        return "\n\n".join(f"![{name}, before and after]({path})" for name, path in pictures.items())
    if not (links := _links(review, root)):
        writes = f"`thaw review --base {review.base.name} --figures DIR` writes them side by side."
        return f"{some(code(review.figures), NAMES)}.\n\n{writes}"
    changed = {pair.name for pair in review.comparison.pairs} | {side.variant for side in review.added}
    first = sorted(links, key=lambda name: (not name.startswith("samples-"), name.split("-", 1)[-1] not in changed))
    table = markdown_table(["figure", "before", "after"], [[f"`{n}`", *links[n]] for n in first[:FIGURES]], ":--")
    left = code(first[FIGURES:])
    return table + (f"\n\nAlso changed: {some(left, NAMES)}." if left else "")


def _links(review: "Review", root: Path) -> dict[str, list[str]]:
    """The figures as pictures on GitHub, where this runs there and what changed is committed; nothing elsewhere."""
    server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    folder = Artifacts(root).figures.relative_to(root).as_posix()
    if not server or not repository or git(root, "status", "--porcelain", "--", folder).stdout.strip():
        return {}
    prefix = git(root, "rev-parse", "--show-prefix").stdout.decode().strip()
    head = git(root, "rev-parse", "HEAD").stdout.decode().strip()

    def picture(name: str, commit: str, path: Path | None) -> str:
        url = f"{server}/{repository}/raw/{commit}/{prefix}{folder}/{name}.png"
        return f'<a href="{url}"><img src="{url}" width="{IMAGE_WIDTH}" alt="{name}"></a>' if path else "–"

    return {
        name: [picture(name, review.base.commit, before), picture(name, head, after)]
        for name, (before, after) in review.figures.items()
    }


def _folded(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"
