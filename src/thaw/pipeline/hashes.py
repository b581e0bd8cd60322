"""MD5 sums of files and folders as DVC computes them, without DVC.

A sum is computed once and kept in .thaw/ for as long as the file has the same size, inode and time of change.
"""

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from pathspec import GitIgnoreSpec

from thaw.artifacts import Artifacts
from thaw.files import replacing

NEVER = (".git", ".dvc", ".hg")
SETTLED_SECONDS = 2.0
"""A file that changed so lately may change again within the resolution of its time stamp."""


class Hashes:
    """A context manager that keeps what it computed for the next time."""

    def __init__(self, artifacts: Artifacts) -> None:
        self.root, self.store = artifacts.root, artifacts.kept("hashes")
        ignored = self.root / ".dvcignore"
        self.ignored = GitIgnoreSpec.from_lines(ignored.read_text().splitlines() if ignored.exists() else [])
        self.known: dict[str, list[int | str]] = {}
        self.computed: dict[str, str | None] = {}

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError, ValueError):
            self.known = json.loads(self.store.read_text())
        self.before = dict(self.known)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.known != self.before:
            with contextlib.suppress(OSError), replacing(self.store) as temporary:  # only time is lost without it
                temporary.write_text(json.dumps(self.known))

    def of(self, path: str) -> str | None:
        """The sum of a file, or of a folder with `.dir` at its end; None where neither is there."""
        if path not in self.computed:
            place = self.root / path
            if place.is_dir():
                self.computed[path] = self._folder(place)
            else:
                self.computed[path] = self._file(place) if place.is_file() else None
        return self.computed[path]

    def _file(self, place: Path) -> str:
        name, facts = place.relative_to(self.root).as_posix(), place.stat()
        signature = [facts.st_mtime_ns, facts.st_size, facts.st_ino]
        if self.known.get(name, [])[:-1] == signature:
            return str(self.known[name][-1])
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if time.time() - facts.st_mtime > SETTLED_SECONDS:
            self.known[name] = [*signature, digest]
        return digest

    def _folder(self, place: Path) -> str:
        entries = []
        for folder, inner, files in os.walk(place):
            above = Path(folder).relative_to(self.root).as_posix()
            inner[:] = [name for name in inner if name not in NEVER and not self.ignored.match_file(f"{above}/{name}/")]
            entries += [
                {"md5": self._file(path), "relpath": path.relative_to(place).as_posix()}
                for path in (Path(folder, name) for name in files)
                if not self.ignored.match_file(f"{above}/{path.name}")
            ]
        entries.sort(key=lambda entry: entry["relpath"])
        text = json.dumps(entries, sort_keys=True)
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"
