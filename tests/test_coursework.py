"""The student's own report holds what was found of the variants that it names, and says where it is too long."""

import contextlib
import functools
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from comparison_fixtures import ROOT
from typer.testing import CliRunner

from thaw.cli import app
from thaw.errors import ThawError
from thaw.figures.families import kind
from thaw.pages import coursework, quarto
from thaw.pages.prose import count_words
from thaw.params import read_params
from thaw.results.layout import Artifacts
from thaw.results.measurements import Results, results

PARAMS = read_params(ROOT / "params.yaml")
MADE = Path("report/_coursework")
CELL = re.compile(r"^```\{python\}\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
LABEL = re.compile(r"\{#((?:fig|tbl|eq|sec)-[^\s}]+)")
REFERENCE = re.compile(r"(?<![\w`])@((?:fig|tbl|eq|sec)-[\w-]+)")
needs_quarto = pytest.mark.skipif(shutil.which("quarto") is None, reason="quarto is not on PATH")


def of_kind(wanted: Callable[[str], bool]) -> str:
    """The first variant whose kind is a wanted one."""
    return next(name for name in PARAMS.compared if wanted(kind(PARAMS, name)))


GAUSSIAN = of_kind(lambda found: found == "gaussian")
COLD = of_kind(lambda found: found not in ("gaussian", "gan"))
GAN = of_kind(lambda found: found == "gan")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """A copy of the report and of what it reads, with results."""
    root = tmp_path_factory.mktemp("project")
    for name in ("params.yaml", "dvc.yaml", "dvc.lock"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "results", root / "results", ignore=shutil.ignore_patterns("figures"))
    ignored = shutil.ignore_patterns("_book", "_coursework", ".*", "figures")
    shutil.copytree(ROOT / "report", root / "report", ignore=ignored)
    return Artifacts(root)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, project: Artifacts) -> Artifacts:
    """The same without a result."""
    root = tmp_path_factory.mktemp("bare")
    for name in ("params.yaml", "dvc.yaml", "report"):
        (root / name).symlink_to(project.root / name)
    return Artifacts(root)


@contextlib.contextmanager
def inside(artifacts: Artifacts) -> Iterator[io.StringIO]:
    """Run in the project, as its pages do, and catch what is printed."""
    before, out = Path.cwd(), io.StringIO()
    os.chdir(artifacts.root)
    results.cache_clear()
    try:
        with contextlib.redirect_stdout(out):
            yield out
    finally:
        os.chdir(before)
        results.cache_clear()


@functools.cache
def printed(artifacts: Artifacts, variants: str) -> str:
    """The page as the renderers get it: its prose, and what its cells print in this process."""
    prose_and_cells = CELL.split(coursework.page(artifacts).read_text().split("\n---\n", 1)[1])
    names: dict[str, Any] = {}
    os.environ[quarto.VARIANTS] = variants
    with inside(artifacts) as out:
        for number, piece in enumerate(prose_and_cells):
            out.write(piece) if number % 2 == 0 else exec(piece, names)
        return out.getvalue()


@pytest.fixture(scope="module", params=[GAUSSIAN, f"{COLD},{GAN}", GAN, "nothing measured"])
def text(request: pytest.FixtureRequest, project: Artifacts, bare: Artifacts) -> tuple[str, str]:
    """The names of the variants, and the page about them."""
    if request.param == "nothing measured":
        return GAUSSIAN, printed(bare, GAUSSIAN)
    return request.param, printed(project, request.param)


def test_every_reference_arrives_whichever_variants_are_named(text: tuple[str, str]) -> None:
    labels = LABEL.findall(text[1])
    assert len(labels) == len(set(labels))
    assert sorted(set(REFERENCE.findall(text[1])) - set(labels)) == []


def test_only_the_variants_that_are_named_are_spoken_of(text: tuple[str, str]) -> None:
    named = text[0].split(",")
    spoken_of = {name for name in PARAMS.variants if re.search(rf"(?<![\w-]){name}(?![\w-])", text[1])}
    assert spoken_of == set(named)


def test_the_method_explains_the_choices_of_the_named_variants_and_no_other(project: Artifacts) -> None:
    gaussian, cold = printed(project, GAUSSIAN), printed(project, f"{COLD},{GAN}")
    assert "{#eq-gaussian-noise}" in gaussian
    assert "{#eq-gaussian-noise}" not in cold
    assert "cold degradation" not in gaussian
    assert "cold degradation" in cold


def test_each_choice_that_a_variant_makes_has_its_text() -> None:
    folder = ROOT / "report" / coursework.METHODS
    for name, block in PARAMS.variants.items():
        train, sampler = block.train, block.sample.sampler.name
        for choice in (f"degradation/{train.degradation.name}", f"target/{train.target}", f"sampler/{sampler}"):
            assert (folder / f"{choice}.md").is_file(), (name, choice)


def test_a_choice_without_a_text_is_left_to_the_author(project: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coursework, "METHODS", "_nowhere")
    with inside(project) as out:
        coursework.about(GAUSSIAN)
        coursework.methods("target")
    assert "Explain the target" in out.getvalue()


def test_the_report_is_about_the_named_variants_or_the_best_of_each_kind(project: Artifacts, bare: Artifacts) -> None:
    found = Results(project)
    assert coursework.chosen(found, f" {GAN}, {COLD},{GAN},") == [GAN, COLD]
    best = coursework.chosen(found, "")
    assert len({kind(PARAMS, name) for name in best}) == len(best)
    assert found.ranked("fid_classifier")[0].variant in best
    assert coursework.chosen(Results(bare), "") == PARAMS.compared


def test_an_unknown_variant_or_figure_is_named_with_the_nearest_known_one(project: Artifacts) -> None:
    with inside(project), pytest.raises(coursework.CourseworkError) as raised:
        coursework.about(f"{GAUSSIAN},{COLD}x")
    assert f"variants has no {COLD}x (did you mean {COLD}?)" in str(raised.value)
    assert raised.value._render_traceback_() == [f"coursework.qmd: {raised.value}"]
    with inside(project), pytest.raises(ThawError, match=r"no figure losss \(did you mean loss\?\)"):
        coursework.figure("losss")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page in the place of the project's."""
    path = tmp_path / "coursework.qmd"
    monkeypatch.setattr(coursework, "page", lambda artifacts: path)
    return path


def test_words_are_those_of_the_page_and_of_the_sentences_that_its_cells_print(
    project: Artifacts, source: Path
) -> None:
    source.write_text("Three words here.\n\n```{python}\ncoursework.yours('not these')\n```\n")
    with inside(project) as out:
        coursework.about(f"{GAUSSIAN},{COLD}")
        coursework.words()
        before = out.getvalue()
        coursework.training()
        coursework.words()
    sentences = out.getvalue().removeprefix(before).split("This report has")[0]
    counts = [int(count) for count in re.findall(r"\[(\d+)\]\{\.word-count\}", out.getvalue())]
    assert counts == [3, 3 + count_words(sentences)]
    assert "own words: 1." in before
    assert "too long" not in out.getvalue()


def test_too_many_words_are_warned_of(project: Artifacts, source: Path) -> None:
    source.write_text("word " * (coursework.WORDS + 7))
    with inside(project) as out:
        coursework.about(GAUSSIAN)
        coursework.words()
    assert "callout-warning" in out.getvalue()
    assert "It has 7 words more" in out.getvalue()


def test_the_plain_renderer_renders_it_alone(project: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarto, "find_quarto", lambda: None)
    said = quarto.publish_coursework(project, f"{COLD},{GAN}")
    page = BeautifulSoup((project.root / MADE / "coursework.html").read_text(), "html.parser")
    assert page.title is not None
    assert f'title: "{page.title.get_text()}"\n' in (ROOT / "report" / "coursework.qmd").read_text()
    headings = [" ".join(heading.get_text().split()) for heading in page.find_all(["h1", "h2"])]
    assert {"Abstract", "Introduction", "Method", "Training", "Results", "Discussion", "References"} <= set(headings)
    assert page.find(id="fig-overview").find("img")["src"].startswith("data:image/png")
    assert "The models {#sec-models}" not in headings
    words = page.find(class_="word-count").get_text()
    assert f"It has {words} words of at most {coursework.WORDS}" in said
    assert "no quarto on PATH" in said


def test_an_unknown_variant_writes_nothing(project: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    before = sorted((project.root / MADE).glob("*"))
    result = CliRunner().invoke(app, ["coursework", "--variants", f"{COLD}x"])
    assert isinstance(result.exception, ThawError)
    assert f"did you mean {COLD}?" in str(result.exception)
    assert sorted((project.root / MADE).glob("*")) == before


def test_the_page_needs_no_torch() -> None:
    code = "import sys, thaw.pages.quarto; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@needs_quarto
def test_quarto_makes_a_page_and_a_pdf(project: Artifacts) -> None:
    said = quarto.publish_coursework(project, f"{GAUSSIAN},{COLD}")
    assert "by quarto" in said
    page = BeautifulSoup((project.root / MADE / "coursework.html").read_text(), "html.parser")
    assert page.find(id="fig-overview").find("img")["src"].startswith("data:image/png")
    assert "?@" not in page.get_text()
    assert page.find("h1", class_="title").get_text() != "Introduction"
    assert (project.root / MADE / "coursework.pdf").read_bytes().startswith(b"%PDF-")
    assert not (project.report / "coursework.pdf").exists()


@needs_quarto
def test_quarto_alone_takes_the_variants_as_its_parameters(project: Artifacts) -> None:
    page = project.report / "coursework.qmd"
    command = ["quarto", "render", str(page), "--to", "html", "-P", f"variants:{GAUSSIAN},{COLD}"]
    environment = {**os.environ, "QUARTO_PYTHON": sys.executable, quarto.VARIANTS: GAN}
    subprocess.run(command, env=environment, check=True)
    said = BeautifulSoup(page.with_suffix(".html").read_text(), "html.parser").get_text()
    title = read_params(project.params).title
    assert title(GAUSSIAN) in said
    assert title(COLD) in said
    assert title(GAN) not in said, "the parameters come before the environment"
