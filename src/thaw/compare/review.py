"""What a branch changes: its parameters, its results, what ran again and why, and the figures that differ."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from thaw.compare.compare import Comparison, compare_states, state_at
from thaw.compare.pictures import beside
from thaw.files import replacing
from thaw.pipeline.why import LOCK, Rerun, out_of_sync, reruns
from thaw.results.differences import WORSE, Side, State
from thaw.results.history import WORKSPACE, Revision, find_revision, forked_from
from thaw.results.layout import Artifacts
from thaw.results.runs import read_run

MACHINE = ("device", "precision", "torch", "numpy")
"""What is recorded of the machine that a stage ran on."""


@dataclass(frozen=True)
class Review:
    """All that differs between the base and the working tree.

    `comparison` has the variants that both have; `costs` is how many minutes the stages of each variant or study took
    that ran since, and `machines` what is new about the machine that they ran on. `unsynced` says what is not in sync.
    """

    base: Revision
    comparison: Comparison
    added: list[Side]
    removed: list[str]
    reruns: list[Rerun]
    costs: dict[str, float]
    machines: list[str]
    figures: dict[str, tuple[Path | None, Path | None]]
    unsynced: list[Rerun]

    @property
    def regressed(self) -> bool:
        """Whether a metric got worse by more than noise."""
        return any(found.verdict == WORSE for found in self.comparison.differences)

    @property
    def empty(self) -> bool:
        """Whether nothing changed at all."""
        return not (self.comparison.parameters or self.comparison.pairs or self.comparison.unreadable or self.added
                    or self.removed or self.reruns or self.figures or self.unsynced)  # fmt: skip


@contextmanager
def reviewing(artifacts: Artifacts, base: str) -> Iterator[Review]:
    """The review of the working tree against where it left `base`; the base's files are there until the block ends.

    Raises ThawError where git knows no such revision.
    """
    revision = forked_from(artifacts.root, find_revision(artifacts.root, base))
    unsynced = out_of_sync(artifacts)
    with state_at(artifacts, revision, LOCK) as before:
        after, there = State(WORKSPACE, artifacts), before.artifacts
        compared = compare_states(before, after, [name for name in after.variants if name in before.variants])
        costs, machines = ({}, []) if before.unreadable else _runs(there, artifacts)
        yield Review(
            revision,
            replace(compared, before="before", after="after"),
            [Side(after, name) for name in after.variants if name not in before.variants],
            [name for name in before.variants if name not in after.variants],
            reruns(there.root / LOCK, artifacts.root / LOCK),
            costs,
            machines,
            {} if before.unreadable else _figures(there, artifacts),
            unsynced,
        )


def _runs(before: Artifacts, after: Artifacts) -> tuple[dict[str, float], list[str]]:
    """The minutes of the stages that ran since, by variant or study, and what is new about the machine."""
    minutes: dict[str, float] = {}
    machines: dict[str, None] = {}
    for path in sorted(after.results.glob("*/*/run.json")):
        old, of = read_run(before.root / path.relative_to(after.root)), path.parent.name
        for stage, entry in read_run(path).items():
            was = old.get(stage, {})
            if entry != was:
                minutes[of] = minutes.get(of, 0.0) + entry.get("seconds", 0.0) / 60
                changed = [key for key in MACHINE if was.get(key) not in (None, entry.get(key))]
                machines |= dict.fromkeys(f"{key} {was[key]} → {entry.get(key)}" for key in changed)
    return minutes, list(machines)


def _figures(before: Artifacts, after: Artifacts) -> dict[str, tuple[Path | None, Path | None]]:
    """The figures that differ, by name, each as it was and as it is."""
    old, new = ({path.stem: path for path in side.figures.glob("*.png")} for side in (before, after))
    same = {name for name in old.keys() & new.keys() if old[name].read_bytes() == new[name].read_bytes()}
    return {name: (old.get(name), new.get(name)) for name in sorted((old.keys() | new.keys()) - same)}


def write_figures(review: Review, folder: Path) -> dict[str, Path]:
    """Write each figure that changed as it was and as it is, side by side, into `folder`; the pictures by name."""
    written = {}
    for name, sides in review.figures.items():
        pictures = {label: path for label, path in zip(("before", "after"), sides, strict=True) if path}
        written[name] = folder / f"{name}.png"
        with replacing(written[name]) as temporary:
            beside(pictures, 0).save(temporary, compress_level=1)
    return written
