"""What is not as dvc.lock has it, stage by stage, from DVC's own view of the project."""

import contextlib
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from thaw.errors import ThawError
from thaw.params import read_yaml, suggest
from thaw.pipeline.parameters import changed_since
from thaw.results.layout import Artifacts

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

CODE = "src/"
Kind = Literal["never run", "command", "parameter", "code", "data", "input", "result"]


@dataclass(frozen=True)
class Change:
    """One thing that is not as dvc.lock has it.

    `name` is a dotted key, a path, a command or a kind of stage. `how` is DVC's word for a file: modified, deleted or
    new; a parameter has its values instead, None where a side has no such key.
    """

    kind: Kind
    name: str
    how: str = ""
    before: Any = None
    after: Any = None


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml, and why it has to run, if it has to.

    `reads` has the outputs of other stages that it depends on, each with the stage that makes it. Of its own large
    outputs, `missing` are neither here nor in DVC's cache, and `stored` are in the cache alone; neither outdates it.
    """

    name: str
    reads: dict[str, str]
    changes: list[Change]
    missing: list[str]
    stored: list[str]

    @property
    def kind(self) -> str:
        """The stage's name in dvc.yaml."""
        return self.name.partition("@")[0]

    @property
    def key(self) -> str:
        """The variant or study that it belongs to; nothing where it belongs to none."""
        return self.name.partition("@")[2]

    @property
    def subject(self) -> str:
        """The variant or study that it belongs to; itself where it belongs to none."""
        return self.key or self.name


@dataclass(frozen=True)
class Status:
    """All stages but those that always run, each behind those that make what it reads."""

    stages: dict[str, Stage]

    @classmethod
    def read(cls, artifacts: Artifacts) -> "Status":
        """Compare the parameters, the code, the data and the results with dvc.lock.

        Raises ThawError where DVC cannot read the project.
        """
        with opened(artifacts.root) as repo:
            import networkx
            from dvc.stage import PipelineStage

            graph = repo.index.graph
            stages = [
                stage
                for stage in networkx.dfs_postorder_nodes(graph)
                if isinstance(stage, PipelineStage) and not stage.always_changed
            ]
            reader = _Reader()
            return cls({stage.name: reader.read(stage, graph.successors(stage)) for stage in stages})

    @property
    def outdated(self) -> dict[str, Stage]:
        """The stages whose parameters, code, inputs or small outputs are not those of dvc.lock.

        Models and samples that are merely absent, as in a fresh clone, outdate nothing.
        """
        return {name: stage for name, stage in self.stages.items() if stage.changes}

    def selected(self, targets: Iterable[str]) -> set[str]:
        """The names of the stages that targets stand for, and of all that these need; of all stages without targets.

        A target is a variant, a study or a stage, all variants' stages included (`train`). Raises ThawError where it is
        none of these, and names the nearest.
        """
        found = set[str]()
        for target in targets:
            meant = [s.name for s in self.stages.values() if target in (s.name, s.kind, s.key)]
            if not meant:
                known = {word for s in self.stages.values() for word in (s.key, s.kind, s.name)}
                raise ThawError(f"there is no variant, study or stage {target}{suggest(target, sorted(known))}.")
            found.update(meant)
        for stage in reversed(self.stages.values()):
            if stage.name in found:
                found.update(stage.reads.values())
        return found or set(self.stages)


@contextlib.contextmanager
def opened(root: Path) -> "Iterator[Repo]":
    """DVC's view of a project. Raises ThawError with DVC's own sentence where something in it is wrong."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            yield repo
    except DvcException as error:
        sentence = str(error).splitlines()[0].rstrip(".")
        raise ThawError(f"DVC cannot work in this project: {sentence}; `dvc status` says more.") from None


class _Reader:
    """Reads stages, and looks at each file and folder once for each hash that dvc.lock has of it."""

    def __init__(self) -> None:
        self.known: dict[Any, str] = {}
        self.content = functools.cache(read_yaml)

    def state(self, item: "Output") -> str:
        """DVC's word on a file or a folder: modified, deleted or new; nothing where it is as recorded."""
        place = item.fs_path, item.hash_info
        if place not in self.known:
            self.known[place] = next(iter(item.workspace_status().values()), "")
        return self.known[place]

    def read(self, stage: "PipelineStage", upstream: "Iterable[PipelineStage]") -> Stage:
        """One stage and what differs, where `upstream` makes what it reads."""
        files = [dep for dep in stage.deps if dep not in stage.params]
        outs = {out: maker.name for maker in upstream for out in maker.outs}
        made = {dep: [out for out in outs if out.fs.overlaps(out.fs_path, dep.fs_path)] for dep in files}
        reads = {out.def_path: outs[out] for found in made.values() for out in found}
        if not any(item.hash_info for item in (*stage.deps, *stage.outs)):
            return Stage(stage.name, reads, [Change("never run", stage.name.partition("@")[0])], [], [])
        changes = [Change("command", stage.cmd)] if stage.cmd_changed else []
        for dep in stage.params:
            recorded = dict.fromkeys(dep.params) | (dep.hash_info.value or {})
            found = changed_since(recorded, self.content(Path(dep.fs_path)))
            changes += [Change("parameter", p.key, "", p.before, p.after) for p in found]
        for dep in files:
            how = self.state(dep)
            if how == "deleted" and made[dep] and all(out.use_cache for out in made[dep]):
                how = "modified" if any(_remade(dep, out) for out in made[dep]) else ""
            if how:
                own: Kind = "code" if dep.def_path.startswith(CODE) else "data"
                changes.append(Change("input" if made[dep] else own, dep.def_path, how))
        absent = [out for out in stage.outs if out.use_cache and out.hash_info and self.state(out) == "deleted"]
        other = [out for out in stage.outs if out not in absent]
        changes += [Change("result", out.def_path, how) for out in other if (how := self.state(out))]
        missing = [out.def_path for out in absent if out.changed_cache()]
        return Stage(stage.name, reads, changes, missing, [o.def_path for o in absent if o.def_path not in missing])


def _remade(dep: "Output", out: "Output") -> bool:
    """Whether dvc.lock has another hash of what a stage made than of what its reader read."""
    return out.fs_path == dep.fs_path and out.hash_info != dep.hash_info
