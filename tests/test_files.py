import csv
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thaw.errors import ThawError
from thaw.files import replacing, write_csv, write_json


def stop_half_way(path: Path, *, folder: bool) -> None:
    """Begin a replacement that does not come to its end."""
    with replacing(path) as temporary:
        if folder:
            temporary.mkdir()
            (temporary / "part").write_text("new")
        else:
            temporary.write_text("new")
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


@pytest.mark.parametrize("old", [None, "old"])
def test_an_error_leaves_the_old_file_and_no_residue(tmp_path: Path, old: str | None) -> None:
    path = tmp_path / "file.txt"
    if old:
        path.write_text(old)
    with pytest.raises(KeyboardInterrupt):
        stop_half_way(path, folder=False)
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
        stop_half_way(path, folder=True)
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


def test_json_keeps_every_bit_of_a_float_and_ends_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "a.json"
    content = {"fid_classifier": 0.1 + 0.2, "n": 3, "name": "x"}
    write_json(path, content)
    assert json.loads(path.read_text()) == content
    assert path.read_text().endswith("}\n")
    assert len(path.read_text().splitlines()) == 2 + len(content)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_is_no_number_and_keeps_the_old_file(tmp_path: Path, value: float) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"rmse": 1.0})
    before = path.read_bytes()
    with pytest.raises(ThawError) as caught:
        write_json(path, {"ssim": 1.0, "psnr": value})
    message = str(caught.value)
    assert "a.json" in message
    assert f"psnr came out as {value}" in message
    assert "\n" not in message
    assert path.read_bytes() == before
    assert names(tmp_path) == ["a.json"]


# CSV


def test_csv_has_a_header_line_nine_digits_and_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "plots" / "a.csv"
    rows = [
        {"metric": "rmse", "value": 1 / 3, "n": 1000, "floor": None},
        {"metric": "ssim", "value": 1e-12, "n": 2, "floor": 0.5},
    ]
    write_csv(path, rows)
    assert path.read_bytes() == b"metric,value,n,floor\nrmse,0.333333333,1000,\nssim,1e-12,2,0.5\n"


def test_csv_takes_the_order_of_columns_from_the_first_row(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"a": 1, "b": 2}, {"b": 4, "a": 3}])
    assert (tmp_path / "a.csv").read_text() == "a,b\n1,2\n3,4\n"


def test_a_table_without_rows_has_the_header_that_it_is_given(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [], ("metric", "value"))
    assert (tmp_path / "a.csv").read_text() == "metric,value\n"
    with pytest.raises(IndexError):
        write_csv(tmp_path / "b.csv", [])


def test_given_columns_set_the_order_and_a_row_has_to_have_them(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"a": 1, "b": None}], ("b", "a"))
    assert (tmp_path / "a.csv").read_text() == "b,a\n,1\n"
    with pytest.raises(KeyError):
        write_csv(tmp_path / "b.csv", [{"a": 1}], ("a", "b"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"], "nothing is left of what was refused"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_csv_numbers_are_read_back_to_nine_digits(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    write_csv(path, [{"step": step, "value": value} for step, value in enumerate(values)])
    with path.open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [int(row["step"]) for row in read] == list(range(len(values)))
    # Half a unit of the ninth digit; denormals have fewer digits than that to begin with.
    assert [float(row["value"]) for row in read] == pytest.approx(values, rel=5.01e-9, abs=1e-307)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_table_refuses_what_is_no_number(tmp_path: Path, value: float) -> None:
    path = tmp_path / "table.csv"
    with pytest.raises(ThawError, match="fid came out as"):
        write_csv(path, [{"fid": 1.0}, {"fid": value}])
    assert list(tmp_path.iterdir()) == []
