"""Where a figure or table came from: its stage, its artifacts, and the revision that last changed them."""

import functools
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from thaw.artifacts import find_root
from thaw.reporting.results import join


@dataclass(frozen=True)
class History:
    """What git knows of a project: the newest revision first, which files each one changed, what is not committed."""

    revisions: tuple[tuple[str, frozenset[str]], ...]
    uncommitted: frozenset[str]
    present: bool = True

    def last_change(self, names: Sequence[str]) -> str:
        """The revision that last changed any of the files, in words."""
        if not self.present:
            return "an unknown revision"
        wanted = frozenset(names)
        revision = next((name for name, changed in self.revisions if wanted & changed), None)
        if revision is None:
            return "no revision yet"
        return f"revision `{revision}`" + (" with changes that are not committed" if wanted & self.uncommitted else "")


@functools.cache
def history(root: Path) -> History:
    """The history of the project in the folder `root`, asked of git once; empty where there is no git."""
    try:
        logged = _git(root, "log", "--format=%x00%h", "--name-only", "--relative")
        changed = _git(root, "diff", "--name-only", "--relative", "HEAD")
        untracked = _git(root, "ls-files", "--others", "--exclude-standard")
    except FileNotFoundError:
        return History((), frozenset(), present=False)
    commits = [entry.split("\n") for entry in logged.split("\0")[1:]]
    revisions = tuple((lines[0], frozenset(filter(None, lines[1:]))) for lines in commits)
    return History(revisions, frozenset(changed.splitlines()) | frozenset(untracked.splitlines()))


def head(root: Path) -> str:
    """The revision that the project stands at, with its date; empty where there is none."""
    try:
        return _git(root, "log", "-1", "--format=%h of %cs").strip()
    except FileNotFoundError:
        return ""


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "core.quotepath=off", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True).stdout


def provenance(sources: Sequence[Path], stage: str) -> None:
    """Print where a figure or table came from: its stage, its artifacts, and the revision that last changed them."""
    if not sources:
        return
    root = find_root(sources[0].parent)
    names = [source.relative_to(root).as_posix() for source in sources]
    folders = sorted({name.rsplit("/", 1)[0] if len(names) > 1 else name for name in names})
    if len(folders) > 4:
        folders = sorted({name.split("/", 1)[0] for name in names})
    listed = join([f"`{name}`" for name in folders])
    revision = history(root).last_change(names)
    print(f"::: {{.provenance}}\nStage `{stage}`, from {listed} at {revision}.\n:::\n")
