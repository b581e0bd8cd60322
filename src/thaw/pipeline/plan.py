"""Which stages have to run, in which order, and for how long."""

from collections.abc import Iterable
from dataclasses import dataclass

from thaw.pipeline.status import Stage, Status
from thaw.results.layout import Artifacts
from thaw.results.runs import read_run


@dataclass(frozen=True)
class Plan:
    """The stages that have to run, each behind those that make what it reads.

    They are those that changes have outdated, those that read what these make, and in `repeated` those whose results
    are missing and have to be made again. What is `checked_out` is in DVC's cache and has to be brought from there.
    """

    stages: dict[str, Stage]
    repeated: set[str]
    checked_out: list[str]

    @classmethod
    def of(cls, status: Status, targets: Iterable[str] = (), *, whole: bool = False, force: bool = False,
           pages: bool = False) -> "Plan":  # fmt: skip
        """What brings targets (all stages by default), and all that they need, up to date.

        A result that is merely absent is made again only where something that runs reads it, or where the results are
        to be `whole`. With `force` all stages run, and with `pages` so do those of no variant that read what changed.
        Raises ThawError where a target is none.
        """
        wanted, needed, repeated, checked_out = status.selected(targets), set[str](), set[str](), dict[str, None]()
        for name, stage in status.stages.items():
            makers = set(stage.reads.values())
            if pages and not stage.key and makers & wanted:
                wanted.add(name)
            if name in wanted and (force or stage.changes or (whole and stage.missing) or makers & needed):
                needed.add(name)
        for name, stage in reversed(status.stages.items()):
            if whole and name in wanted:
                checked_out |= dict.fromkeys(stage.stored)
            for path, maker in stage.reads.items() if name in needed | repeated else ():
                if maker in needed:
                    continue
                if path in status.stages[maker].missing:
                    repeated.add(maker)
                elif path in status.stages[maker].stored:
                    checked_out[path] = None
        stages = {name: stage for name, stage in status.stages.items() if name in needed | repeated}
        made = {path for stage in stages.values() for path in stage.stored}
        return cls(stages, repeated, [path for path in checked_out if path not in made])

    @property
    def by_subject(self) -> dict[str, list[Stage]]:
        """The stages of each variant and study, and each of the other stages by itself."""
        found: dict[str, list[Stage]] = {}
        for stage in self.stages.values():
            found.setdefault(stage.subject, []).append(stage)
        return found


def seconds(artifacts: Artifacts, stage: Stage) -> float | None:
    """How long a stage took when it last ran; None where no run.json knows."""
    for path, kind in ((artifacts.run(stage.key), stage.kind), (artifacts.study_run(stage.key), "study")):
        if stage.key and path.exists():
            found: float | None = read_run(path).get(kind, {}).get("seconds")
            return found
    return None


def total_seconds(artifacts: Artifacts, stages: Iterable[Stage]) -> float:
    """How long stages took when they last ran, one after the other, as far as run.json knows."""
    return sum(seconds(artifacts, stage) or 0 for stage in stages)


def spoken(seconds: float) -> str:
    """A duration as a person says it."""
    minutes = seconds / 60
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes // 60:.0f} h {minutes % 60:.0f} min"
