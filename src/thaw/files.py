"""Writing files whole or not at all, and reading them back, where damage is told in one sentence."""

import contextlib
import csv
import errno
import fcntl
import functools
import glob
import io
import json
import math
import os
import shutil
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from thaw.errors import ThawError

ROOM = "make room there"
UNWRITABLE = {
    errno.ENOSPC: ROOM, errno.EDQUOT: ROOM, errno.EFBIG: "allow larger files (ulimit -f)",
    errno.EROFS: "work on a copy that can be written", errno.EACCES: "allow writing there",
    errno.EPERM: "allow writing there",
}  # fmt: skip
"""Why a file cannot be written, and what the user can do about it."""
UNREADABLE: dict[type[Exception], str] = {FileNotFoundError: "does not exist", PermissionError: "may not be read"}
NAMES = ("block", "inputs")
"""The columns in which a number is the name of something, and may stand among words."""


class Content(dict[str, Any]):
    """What a file has by its keys or columns. To ask for one that it lacks raises a ThawError that names the file."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.path = path

    def __missing__(self, key: str) -> Any:
        with reading(self.path):
            raise ValueError(f"it has no {key}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and rename it to `path` when the block ends without an error.

    The block may create a file or a folder there. A reader never sees a part of it. A killed process may leave a hidden
    folder `.NAME.*.tmp` behind, which git and DVC ignore and the next call for the same path removes. Raises ThawError
    where the disk is full or not to be written.
    """
    holder = lock = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            _remove_if_left(left)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        lock = _locked(holder)
        temporary = holder / path.name
        yield temporary
        if temporary.is_dir() and path.is_dir():
            path.replace(holder / "replaced")
        temporary.replace(path)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        why, remedy = os.strerror(error.errno), UNWRITABLE[error.errno]
        raise ThawError(f"{path} cannot be written ({why}); {remedy}, and call again: nothing was changed.") from None
    finally:
        if holder:
            shutil.rmtree(holder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """A descriptor that keeps a folder locked while its process lives; None where another has it, or none can."""
    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


def _remove_if_left(folder: Path) -> None:
    lock = _locked(folder)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Read `path` in the block, where any error means that the file is not as thaw writes it.

    It becomes a ThawError that says so, and what to do about it; a ThawError stays as it is.
    """
    try:
        yield
    except ThawError:
        raise
    except Exception as error:  # a file can be wrong in as many ways as the readers of its format have errors
        why = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        what = UNREADABLE.get(type(error), f"is damaged, or thaw did not write it ({textwrap.shorten(why, 160)})")
        raise ThawError(
            f"{path} {what}; `git checkout -- {path}` restores what git has, and `thaw repro` makes the rest again."
        ) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON. Raises ThawError where a number is NaN or infinite."""
    for key, value in content.items():
        _refuse_if_no_number(path, key, value)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write rows, all with the same keys, as a CSV with a header; numbers keep nine significant digits.

    None becomes an empty cell. `columns` are needed where there may be no row. Raises ThawError where a number is NaN
    or infinite, and ValueError where a column has numbers and words.
    """
    columns = columns or list(rows[0])
    for row in rows:
        for column in columns:
            _refuse_if_no_number(path, column, row[column])
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    _refuse_mixture(columns, cells)
    lines = [",".join(line) for line in (columns, *cells)]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def read_csv(path: Path, *, needed: bool = False) -> list[dict[str, str]]:
    """The rows of a CSV, every cell as text; none where there is no such file, unless it is needed.

    Raises ThawError as `reading` does.
    """
    if not needed and not path.exists():
        return []
    with reading(path):
        text = path.read_text(encoding="utf-8")
        if not text.endswith("\n"):
            raise ValueError("its last line has no end" if text else "it is empty")
        header, *cells = csv.reader(io.StringIO(text), strict=True)
        if any(len(line) != len(header) for line in cells):
            raise ValueError("its lines differ in length")
        _refuse_mixture(header, cells)
        return [Content(path, dict(zip(header, line, strict=True))) for line in cells]


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file; nothing where there is no such file. Raises ThawError as `reading` does."""
    if not path.exists():
        return {}
    with reading(path):
        content = json.loads(path.read_text(encoding="utf-8"), object_hook=functools.partial(Content, path))
        if not isinstance(content, Content):
            raise ValueError("it has no keys")
        return content


def _refuse_mixture(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Raise ValueError where a column has words among numbers."""
    for column, cells in zip(columns, zip(*lines, strict=True), strict=False):  # there may be no line
        found = {_is_number(cell): cell for cell in cells if cell}
        if len(found) == 2 and column not in NAMES:
            raise ValueError(f"its column {column} has numbers and also {found[False]}")


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _refuse_if_no_number(path: Path, key: str, value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ThawError(
            f"{path}: {key} came out as {value}, which is not a result; nothing was written: "
            "look at the loss curve and the samples of this run before repeating it."
        )


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.9g}" if isinstance(value, float) else str(value)
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n') else text
