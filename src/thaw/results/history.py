"""Earlier states of the project, read from git; nothing is ever checked out over the working tree."""

import contextlib
import functools
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from thaw.errors import ThawError
from thaw.params import suggest
from thaw.results.layout import Artifacts

WORKSPACE = "workspace"
"""What stands for the working tree where a revision is asked for, as in DVC."""
EXPERIMENTS = "refs/exps/"
"""DVC keeps an experiment at refs/exps/ab/cdef.../NAME, where abcdef... is the commit that it started from."""


@dataclass(frozen=True)
class Revision:
    """A commit and the name that it was asked for by."""

    name: str
    commit: str

    @property
    def label(self) -> str:
        """The name, with the commit where the name does not have it."""
        short = self.commit[:7]
        return self.name if self.name.startswith(short) else f"{self.name} ({short})"


def git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run git in the project. Raises ThawError where git is not installed."""
    try:
        return subprocess.run(["git", "-c", "core.quotepath=off", *arguments], cwd=root, capture_output=True)
    except FileNotFoundError:
        raise ThawError("git is not installed, and revisions are read with it; install git.") from None


def _lines(root: Path, *arguments: str) -> list[str]:
    return git(root, *arguments).stdout.decode().splitlines()


def find_revision(root: Path, name: str) -> Revision:
    """The commit of a branch, tag, hash or DVC experiment. Raises ThawError where there is none, or more than one."""
    found = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found.returncode == 0:
        return Revision(name, found.stdout.decode().strip())
    if git(root, "rev-parse", "--git-dir").returncode:
        raise ThawError(f"{root} is not in a git repository, so it has no revision {name}; run `git init` and commit.")
    refs = [line.split(" ", 1) for line in _lines(root, "for-each-ref", "--format=%(objectname) %(refname)")]
    experiments = {ref: commit for commit, ref in refs if ref.startswith(EXPERIMENTS) and ref.count("/") == 4}
    named = [ref for ref in experiments if ref.endswith(f"/{name}")]
    if len(named) == 1:
        return Revision(name, experiments[named[0]])
    if named:
        raise ThawError(f"{len(named)} experiments are called {name}; name one of {', '.join(named)}.")
    known = [ref.rsplit("/", 1)[1] for ref in experiments]
    known += [ref.split("/", 2)[2] for _, ref in refs if ref.startswith(("refs/heads/", "refs/remotes/", "refs/tags/"))]
    raise ThawError(f"{name} is no revision or experiment that git knows{suggest(name, known)}; `git branch -a`, "
                    "`git tag` and `dvc exp list` list them, and `git fetch` brings what is missing.")  # fmt: skip


def forked_from(root: Path, revision: Revision) -> Revision:
    """The commit where the current branch left a revision: what was committed there since is no change of this branch.

    The revision itself where git knows no common commit, as in a shallow clone.
    """
    found = git(root, "merge-base", revision.commit, "HEAD")
    return Revision(revision.name, found.stdout.decode().strip()) if found.returncode == 0 else revision


def present(root: Path, revision: Revision, names: Sequence[str]) -> list[str]:
    """Those of the named files and folders that a revision has."""
    listed = git(root, "ls-tree", "--name-only", "-z", revision.commit, "--", *names).stdout.decode()
    return [name for name in listed.split("\0") if name]


@contextlib.contextmanager
def extracted(root: Path, revision: Revision, names: Sequence[str]) -> Iterator[Artifacts]:
    """The named files and folders of a revision, as far as it has them, in a temporary folder.

    Raises ThawError where the revision has no params.yaml.
    """
    there = present(root, revision, names)
    if "params.yaml" not in there:
        raise ThawError(f"{revision.label} has no params.yaml; name a revision in which this project was thaw's.")
    packed = git(root, "archive", "--format=tar", revision.commit, "--", *there)
    if packed.returncode:
        raise ThawError(f"git cannot read {revision.label}: {packed.stderr.decode().strip()}; try `git fsck`.")
    with tempfile.TemporaryDirectory(prefix="thaw-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Artifacts(Path(folder))


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
    """The history of the project in the folder `root`, asked of git once; empty where git is not installed."""
    try:
        logged = git(root, "log", "--format=%x00%h", "--name-only", "--relative").stdout.decode()
        changed = _lines(root, "diff", "--name-only", "--relative", "HEAD")
        untracked = _lines(root, "ls-files", "--others", "--exclude-standard")
    except ThawError:
        return History((), frozenset(), present=False)
    commits = [entry.split("\n") for entry in logged.split("\0")[1:]]
    revisions = tuple((lines[0], frozenset(filter(None, lines[1:]))) for lines in commits)
    return History(revisions, frozenset(changed) | frozenset(untracked))


def head(root: Path) -> str:
    """The revision that the project stands at, with its date; empty where there is none."""
    try:
        return "".join(_lines(root, "log", "-1", "--format=%h of %cs"))
    except ThawError:
        return ""
