from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from thaw.core.sheets import MILESTONES, read_sheet, shown, write_sheet


def tiles(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


@given(st.lists(st.integers(), min_size=1, max_size=30, unique=True))
def test_a_few_milestones_are_shown_evenly_with_the_first_and_the_last(milestones: list[int]) -> None:
    found = [milestones.index(milestone) for milestone in shown(milestones)]
    assert len(found) == min(MILESTONES, len(milestones))
    assert (found[0], found[-1]) == (0, len(milestones) - 1)
    steps = np.diff(found)
    assert (steps > 0).all()
    assert len(found) == 1 or steps.max() - steps.min() <= 1


def test_of_eight_milestones_these_are_shown() -> None:
    milestones = ["0.01", "0.03", "0.06", "0.12", "0.25", "0.5", "0.75", "1"]
    assert shown(milestones) == ["0.01", "0.06", "0.25", "0.5", "1"]
    assert shown(milestones[:3]) == milestones[:3]


@pytest.mark.parametrize(("rows", "channels"), [(1, 1), (3, 1), (2, 3)])
def test_tiles_are_read_back_bit_for_bit(tmp_path: Path, rows: int, channels: int) -> None:
    images = tiles(rows, 5, channels, 8, 8)
    write_sheet(tmp_path / "sheets" / "a.png", list(images))
    read = read_sheet(tmp_path / "sheets" / "a.png", 8)
    np.testing.assert_array_equal(read, images[:, :, 0] if channels == 1 else np.moveaxis(images, 2, -1), strict=True)


def test_rows_stand_below_each_other_and_columns_side_by_side(tmp_path: Path) -> None:
    images = tiles(2, 3, 1, 8, 8)
    write_sheet(tmp_path / "a.png", list(images))
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.mode, picture.size) == ("L", (3 * 8, 2 * 8))
        pixels = np.asarray(picture)
    assert (pixels[8:16, 16:24] == images[1, 2, 0]).all()


def test_the_layout_of_the_tiles_in_memory_does_not_show(tmp_path: Path) -> None:
    images = tiles(4, 3, 8, 8)
    write_sheet(tmp_path / "a.png", [images])
    write_sheet(tmp_path / "b.png", [np.moveaxis(np.ascontiguousarray(np.moveaxis(images, 1, -1)), -1, 1)])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_failed_write_keeps_the_old_sheet(tmp_path: Path) -> None:
    write_sheet(tmp_path / "a.png", [tiles(2, 1, 8, 8)])
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(ValueError, match="dimension"):
        write_sheet(tmp_path / "a.png", [tiles(2, 1, 8, 8), tiles(3, 1, 8, 8)])
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before
