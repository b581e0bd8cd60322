import errno
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thaw.core.sheets import write_sheet
from thaw.core.tensors import write_tensors
from thaw.errors import ThawError
from thaw.files import read_csv, replacing, write_csv, write_json


def stop_half_way(path: Path, write: Callable[[Path], object]) -> None:
    """Begin a replacement that does not come to its end."""
    with replacing(path) as temporary:
        write(temporary)
        raise KeyboardInterrupt


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# replacing


@pytest.mark.parametrize("old", [None, "old"])
def test_a_file_appears_whole_and_leaves_nothing_beside_it(tmp_path: Path, old: str | None) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    if old:
        path.parent.mkdir(parents=True)
        path.write_text(old)
    with replacing(path) as temporary:
        temporary.write_text("part")
        assert (path.read_text() if path.exists() else None) == old
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["file.txt"]


def test_what_a_killed_process_left_behind_goes_with_the_next_call_and_what_is_at_work_stays(tmp_path: Path) -> None:
    path = tmp_path / "file[1].txt"
    code = """
import os, sys
from pathlib import Path
from thaw.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("part")
    os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code, path])
    assert killed.returncode == -9
    (left,) = names(tmp_path)
    with replacing(path) as temporary:
        temporary.write_text("slow")
        with replacing(path) as another:
            another.write_text("fast")
        assert temporary.read_text() == "slow"
    assert path.read_text() == "slow"
    assert names(tmp_path) == ["file[1].txt"]
    assert left.startswith(".file[1].txt.")


@pytest.mark.parametrize("old", [None, "old"])
def test_an_error_leaves_the_old_file_and_no_residue(tmp_path: Path, old: str | None) -> None:
    path = tmp_path / "file.txt"
    if old:
        path.write_text(old)
    with pytest.raises(KeyboardInterrupt):
        stop_half_way(path, lambda temporary: temporary.write_text("new"))
    assert names(tmp_path) == (["file.txt"] if old else [])
    assert (path.read_text() if old else None) == old


def test_a_folder_replaces_all_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "models"
    (path / "seed-0").mkdir(parents=True)
    (path / "seed-0" / "stale").write_text("old")
    with replacing(path) as temporary:
        (temporary / "seed-1").mkdir(parents=True)
        (temporary / "seed-1" / "fresh").write_text("new")
    assert [str(file.relative_to(tmp_path)) for file in sorted(tmp_path.rglob("*"))] == [
        "models", "models/seed-1", "models/seed-1/fresh",
    ]  # fmt: skip


def test_an_error_leaves_the_old_folder_whole(tmp_path: Path) -> None:
    path = tmp_path / "models"
    path.mkdir()
    (path / "kept").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        stop_half_way(path, lambda temporary: (temporary / "part").mkdir(parents=True))
    assert names(tmp_path) == ["models"]
    assert names(path) == ["kept"]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert names(tmp_path) == ["file.txt"]
    assert path.read_text() == "old"


# JSON


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_json(path, {"a": "x" * 9000}),
        lambda path: write_tensors(path, {"a": torch.zeros(9000)}),
        lambda path: write_sheet(path, [np.random.default_rng(0).integers(0, 256, (9, 1, 60, 60), dtype=np.uint8)]),
    ],
)
def test_a_file_that_cannot_grow_is_told_in_a_sentence(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "file.png"
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(ThawError, match=r"file\.png cannot be written \(File too large\); allow larger files"):
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.png"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_place_that_cannot_be_written_is_told_in_a_sentence(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(ThawError, match=f"file cannot be written .{os.strerror(number)}.; .* nothing was changed"):
        write_json(tmp_path / "file", {})


def test_json_keeps_every_bit_of_a_float_and_ends_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "a.json"
    content = {"fid_classifier": 0.1 + 0.2, "n": 3, "name": "x"}
    write_json(path, content)
    assert json.loads(path.read_text()) == content
    assert path.read_text().endswith("}\n")
    assert len(path.read_text().splitlines()) == 2 + len(content)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("write", [write_json, lambda path, row: write_csv(path, [{"ssim": 1.0, "psnr": 1.0}, row])])
def test_what_is_no_number_is_refused_and_the_old_file_stays(
    tmp_path: Path, write: Callable[..., None], value: float
) -> None:
    path = tmp_path / "results"
    path.write_text("old")
    with pytest.raises(ThawError) as caught:
        write(path, {"ssim": 1.0, "psnr": value})
    message = str(caught.value)
    assert "results" in message
    assert f"psnr came out as {value}" in message
    assert "\n" not in message
    assert path.read_text() == "old"
    assert names(tmp_path) == ["results"]


# CSV


def test_csv_has_a_header_line_nine_digits_and_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "plots" / "a.csv"
    rows = [
        {"metric": "rmse", "value": 1 / 3, "n": 1000, "floor": None},
        {"metric": "ssim", "value": 1e-12, "n": 2, "floor": 0.5},
    ]
    write_csv(path, rows)
    assert path.read_bytes() == b"metric,value,n,floor\nrmse,0.333333333,1000,\nssim,1e-12,2,0.5\n"


@pytest.mark.parametrize(
    ("rows", "columns", "text"),
    [
        ([{"a": 1, "b": 2}, {"b": 4, "a": 3}], (), "a,b\n1,2\n3,4\n"),
        ([{"a": 1, "b": None}], ("b", "a"), "b,a\n,1\n"),
        ([], ("metric", "value"), "metric,value\n"),
    ],
    ids=["those of the first row", "given", "given, without a row"],
)
def test_the_columns_of_a_table(tmp_path: Path, rows: list[dict[str, Any]], columns: Sequence[str], text: str) -> None:
    write_csv(tmp_path / "a.csv", rows, columns)
    assert (tmp_path / "a.csv").read_text() == text


@pytest.mark.parametrize(("rows", "columns", "error"), [([], (), IndexError), ([{"a": 1}], ("a", "b"), KeyError)])
def test_a_row_has_to_have_the_columns(
    tmp_path: Path, rows: list[dict[str, Any]], columns: Sequence[str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        write_csv(tmp_path / "b.csv", rows, columns)
    assert names(tmp_path) == [], "nothing is left of what was refused"


def test_a_column_has_numbers_or_words_and_names_of_blocks_are_either(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"block": "0", "width": 3}, {"block": "up.0", "width": None}])
    assert [row["block"] for row in read_csv(tmp_path / "a.csv")] == ["0", "up.0"]
    with pytest.raises(ValueError, match="its column steps has numbers and also all"):
        write_csv(tmp_path / "b.csv", [{"steps": 10}, {"steps": "all"}])
    assert names(tmp_path) == ["a.csv"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # every example writes the same file anew
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_csv_numbers_are_read_back_to_nine_digits(tmp_path: Path, values: list[float]) -> None:
    write_csv(tmp_path / "a.csv", [{"step": step, "value": value} for step, value in enumerate(values)])
    read = read_csv(tmp_path / "a.csv")
    assert [int(row["step"]) for row in read] == list(range(len(values)))
    # Half a unit of the ninth digit; denormals have fewer digits than that to begin with.
    assert [float(row["value"]) for row in read] == pytest.approx(values, rel=5.01e-9, abs=1e-307)
