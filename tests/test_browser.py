"""The rendered report in a real browser: nothing broken, nothing too wide, everything reachable."""

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from browser_fixtures import AXE, CHROMIUM, Browser
from PIL import Image

from thaw.pages.plain import render
from thaw.results.measurements import results

ROOT = Path(__file__).parents[1]
COPIED = ("report", "results", "dvc.lock", "dvc.yaml", "params.yaml", "pyproject.toml", "requirements.lock",
          "data/published.csv")  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the committed results, by the plain renderer."""
    root = tmp_path_factory.mktemp("project")
    for name in COPIED:
        (root / name).parent.mkdir(exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("_book", "_coursework", ".*"))
        else:
            shutil.copy(ROOT / name, root / name)
    results.cache_clear()
    render(root / "report", root / "index.html")
    return root / "index.html"


def test_nothing_is_broken(report: Path, browser: Browser) -> None:
    browser.open(report, 1280)
    assert browser.problems() == []
    loaded = "(i.loading = 'eager', i.decode().then(() => '', () => i.alt))"
    assert browser.tell("document.images.length") > 20
    assert browser.tell("[...document.images].filter((i) => i.loading !== 'lazy').length") == 1
    assert set(browser.tell(f"Promise.all([...document.images].map((i) => {loaded}))")) == {""}
    assert browser.tell("[...document.images].filter((i) => !i.alt.trim()).length") == 0
    assert "?@" not in browser.tell("document.body.innerText")
    arriving = (
        "[...document.querySelectorAll('a[href^=\"#\"]')].filter((a) => !document.getElementById(a.hash.slice(1)))"
    )
    assert browser.tell(f"{arriving}.map((a) => a.hash)") == []


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(report: Path, browser: Browser, width: int) -> None:
    browser.open(report, width)
    assert browser.tell("document.documentElement.scrollWidth") <= width


def test_every_equation_is_seen_whole_on_a_desk(report: Path, browser: Browser) -> None:
    browser.open(report, 1280)
    lines = "[...document.querySelectorAll('span.display:has(> math)')]"
    assert browser.tell(f"{lines}.length") > 20
    assert browser.tell(f"{lines}.filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)") == []


COLUMN = """((name) => {
  const table = document.querySelector('#tbl-everything table');
  const index = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === name);
  return [table.tHead.rows[0].cells[index].getAttribute('aria-sort'),
          [...table.tBodies[0].rows].map((row) => row.cells[index].textContent.trim())];
})"""
TITLE = "[...document.querySelectorAll('#tbl-everything th button')].find((b) => b.textContent === '%s')"


def column(browser: Browser, name: str) -> tuple[str, list[str]]:
    order, cells = browser.tell(f"{COLUMN}('{name}')")
    return order, cells


def test_every_table_of_some_length_is_sorted_by_the_titles_of_its_columns(report: Path, browser: Browser) -> None:
    browser.open(report, 1280)
    long = "[...document.querySelectorAll('main table')].filter((t) => t.tHead && t.tBodies[0].rows.length > 3)"
    unsorted = "filter((t) => [...t.tHead.rows[0].cells].some((c) => !c.ariaSort || !c.querySelector('button')))"
    assert browser.tell(f"{long}.length") > 20
    assert browser.tell(f"{long}.{unsorted}.length") == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_a_table_that_scrolls_says_so_and_is_reached_by_the_keyboard(
    report: Path, browser: Browser, width: int
) -> None:
    browser.open(report, width)
    scrolls = "[...document.querySelectorAll('main table')].filter((t) => t.scrollWidth > t.clientWidth + 1)"
    silent = "filter((t) => t.tabIndex !== 0 || !t.previousElementSibling?.matches('.hint'))"
    assert browser.tell(f"{scrolls}.length") > 0
    assert browser.tell(f"{scrolls}.{silent}.map((t) => t.parentElement.id)") == []


def test_the_table_of_everything_is_sorted_by_the_keyboard(report: Path, browser: Browser) -> None:
    browser.open(report, 1280)
    name = "FID (classifier)"
    unsorted, before = column(browser, name)
    assert unsorted == "none"
    real = column(browser, "variant")[1].index("real images")
    for order, sign in (("ascending", 1), ("descending", -1)):
        browser.tell(f"{TITLE % name}.focus()")
        browser.press("Enter")
        said, cells = column(browser, name)
        assert column(browser, "variant")[1][-1] == "real images", "they stay below all variants"
        assert cells.pop() == before[real]
        numbers = [float(cell.split("†")[0].split()[0]) for cell in cells if cell != "–"]
        assert said == order
        assert numbers == sorted(numbers, key=lambda number: sign * number)
        assert all(cell == "–" for cell in cells[len(numbers) :]), "what is absent comes last in either order"
        assert sorted([*cells, before[real]]) == sorted(before)
    browser.tell(f"{TITLE % 'variant'}.click()")
    assert column(browser, name)[0] == "none"
    *variants, last = column(browser, "variant")[1]
    assert (variants, last) == (sorted(variants, key=str.casefold), "real images")


def test_a_picture_is_enlarged_and_put_back(report: Path, browser: Browser) -> None:
    browser.open(report, 1280)
    browser.tell("document.querySelector('.enlarge').focus()")
    browser.press("Enter")
    shown = "document.querySelector('dialog')?.open"
    assert browser.tell(shown) is True
    assert browser.tell("document.querySelector('dialog img').alt === document.querySelector('.enlarge img').alt")
    browser.press("Escape")
    assert browser.tell(shown) is False
    assert browser.tell("document.activeElement === document.querySelector('.enlarge')")


def test_the_theme_is_the_system_s_until_the_button_says_otherwise(report: Path, browser: Browser) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    browser.open(report, 1280, prefers_color_scheme="light")
    light = browser.tell(paper)
    browser.open(report, 1280, prefers_color_scheme="dark")
    dark = browser.tell(paper)
    assert light != dark
    browser.tell("document.querySelector('.theme').click()")
    assert browser.tell(paper) == light
    browser.tell("document.querySelector('.theme').click()")
    assert browser.tell(paper) == dark


def test_what_moves_stands_still_for_who_asked_for_that(report: Path, browser: Browser) -> None:
    visible = "[...document.querySelectorAll('%s')].filter((e) => e.offsetParent !== null).length"
    browser.open(report, 1280, prefers_reduced_motion="no-preference")
    if not browser.tell("document.querySelectorAll('.moving').length"):
        pytest.skip("nothing moves in these results")
    assert browser.tell(visible % ".moving") > 0
    assert browser.tell(visible % ".still") == 0
    browser.open(report, 1280, prefers_reduced_motion="reduce")
    assert browser.tell(visible % ".moving") == 0
    assert browser.tell(visible % ".still") > 0
    browser.tell("document.querySelector('.motion').focus()")
    for moving in (1, 0):
        browser.press("Enter")
        assert browser.tell(visible % ".moving") == moving


CARD = "document.querySelector('#model-card:popover-open')"


def test_the_name_of_a_model_shows_its_card_until_escape(report: Path, browser: Browser) -> None:
    browser.open(report, 1280)
    names = "[...document.querySelectorAll('main .model[aria-describedby]')]"
    if not browser.tell(f"{names}.length"):
        pytest.skip("no model has samples in these results")
    assert browser.tell(f"{names}.filter((name) => name.tabIndex !== 0).length") == 0
    assert browser.tell("document.querySelectorAll('button .model[tabindex]').length") == 0
    assert browser.tell(CARD) is None
    browser.tell(f"{names}[0].focus()")
    said = browser.tell(f"{CARD}.textContent")
    assert all(title in said for title in ("FID∞ (classifier)", "legible", "coverage"))
    assert browser.tell(f"{CARD}.querySelector('img').alt.endsWith({names}[0].textContent)")
    assert browser.tell(f"document.querySelector({CARD}.querySelector('a').hash.replaceAll('.', '\\\\.')) !== null")
    browser.press("Escape")
    assert browser.tell(CARD) is None


def test_a_card_is_shown_whole_where_its_name_is_pointed_at(report: Path, browser: Browser) -> None:
    for width in (390, 1280):
        browser.open(report, width)
        for kind in ("td", "figcaption", "p", "th button"):
            name = f"document.querySelector('main {kind} .model')"
            if not browser.tell(f"{name} !== null"):
                continue
            browser.tell(f"{name}.scrollIntoView({{block: 'end'}})")  # there is no room below it
            x, y = browser.tell(f"(({{ left, top }}) => [left + 4, top + 8])({name}.getClientRects()[0])")
            browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
            browser.tell("new Promise((done) => setTimeout(done, 400))")
            left, top, right, bottom = browser.tell(
                f"(({{ left, top, right, bottom }}) => [left, top, right, bottom])({CARD}.getBoundingClientRect())"
            )
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= 900
            browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=0, y=0)
            browser.tell("new Promise((done) => setTimeout(done, 400))")
            assert browser.tell(CARD) is None


def test_the_slider_moves_from_z_t_to_the_sample(report: Path, browser: Browser) -> None:
    browser.open(report, 1280, prefers_color_scheme="light")
    if not browser.tell("document.querySelectorAll('.stepper').length"):
        pytest.skip("there are no chains in these results")
    browser.tell("document.querySelector('.stepper').scrollIntoView()")
    browser.tell("Promise.all([...document.querySelectorAll('.chain img')].map((image) => image.decode()))")
    at = "[...document.querySelectorAll('.chain')].map((chain) => chain.querySelector('.t').textContent)"
    steps = browser.tell("[...document.querySelectorAll('.chain')].map((chain) => chain.dataset.t.split(' '))")
    browser.tell("document.querySelector('.controls input').focus()")
    for key, column in (("Home", 0), ("ArrowRight", 1), ("End", len(steps[0]) - 1)):
        browser.press(key)
        assert browser.tell(at) == [f"t = {of[column]}" for of in steps]
        assert nearest_column(browser) == column


def nearest_column(browser: Browser) -> int:
    """The column of the first chain's picture that the page shows, by its pixels."""
    box = "(({ left, top, right, bottom }) => [left, top, right, bottom].map(Math.round))"
    seen_in = browser.tell(f"{box}(document.querySelector('.chain img').getBoundingClientRect())")
    source = browser.tell("document.querySelector('.chain img').src")
    shot = browser.call("Page.captureScreenshot")["data"]
    picture = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("L")
    size = (picture.height // 2, picture.height)
    shown = Image.open(io.BytesIO(base64.b64decode(shot))).crop(seen_in)
    seen = np.asarray(shown.convert("L").resize(size), dtype=float)
    columns = np.asarray(picture, dtype=float).reshape(size[1], -1, size[0]).swapaxes(0, 1)
    return int(((columns - seen) ** 2).mean((1, 2)).argmin())


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not there; AXE_CORE names its axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(report: Path, browser: Browser, scheme: str) -> None:
    browser.open(report, 1280, prefers_color_scheme=scheme)
    browser.tell("document.querySelector('.model[tabindex]')?.focus()")  # so that a card is shown too
    browser.tell(f"{AXE.read_text()};0")
    found = browser.tell("axe.run().then((all) => all.violations.map((v) => [v.id, v.impact, v.nodes.length]))")
    assert [violation for violation in found if violation[1] in ("serious", "critical")] == []
