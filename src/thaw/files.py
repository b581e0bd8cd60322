"""Writing files whole or not at all, and reading tables back."""

import contextlib
import csv
import errno
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and rename it to `path` when the block ends without an error.

    The block may create a file or a folder there. A reader never sees a part of it. A killed process may leave a hidden
    folder `.NAME.*.tmp` behind, which git and DVC ignore. Raises ThawError where the disk is full or not to be written.
    """
    holder = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
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


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON. Raises ThawError where a number is NaN or infinite."""
    for key, value in content.items():
        _refuse_if_no_number(path, key, value)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write rows, all with the same keys, as a CSV with a header; numbers keep nine significant digits.

    None becomes an empty cell. `columns` are needed where there may be no row. Raises ThawError where a number is NaN
    or infinite.
    """
    columns = columns or list(rows[0])
    for row in rows:
        for column in columns:
            _refuse_if_no_number(path, column, row[column])
    lines = [",".join(columns)]
    lines += [",".join(_cell(row[column]) for column in columns) for row in rows]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV, every cell as text; none where there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


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
