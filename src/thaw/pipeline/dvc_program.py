"""DVC as thaw starts it to run stages: the program itself, with another hand for dvc.lock and for starting a stage.

DVC parses all of dvc.lock for every stage that it is asked for, and parses and writes all of it after every stage that
ran, in Python: with as many stages as here that takes longer than some of them do, and what is interrupted meanwhile
leaves half a file. It parses params.yaml seven times a stage. Here a parser in C reads them, each state of a file once,
and writing exchanges the entries of the stages that ran, which is one renaming. And a stage is a fork of the stage
server where there is one.
"""

import contextlib
import copy
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from dvc import dvcfile
from dvc.cli import main
from dvc.stage import run as stage_run
from dvc.stage.exceptions import StageCmdFailedError
from dvc.utils import strictyaml
from dvc.utils.serialize import _yaml, modify_yaml, parse_yaml

from thaw.pipeline.fast_yaml import Loader, read_fast
from thaw.pipeline.lock import record
from thaw.pipeline.serving import run_stage

LOCK = "dvc.lock"
STATES_KEPT = 8
"""How many texts are remembered: the latest states of dvc.lock, and the files that do not change meanwhile."""


def parse(text: str, path: str, typ: str = "safe") -> Any:
    """What DVC's `parse_yaml` gives."""
    if typ == "safe":
        with contextlib.suppress(yaml.YAMLError):
            return copy.deepcopy(_parsed(text)) or {}  # a reader may change what it gets
    return parse_yaml(text, path, typ)  # its errors say where the mistake is


@functools.lru_cache(STATES_KEPT)
def _parsed(text: str) -> Any:
    """The content of a YAML text."""
    return yaml.load(text, Loader)


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


start = stage_run._run


def run(executable: str, command: str, **settings: Any) -> None:
    """What DVC's `_run` does: run one command of a stage; raises StageCmdFailedError where it fails."""
    status = run_stage(command, settings["cwd"], settings["env"])
    if status is None:
        start(executable, command, **settings)
    elif status:
        raise StageCmdFailedError(command, status)


if __name__ == "__main__":
    stage_run._run = run
    dvcfile.modify_yaml = modify
    strictyaml.parse_yaml = _yaml.parse_yaml = parse
    sys.exit(main())
