"""The report as one HTML file, where Quarto is missing: the same pages, by this Python and by pandoc.

`plain.lua` gives them Quarto's numbers, and `page.html` is how they look. What only Quarto knows (other languages,
tabsets, most shortcodes, most options of cells) is printed as it stands.
"""

import ast
import contextlib
import datetime
import io
import re
import subprocess
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypandoc

from thaw.errors import ThawError
from thaw.files import replacing
from thaw.pages.prose import FRONT_MATTER, chapters, front_matter, parse_yaml
from thaw.params import read_yaml

INCLUDE = re.compile(r"\s*\{\{<\s*include\s+(\S+)\s*>\}\}\s*$")
SHORTCODE = re.compile(r"(?<!\{)\{\{<\s*(var|meta)\s+(\S+)\s*>\}\}(?!\})")
FENCE = re.compile(r"\s*(`{3,}(?!.*`)|~{3,})\s*(\{python\})?")
INLINE = re.compile(r"(?<!`)`\{python\} +([^`]+)`(?!`)")
MARKUP = re.compile(r"([\\`*_{}\[\]()>#+,\-.!])")  # escaped where the value of an expression is a string
HERE = Path(__file__).parent
PANDOC = [
    "--from=markdown", "--to=html5", "--standalone", "--file-scope", "--fail-if-warnings", "--columns=1000000",
    f"--template={HERE / 'page.html'}", f"--lua-filter={HERE / 'plain.lua'}", "--citeproc", "--embed-resources",
    "--mathml", "--toc", "--toc-depth=2", "--section-divs", "--syntax-highlighting=none", "--wrap=none",
    "--metadata=link-citations:true", "--metadata=reference-section-title:References",
]  # fmt: skip
Settings = dict[str, Any]


def render(folder: Path, output: Path, alone: str = "") -> None:
    """Render the Quarto book in `folder`, or `alone`, one page of it, to one HTML file that needs no other.

    Raises ThawError, and writes nothing, where a cell raises, a page, an include or an image is missing, a block is
    never closed, or a reference leads nowhere.
    """
    variables = read_yaml(folder / "_variables.yml") if (folder / "_variables.yml").exists() else {}
    config: Settings = read_yaml(folder / "_quarto.yml") or {}
    book = {} if alone else config.pop("book", {})
    names = [alone] if alone else chapters(folder)
    with tempfile.TemporaryDirectory(prefix="thaw-render-") as scratch, contextlib.chdir(folder):
        for name in names:
            front = front_matter(Path(name))
            settings = config | book | front
            markdown = "\n".join(printed(Path(name), {}, settings.get("execute", {})))
            if alone:
                config = settings
                markdown = f"# Abstract {{.unnumbered}}\n\n{front.get('abstract', '')}\n\n{markdown}"
            elif "title" in front:
                markdown = f"# {front['title']}\n\n{markdown}"
            kind = "Appendix" if name in book.get("appendices", []) else "Chapter"
            markdown = f'{":" * 9} {{name="{name}" kind="{kind}"}}\n{markdown}\n{":" * 9}\n'
            path = Path(scratch) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_filled(markdown, variables, settings), encoding="utf-8")
        html = _html(names, config | book, variables, scratch)
    with replacing(output) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _html(names: list[str], settings: Settings, variables: Settings, scratch: str) -> str:
    """What pandoc makes of the pages in `scratch`. Its warnings are errors: something would be missing."""
    folders = dict.fromkeys(str(Path(name).resolve().parent) for name in names)
    options = [f"--resource-path={':'.join(folders)}"]
    named = settings | settings.get("format", {}).get("html", {})
    for key in ("bibliography", "css", "include-after-body", "filters"):
        files, option = named.get(key, []), key.replace("filters", "lua-filter")
        options += [f"--{option}={Path(file).resolve()}" for file in (files if isinstance(files, list) else [files])]
    if "favicon" in settings:
        options.append(f"--variable=favicon:{Path(settings['favicon']).resolve()}")
    if settings.get("date") == "today":
        settings = settings | {"date": f"{datetime.date.today():%-d %B %Y}"}
    titles = [key for key in ("title", "subtitle", "author", "date", "description", "lang") if key in settings]
    options += [f"--metadata={key}:{_filled(str(settings[key]), variables, settings)}" for key in titles]
    command = [pypandoc.get_pandoc_path(), *PANDOC, *options, *names]
    done = subprocess.run(command, cwd=scratch, capture_output=True, encoding="utf-8")
    if done.returncode:
        said = " ".join(done.stderr.replace("Failing because there were warnings.", "").split())
        raise ThawError(f"The report cannot be rendered: {said}")
    return done.stdout


def printed(path: Path, scope: Settings, defaults: Settings, outer: tuple[Path, ...] = ()) -> Iterator[str]:
    """The Markdown of a page, with what it includes and what its cells, run in `scope`, print in their places."""
    if not path.is_file() or path in outer:
        problem = "ends up including itself" if path in outer else "does not exist"
        raise ThawError(f"{path.name} {problem}: mend {outer[-1].name if outer else '_quarto.yml'}, which names it.")
    text = FRONT_MATTER.sub(lambda found: "\n" * found[0].count("\n"), path.read_text("utf-8"))
    lines = iter(enumerate(text.split("\n"), start=1))
    for number, line in lines:
        fence = FENCE.match(line)
        if include := INCLUDE.match(line):
            yield from printed(path.parent / include[1], scope, defaults, (*outer, path))
        elif fence:
            block = [line]
            while not re.fullmatch(rf"\s*{fence[1]}{fence[1][0]}*\s*", block[-1]) or len(block) == 1:
                _, following = next(lines, (0, None))
                if following is None:
                    raise ThawError(f"{path.name}, line {number}: the block opened here is never closed.")
                block.append(following)
            yield _cell(block[1:-1], path, number + 1, scope, defaults) if fence[2] else "\n".join(block)
        else:
            parts = INLINE.split(line)
            values = [_run(code, path, number, scope)[1] for code in parts[1::2]]
            parts[1::2] = [MARKUP.sub(r"\\\1", value) if isinstance(value, str) else str(value) for value in values]
            yield "".join(parts)


def _cell(lines: list[str], path: Path, number: int, scope: Settings, defaults: Settings) -> str:
    """What a cell leaves in its place, its value in HTML where that has such a form."""
    comments = [line.strip()[2:].removeprefix(" ") for line in lines if line.strip().startswith("#|")]
    options: Settings = {"echo": True, "eval": True, "include": True, "output": True} | defaults
    options |= parse_yaml("\n".join(comments), f"{path.name}, line {number}")
    said, value = _run("\n".join(lines), path, number, scope) if options["eval"] else ("", None)
    shown = [_fenced("\n".join(lines[len(comments) :]), "python")] if options["echo"] else []
    if options["output"] and said:
        shown.append(said if options["output"] == "asis" else _fenced(said))
    if options["output"] and value is not None:
        rich = hasattr(value, "_repr_html_")
        shown.append(_fenced(value._repr_html_(), "{=html}") if rich else _fenced(repr(value)))
    body = "\n\n".join(shown) if options["include"] else ""
    if (label := options.get("label", "")).startswith(("fig-", "tbl-")):
        body = f"::::: {{#{label}}}\n\n{body}\n\n{options.get(f'{label[:3]}-cap', '')}\n\n:::::"
    return f"\n{body}\n"


def _run(source: str, path: Path, number: int, scope: Settings) -> tuple[str, Any]:
    """What code prints that starts in a line of a page, and the value of the expression that it ends with."""
    out, value = io.StringIO(), None
    try:
        tree = ast.increment_lineno(ast.parse(source, str(path)), number - 1)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        with contextlib.redirect_stdout(out):
            exec(compile(tree, str(path), "exec"), scope)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), str(path), "eval"), scope)
    except (Exception, SystemExit) as error:
        here = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = here[-1] if here else number - 1 + (getattr(error, "lineno", None) or 1)
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ThawError(f"{path.name}, line {line}: the cell stops with {cause}; mend it and render again.") from error
    return out.getvalue(), None if source.rstrip().endswith(";") else value


def _fenced(content: str, language: str = "") -> str:
    return f"{'`' * 9}{language}\n{content.rstrip()}\n{'`' * 9}"


def _filled(markdown: str, variables: Settings, metadata: Settings) -> str:
    """The Markdown with the values of its shortcodes; what does not exist prints as Quarto prints it, `?var:name`."""

    def value(match: re.Match[str]) -> str:
        found: Any = variables if match[1] == "var" else metadata
        for part in match[2].split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return f"?{match[1]}:{match[2]}" if found is None else str(found)

    return SHORTCODE.sub(value, markdown).replace("{{{<", "{{<").replace(">}}}", ">}}")
