"""`thaw prune`: taking away what belonged to variants and studies that params.yaml no longer has."""

import contextlib
import json
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from thaw.artifacts import Artifacts
from thaw.params import read_params
from thaw.pipeline.dvcfile import Pipeline
from thaw.pipeline.lock import forget, read_lock


@dataclass(frozen=True)
class Leftovers:
    """What variants and studies have left behind: their names, their files and folders, their entries in dvc.lock."""

    paths: dict[str, list[Path]]
    """The files and folders of each."""
    entries: set[str]

    @classmethod
    def find(cls, artifacts: Artifacts) -> "Leftovers":
        """What dvc.lock or runs/ know as a variant or a study, and params.yaml does not.

        A file whose name neither of the two knows is no leftover, wherever it lies.
        """
        params, pipeline = read_params(artifacts.params), Pipeline.read(artifacts)
        recorded = [tuple(name.split("@")) for name in read_lock(artifacts) if "@" in name]
        per_variant = set(pipeline.chain)
        studied = {"study", *(set(pipeline.patterns) - per_variant)}
        gone = {key for kind, key in recorded if kind in per_variant} | _timed(artifacts.run("x").parent, per_variant)
        gone -= set(params.variants)
        gone_studies = {key for kind, key in recorded if kind in studied}
        gone_studies |= _timed(artifacts.study_run("x").parent, studied)
        gone_studies -= {*params.studies.trained, *params.studies.untrained}
        paths = {name: list[Path]() for name in sorted(gone | gone_studies)}
        for path, variant in _figures(artifacts, {*params.variants, *gone}):
            if variant in gone:
                paths[variant].append(path)
        for variant in gone:
            for kind in pipeline.chain:
                paths[variant] += [artifacts.root / out.replace("${key}", variant) for out in pipeline.patterns[kind]]
            paths[variant] += [artifacts.run(variant), artifacts.checkpoint(variant, 0).parent]
        for key in gone_studies:
            paths[key] += [artifacts.study(key), artifacts.study_run(key), artifacts.figures / f"study-{key}.png"]
        entries = {
            f"{kind}@{key}"
            for kind, key in recorded
            if (kind in per_variant and key in gone) or (kind in studied and key in gone_studies)
        }
        return cls({name: sorted(filter(Path.exists, of)) for name, of in paths.items()}, entries)

    def __bool__(self) -> bool:
        return bool(any(self.paths.values()) or self.entries)

    def listed(self, root: Path) -> str:
        """What would be removed, below the name that it belonged to; files of one kind are one line."""
        lines = []
        for name, paths in self.paths.items():
            entries = sorted(entry.partition("@")[0] for entry in self.entries if entry.partition("@")[2] == name)
            places = list(dict.fromkeys(_place(path.relative_to(root), name) for path in paths))
            lines += [name, f"  {' '.join(places)}"] if places else [name]
            lines += [f"  dvc.lock: {', '.join(entries)}"] if entries else []
        return "\n".join(lines)

    def remove(self, artifacts: Artifacts) -> None:
        """Take all of it away."""
        for name, paths in self.paths.items():
            for path in paths:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            if not any(artifacts.sheet(name, "x").parent.glob("*")):
                shutil.rmtree(artifacts.sheet(name, "x").parent, ignore_errors=True)
        if self.entries:
            forget(artifacts.lock, self.entries)


def _place(path: Path, name: str) -> str:
    """A path, or the pattern of all that lie as it does: plots/*/NAME.csv, sheets/NAME/*.png, figures/*-NAME.png."""
    first, *middle, last = path.parts
    if middle == [name]:
        return f"{first}/{name}/*{path.suffix}"
    if middle and path.stem == name and first == "plots":
        return f"{first}/*/{last}"
    return f"{first}/*-{name}{path.suffix}" if first == "figures" and path.stem.endswith(f"-{name}") else str(path)


def _timed(folder: Path, kinds: Collection[str]) -> set[str]:
    """The names of files in runs/ that record one of these stages."""
    found = set()
    for path in folder.glob("*.json"):
        with contextlib.suppress(ValueError):
            if set(json.loads(path.read_text())) & set(kinds):
                found.add(path.stem)
    return found


def _figures(artifacts: Artifacts, known: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """The figures that show one variant alone, with its name; `x-a-b` is none of b where a-b is a variant too."""
    longest_first = "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True))
    for path in artifacts.figures.glob("*.png"):
        of = re.fullmatch(f"(?!study-).+?-({longest_first})", path.stem)
        if of:
            yield path, of[1]
