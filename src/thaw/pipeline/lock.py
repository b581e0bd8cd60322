"""dvc.lock: what each stage was last run with. DVC's own reader takes a quarter of a minute for it."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from thaw.artifacts import Artifacts
from thaw.files import replacing
from thaw.pipeline.fast_yaml import read_fast

ENTRY = re.compile(r"  (?P<quote>['\"]?)(?P<name>[^\s'\"].*?)(?P=quote):\s*")


def read_lock(artifacts: Artifacts) -> dict[str, Any]:
    """What dvc.lock has, by stage; nothing where no stage ever ran. Raises ThawError where it is not YAML.

    The content is kept as JSON in .thaw/, which is read in a tenth of the time.
    """
    path, kept = artifacts.lock, artifacts.kept("lock")
    if not path.exists():
        return {}
    facts = path.stat()
    signature = [facts.st_mtime_ns, facts.st_size, facts.st_ino]
    with contextlib.suppress(OSError, ValueError):
        known, content = json.loads(kept.read_text())
        if known == signature:
            return content
    stages: dict[str, Any] = read_fast(path).get("stages", {})
    with contextlib.suppress(OSError), replacing(kept) as temporary:
        temporary.write_text(json.dumps([signature, stages]))
    return stages


def forget(path: Path, names: set[str]) -> None:
    """Take the entries of some stages out of dvc.lock, and leave every other byte."""
    _exchange(path, dict.fromkeys(names, ""))


def record(path: Path, entries: dict[str, Any]) -> None:
    """Write the entries of some stages into dvc.lock, as DVC would write them, and leave every other byte.

    Each takes the place of the stage's former one; a new stage comes after the others.
    """
    from dvc.utils.serialize import dumps_yaml  # takes a second to import, which readers need not wait

    head = "stages:\n"
    _exchange(path, {name: dumps_yaml({"stages": {name: entry}}).removeprefix(head) for name, entry in entries.items()})


def _exchange(path: Path, texts: dict[str, str]) -> None:
    """Put a text in the place of each named stage's entry; what has no entry comes after the last one."""
    kept: list[str] = []
    left, dropping, end = dict(texts), False, 0
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.startswith("   ") and line.strip():
            entry = ENTRY.fullmatch(line.rstrip("\n"))
            dropping = entry is not None and entry["name"] in texts
            if dropping and entry:
                kept.append(left.pop(entry["name"], ""))
        if not dropping:
            kept.append(line)
        if line.startswith((" ", "stages:")):
            end = len(kept)
    kept[end:end] = left.values()
    with replacing(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")
        temporary.chmod(path.stat().st_mode)
