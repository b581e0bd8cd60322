import pypandoc
from bs4 import BeautifulSoup

from thaw.pages.tables import DIGIT, POINT, under_each_other, value


def test_numbers_stand_with_their_points_under_each_other() -> None:
    column = ["12.25 [11, 13]", "**0.5** [0, 1]", "−3", "× 1.5", "–", "4e-05", "cnn", "2.11.0"]
    assert under_each_other(column) == [
        "12.25 [11, 13]", f"**0.5**{DIGIT} [0, 1]", f"−3{POINT}{DIGIT}{DIGIT}", f"× 1.5{DIGIT}", "–", "4e-05", "cnn",
        "2.11.0",
    ]  # fmt: skip
    assert under_each_other(["1", "20"]) == ["1", "20"]


def test_what_an_artifact_holds_is_text() -> None:
    evil = "<script>alert(1)</script> [x](javascript:alert(1)) `a` $z$"
    page = BeautifulSoup(pypandoc.convert_text(value(evil), "html", "markdown"), "html.parser")
    assert [tag.name for tag in page.find_all(True)] == ["p"]
    assert page.get_text().split() == evil.split()
