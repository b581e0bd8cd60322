"""Merging dvc.lock stage by stage: what git calls as a merge driver, once `make hooks` has said so."""

from pathlib import Path
from typing import Any

from thaw.errors import ThawError
from thaw.files import replacing
from thaw.params import read_yaml


def merge_lock(base: Path, ours: Path, theirs: Path) -> list[str]:
    """Write into `ours` the stages of both sides of a merge, and give the names of those that it leaves out.

    A stage is taken from the side that changed it. One that both sides changed in different ways is left out, so that
    it runs again: neither side's results need be those of the merged code and parameters.
    Raises ThawError where a file is no dvc.lock.
    """
    from dvc.utils.serialize import dump_yaml

    before, here, there = (_stages(path) for path in (base, ours, theirs))
    merged, left_out = {}, []
    for name in dict.fromkeys([*here, *there]):
        old, mine, other = before.get(name), here.get(name), there.get(name)
        if mine == other or other == old:
            kept = mine
        elif mine == old:
            kept = other
        else:
            kept = None
            left_out.append(name)
        if kept is not None:
            merged[name] = kept
    with replacing(ours) as temporary:
        dump_yaml(str(temporary), {"schema": "2.0", "stages": merged})
    return left_out


def _stages(path: Path) -> dict[str, Any]:
    content = read_yaml(path) or {}
    stages = content.get("stages", {}) if isinstance(content, dict) else None
    if not isinstance(stages, dict):
        raise ThawError(f"{path} is no dvc.lock; merge it by hand.")
    return stages
