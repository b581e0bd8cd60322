"""Whether results were made with the parameters that params.yaml has now, by what dvc.lock recorded of their stages."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from thaw.artifacts import Artifacts
from thaw.params import read_yaml

VARIANT_STAGES = ("normality", "train", "objective", "sample", "evaluate", "audit")
"""The stages of dvc.yaml that a variant has to itself, in their order."""
STUDY_STAGES = ("study", "untrained_study")


@dataclass(frozen=True)
class Change:
    """A parameter that had another value when the results were made; None is for one that was not there, or is not."""

    key: str
    before: Any
    now: Any

    def show(self) -> str:
        """The change as the report prints it."""
        before, now = ("absent" if value is None else f"`{value}`" for value in (self.before, self.now))
        return f"`{self.key}` was {before} and is {now}"


def outdated(artifacts: Artifacts, stages: Sequence[str], name: str) -> list[Change]:
    """The parameters that decided the results of `name` in these stages and have changed since.

    Empty where dvc.lock knows nothing of the stages: what no pipeline made, nobody can call out of date.
    """
    recorded = _recorded(artifacts.root / "dvc.lock")
    found: dict[str, Change] = {}
    for stage in stages:
        for key, before in recorded.get(f"{stage}@{name}", {}).items():
            now = _current(artifacts.params)
            for part in key.split("."):
                now = now.get(part) if isinstance(now, dict) else None
            for change in _changes(key, before, now):
                found.setdefault(change.key, change)
    return list(found.values())


@functools.cache
def _recorded(lock: Path) -> dict[str, dict[str, Any]]:
    """The parameters that each stage of dvc.lock was run with.

    Read by PyYAML's C loader, as the file is long. Unlike YAML 1.2 it takes 1e-05 for text, so numbers are compared as
    numbers below.
    """
    if not lock.exists():
        return {}
    content = yaml.load(lock.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    stages: dict[str, Any] = content.get("stages", {})
    return {name: stage.get("params", {}).get("params.yaml", {}) for name, stage in stages.items()}


@functools.cache
def _current(params: Path) -> Any:
    return read_yaml(params)


def _changes(key: str, before: Any, now: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(now, dict):
        for part in before | now:
            yield from _changes(f"{key}.{part}", before.get(part), now.get(part))
    elif _comparable(before) != _comparable(now):
        yield Change(key, before, now)


def _comparable(value: Any) -> Any:
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    try:
        return value if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return value
