"""DVC as thaw starts it to run stages: the program itself, with another hand for dvc.lock.

DVC parses all of dvc.lock when it starts, and parses and writes all of it after every stage, in Python: with as many
stages as here that takes longer than some of them do, and what is interrupted meanwhile leaves half a file. Here a
parser in C reads it, and writing exchanges the entries of the stages that ran, which is one renaming.
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from dvc import dvcfile
from dvc.cli import main
from dvc.utils import strictyaml
from dvc.utils.serialize import modify_yaml, parse_yaml

from thaw.pipeline.fast_yaml import Loader, read_fast
from thaw.pipeline.lock import record

LOCK = "dvc.lock"


def parse(text: str, path: str, typ: str = "safe") -> Any:
    """What DVC's `parse_yaml` gives."""
    if typ == "safe" and Path(path).name == LOCK:
        with contextlib.suppress(yaml.YAMLError):
            return yaml.load(text, Loader) or {}
    return parse_yaml(text, path, typ)  # its errors say where the mistake is


@contextlib.contextmanager
def modify(path: str, fs: Any = None) -> Iterator[dict[str, Any]]:
    """What DVC's `modify_yaml` does: give the content, and write what became of it."""
    file = Path(path)
    if file.name != LOCK or not file.exists() or "stages" not in (content := read_fast(file)):
        with modify_yaml(path, fs=fs) as data:
            yield data
        return
    before = dict(content["stages"])
    yield content
    record(file, {name: entry for name, entry in content["stages"].items() if before.get(name) is not entry})


if __name__ == "__main__":
    dvcfile.modify_yaml = modify
    strictyaml.parse_yaml = parse
    sys.exit(main())
