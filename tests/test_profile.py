"""`thaw profile` exchanges the budget, whatever the old one looks like, and refuses on account of anything else."""

from pathlib import Path

import pytest

from thaw.errors import ThawError
from thaw.params import read_params, read_yaml, write_profile

ROOT = Path(__file__).parents[1]
SMOKE = ROOT / "profiles" / "smoke.yaml"
TEXT = (ROOT / "params.yaml").read_text()
START, END = TEXT.index("budget:"), TEXT.index("\ndefaults:")


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


@pytest.mark.parametrize(
    "budget",
    [
        "budget: # of an earlier version\n  profile: old\n  train: {cnn: {images: 0}}\n  gone: 1\n",
        "budget:\n",
        "budget: standard\n",
        "budget: {profile: old,\n  train: {}}\n",
    ],
    ids=["keys that are no more", "nothing", "a word", "in braces"],
)
def test_an_invalid_budget_is_replaced(params: Path, budget: str) -> None:
    params.write_text(TEXT[:START] + budget + TEXT[END:])
    with pytest.raises(ThawError):
        read_params(params)
    write_profile(params, SMOKE)
    assert read_yaml(params)["budget"] == read_yaml(SMOKE)["budget"]
    after = params.read_text()
    assert after.startswith(f"{TEXT[:START]}budget:")
    assert after.endswith(TEXT[END:])
    assert ("# of an earlier version" in after) == ("# of an earlier version" in budget), "a comment stays"


def test_all_else_is_checked_before_anything_is_written(params: Path) -> None:
    broken = TEXT.replace("threads: 1", "treads: 1")
    params.write_text(broken)
    with pytest.raises(ThawError, match=r"^params\.yaml: treads is not a key .*did you mean threads"):
        write_profile(params, SMOKE)
    assert params.read_text() == broken


def test_a_file_without_the_key_is_told_to_add_it(params: Path) -> None:
    params.write_text(TEXT[:START] + TEXT[END:])
    with pytest.raises(ThawError, match=r"^params\.yaml: the key budget is missing; add"):
        write_profile(params, SMOKE)
