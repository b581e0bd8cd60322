"""Python cells: found in a page's source, run in a kernel, and put back as the Markdown that Quarto makes of them."""

import ast
import base64
import contextlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw.errors import ThawError

CELL = re.compile(r"^\s*(`{3,})\s*\{(\w+)\}\s*$")
FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
INLINE = re.compile(r"(?<!`)`\{python\} +([^`]+)`(?!`)")
CELL_LINE = re.compile(r"Cell In\[\d+\], line (\d+)")
DRAWING = re.compile(r"^\[?<(matplotlib|Figure|Axes)")  # what a plotting call returns, which nobody wants to read

PATIENCE_SECONDS = 120
"""How long what a cell prints may take to arrive. By default the kernel waits 10 and nbclient 4, and it is dropped."""
FRESH = """__import__('gc').freeze()
get_ipython().reset(new_session=False)
__import__('os').chdir({folder!r})
for stream in (__import__('sys').stdout, __import__('sys').stderr):
    stream.flush_timeout = {patience}
del stream"""
"""What runs before each page. What is imported by then is frozen, or the reset would search it for garbage."""
DEFAULTS = {"echo": True, "eval": True, "include": True, "output": True, "warning": True}
OPTIONS = {*DEFAULTS, "label", "fig-cap", "fig-alt", "fig-subcap", "tags", "tbl-cap", "layout-ncol"}
IMAGES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}


class Line(NamedTuple):
    """A line of source and where it stands."""

    text: str
    path: Path
    number: int


@dataclass
class Cell:
    """A Python cell, or an expression inside a sentence, with what it printed once it has run (`nbformat` outputs)."""

    source: str
    start: Line
    inline: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    outputs: list[Any] = field(default_factory=list)

    def place(self, line: int = 0) -> str:
        """Where the cell, or a line of it, stands, for a message."""
        label = f" (cell {self.options['label']})" if "label" in self.options else ""
        return f"{self.start.path.name}, line {self.start.number + line}{label}"

    def markdown(self, folder: Path) -> str:
        """What the cell leaves in its place; its images are written to `folder`."""
        return _value(self.outputs) if self.inline else _block(self, folder)


def read_yaml(content: str, where: str) -> dict[str, Any]:
    """The mapping that `content` holds; raises ThawError, naming `where`, if it is none."""
    try:
        loaded = YAML(typ="safe", pure=True).load(content) or {}
    except YAMLError as error:
        raise ThawError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(loaded, dict):
        raise ThawError(f"{where} holds {loaded!r} where `key: value` lines are expected.")
    return loaded


def read_pieces(lines: list[Line], defaults: Mapping[str, Any]) -> Iterator[str | Cell]:
    """Markdown and cells in the order of the page."""
    rest = iter(lines)
    for line in rest:
        opened = CELL.match(line.text)
        fence = FENCE.match(line.text)
        if not fence:
            for index, part in enumerate(INLINE.split(line.text)):
                yield Cell(part, line, inline=True) if index % 2 else part
            yield "\n"
            continue
        if opened and opened[2] != "python":
            raise ThawError(f"{line.path.name}, line {line.number}: a cell in {opened[2]}; only Python cells are run.")
        body: list[Line] = []
        closing = re.compile(rf"^\s*{re.escape(fence[1])}{fence[1][0]}*\s*$")
        for inner in rest:
            body.append(inner)
            if closing.match(inner.text):
                break
        else:
            raise ThawError(f"{line.path.name}, line {line.number}: the block opened here is never closed.")
        if opened:
            cell = Cell("\n".join(inner.text for inner in body[:-1]), line)
            cell.options = _options(cell, defaults)
            yield cell
        else:
            yield "\n".join(inner.text for inner in [line, *body]) + "\n"


def _options(cell: Cell, defaults: Mapping[str, Any]) -> dict[str, Any]:
    written = [line.strip()[2:].removeprefix(" ") for line in cell.source.splitlines() if line.strip().startswith("#|")]
    options = read_yaml("\n".join(written), f"{cell.place()}: what follows #|")
    if unknown := sorted(options.keys() - OPTIONS):
        raise ThawError(f"{cell.place()}: the plain renderer does not know the cell option {unknown[0]}: take it out.")
    if options.get("output") == "asis" and str(options.get("label", "")).startswith(("fig-", "tbl-")):
        raise ThawError(
            f"{cell.place()}: Quarto takes the last paragraph that a labelled `output: asis` cell prints as caption: "
            "let the cell end with Markdown(...) instead."
        )
    return {**{key: defaults[key] for key in DEFAULTS}, **options}


class _ThisInterpreter(KernelSpecManager):
    """The interpreter that runs this, whatever kernels are installed, drawing at Quarto's figure size."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        options = ["--log-level=ERROR", "--HistoryManager.enabled=False", "--InlineBackend.figure_formats=retina"]
        options.append("--InlineBackend.rc={'figure.figsize': (7, 5), 'figure.dpi': 96, 'savefig.dpi': 'figure'}")
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", *options],
            display_name="Python",
            language="python",
        )


@contextlib.contextmanager
def _ended(manager: AsyncKernelManager) -> Iterator[None]:
    """End the kernel afterwards: nbclient leaves one running whose manager it was given."""
    try:
        yield
    finally:
        run_sync(manager.shutdown_kernel)(now=True)


def execute(pages: Sequence[tuple[Sequence[Cell], Path]]) -> None:
    """Run the cells of every page in that page's folder, in order; raises ThawError at the first that fails.

    One kernel runs them all, because what the pages import takes longer than what they compute. Each page starts
    without names, as if the kernel were its own; modules stay imported.
    """
    wanted: list[Cell] = []
    for cells, folder in pages:
        if asked := [cell for cell in cells if cell.inline or cell.options["eval"]]:
            wanted += [
                Cell(FRESH.format(folder=str(folder), patience=PATIENCE_SECONDS), asked[0].start, inline=True),
                *asked,
            ]
    if not wanted:
        return
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.source) for cell in wanted])
    manager = AsyncKernelManager(kernel_spec_manager=_ThisInterpreter())
    resources = {"metadata": {"path": str(pages[0][1])}}
    client = NotebookClient(
        notebook, km=manager, timeout=None, resources=resources, iopub_timeout=PATIENCE_SECONDS,
        raise_on_iopub_timeout=True,
    )  # fmt: skip
    with client.setup_kernel(), _ended(manager):
        for index, (cell, code) in enumerate(zip(wanted, notebook.cells, strict=True)):
            try:
                client.execute_cell(code, index)
            except CellExecutionError as error:
                failing = CELL_LINE.findall(re.sub(r"\x1b\[[\d;]*m", "", error.traceback))
                line = int(failing[0]) if failing and not cell.inline else 0
                cause = f"{error.ename}: {error.evalue}".strip().splitlines()[0]
                raise ThawError(
                    f"{cell.place(line)}: the cell stops with {cause}; mend it and render again."
                ) from error
            except CellTimeoutError as error:
                late = f"what the cell prints did not arrive within {PATIENCE_SECONDS} seconds"
                raise ThawError(f"{cell.place()}: {late}: render again.") from error
            except DeadKernelError as error:
                raise ThawError(f"{cell.place()}: Python died while it ran this cell: run the cell by hand.") from error
            cell.outputs = code.outputs


def _value(outputs: list[Any]) -> str:
    """An expression's value in a sentence: strings escaped, so that they print as they are, the rest as Markdown."""
    data: Mapping[str, Any] = next(
        (output["data"] for output in outputs if output["output_type"] == "execute_result"), {}
    )
    if "text/html" in data:
        return f"`{data['text/html']}`{{=html}}"
    if "text/markdown" in data:
        return str(data["text/markdown"])
    plain = str(data.get("text/plain", "None"))
    if plain[0] in "'\"":
        return re.sub(r"([\\`*_{}\[\]()>#+,\-.!])", r"\\\1", str(ast.literal_eval(plain)))
    return plain


def _block(cell: Cell, folder: Path) -> str:
    options = cell.options
    if not options["include"]:
        return "\n"
    code = [line for line in cell.source.splitlines() if not line.strip().startswith("#|")]
    shown: list[str] = []
    for output in _joined(cell) if options["output"] else []:
        shown += _shown(cell, output, folder, len(shown))
    between = "" if options["output"] == "asis" else "\n"  # what a cell prints as it is may be one paragraph
    body = between.join(part if part.endswith("\n") else f"{part}\n" for part in shown)
    label = str(options.get("label", ""))
    if label.startswith(("fig-", "tbl-")) and shown:
        pairs = {key: options[key] for key in ("layout-ncol", "fig-alt") if key in options}
        attributes = "".join(f" {key}={_quoted(value)}" for key, value in pairs.items())
        body = f"::::: {{#{label}{attributes}}}\n\n{body}\n{options.get(f'{label[:3]}-cap', '')}\n\n:::::"
    return "\n".join(["", *([_fenced("\n".join(code), "python")] if options["echo"] else []), "", body, ""])


def _joined(cell: Cell) -> list[Any]:
    """What is to be shown, what was printed in one piece: the kernel sends it in several, which end anywhere."""
    joined: list[Any] = []
    for output in cell.outputs:
        if output.get("name") == "stderr" and not cell.options["warning"]:
            continue
        if joined and "name" in output and joined[-1].get("name") == output["name"]:
            joined[-1] = {**joined[-1], "text": joined[-1]["text"] + output["text"]}
        else:
            joined.append(output)
    return joined


def _shown(cell: Cell, output: Any, folder: Path, index: int) -> list[str]:
    """One output as Markdown; none where there is nothing to show."""
    raw = cell.options["output"] == "asis"
    if output["output_type"] == "stream":
        return [output["text"] if raw and output["name"] == "stdout" else _fenced(output["text"])]
    data = output["data"]
    if "text/html" in data:
        return [_fenced(data["text/html"], "{=html}")]
    if "text/markdown" in data:
        return [data["text/markdown"]]
    for kind, suffix in IMAGES.items():
        if kind in data:
            path = folder / f"{cell.options.get('label', 'cell')}-{cell.start.number}-{index}.{suffix}"
            path.write_bytes(data[kind].encode() if suffix == "svg" else base64.b64decode(data[kind]))
            return [_image(cell, path, output["metadata"].get(kind, {}), index)]
    plain = data.get("text/plain", "")
    return [] if not plain or DRAWING.match(plain) else [plain if raw else _fenced(plain)]


def _image(cell: Cell, path: Path, metadata: Mapping[str, Any], index: int) -> str:
    label = str(cell.options.get("label", ""))
    caption, attributes = "", []
    if subcaptions := cell.options.get("fig-subcap"):
        if index >= len(subcaptions):
            raise ThawError(
                f"{cell.place()}: the cell draws more images than fig-subcap has captions: add one for each."
            )
        caption = subcaptions[index]
        attributes.append(f"#{label}-{index + 1}")
    elif not label.startswith("fig-"):
        caption = cell.options.get("fig-cap", "")
    if "fig-alt" in cell.options:
        attributes.append(f"fig-alt={_quoted(cell.options['fig-alt'])}")
    if "width" in metadata:
        attributes.append(f"width={metadata['width']}")
    return f"\n![{caption}](<{path}>){{{' '.join(attributes)}}}\n"


def _fenced(content: str, language: str = "") -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", content)), default=0))
    return f"{fence}{language}\n{content.rstrip()}\n{fence}"


def _quoted(value: object) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
