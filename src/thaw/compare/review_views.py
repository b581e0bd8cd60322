"""A review as the Markdown of a comment on a pull request."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from thaw.pipeline.parameters import Parameter
from thaw.reporting.comparison import shown
from thaw.reporting.comparison_views import markdown_table, measured, metric_table, title
from thaw.reporting.lockfile import Rerun
from thaw.reporting.metrics import METRICS
from thaw.reporting.review import Review
from thaw.reporting.revisions import git
from thaw.reporting.snapshots import BETTER, BEYOND, CHANGED, WORSE, Side, counted

HEADLINES = 12
"""How many of the metrics beyond the noise stand above the folds, the worse first."""
PARAMETERS, VARIANTS, FIGURES, NAMES = 40, 6, 8, 12
"""How many of each are shown: GitHub takes 65 536 characters in a comment."""
IMAGE_WIDTH = 380


def as_markdown(review: Review, root: Path, pictures: Mapping[str, Path]) -> str:
    """The comment; `pictures` are figures before and after, side by side, where they have been written."""
    if review.empty:
        return (
            f"Nothing changed since {_code(review.base.label)}: parameters, results and figures are the same, and the "
            "results are in sync."
        )
    parts = [f"## What changed since {_code(review.base.label)}", *_summary(review), *_headlines(review)]
    if parameters := review.comparison.parameters:
        parts.append(_folded(f"Parameters: {len(parameters)} changed", _parameters(parameters)))
    for side in review.added:
        parts.append(_folded(f"New variant {side.variant}", _values(side)))
    if review.comparison.pairs:
        parts.append(_folded("Every metric of the variants that changed", _metrics(review)))
    if review.reruns:
        costs = [f"`{name}` {minutes:.1f}" for name, minutes in review.costs.items()]
        took = f"\n\nMinutes: {_some(costs)}." if costs else ""
        heading = f"What ran again, and why: {_count(len(review.reruns), 'stage')}"
        parts.append(_folded(heading, _stages(review.reruns) + took))
    if review.figures:
        heading = f"Figures before and after: {len(review.figures)} changed"
        parts.append(_folded(heading, _figures(review, root, pictures)))
    if review.unsynced:
        parts.append(_folded("What is not in sync", _stages(review.unsynced)))
    return "\n\n".join(parts)


def _summary(review: Review) -> list[str]:
    """One paragraph a subject: the verdicts, the variants that came and went, the cost, and whether all is in sync."""
    found = [difference for pair in review.comparison.pairs for difference in pair.differences]
    lines = []
    if found:
        counts = counted(found)
        words = [f"**{counts[word]} {word}**" for word in BEYOND if word in counts]
        words += [f"{count} {word}" for word, count in counts.items() if word not in BEYOND]
        names = _some([f"`{pair.name}`" for pair in review.comparison.pairs])
        lines.append(f"Metrics of {names}: {', '.join(words)}.")
    else:
        lines.append("No metric of any variant that was there before changed.")
    if review.added:
        lines.append(f"New: {_some([f'`{side.variant}`' for side in review.added])}.")
    if review.removed:
        lines.append(f"Removed: {_some([f'`{name}`' for name in review.removed])}.")
    if review.costs:
        lines.append(f"What ran took {sum(review.costs.values()):.1f} minutes by `runs/`.")
    if review.machines:
        lines.append(f"It ran on another machine than before ({'; '.join(review.machines)}), which alone can change "
                     "the last digits, and so a training.")  # fmt: skip
    lines.append(
        f"**Not in sync**: {_count(len(review.unsynced), 'stage')} would run again; see below."
        if review.unsynced
        else "The results are in sync with the parameters, the code and the data."
    )
    return [" ".join(lines)]


def _headlines(review: Review) -> list[str]:
    """The metrics beyond the noise, the worse first, and how to take them."""
    found = [(pair, d) for pair in review.comparison.pairs for d in pair.differences if d.verdict in BEYOND]
    found.sort(key=lambda entry: (WORSE, BETTER, CHANGED).index(entry[1].verdict))
    rows = [
        [
            f"`{pair.name}`",
            title(d.metric),
            measured(d.metric, d.before),
            measured(d.metric, d.after),
            f"**{d.verdict}**",
        ]
        for pair, d in found[:HEADLINES]
    ]
    parts = [markdown_table(["variant", "metric", "before", "after", "after is"], rows, ":--")] if rows else []
    if len(found) > HEADLINES:
        parts.append(f"{len(found) - HEADLINES} more are beyond the noise; they stand below.")
    notes = review.comparison.notes()
    return [*parts, *([" ".join(notes)] if notes else [])]


def _parameters(parameters: Sequence[Parameter]) -> str:
    rows = [[_code(p.key), _code(shown(p.before)), _code(shown(p.after))] for p in parameters[:PARAMETERS]]
    table = markdown_table(["parameter", "before", "after"], rows, ":--")
    left = len(parameters) - PARAMETERS
    return table + (f"\n\nand {left} more; `dvc params diff` lists all." if left > 0 else "")


def _values(side: Side) -> str:
    found = side.snapshot.estimates(side.variant)
    if not found:
        return "It has no results yet."
    rows = [[METRICS[key].title, measured(METRICS[key], found[key])] for key in METRICS if key in found]
    return markdown_table(["metric", "value"], rows, "--:")


def _metrics(review: Review) -> str:
    pairs = review.comparison.pairs
    parts = []
    for pair in pairs[:VARIANTS]:
        parts += [f"**{pair.name}**", metric_table("before", "after", pair.differences)]
    if left := pairs[VARIANTS:]:
        names = _some([f"`{pair.name}`" for pair in left])
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
    rows = [
        [_names(ofs), names, reason.replace("NAME", ofs[0]) if len(ofs) == 1 else reason]
        for (names, reason), ofs in alike.items()
    ]
    return markdown_table(["of", "stages", "because of"], rows, ":--")


def _names(ofs: Sequence[str]) -> str:
    if len(ofs) > VARIANTS:
        return f"{len(ofs)} variants or studies"
    return ", ".join(f"`{of}`" if of else "everything" for of in ofs)


def _figures(review: Review, root: Path, pictures: Mapping[str, Path]) -> str:
    if pictures:
        return "\n\n".join(f"![{name}, before and after]({path})" for name, path in pictures.items())
    names = _some([f"`{name}`" for name in review.figures])
    links = _links(review, root)
    if not links:
        return f"{names}.\n\n`thaw review --base {review.base.name} --figures DIR` writes them side by side."
    changed = {pair.name for pair in review.comparison.pairs} | {side.variant for side in review.added}
    first = sorted(links, key=lambda name: (not name.startswith("samples-"), name.split("-", 1)[-1] not in changed))
    rows = [[f"`{name}`", *links[name]] for name in first[:FIGURES]]
    table = markdown_table(["figure", "before", "after"], rows, ":--")
    left = [f"`{name}`" for name in first[FIGURES:]]
    return table + (f"\n\nAlso changed: {_some(left)}." if left else "")


def _links(review: Review, root: Path) -> dict[str, list[str]]:
    """The figures as pictures on GitHub, where this runs there and what changed is committed; nothing elsewhere."""
    server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    if not server or not repository or git(root, "status", "--porcelain", "--", "figures").stdout.strip():
        return {}
    prefix = git(root, "rev-parse", "--show-prefix").stdout.decode().strip()
    head = git(root, "rev-parse", "HEAD").stdout.decode().strip()

    def picture(name: str, commit: str, path: Path | None) -> str:
        url = f"{server}/{repository}/raw/{commit}/{prefix}figures/{name}.png"
        return f'<a href="{url}"><img src="{url}" width="{IMAGE_WIDTH}" alt="{name}"></a>' if path else "–"

    return {
        name: [picture(name, review.base.commit, before), picture(name, head, after)]
        for name, (before, after) in review.figures.items()
    }


def _folded(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _some(names: Sequence[str]) -> str:
    """The first names of a list, and how many there are beyond them."""
    return ", ".join(names[:NAMES]) + (f" and {len(names) - NAMES} more" if len(names) > NAMES else "")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _code(text: str) -> str:
    return f"`{text}`" if text != "–" else text
