"""Earlier states of the project, read from git; nothing is ever checked out over the working tree."""

import contextlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from thaw.artifacts import Artifacts
from thaw.errors import ThawError
from thaw.params import suggest

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
        """The name, with the commit where the name does not tell it."""
        short = self.commit[:7]
        return self.name if self.name.startswith(short) else f"{self.name} ({short})"


def git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run git in the project. Raises ThawError where there is no git at all."""
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True)
    except FileNotFoundError:
        raise ThawError("git is not installed, and revisions are read with it; install git.") from None


def find_revision(root: Path, name: str) -> Revision:
    """The commit of a branch, tag, hash or DVC experiment. Raises ThawError where there is none, or more than one."""
    found = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found.returncode == 0:
        return Revision(name, found.stdout.decode().strip())
    if git(root, "rev-parse", "--git-dir").returncode:
        raise ThawError(f"{root} is not in a git repository, so it has no revision {name}; run `git init` and commit.")
    listed = git(root, "for-each-ref", "--format=%(objectname) %(refname)").stdout.decode().splitlines()
    refs = [(commit, ref) for commit, ref in (line.split(" ", 1) for line in listed)]
    experiments = [(commit, ref) for commit, ref in refs if ref.startswith(EXPERIMENTS) and ref.count("/") == 4]
    named = [(commit, ref) for commit, ref in experiments if ref.rsplit("/", 1)[1] == name]
    if len(named) == 1:
        return Revision(name, named[0][0])
    if named:
        raise ThawError(
            f"{len(named)} experiments are called {name}; name one of {', '.join(ref for _, ref in named)}."
        )
    known = [ref.rsplit("/", 1)[1] for _, ref in experiments]
    known += [ref.split("/", 2)[2] for _, ref in refs if ref.startswith(("refs/heads/", "refs/remotes/", "refs/tags/"))]
    raise ThawError(f"{name} is no revision or experiment that git knows{suggest(name, known)}; `git branch -a`, "
                    "`git tag` and `dvc exp list` list them, and `git fetch` brings what is missing.")  # fmt: skip


def forked_from(root: Path, revision: Revision) -> Revision:
    """Where the current commit left a revision: what was committed there since is no change of this branch.

    The revision itself where git knows no common commit, as in a shallow clone.
    """
    found = git(root, "merge-base", revision.commit, "HEAD")
    return Revision(revision.name, found.stdout.decode().strip()) if found.returncode == 0 else revision


@contextlib.contextmanager
def extracted(root: Path, revision: Revision, names: Sequence[str]) -> Iterator[Artifacts]:
    """The named files and folders of a revision, as far as it has them, in a temporary folder.

    Raises ThawError where the revision has no params.yaml.
    """
    listed = git(root, "ls-tree", "--name-only", "-z", revision.commit, "--", *names).stdout.decode()
    there = [name for name in listed.split("\0") if name]
    if "params.yaml" not in there:
        raise ThawError(f"{revision.label} has no params.yaml; name a revision in which this project was thaw's.")
    packed = git(root, "archive", "--format=tar", revision.commit, "--", *there)
    if packed.returncode:
        raise ThawError(f"git cannot read {revision.label}: {packed.stderr.decode().strip()}; try `git fsck`.")
    with tempfile.TemporaryDirectory(prefix="thaw-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Artifacts(Path(folder))
