"""`thaw status` in words: what has to run, because of what, and how long it takes."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from thaw.artifacts import Artifacts
from thaw.params import Params, read_params
from thaw.pipeline.parameters import parameters_that_differ
from thaw.pipeline.plan import Plan, jobs_for, minutes, seconds
from thaw.pipeline.status import Change, Status

REASONS_SHOWN = 12
STUDY = "study "


def explain(artifacts: Artifacts) -> tuple[str, bool]:
    """What is not up to date, for a person to read, and whether anything has to run."""
    params, status = read_params(artifacts.params), Status.read(artifacts)
    plan = Plan.of(status, artifacts)
    if not plan.stages:
        return f"Everything is up to date with params.yaml, the code and the data.{_absent(status)}", False
    words = _Words(artifacts, params, status, plan)
    lines = [line for block in words.blocks() for line in block]
    return "\n".join([*lines, *_costs(artifacts, params, plan)]), True


class _Words:
    """The reasons of a plan, each worded once for all the variants or studies that share it."""

    def __init__(self, artifacts: Artifacts, params: Params, status: Status, plan: Plan) -> None:
        self.artifacts, self.params, self.status, self.plan = artifacts, params, status, plan

    def blocks(self) -> Iterator[list[str]]:
        """One block of lines for each group of variants or studies with the same stages and reasons."""
        groups: dict[tuple[str, ...], list[str]] = {}
        subjects: dict[str, list[str]] = {}
        for name in self.plan.stages:
            if name not in self.plan.pipeline.after:
                subjects.setdefault(self._subject(name), []).append(name)
        for subject, stages in subjects.items():
            kinds = ", ".join(self._kind(stage) for stage in stages if "@" in stage and not self._is_study(stage))
            groups.setdefault((kinds, *self._reasons(stages)), []).append(subject)
        for (kinds, *reasons), names in groups.items():
            cost = minutes(self.artifacts, [stage for name in names for stage in subjects[name]])
            known = [stage for name in names for stage in subjects[name] if seconds(self.artifacts, stage) is not None]
            which = self._named(names)
            yield [
                f"{which}{': ' if kinds else ''}{kinds}{f' (about {duration(cost)})' if known else ''}",
                *_indented(reasons),
            ]
        late = [name for name in self.plan.stages if name in self.plan.pipeline.after]
        if not groups:
            yield [", ".join(late), *_indented(self._reasons(late))]
        else:
            yield [f"then {' and '.join(late)}"]

    def _named(self, names: list[str]) -> str:
        """Variants or studies as a person lists them."""
        studies = [name.removeprefix(STUDY) for name in names if name.startswith(STUDY)]
        if len(names) > 1 and names == list(self.params.variants):
            return "all variants"
        if len(names) > 1 and studies == list(self.plan.pipeline.studies):
            return "all studies"
        if len(studies) == len(names) > 1:
            return f"studies {', '.join(studies)}"
        return ", ".join(names)

    def _is_study(self, name: str) -> bool:
        return name in self.plan.pipeline.studies.values()

    def _subject(self, name: str) -> str:
        key = self.plan.pipeline.stages[name].key
        return f"{STUDY}{key}" if self._is_study(name) else key or name

    def _kind(self, name: str) -> str:
        kind = name.partition("@")[0]
        return f"{kind} (its result is not on this machine)" if name in self.plan.repeated else kind

    def _reasons(self, stages: list[str]) -> list[str]:
        """Why the stages run, without repetitions; what follows from an earlier one of them needs no reason."""
        found: dict[str, None] = {}
        for name in stages:
            for change in self.status.changes.get(name, []):
                if not change.absent:
                    found |= dict.fromkeys(self._worded(change))
        if not found:
            makers = [maker for name in stages for maker in self.plan.pipeline.inputs(name).values()]
            found = {f"follows from {maker}": None for maker in makers if maker in self.plan.stages}
        return list(found)

    def _worded(self, change: Change) -> Iterator[str]:
        if change.kind == "never run":
            yield f"{change.name.partition('@')[0]} has never run"
        elif change.kind == "command":
            yield f"command: {change.old} → {change.new}"
        elif change.kind == "parameter":
            for found in parameters_that_differ(change.old, change.new, change.name):
                yield f"parameter {found.key}: {_value(found.before)} → {_value(found.after)}"
        elif change.kind == "output":
            yield f"result {change.name} {'is missing' if change.how == 'deleted' else 'is not what its stage wrote'}"
        else:
            yield f"{self._sort(change.name)} {change.name}{self._files(change.name)} {_how(change.how)}"

    def _sort(self, path: str) -> str:
        if path == "requirements.lock":
            return "environment"
        if path.startswith("src/"):
            return "code"
        return "data" if path == self.params.data.path or path.startswith("data/") else "input"

    def _files(self, path: str) -> str:
        """Which files of a folder differ from the commit that wrote dvc.lock, where git knows."""
        root = self.artifacts.root
        if not (root / path).is_dir():
            return ""
        commit = _git(root, "log", "-1", "--format=%H", "--", "dvc.lock")
        if not commit:
            return ""
        names = _git(root, "diff", "--name-only", commit[0], "--", path)
        names += _git(root, "ls-files", "--others", "--exclude-standard", "--", path)
        return f" ({', '.join(name.removeprefix(f'{path}/') for name in names)})" if names else ""


def duration(minutes: float) -> str:
    """A number of minutes as a person says it."""
    if minutes < 1:
        return "a minute" if minutes > 0.5 else f"{max(1, round(minutes * 60))} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes // 60:.0f} h {minutes % 60:.0f} min"


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _how(how: str) -> str:
    return {"modified": "changed", "deleted": "is missing", "new": "is new"}[how]


def _indented(reasons: Sequence[str]) -> list[str]:
    """The reasons below what they are of; of a whole profile exchanged, the first ones."""
    lines = [f"    {reason}" for reason in reasons[:REASONS_SHOWN]]
    if more := len(reasons) - len(lines):
        lines.append(f"    and {more} more")
    return lines


def _git(root: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def _absent(status: Status) -> str:
    if not status.missing:
        return ""
    folders = sorted({path.split("/")[0] for path in status.missing})
    count = len({path.split("/")[1] for path in status.missing})
    return (
        f"\nThe {' and '.join(folders)} of {count} variants are not on this machine; nothing needs them now, and "
        "`dvc pull` or `thaw repro` brings them."
    )


def _costs(artifacts: Artifacts, params: Params, plan: Plan) -> Iterator[str]:
    total = minutes(artifacts, plan.stages)
    jobs = min(jobs_for(params), len({plan.pipeline.stages[name].key for name in plan.stages} - {""}) or 1)
    side_by_side = f", {duration(total / jobs)} with {jobs} at a time" if jobs > 1 else ""
    if total:
        yield f"`thaw report` brings this up to date in about {duration(total)}{side_by_side}, by the times in runs/."
    else:
        yield "`thaw report` brings this up to date."
