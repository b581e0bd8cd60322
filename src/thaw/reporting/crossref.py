"""Quarto's cross-references on pandoc's syntax tree: what is numbered, how, and what refers to it.

The numbers are those of Quarto's books. Figures, tables and equations count within their chapter ("Figure 2.1"), in an
unnumbered chapter from 1 and without a prefix; appendices are lettered; a figure inside a figure is "(a)", "(b)".
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from string import ascii_lowercase, ascii_uppercase
from typing import Any
from urllib.parse import unquote

from thaw.errors import ThawError

Node = dict[str, Any]

NAMES = {"fig": "Figure", "tbl": "Table", "eq": "Equation"}
LABEL = re.compile(r"^(fig|tbl|eq|sec)-")
EQUATION_LABEL = re.compile(r"^\{#(eq-[^\s}]+)\}(.*)$")
PAGE_LINK = re.compile(r"^([^#:]+\.qmd)(?:#(.+))?$")
REMOTE = re.compile(r"^(https?:)?//")
REMOTE_SOURCE = re.compile(
    r"<(?:img|script|iframe|source|video|link)\b[^>]*\s(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)"
)

LONG_FORMULA = 50
"""Characters of TeX from which a formula in a sentence may be wider than a telephone."""


@dataclass(frozen=True)
class Target:
    """What a reference prints: a name ("Figure"), a number ("2.1", empty where unnumbered), a section's title."""

    name: str
    number: str
    title: list[Node]


@dataclass
class Page:
    """One page of the book: pandoc's blocks, and the folder that its images are relative to."""

    path: str  # relative to the project, as messages name it
    folder: Path
    blocks: list[Node]
    appendix: bool = False
    number: str = ""  # "2" or "A"; empty where the chapter is unnumbered
    identifier: str = ""  # of the chapter's heading
    renamed: dict[str, str] = field(default_factory=dict)  # identifiers that an earlier page had taken


def text(string: str) -> Node:
    """An inline element that holds `string`."""
    return {"t": "Str", "c": string}


def div(blocks: list[Node], *classes: str, **attributes: str) -> Node:
    """A block element with these classes and attributes."""
    return {"t": "Div", "c": [["", list(classes), list(attributes.items())], blocks]}


def span(inlines: list[Node], *classes: str, label: str = "") -> Node:
    """An inline element with these classes and this identifier."""
    return {"t": "Span", "c": [[label, list(classes), []], inlines]}


def walk(node: Any, action: Callable[[Node], list[Node] | None]) -> Any:
    """Rebuild a tree top-down, each element replaced by what `action` gives; None keeps it and goes on inside it."""
    if isinstance(node, list):
        rebuilt: list[Any] = []
        for item in node:
            replaced = action(item) if isinstance(item, dict) and "t" in item else None
            rebuilt += [walk(item, action)] if replaced is None else replaced
        return rebuilt
    if isinstance(node, dict):
        return {key: walk(value, action) for key, value in node.items()}
    return node


def number_pages(pages: list[Page]) -> dict[str, Target]:
    """Number the headings, figures, tables and equations of `pages` in place and give every label's target.

    Raises ThawError where a page has no title or two, a label stands twice, or an image is missing or remote.
    """
    targets: dict[str, Target] = {}
    taken: set[str] = set()
    chapters: Counter[bool] = Counter()
    for page in pages:
        titles = [block for block in page.blocks if block["t"] == "Header" and block["c"][0] == 1]
        if len(titles) != 1:
            raise ThawError(
                f"{page.path} has {len(titles)} headings of level 1: give it exactly one (`# Title`, or `title:` in "
                "its front matter) and make the others `##`, because a page is one chapter."
            )
        if "unnumbered" not in titles[0]["c"][1][1]:
            chapters[page.appendix] += 1
            count = chapters[page.appendix]
            page.number = ascii_uppercase[count - 1] if page.appendix else str(count)
        page.blocks = titles + [block for block in page.blocks if block is not titles[0]]
        page.blocks = walk(page.blocks, _Numbering(page, targets, taken))
    return targets


class _Numbering:
    """The `walk` action that numbers one page and turns Quarto's own elements into plain ones."""

    def __init__(self, page: Page, targets: dict[str, Target], taken: set[str]) -> None:
        self.page, self.targets, self.taken = page, targets, taken
        self.counts: Counter[str] = Counter()
        self.sections = [0] * 7  # how many headings of each level since the last one above it
        self.parent: Target | None = None  # the figure or table that the walk is inside of
        self.children = 0
        self.alt = ""  # what the cell said of its images

    def __call__(self, node: Node) -> list[Node] | None:
        match node:
            case {"t": "Header", "c": [level, [identifier, classes, _], title]}:
                return [self.heading(level, identifier, classes, walk(title, self))]
            case {"t": "Div", "c": [[label, classes, pairs], blocks]}:
                return self.container(label, classes, dict(pairs), blocks)
            case {"t": "Span", "c": [[_, classes, pairs], _]} if not _visible(classes, dict(pairs)):
                return []
            case {"t": "Figure", "c": [[label, _, _], [_, caption], blocks]} if LABEL.match(label):
                return [self.floating(label, blocks, caption[0]["c"] if caption else [])]
            case {"t": "Para", "c": [{"t": "Image", "c": [[label, *rest], alt, source]}]} if LABEL.match(label):
                image = {"t": "Image", "c": [["", *rest], alt, source]}
                return [self.floating(label, [{"t": "Plain", "c": [image]}], [])]
            case {"t": "Table", "c": [[label, classes, _], [_, caption], columns, *rows]}:
                inside = label.startswith("tbl-")
                columns = [[alignment, {"t": "ColWidthDefault"}] for alignment, _ in columns]
                table = {"t": "Table", "c": [["", classes, []], [None, [] if inside else caption], columns, *rows]}
                if inside:
                    return [self.floating(label, [table], caption[0]["c"] if caption else [])]
                # Reachable by keyboard, because a wide table is scrolled inside its own box.
                return [div([walk(table, self)], "scroll", tabindex="0")]
            case {"t": "Para" | "Plain" as kind, "c": inlines}:
                return [{"t": kind, "c": walk(self.equations(inlines), self)}]
            case {"t": "Image", "c": [[label, classes, pairs], alt, [source, title]]}:
                attributes = dict(pairs)
                spoken = attributes.pop("fig-alt", "" if alt else self.alt)
                described = [text(spoken)] if spoken else alt
                kept = [pair for pair in attributes.items() if not pair[0].startswith("fig-")]
                return [{"t": "Image", "c": [[label, classes, kept], described, [self.image(source), title]]}]
            case {"t": "RawBlock" | "RawInline" as kind, "c": ["html", html]}:
                if remote := REMOTE_SOURCE.search(html):
                    raise self.refused_remote(remote[1])
                whole_table = kind == "RawBlock" and "<table" in html and "</table" in html
                return [div([node], "scroll", tabindex="0")] if whole_table else [node]
        return None

    def heading(self, level: int, identifier: str, classes: list[str], title: list[Node]) -> Node:
        number, name, shown = "", "Section", title
        if level == 1 and self.page.number:
            number, name = self.page.number, "Appendix" if self.page.appendix else "Chapter"
            lead = [text(f"Appendix {number} — ")] if self.page.appendix else _number(number, "chapter-number")
            shown = title = [*lead, *title]
        elif self.page.number and "unnumbered" not in classes:
            self.sections[level:] = [self.sections[level] + 1] + [0] * (6 - level)
            number = ".".join([self.page.number, *map(str, self.sections[2 : level + 1])])
            shown = [*_number(number, "header-section-number"), *title]
        if LABEL.match(identifier):
            self.register(identifier, Target(name, number, title))
        elif identifier in self.taken:
            page = PurePosixPath(self.page.path).stem
            self.page.renamed[identifier] = identifier = f"{identifier}-{page}"
        self.taken.add(identifier)
        if level == 1:
            self.page.identifier = identifier
        pairs = [["data-number", number]] if number else []
        return {"t": "Header", "c": [level, [identifier, classes, pairs], shown]}

    def register(self, label: str, target: Target) -> None:
        if label in self.targets:
            raise ThawError(f"{self.page.path}: the label {label} is given a second time: rename one of the two.")
        self.targets[label] = target

    def container(self, label: str, classes: list[str], attributes: dict[str, str], blocks: list[Node]) -> list[Node]:
        if not _visible(classes, attributes):
            return []
        callout = next((name for name in classes if name.startswith("callout-")), None)
        columns = attributes.get("layout-ncol")
        if callout:
            title = [text(attributes.get("title", callout.removeprefix("callout-").capitalize()))]
            if blocks and blocks[0]["t"] == "Header":
                title, blocks = blocks[0]["c"][2], blocks[1:]
            heading = div([{"t": "Plain", "c": title}], "callout-title")
            return [div([walk(heading, self), *walk(blocks, self)], "callout", callout, role="note")]
        if LABEL.match(label) and label[:3] in NAMES:
            caption: list[Node] = []
            if len(blocks) > 1 and blocks[-1]["t"] == "Para" and not _only_images(blocks[-1]["c"]):
                blocks, caption = blocks[:-1], blocks[-1]["c"]
            elif len(blocks) == 1 and blocks[0]["t"] == "Table" and blocks[0]["c"][1][1]:
                caption, blocks[0]["c"][1][1] = blocks[0]["c"][1][1][0]["c"], []
            outside, self.alt = self.alt, attributes.get("fig-alt", "")
            made = self.floating(label, [grid(blocks, columns)] if columns else blocks, caption)
            self.alt = outside
            return [made]
        if columns:
            return [walk(grid(blocks, columns), self)]
        if "content-visible" in classes or "content-hidden" in classes:
            return list(walk(blocks, self))
        return [{"t": "Div", "c": [[label, classes, list(attributes.items())], walk(blocks, self)]}]

    def floating(self, label: str, blocks: list[Node], caption: list[Node]) -> Node:
        """A numbered figure or table; inside another one it is a part of it."""
        kind = label[:3]
        if self.parent:
            letter = ascii_lowercase[self.children]
            self.children += 1
            self.register(label, Target(self.parent.name, f"{self.parent.number}\u00a0({letter})", []))
            printed = [text(f"({letter})"), *([text(" ")] if caption else [])]
            content = walk(blocks, self)
        else:
            self.parent, self.children = Target(NAMES[kind], self.next_number(kind), []), 0
            self.register(label, self.parent)
            name = f"{self.parent.name}\u00a0{self.parent.number}"
            printed = [span([text(f"{name}:" if caption else name)], "float-number"), text(" ")]
            content = walk(blocks, self)
            self.parent = None
        inlines = [*printed, *walk(caption, self)]
        return {"t": "Figure", "c": [[label, [kind], []], [None, [{"t": "Plain", "c": inlines}]], content]}

    def next_number(self, kind: str) -> str:
        self.counts[kind] += 1
        return ".".join(filter(None, [self.page.number, str(self.counts[kind])]))

    def equations(self, inlines: list[Node]) -> list[Node]:
        """Formulas boxed so that long ones scroll; displayed ones are numbered where `{#eq-...}` follows."""
        boxed: list[Node] = []
        rest = list(inlines)
        while rest:
            inline = rest.pop(0)
            if not (inline["t"] == "Math" and inline["c"][0]["t"] == "DisplayMath"):
                long = inline["t"] == "Math" and len(inline["c"][1]) > LONG_FORMULA
                boxed.append(span([inline], "formula") if long else inline)
                continue
            box = span([inline], "display")
            after = rest[1:] if rest and rest[0]["t"] in ("Space", "SoftBreak") else rest
            labelled = EQUATION_LABEL.match(after[0]["c"]) if after and after[0]["t"] == "Str" else None
            if not labelled:
                boxed.append(box)
                continue
            number = self.next_number("eq")
            self.register(labelled[1], Target(NAMES["eq"], number, []))
            printed = span([text(f"({number})")], "equation-number")
            boxed.append(span([box, printed], "equation", label=labelled[1]))
            rest = [text(labelled[2]), *after[1:]] if labelled[2] else after[1:]
        return boxed

    def image(self, source: str) -> str:
        if source.startswith("data:"):
            return source
        if REMOTE.match(source):
            raise self.refused_remote(source)
        found = self.page.folder / unquote(source)
        if not found.is_file():
            raise ThawError(f"{self.page.path}: the image {source} does not exist: make it first, or mend its path.")
        return str(found.resolve())

    def refused_remote(self, source: str) -> ThawError:
        return ThawError(
            f"{self.page.path}: {source} is on another machine: keep a copy beside the page and name that."
        )


def _number(number: str, kind: str) -> list[Node]:
    """A heading's number and the space after it."""
    return [span([text(number)], kind), text("\u2002")]


def _visible(classes: list[str], attributes: dict[str, str]) -> bool:
    """Whether Quarto's conditional content is shown in HTML."""
    matches = attributes.get("when-format", "html").startswith("html")
    matches = matches and not attributes.get("unless-format", "").startswith("html")
    return not ("content-visible" in classes and not matches) and not ("content-hidden" in classes and matches)


def grid(blocks: list[Node], columns: str) -> Node:
    """`blocks` side by side; images that share a paragraph become blocks of their own."""
    cells: list[Node] = []
    for block in blocks:
        if block["t"] == "Para" and _only_images(block["c"]):
            cells += [_figure(inline) for inline in block["c"] if inline["t"] == "Image"]
        else:
            cells.append(block)
    return div(cells, "layout", style=f"--columns: {int(columns)}")


def _only_images(inlines: list[Node]) -> bool:
    return all(inline["t"] in ("Image", "SoftBreak", "Space") for inline in inlines)


def _figure(image: Node) -> Node:
    """The block that pandoc makes of an image that stands alone in its paragraph."""
    [label, *rest], caption, source = image["c"]
    if not caption:
        return {"t": "Para", "c": [image]}
    plain = {"t": "Plain", "c": [{"t": "Image", "c": [["", *rest], caption, source]}]}
    return {"t": "Figure", "c": [[label, [], []], [None, [{"t": "Plain", "c": caption}]], [plain]]}


def resolve_references(pages: list[Page], targets: dict[str, Target], citations: set[str]) -> None:
    """Turn every `@fig-x` and every link to a page into a link within the one document, in place.

    `citations` are the keys of the bibliography. Raises ThawError where a reference leads nowhere.
    """
    by_path = {page.path: page for page in pages}

    for page in pages:

        def action(node: Node, page: Page = page) -> list[Node] | None:
            if node["t"] == "Cite":
                return _references(node, page, targets, citations)
            if node["t"] == "Link" and (link := PAGE_LINK.match(node["c"][2][0])):
                path = str(PurePosixPath(page.path).parent / unquote(link[1]))
                if path not in by_path:
                    raise ThawError(f"{page.path}: the link to {link[1]} leads to no page of the book: mend its path.")
                goal = by_path[path]
                identifier = goal.renamed.get(link[2], link[2]) or goal.identifier
                return [{"t": "Link", "c": [node["c"][0], walk(node["c"][1], action), [f"#{identifier}", ""]]}]
            if node["t"] == "Link" and node["c"][2][0].startswith("#"):
                identifier = node["c"][2][0][1:]
                node["c"][2][0] = f"#{page.renamed.get(identifier, identifier)}"
            return None

        page.blocks = walk(page.blocks, action)


def _references(cite: Node, page: Page, targets: dict[str, Target], citations: set[str]) -> list[Node] | None:
    keys = [citation["citationId"] for citation in cite["c"][0]]
    labels_cited = [key for key in keys if LABEL.match(key[:1].lower() + key[1:])]
    for key in keys:
        if key not in labels_cited and key not in citations:
            raise ThawError(f"{page.path}: @{key} is neither a label nor a key of the bibliography: mend it or add it.")
    if not labels_cited:
        return None
    if len(labels_cited) < len(keys) or any(citation["citationSuffix"] for citation in cite["c"][0]):
        raise ThawError(
            f"{page.path}: of what stands in the brackets at @{labels_cited[0]} Quarto prints the reference alone: "
            "move the rest out, with a comma or a word between the two."
        )
    printed: list[Node] = []
    for citation in cite["c"][0]:
        key = citation["citationId"]
        label = key[:1].lower() + key[1:]
        if label not in targets:
            raise ThawError(
                f"{page.path}: @{label} refers to nothing in the book: give a figure, table, equation or section the "
                f"label {{#{label}}}, or mend the reference."
            )
        target = targets[label]
        if label.startswith("sec-") and not page.number:
            # Quarto does not number an unnumbered chapter's references to sections either.
            shown = [*citation["citationPrefix"], *([text(" ")] if citation["citationPrefix"] else []), *target.title]
        elif not target.number:
            raise ThawError(f"{page.path}: @{label} has no number to print: link to it with [words](page.qmd#{label}).")
        elif citation["citationMode"]["t"] == "SuppressAuthor":
            shown = [*citation["citationPrefix"], text(target.number)]
        else:
            shown = [*(citation["citationPrefix"] or [text(target.name)]), text(f"\u00a0{target.number}")]
        link = {"t": "Link", "c": [["", ["quarto-xref"], []], shown, [f"#{label}", ""]]}
        printed += [*([text(", ")] if printed else []), link]
    return printed
