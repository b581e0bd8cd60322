"""dvc.lock as thaw writes it is byte for byte what DVC writes."""

import copy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import YAMLFileCorruptedError, modify_yaml, parse_yaml

from thaw.errors import ThawError
from thaw.pipeline.dvc_program import modify, parse
from thaw.pipeline.fast_yaml import read_fast

ROOT = Path(__file__).parents[1]
LONG = "a GAN of 1000 images without, with fixed and with adaptive augmentation " * 3


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first stages of the committed lock file, which DVC needs many seconds for."""
    path = tmp_path_factory.mktemp("lock") / "dvc.lock"
    lines = (ROOT / "dvc.lock").read_text().splitlines(keepends=True)
    entries = [number for number, line in enumerate(lines) if line.startswith("  ") and line[2] != " "]
    path.write_text("".join(lines[: entries[6]]))
    return path


def changed(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with everything that a lock file may hold."""
    params = {"rate": 1e-05, "title": LONG, "none": None, "yes": True, "word": "no", "number": "12", "list": [[], {}]}
    return {**copy.deepcopy(entry), "cmd": "thaw other", "params": {"params.yaml": params}}


@pytest.mark.parametrize(
    "edit",
    [
        lambda stages: {},
        lambda stages: {name: changed(entry) for name, entry in [*stages.items()][:1]},
        lambda stages: {name: changed(entry) for name, entry in [*stages.items()][2:4]},
        lambda stages: {name: changed(entry) for name, entry in [*stages.items()][-1:]},
        lambda stages: {"new@one": changed(next(iter(stages.values()))), "another": {"cmd": "thaw new"}},
    ],
)
@pytest.mark.parametrize("newer_schema_last", [False, True])
def test_the_file_is_the_one_that_dvc_writes(tmp_path: Path, small: Path, edit: Any, newer_schema_last: bool) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    ours, theirs = tmp_path / "ours" / "dvc.lock", tmp_path / "theirs" / "dvc.lock"
    text = small.read_text()
    if newer_schema_last:
        schema, rest = text.split("\n", 1)
        text = f"{rest}{schema}\n"
    for path, how in ((ours, modify), (theirs, modify_yaml)):
        path.write_text(text)
        with how(str(path)) as content:
            content["stages"].update(edit(dict(content["stages"])))
    assert ours.read_text() == theirs.read_text()
    assert (ours.read_text() == text) == (not edit(parse_yaml(text, "dvc.lock")["stages"]))


def test_what_is_interrupted_before_it_writes_leaves_the_file_as_it_was(tmp_path: Path, small: Path) -> None:
    path = Path(shutil.copy(small, tmp_path))

    def interrupted() -> None:
        with modify(str(path)) as content:
            content["stages"]["new"] = {"cmd": "thaw new"}
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == small.read_text()


def test_reading_gives_what_dvc_reads(small: Path) -> None:
    text = small.read_text()
    assert parse(text, "dvc.lock") == parse_yaml(text, "dvc.lock")
    mapping = yaml.safe_dump({"a": [1, 2.5, None, "text"]})
    assert parse(mapping, "dvc.yaml", "rt") == parse_yaml(mapping, "dvc.yaml")
    for name in ("dvc.yaml", "params.yaml"):
        text = (ROOT / name).read_text()
        assert parse(text, name) == parse_yaml(text, name)
    assert parse("", "params.yaml") == parse_yaml("", "params.yaml") == {}


@pytest.mark.parametrize("scalar", [
    "1", "-7", "+3", "007", "0x1F", "0o17", "1e-5", "1.5e3", "-.5", "2.", ".inf", "-.inf", "true", "False", "no", "yes",
    "null", "~", "", "12:30", "2026-01-31", "1e", "2026-01-31 12:30:00", "'1'", '"true"', "0.1.2", "1 000",
    "[1, 2e-3]", "{a: 1e3}",
])  # fmt: skip
def test_scalars_are_what_dvc_makes_of_them(scalar: str) -> None:
    text = f"key: {scalar}"
    found, expected = parse(text, "params.yaml"), parse_yaml(text, "params.yaml")
    assert found == expected
    assert type(found["key"]) is type(expected["key"])


def test_every_reader_gets_a_copy_of_its_own() -> None:
    parse("a: {b: 1}", "dvc.yaml")["a"]["b"] = 2
    assert parse("a: {b: 1}", "dvc.yaml") == {"a": {"b": 1}}


def test_a_broken_file_is_refused_with_the_place(small: Path) -> None:
    broken = small.read_text() + "  - [\n"
    with pytest.raises(YAMLFileCorruptedError) as found:
        parse(broken, "dvc.lock")
    assert "line" in str(found.value.__cause__)


@pytest.mark.parametrize(("text", "where"), [("a: 1\na: 2\n", "line 2"), ("b:\n  c: 1\n  a: 1\n  a: 1\n", "line 4")])
def test_a_key_that_stands_twice_is_refused_as_dvc_refuses_it(text: str, where: str, tmp_path: Path) -> None:
    with pytest.raises(YAMLFileCorruptedError):
        parse(text, "dvc.yaml")
    (tmp_path / "dvc.yaml").write_text(text)
    with pytest.raises(ThawError, match=rf"^dvc\.yaml {where}: the key a stands twice; mend it"):
        read_fast(tmp_path / "dvc.yaml")


def test_the_first_lock_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    with modify(str(path)) as content:
        content.update({"schema": "2.0", "stages": {"one": {"cmd": "thaw one"}}})
    assert parse_yaml(path.read_text(), "dvc.lock")["stages"] == {"one": {"cmd": "thaw one"}}


def test_it_is_dvc_otherwise() -> None:
    command = [sys.executable, "-m", "thaw.pipeline.dvc_program", "--version"]
    theirs = subprocess.run([sys.executable, "-m", "dvc", "--version"], capture_output=True, text=True, check=True)
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == theirs.stdout
