"""What a branch changes, for whoever reviews it: parameters, metrics, what ran again and why, figures, and cost."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from thaw.artifacts import Artifacts
from thaw.files import replacing
from thaw.params import read_yaml
from thaw.pipeline.parameters import parameters_that_differ
from thaw.reporting.comparison import Comparison, Pair
from thaw.reporting.comparison_pictures import beside
from thaw.reporting.lockfile import Rerun, out_of_sync, reruns
from thaw.reporting.revisions import WORKSPACE, Revision, extracted, find_revision, forked_from, git
from thaw.reporting.snapshots import SAME, WORSE, Side, Snapshot, differences

READ = ("params.yaml", "dvc.lock", "figures", "plots", "reference", "runs")
"""What a review reads of the base."""
MACHINE = ("device", "precision", "torch")
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
        return any(found.verdict == WORSE for pair in self.comparison.pairs for found in pair.differences)

    @property
    def empty(self) -> bool:
        """Whether nothing changed at all."""
        return not (self.comparison.parameters or self.comparison.pairs or self.added or self.removed or self.reruns
                    or self.figures or self.unsynced)  # fmt: skip


@contextmanager
def reviewing(artifacts: Artifacts, base: str) -> Iterator[Review]:
    """The review of the working tree against where it left `base`; the base's files are there until the block ends.

    Raises ThawError where git knows no such revision.
    """
    revision = forked_from(artifacts.root, find_revision(artifacts.root, base))
    unsynced = out_of_sync(artifacts)
    with extracted(artifacts.root, revision, READ) as there:
        before = Snapshot(revision.label, there, read_yaml(there.params))
        after = Snapshot(WORKSPACE, artifacts, read_yaml(artifacts.params))
        pairs = []
        for name in (name for name in after.variants if name in before.variants):
            sides = Side(before, name), Side(after, name)
            found = differences(*sides)
            if any(difference.verdict != SAME for difference in found):
                pairs.append(Pair(*sides, found))
        costs, machines = _runs(there, artifacts)
        yield Review(
            revision,
            Comparison("before", "after", after.confidence, parameters_that_differ(before.params, after.params), pairs),
            [Side(after, name) for name in after.variants if name not in before.variants],
            [name for name in before.variants if name not in after.variants],
            reruns(there.root / "dvc.lock", artifacts.root / "dvc.lock"),
            costs, machines, _figures(artifacts.root, revision, there), unsynced,
        )  # fmt: skip


def _runs(before: Artifacts, after: Artifacts) -> tuple[dict[str, float], list[str]]:
    """The minutes of what was recorded in runs/ since, and what is new about the machine."""
    minutes: dict[str, float] = {}
    machines: dict[str, None] = {}
    folder = after.run("any").parent
    for path in sorted(folder.rglob("*.json")):
        old = _entries(before.root / path.relative_to(after.root))
        for stage, entry in _entries(path).items():
            if entry == old.get(stage):
                continue
            minutes[path.stem] = minutes.get(path.stem, 0.0) + entry.get("seconds", 0.0) / 60
            for key in MACHINE:
                was, now = old.get(stage, {}).get(key), entry.get(key)
                if was is not None and was != now:
                    machines[f"{key} {was} → {now}"] = None
    return minutes, list(machines)


def _entries(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return content


def _figures(root: Path, base: Revision, before: Artifacts) -> dict[str, tuple[Path | None, Path | None]]:
    """The figures that differ, by name, each as it was and as it is."""
    after = Artifacts(root)
    names = git(root, "diff", "--name-only", "--relative", "-z", base.commit, "--", "figures").stdout
    names += git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", "figures").stdout
    found = {}
    for name in sorted(filter(None, names.decode().split("\0"))):
        if name.endswith(".png"):
            sides = before.root / name, after.root / name
            found[Path(name).stem] = tuple(path if path.exists() else None for path in sides)
    return found  # type: ignore[return-value]


def write_figures(review: Review, folder: Path) -> dict[str, Path]:
    """Write each figure that changed as it was and as it is, side by side, into `folder`; the pictures by name."""
    written = {}
    for name, sides in review.figures.items():
        pictures = {label: path for label, path in zip(("before", "after"), sides, strict=True) if path}
        written[name] = folder / f"{name}.png"
        with replacing(written[name]) as temporary:
            picture: Image.Image = beside(pictures, 0)
            picture.save(temporary, compress_level=1)
    return written
