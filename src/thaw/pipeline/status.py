"""What differs from dvc.lock, stage by stage: `dvc status` in a second instead of half a minute."""

import configparser
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from thaw.artifacts import Artifacts
from thaw.params import PARAMS_FILE
from thaw.pipeline.dvcfile import Pipeline, Stage, lookup
from thaw.pipeline.fast_yaml import read_fast
from thaw.pipeline.hashes import Hashes
from thaw.pipeline.lock import read_lock

Kind = Literal["never run", "command", "parameter", "dependency", "output"]


@dataclass(frozen=True)
class Change:
    """One thing that is not as dvc.lock has it, in DVC's words: modified, deleted, new, or not in cache.

    `absent` says that it is only a large result, or what is made of one, that this machine does not have.
    """

    kind: Kind
    name: str
    how: str
    old: Any = None
    new: Any = None
    absent: bool = False


class Cache:
    """The folder in which DVC keeps large results."""

    def __init__(self, root: Path) -> None:
        folder = ".dvc/cache"
        for name in ("config", "config.local"):
            parser = configparser.ConfigParser(strict=False, interpolation=None)
            parser.read(root / ".dvc" / name)
            for section, values in parser.items():
                if section.strip("'\"") == "cache" and "dir" in values:
                    folder = str(root / ".dvc" / values["dir"])
        self.objects = root / folder / "files" / "md5"

    def has(self, md5: str) -> bool:
        """Whether everything of a file or folder is there."""
        path = self._path(md5)
        if not path.exists():
            return False
        if not md5.endswith(".dir"):
            return True
        return all(self._path(entry["md5"]).exists() for entry in json.loads(path.read_text()))

    def _path(self, md5: str) -> Path:
        return self.objects / md5[:2] / md5[2:]


@dataclass(frozen=True)
class Status:
    """All that differs, by stage in the order of dvc.yaml, beside the pipeline itself."""

    pipeline: Pipeline
    changes: dict[str, list[Change]]
    missing: list[str]
    """Large results that are neither here nor in DVC's cache."""

    @classmethod
    def read(cls, artifacts: Artifacts) -> "Status":
        """Compare the parameters, the code, the data and the results with dvc.lock."""
        pipeline, lock, params = Pipeline.read(artifacts), read_lock(artifacts), read_fast(artifacts.params)
        cache = Cache(artifacts.root)
        large = {path for stage in pipeline.stages.values() for path, cached in stage.outs.items() if cached}
        changes, missing = {}, list[str]()
        with Hashes(artifacts) as hashes:
            for name, stage in pipeline.stages.items():
                entry = lock.get(name)
                if entry is None:
                    changes[name] = [Change("never run", name, "new")]
                    missing += [out for out, cached in stage.outs.items() if cached and hashes.of(out) is None]
                    continue
                found = [*_command(stage, entry), *_parameters(stage, entry, params)]
                for path in stage.deps:
                    how = _compare(hashes.of(path), _recorded(entry, "deps", path))
                    if how:
                        found.append(Change("dependency", path, how, absent=how == "deleted" and path in large))
                for path, cached in stage.outs.items():
                    recorded, now = _recorded(entry, "outs", path), hashes.of(path)
                    kept = cached and recorded is not None and cache.has(recorded)
                    if cached and recorded and not kept:
                        found.append(Change("output", path, "not in cache", absent=True))
                    elif how := _compare(now, recorded):
                        found.append(Change("output", path, how, absent=cached and how == "deleted"))
                    if cached and now is None and not kept:
                        missing.append(path)
                if found:
                    changes[name] = found
        return cls(pipeline, changes, missing)

    @property
    def outdated(self) -> list[str]:
        """The stages whose parameters, code, inputs or small outputs are not those of dvc.lock.

        Models and samples that are merely absent, as in a fresh clone, outdate nothing.
        """
        return [name for name, changes in self.changes.items() if not all(change.absent for change in changes)]


def outdated(artifacts: Artifacts) -> list[str]:
    """The stages that have to run again."""
    return Status.read(artifacts).outdated


def _command(stage: Stage, entry: Mapping[str, Any]) -> Iterator[Change]:
    if stage.cmd != entry["cmd"]:
        yield Change("command", "cmd", "modified", entry["cmd"], stage.cmd)


def _parameters(stage: Stage, entry: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Change]:
    recorded = entry.get("params", {}).get(PARAMS_FILE, {})
    for key in stage.params:
        try:
            now = lookup(params, key)
        except KeyError:
            yield Change("parameter", key, "deleted", recorded.get(key))
            continue
        if key not in recorded:
            yield Change("parameter", key, "new", new=now)
        elif now != recorded[key]:
            yield Change("parameter", key, "modified", recorded[key], now)


def _recorded(entry: Mapping[str, Any], kind: str, path: str) -> str | None:
    return next((found["md5"] for found in entry.get(kind, []) if found["path"] == path), None)


def _compare(now: str | None, recorded: str | None) -> str:
    if now is None:
        return "deleted"
    return "" if now == recorded else "modified"
