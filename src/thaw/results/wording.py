"""Lists and values in words, as every sentence and table has them."""

from collections.abc import Iterable, Mapping, Sequence

BAR = "\\|"
NAMED = 3
"""How many things a sentence names before it counts the rest."""


def join(parts: Sequence[str]) -> str:
    """A list in words: `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def some(parts: Sequence[str], named: int = NAMED) -> str:
    """The first few of a list in words, and how many more there are."""
    rest = len(parts) - named
    return join([*parts[:named], *([f"{rest} more"] if rest > 0 else [])])


def code(names: Iterable[str]) -> list[str]:
    """Names as Markdown sets code."""
    return [f"`{name}`" for name in names]


def model(variant: str, title: str) -> str:
    """A variant as the text calls it, marked so that a page can show its pictures there."""
    return f'[{title}]{{.model data-variant="{variant}"}}' if title and title != variant else f"`{variant}`"


def many(number: int, thing: str) -> str:
    """So many of a thing."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """A table whose columns but the first are aligned as `align` says; bars in cells are escaped."""
    lines = [header, [":--", *[align] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', BAR) for cell in line)} |" for line in lines)


def percent(confidence: float) -> str:
    """A confidence as it stands before the word interval."""
    return f"{100 * confidence:g} %"


def shown(value: object) -> str:
    """A parameter's value as YAML has it, and a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        flat = not any(isinstance(inner, Mapping) for inner in value.values())
        return f"{{{', '.join(f'{key}: {shown(inner)}' for key, inner in value.items())}}}" if flat else "{…}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return f"[{', '.join(shown(item) for item in value)}]" if isinstance(value, list) else str(value)
