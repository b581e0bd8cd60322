"""The report as one HTML file, for machines without Quarto.

Quarto's own order of work with less of everything: includes and the cells' outputs (nbclient), shortcodes,
cross-references (`thaw.reporting.crossref`), then pandoc. What it does not know it refuses, so that a page that renders
here says what it says under Quarto. Not supported: languages other than Python, tabsets, theorems, collapsed callouts,
pages for parts, and captions in languages other than English.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pypandoc
from bs4 import BeautifulSoup, Tag

from thaw.errors import ThawError
from thaw.files import replacing
from thaw.reporting.cells import DEFAULTS, FENCE, Cell, Line, execute, read_pieces, read_yaml
from thaw.reporting.crossref import LABEL, NAMES, Page, number_pages, resolve_references

TEMPLATE = Path(__file__).parent / "assets" / "page.html"

INCLUDE = re.compile(r"^\s*\{\{<\s*include\s+(\S+)\s*>\}\}\s*$")
SHORTCODE = re.compile(r"(?<!\{)\{\{<\s*(\S+)\s*(.*?)\s*>\}\}(?!\})")
TITLE = re.compile(r"^# +(.+?)(?: *\{[^{}]*\})?$", re.MULTILINE)


@dataclass
class Book:
    """What `_quarto.yml` and `_variables.yml` say. `chapters` are (path, the part it opens, whether an appendix)."""

    folder: Path
    config: dict[str, Any]
    variables: dict[str, Any]
    chapters: list[tuple[str, str, bool]]
    bibliography: list[Path]

    @property
    def settings(self) -> dict[str, Any]:
        """The `book` block of `_quarto.yml`."""
        return dict(self.config["book"])

    def files(self, option: str, output: str = "html") -> list[Path]:
        """The files that an option of a format names. Raises ThawError where one does not exist."""
        formats = self.config.get("format", {})
        settings = formats.get(output, {}) if isinstance(formats, dict) else {}
        named = _listed(settings.get(option, [])) if isinstance(settings, dict) else []
        for name in named:
            if not isinstance(name, str) or not (self.folder / name).is_file():
                raise ThawError(f"{self.folder / '_quarto.yml'}: {option} names {name}, which is no file beside it.")
        return [self.folder / name for name in named]


def render(project: Path, output: Path) -> Path:
    """Render the Quarto book in the folder `project` to one self-contained HTML file and give its path.

    The cells run in the interpreter that calls this. Raises ThawError, and writes nothing, where a
    file, an image, a variable or a reference is missing, a cell fails, or a page uses what only Quarto can do.
    """
    book = read_book(project)
    with tempfile.TemporaryDirectory(prefix="thaw-render-") as scratch:
        sources = [read_source(book, name) for name, _, _ in book.chapters]
        execute([(source.cells, source.cells_run_in) for source in sources])
        pages = [
            _parse(book, source, appendix, Path(scratch) / str(index))
            for index, (source, (_, _, appendix)) in enumerate(zip(sources, book.chapters, strict=True))
        ]
        targets = number_pages(pages)
        resolve_references(pages, targets, _citation_keys(book))
        html = _write_html(book, pages)
    with replacing(output) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return output


def read_book(folder: Path) -> Book:
    """The book in `folder`. Raises ThawError where it is none, or names files that are not there."""
    path = folder / "_quarto.yml"
    config = read_yaml(_read_text(path, "_quarto.yml, which lists the chapters"), str(path))
    variables_path = folder / "_variables.yml"
    variables = read_yaml(variables_path.read_text("utf-8"), str(variables_path)) if variables_path.exists() else {}
    if config.get("project", {}).get("type") != "book" or "chapters" not in config.get("book", {}):
        raise ThawError(
            f"{path}: `project: type:` is not book, or `book: chapters:` is missing: only books are rendered."
        )
    chapters: list[tuple[str, str, bool]] = []
    for entry in config["book"]["chapters"]:
        match entry:
            case str():
                chapters.append((entry, "", False))
            case {"part": str(part), "chapters": list(paths)} if not part.endswith(".qmd"):
                chapters += [(inner, "" if index else part, False) for index, inner in enumerate(paths)]
            case _:
                raise ThawError(
                    f"{path}: the chapter {entry} is neither a file nor `part:` (a title) with `chapters:`."
                )
    chapters += [(entry, "", True) for entry in config["book"].get("appendices", [])]
    named = config.get("bibliography", [])
    bibliography = [folder / name for name in ([named] if isinstance(named, str) else named)]
    for file in bibliography:
        if not file.is_file():
            raise ThawError(f"{path}: the bibliography {file.name} does not exist: add it, or take `bibliography` out.")
    return Book(folder, config, variables, chapters, bibliography)


def _read_text(path: Path, what: str) -> str:
    if not path.is_file():
        raise ThawError(f"{path} does not exist: it should be {what}.")
    return path.read_text(encoding="utf-8")


@dataclass
class Source:
    """A page as it is written: its front matter, its Markdown and cells in their order."""

    name: str  # relative to the project
    path: Path
    front: dict[str, Any]
    pieces: list[str | Cell]
    cells_run_in: Path

    @property
    def cells(self) -> list[Cell]:
        """The cells, and the expressions inside sentences."""
        return [piece for piece in self.pieces if isinstance(piece, Cell)]


def read_source(book: Book, name: str) -> Source:
    """A page of a book, what it includes put in its place. Raises ThawError where Quarto would read it otherwise."""
    path = book.folder / name
    front, lines = _front_matter(list(_included(path, book.folder, "a chapter that _quarto.yml lists", ())), name)
    pieces = list(read_pieces(lines, {**DEFAULTS, **book.config.get("execute", {}), **front.get("execute", {})}))
    folder = book.folder if book.config["project"].get("execute-dir") == "project" else path.parent
    source = Source(name, path, front, pieces, folder.resolve())
    if source.cells and all(cell.inline for cell in source.cells) and not front.keys() & {"jupyter", "engine"}:
        raise ThawError(
            f"{source.cells[0].place()}: Quarto prints {{python}} {source.cells[0].source} as it stands, because no "
            f"cell of {name} makes it a page with Python: add `jupyter: python3` to its front matter."
        )
    return source


def _parse(book: Book, source: Source, appendix: bool, scratch: Path) -> Page:
    """The page that a source becomes once its cells have run; the images that they made are written to `scratch`."""
    name, front, pieces = source.name, source.front, source.pieces
    scratch.mkdir()
    written = TITLE.search("".join(piece for piece in pieces if isinstance(piece, str) and not FENCE.match(piece)))
    title = front.get("title", written[1] if written else "")
    markdown = "".join(piece.markdown(scratch) if isinstance(piece, Cell) else piece for piece in pieces)
    if "title" in front:
        if name == "index.qmd":
            raise ThawError("index.qmd: Quarto drops the `title:` of the first page: make it `# Title {.unnumbered}`.")
        markdown = f"# {title}\n\n{markdown}"
    metadata = {**book.config, **front, "title": book.settings.get("title") if name == "index.qmd" else title}
    markdown = _shortcodes(markdown, book.variables, metadata, name)
    document = pandoc(["--from=markdown", "--to=json"], markdown, name)
    return Page(name, source.path.parent.resolve(), json.loads(document)["blocks"], appendix)


def _included(path: Path, root: Path, what: str, outer: tuple[Path, ...]) -> Iterator[Line]:
    for number, content in enumerate(_read_text(path, what).splitlines(), start=1):
        if include := INCLUDE.match(content):
            inner = (root / include[1][1:] if include[1].startswith("/") else path.parent / include[1]).resolve()
            if inner in (*outer, path.resolve()):
                raise ThawError(
                    f"{path.name}, line {number}: {include[1]} ends up including itself: take the line out."
                )
            yield from _included(inner, root, f"what {path.name} includes in line {number}", (*outer, path.resolve()))
        else:
            yield Line(content, path, number)


def _front_matter(lines: list[Line], name: str) -> tuple[dict[str, Any], list[Line]]:
    if not lines or lines[0].text.rstrip() != "---":
        return {}, lines
    end = next((index for index, line in enumerate(lines) if index and line.text.rstrip() in ("---", "...")), None)
    if end is None:
        raise ThawError(f"{name}: the front matter that its first line opens is never closed: add a line `---`.")
    return read_yaml("\n".join(line.text for line in lines[1:end]), f"{name}, its front matter,"), lines[end + 1 :]


def _shortcodes(markdown: str, variables: dict[str, Any], metadata: dict[str, Any], where: str) -> str:
    def value(match: re.Match[str]) -> str:
        name, key = match[1], match[2].strip()
        if name == "pagebreak":
            return ""
        if name not in ("var", "meta"):
            raise ThawError(f"{where}: the plain renderer does not know the shortcode {match[0]}: take it out.")
        found: Any = variables if name == "var" else metadata
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found is None:
            file = "_variables.yml" if name == "var" else f"_quarto.yml or the front matter of {where}"
            raise ThawError(f"{where}: {match[0]} names a value that does not exist: add {key} to {file}.")
        return str(found)

    return SHORTCODE.sub(value, markdown).replace("{{{<", "{{<").replace(">}}}", ">}}")


def _citation_keys(book: Book) -> set[str]:
    entries = [json.loads(pandoc([str(path), "--to=csljson"], "", path.name)) for path in book.bibliography]
    return {str(item["id"]) for file in entries for item in file}


def _write_html(book: Book, pages: list[Page]) -> str:
    blocks: list[Any] = []
    for page, (_, part, _) in zip(pages, book.chapters, strict=True):
        if part:
            blocks.append({"t": "Header", "c": [1, ["", ["part", "unnumbered"], []], [{"t": "Str", "c": part}]]})
        blocks += page.blocks
    document = json.dumps(blocks)
    if '"t": "Cite"' in document and '["refs",' not in document:
        blocks.append({"t": "Header", "c": [1, ["references", ["unnumbered"], []], [{"t": "Str", "c": "References"}]]})
        blocks.append({"t": "Div", "c": [["refs", [], []], []]})
    settings = book.settings
    metadata: dict[str, dict[str, Any]] = {}
    for key in ("title", "subtitle", "author", "date"):
        values = settings.get(key, [])
        names = [value.get("name") if isinstance(value, dict) else value for value in _listed(values)]
        printed = _shortcodes(", ".join(str(name) for name in names), book.variables, book.config, "_quarto.yml")
        if printed:
            metadata[key] = {"t": "MetaString", "c": printed}
    metadata["pagetitle"] = metadata.setdefault("title", {"t": "MetaString", "c": "Report"})
    metadata["lang"] = {"t": "MetaString", "c": str(book.config.get("lang", "en"))}
    metadata["link-citations"] = {"t": "MetaBool", "c": True}
    version = json.loads(pandoc(["--from=markdown", "--to=json"], "", "an empty page"))["pandoc-api-version"]
    arguments = ["--from=json", "--to=html5", "--standalone", f"--template={TEMPLATE}", "--embed-resources", "--mathml"]
    arguments += ["--toc", "--toc-depth=2", "--section-divs", "--citeproc", f"--resource-path={book.folder}"]
    arguments += [
        "--syntax-highlighting=none",
        "--wrap=none",
        *(f"--bibliography={path}" for path in book.bibliography),
    ]
    arguments += [f"--css={path}" for path in book.files("css")]
    arguments += [f"--include-after-body={path}" for path in book.files("include-after-body")]
    if "csl" in book.config:
        arguments.append(f"--csl={book.folder / book.config['csl']}")
    content = {"pandoc-api-version": version, "meta": metadata, "blocks": blocks}
    return pandoc(arguments, json.dumps(content), "the whole report")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def pandoc(arguments: list[str], content: str, where: str) -> str:
    """What pandoc makes of `content`. Its warnings are errors: a figure or a formula would be missing."""
    command = [pypandoc.get_pandoc_path(), "--fail-if-warnings", *arguments]
    done = subprocess.run(command, input=content, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise ThawError(f"{where}: pandoc refuses it: {' '.join(done.stderr.split())}")
    return done.stdout


def labels(html: str) -> dict[str, str]:
    """Each label of a rendered page with what is printed for it, such as {"fig-x": "Figure 2.1"}.

    Works on the HTML of both renderers. A part of a figure gives "(a)", an unnumbered section its title.
    """
    return dict(_printed_labels(BeautifulSoup(html, "html.parser")))


def _printed_labels(soup: BeautifulSoup) -> Iterator[tuple[str, str]]:
    for element in soup.find_all(id=LABEL):
        label, shown = str(element["id"]), " ".join(element.get_text().split())
        if label.startswith("sec-"):
            yield label, _printed_section(element)
        elif label.startswith("eq-"):
            number = re.search(r"(?:\\tag\{|\()([A-Z]?[\d.]+)[})]\W*$", shown)
            yield label, f"{NAMES['eq']} {number[1]}" if number else ""
        elif element.name != "figcaption":  # Quarto names the captions after their figures
            for caption in element.find_all("figcaption"):
                owner = caption.find_parent(id=LABEL)
                if owner is element:
                    shown = " ".join(caption.get_text().split())
                    yield label, shown.split(")")[0] + ")" if shown.startswith("(") else shown.split(":")[0]


def _printed_section(element: Tag) -> str:
    heading = element.find(re.compile("^h[1-6]$")) or element
    title = " ".join(heading.get_text().split())
    chapter = element.find(class_="chapter-number")
    number = str(element.get("data-number") or (chapter.get_text() if chapter else ""))
    if lettered := re.match(r"Appendix [A-Z]\b", title):
        return lettered[0]
    if "." in number:
        return f"Section {number}"
    return f"Chapter {number}" if number else title
