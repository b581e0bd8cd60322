"""What ran again between two states of dvc.lock, or would run again now, and why.

dvc.lock is long, so it is cut into the blocks of its stages as text, and only blocks that differ are read as YAML.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from thaw.artifacts import Artifacts
from thaw.pipeline.parameters import parameters_that_differ
from thaw.pipeline.status import Status

STAGE = re.compile(r"^  (\S[^\n]*):\n", re.MULTILINE)
LISTED = 3
"""How many reasons are named before the rest is counted."""


@dataclass(frozen=True)
class Rerun:
    """A stage that ran, or would run, again: what it is of (a variant, a study or nothing), and why."""

    stage: str
    of: str
    reason: str


def blocks(text: str) -> dict[str, str]:
    """The text of each stage's entry, by stage."""
    _, *parts = STAGE.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def reruns(before: Path, after: Path) -> list[Rerun]:
    """The stages whose entries differ between two lock files, in the order of the second, and those that are gone."""
    first, second = (blocks(path.read_text(encoding="utf-8")) if path.exists() else {} for path in (before, after))
    changed = [name for name in second if first.get(name) != second[name]]
    old, new = ({name: _entry(text[name]) for name in changed if name in text} for text in (first, second))
    made = {path for name in changed for path in _hashes(new[name], "outs")}
    found = [rerun(name, _reason(old.get(name), new[name], made)) for name in changed]
    return found + [rerun(name, "it is gone") for name in first if name not in second]


def _entry(block: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(block, Loader=yaml.CSafeLoader)
    return content


def rerun(name: str, reason: str) -> Rerun:
    """A stage by the name that DVC gives it."""
    stage, _, of = name.partition("@")
    return Rerun(stage, of, reason)


def _hashes(entry: dict[str, Any], kind: str) -> dict[str, str]:
    return {item["path"]: item.get("md5", "") for item in entry.get(kind, [])}


def _reason(before: dict[str, Any] | None, after: dict[str, Any], made: set[str]) -> str:
    """Why a stage ran: parameters, files and its command; only where none of these differ, what other stages made."""
    if before is None:
        return "it is new"
    params = [p.key for p in parameters_that_differ(before.get("params", {}), after.get("params", {}))]
    causes = [f"`{key.removeprefix('params.yaml.')}`" for key in params]
    old, new = _hashes(before, "deps"), _hashes(after, "deps")
    files = [path for path in dict.fromkeys((*old, *new)) if old.get(path) != new.get(path)]
    own = [path for path in files if not _within(path, made)]
    causes += [f"`{path}`" for path in own]
    if before.get("cmd") != after.get("cmd"):
        causes.append("its command")
    if causes:
        return causes_in_words(causes)
    return "what earlier stages made" if files else "nothing that it reads: it was repeated, with another outcome"


def out_of_sync(artifacts: Artifacts) -> list[Rerun]:
    """The stages that would run again, each with why; none where the results are those of the parameters and the code.

    Raises ThawError where dvc.lock or dvc.yaml cannot be read.
    """
    status = Status.read(artifacts)
    found = []
    for name in status.outdated:
        causes = []
        for change in status.changes[name]:
            if change.kind == "never run":
                causes.append("it has not run yet")
            elif change.kind == "command":
                causes.append("its command")
            elif change.kind == "parameter":
                causes += [f"`{p.key}`" for p in parameters_that_differ(change.old, change.new, change.name)]
            elif not change.absent:
                causes.append(f"`{change.name}`")
        found.append(rerun(name, causes_in_words(causes)))
    return found


def causes_in_words(causes: Sequence[str]) -> str:
    """A list of causes, the first few named and the rest counted."""
    if len(causes) <= LISTED + 1:
        return ", ".join(causes)
    return f"{', '.join(causes[:LISTED])} and {len(causes) - LISTED} more"


def _within(path: str, made: Iterable[str]) -> bool:
    """Whether a dependency is made by another stage that ran, or is a folder of such things."""
    return any(out == path or out.startswith(f"{path}/") or path.startswith(f"{out}/") for out in made)
