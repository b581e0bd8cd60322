from pathlib import Path

import pytest
from PIL import Image

from thaw.pages.illustrations import _is_chart
from thaw.pages.tables import DIGIT, POINT, under_each_other


def test_numbers_stand_with_their_points_under_each_other() -> None:
    column = ["12.25 [11, 13]", "**0.5** [0, 1]", "−3", "× 1.5", "–", "4e-05", "cnn", "2.11.0"]
    assert under_each_other(column) == [
        "12.25 [11, 13]", f"**0.5**{DIGIT} [0, 1]", f"−3{POINT}{DIGIT}{DIGIT}", f"× 1.5{DIGIT}", "–", "4e-05", "cnn",
        "2.11.0",
    ]  # fmt: skip
    assert under_each_other(["1", "20"]) == ["1", "20"]


@pytest.mark.parametrize(("ground", "drawn", "chart"), [(255, 0, True), (255, 130, True), (0, 255, False)])
def test_what_is_lines_on_white_is_a_chart(tmp_path: Path, ground: int, drawn: int, chart: bool) -> None:
    picture = Image.new("L", (100, 100), ground)
    picture.paste(drawn, (0, 40, 100, 45))
    picture.save(tmp_path / "picture.png")
    assert _is_chart(tmp_path / "picture.png") is chart
