"""Why something is outdated, or ran again: the one wording, for `thaw status`, `thaw review` and the report's pages."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from thaw.files import reading, replacing
from thaw.params import PARAMS_FILE, read_yaml
from thaw.pipeline.parameters import changed_since, parameters_that_differ
from thaw.pipeline.status import Change, Status
from thaw.results.layout import Artifacts
from thaw.results.wording import shown, some

LOCK = "dvc.lock"
HOW = {"modified": "changed", "deleted": "is missing", "new": "is new"}


def in_words(change: Change, mark: str = "") -> str:
    """A change as a clause; `mark` stands around names and values, such as the one of code in Markdown."""

    def marked(value: object) -> str:
        return "absent" if value is None else f"{mark}{shown(value)}{mark}"

    if change.kind == "never run":
        return f"{marked(change.name)} has never run"
    if change.kind == "command":
        return f"its command is {marked(change.name)} now"
    if change.kind == "parameter":
        return f"parameter {marked(change.name)} was {marked(change.before)} and is {marked(change.after)}"
    how = "is not what its stage wrote" if (change.kind, change.how) == ("result", "modified") else HOW[change.how]
    return f"{change.kind} {marked(change.name)} {how}"


def in_brief(changes: Iterable[Change]) -> str:
    """What changed, as Markdown: the first few names, and how many there are beyond them."""
    short = {"never run": "it has never run", "command": "its command"}
    return some([short.get(change.kind, f"`{change.name}`") for change in changes])


@dataclass(frozen=True)
class Rerun:
    """A stage that ran, or would run, again: what it is of (a variant, a study or nothing), and why."""

    stage: str
    of: str
    reason: str


def out_of_sync(artifacts: Artifacts) -> list[Rerun]:
    """The stages that would run again, each with why; none where the results are those of the parameters and the code.

    Raises ThawError where DVC cannot read the project.
    """
    return [Rerun(s.kind, s.key, in_brief(s.changes)) for s in Status.read(artifacts).outdated.values()]


def reruns(before: Path, after: Path) -> list[Rerun]:
    """The stages whose entries differ between two lock files, in the order of the second, and those that are gone."""
    first, second = lock_entries(before), lock_entries(after)
    changed = [name for name in second if first.get(name) != second[name]]
    made = [path for name in changed for path in _hashes(second[name], "outs")]
    reasons = {name: _reason(first.get(name), second[name], made) for name in changed}
    reasons |= {name: "it is gone" for name in first if name not in second}
    return [Rerun(*name.partition("@")[::2], reason) for name, reason in reasons.items()]


class _Locked(BaseModel):
    """A dependency or an output in a lock file, as far as thaw reckons with it."""

    path: str


class _Entry(BaseModel):
    """A stage in a lock file, likewise."""

    deps: list[_Locked] = []
    outs: list[_Locked] = []
    params: dict[str, dict[str, Any]] = {}


def lock_entries(lock: Path) -> dict[str, Any]:
    """What a lock file of DVC has, by stage; nothing where there is none. Raises ThawError as `reading` does."""
    if not lock.exists():
        return {}
    with reading(lock):
        stages: dict[str, Any] = read_yaml(lock).get("stages", {})
        TypeAdapter(dict[str, _Entry]).validate_python(stages)
        return stages


def _hashes(entry: Mapping[str, Any], kind: str) -> dict[str, str]:
    return {item["path"]: item.get("md5", "") for item in entry.get(kind, [])}


def _reason(before: Mapping[str, Any] | None, after: Mapping[str, Any], made: Iterable[str]) -> str:
    """Why a stage ran: parameters, files and its command; only where none of these differ, what other stages made."""
    if before is None:
        return "it is new"
    params = [entry.get("params", {}).get(PARAMS_FILE, {}) for entry in (before, after)]
    changes = [Change("parameter", found.key) for found in parameters_that_differ(*params)]
    old, new = _hashes(before, "deps"), _hashes(after, "deps")
    files = [path for path in dict.fromkeys((*old, *new)) if old.get(path) != new.get(path)]
    changes += [Change("code", path) for path in files if not any(_overlap(path, out) for out in made)]
    if before.get("cmd") != after.get("cmd"):
        changes.append(Change("command", after.get("cmd", "")))
    if changes:
        return in_brief(changes)
    return "what earlier stages made" if files else "nothing that it reads: it was repeated, with another outcome"


def _overlap(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")


def parameters_since(artifacts: Artifacts, name: str) -> list[Change]:
    """The parameters of params.yaml that have changed since the stages of a variant or a study ran.

    None where dvc.lock knows nothing of it: what no stage made, nobody can call outdated. The answer for all variants
    and studies is kept in .thaw/ for as long as both files stay as they are, so that only a report's first page waits.
    """
    files, kept = (artifacts.params, artifacts.root / LOCK), artifacts.kept("parameters-since.json")
    signature = [[file.stat().st_mtime_ns, file.stat().st_size] for file in files if file.exists()]
    with contextlib.suppress(OSError, ValueError, TypeError):
        known, found = json.loads(kept.read_text())
        if known == signature:
            return [Change("parameter", key, "", *values) for key, values in found.get(name, {}).items()]
    params, found = read_yaml(files[0]), {}
    for stage, entry in lock_entries(files[1]).items():
        of = found.setdefault(stage.partition("@")[2], {})
        of |= {p.key: p[1:] for p in changed_since(entry.get("params", {}).get(PARAMS_FILE, {}), params)}
    with contextlib.suppress(OSError), replacing(kept) as temporary:  # only time is lost without it
        temporary.write_text(json.dumps([signature, found]))
    return [Change("parameter", key, "", *values) for key, values in found.get(name, {}).items()]
