"""The merge driver of dvc.lock, alone and called by git for two branches."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from thaw.errors import ThawError
from thaw.params import read_yaml
from thaw.pipeline.merge import merge_lock

STAGES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3), max_size=6)


def lock(path: Path, stages: dict[str, Any]) -> Path:
    content = {"schema": "2.0", "stages": {name: {"cmd": f"thaw {value}"} for name, value in stages.items()}}
    with path.open("w") as file:
        YAML().dump(content, file)
    return path


@given(base=STAGES, ours=STAGES, theirs=STAGES)
def test_each_stage_is_that_of_the_side_that_changed_it(
    tmp_path_factory: pytest.TempPathFactory, base: dict[str, int], ours: dict[str, int], theirs: dict[str, int]
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    paths = [lock(folder / name, stages) for name, stages in (("base", base), ("ours", ours), ("theirs", theirs))]
    left_out = merge_lock(*paths)
    merged = {name: int(stage["cmd"].split()[1]) for name, stage in (read_yaml(paths[1])["stages"] or {}).items()}
    for name in "abcdef":
        old, mine, other = base.get(name), ours.get(name), theirs.get(name)
        sides = {side for side in (mine, other) if side != old}
        assert merged.get(name) == (None if len(sides) == 2 else [*sides, old][0])
        assert (name in left_out) == (len(sides) == 2)


@pytest.mark.parametrize("content", ["[1, 2]", "stages: 3", "stages: [a]"])
def test_what_is_no_lock_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    good, bad = lock(tmp_path / "good", {"a": 1}), tmp_path / "bad"
    bad.write_text(content)
    before = good.read_bytes()
    with pytest.raises(ThawError, match=r"bad is no dvc\.lock"):
        merge_lock(good, good, bad)
    assert good.read_bytes() == before


def test_git_merges_two_branches_stage_by_stage(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        named = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *named, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("config", "merge.dvc-lock.driver", f"{sys.executable} -m thaw merge-lock %O %A %B")
    (tmp_path / ".gitattributes").write_text("/dvc.lock merge=dvc-lock\n")
    branches = {"main": {"a": 1, "b": 1, "c": 1}, "left": {"a": 2, "b": 2, "c": 1}, "right": {"a": 1, "b": 3, "c": 2}}
    for branch, stages in branches.items():
        if branch != "main":
            git("switch", "-q", "-c", branch, "main")
        lock(tmp_path / "dvc.lock", stages)
        git("add", ".")
        git("commit", "-q", "-m", branch)
    git("merge", "-q", "left", "-m", "both")
    merged = read_yaml(tmp_path / "dvc.lock")["stages"]
    assert merged == {"a": {"cmd": "thaw 2"}, "c": {"cmd": "thaw 2"}}, "b was changed on both sides"
