"""Tables that are HTML or Typst before Quarto sees them: the same cells, labels and captions."""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st

from thaw.errors import ThawError
from thaw.reporting.ready_tables import with_html_tables, with_typst_tables
from thaw.reporting.tables import bracketed, table

PRINT = Path(__file__).parents[1] / "report" / "print.lua"
WORD = st.text("abcxyzäß0123456789", min_size=1, max_size=8)


def printed(capsys: pytest.CaptureFixture[str], *tables: tuple[list[str], list[list[str]], str, str]) -> list[str]:
    """What cells leave that print a line and then a table each."""
    pieces = []
    for header, rows, label, caption in tables:
        print(f"Before {label}.\n")
        table(header, rows, label, caption)
        print(f"After {label}.")
        pieces.append(capsys.readouterr().out)
    return pieces


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(WORD, min_size=n, max_size=n), min_size=2, max_size=5)))
def test_html_has_the_cells_of_the_table_in_their_order(rows: list[list[str]]) -> None:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "|".join([":--"] * len(rows[0])) + "|")
    (page,) = with_html_tables(["\n".join(lines) + "\n\n: A caption. {#tbl-a}\n"])
    found = BeautifulSoup(page, "html.parser").find_all("tr")
    assert [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in found] == rows


def test_labels_captions_and_what_stands_around_a_table_are_left(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = printed(
        capsys,
        (["a", "b"], [["1", "2"]], "tbl-first", "The first, see @tbl-second and `code`."),
        (["c", "d"], [["3", "4"]], "tbl-second", "The second."),
    )
    captions = {"tbl-first": "The first, see @tbl-second and `code`.", "tbl-second": "The second."}
    for language, ready in (("html", with_html_tables(pieces)), ("typst", with_typst_tables(pieces, []))):
        for page, value, (label, caption) in zip(ready, "13", captions.items(), strict=True):
            lines = [line for line in page.splitlines() if line]
            assert lines[:3] == [f"Before {label}.", f"::: {{#{label}}}", f"```{{={language}}}"]
            assert lines[-4:] == ["```", caption, ":::", f"After {label}."]
            assert len(re.findall(rf"\b{value}\b", page)) == 1


def test_a_table_in_which_quarto_has_something_to_resolve_is_left_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = printed(
        capsys,
        (["a"], [["as in @fig-x"]], "tbl-refers", "One."),
        (["a"], [["plain"]], "tbl-plain", "Two."),
        (["a"], [["{{< var course >}}"]], "tbl-shortcode", "Three."),
    )
    for ready in (with_html_tables(pieces), with_typst_tables(pieces, [])):
        assert (ready[0], ready[2]) == (pieces[0], pieces[2])
        assert ready[1] != pieces[1]


def test_html_keeps_alignment_markup_and_mathematics(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["`x`", f"**1.5** {bracketed('[1, 2]')}"], ["$z_t$", "2"]]
    (page,) = with_html_tables(printed(capsys, (["name", "value"], rows, "tbl-a", "A.")))
    found = BeautifulSoup(page, "html.parser").table
    assert found is not None
    assert found["class"] == ["caption-top", "table"]
    assert found["data-quarto-disable-processing"] == "true"
    assert [cell["style"] for cell in found.find_all("th")] == ["text-align: left;", "text-align: right;"]
    assert [found.find(name).get_text() for name in ("code", "strong")] == ["x", "1.5"]
    assert found.find(class_="interval").get_text() == "[1, 2]"
    assert found.math.annotation.get_text() == "z_t"
    assert not found.find("colgroup"), "the browser finds the widths"


@pytest.mark.parametrize(("columns", "turned"), [(3, False), (30, True)])
def test_typst_tables_are_shaped_by_the_filter_of_the_report(
    columns: int, turned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    header = [f"heading{column}" for column in range(columns)]
    row = ["`x`", *[f"1 {bracketed('[1, 2]')}"] * (columns - 1)]
    (page,) = with_typst_tables(printed(capsys, (header, [row], "tbl-a", "A.")), [PRINT])
    assert ("// This table lies on its side." in page) == turned
    assert page.count("#interval[") == columns - 1
    assert "set text(size: " in page
    assert "#figure" not in page, "Quarto makes the figure"


def test_a_filter_that_pandoc_refuses_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.lua"
    broken.write_text("return {{ Table = function() return quarto.missing() end }}")
    with pytest.raises(ThawError, match=r"the tables: pandoc refuses it: .*broken\.lua"):
        with_typst_tables(printed(capsys, (["a"], [["1"]], "tbl-a", "A.")), [broken])
