"""Reading YAML that some program wrote or has already checked, ten times as fast as `thaw.params.read_yaml`."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from thaw.errors import ThawError


class Loader(yaml.CSafeLoader):
    """YAML 1.2, as DVC writes and reads it: 1e-05 is a number, `no` and 12:30 are text, and no key stands twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The content of a mapping. Raises yaml.YAMLError where a key stands twice, of which PyYAML takes the last."""
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"the key {key.value} stands twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", [*"-+0123456789"]),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


for _digit in "0123456789":
    Loader.yaml_implicit_resolvers[_digit] += [
        resolver for resolver in yaml.SafeLoader.yaml_implicit_resolvers[_digit] if resolver[0].endswith(":timestamp")
    ]


def _integer(loader: Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def read_fast(path: Path) -> dict[str, Any]:
    """The content of a file that is a mapping. Raises ThawError where it is none."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not text in UTF-8"
    else:
        if isinstance(content, dict):
            return content
        where, problem = "", "it holds no keys"
    raise ThawError(f"{path.name}{where}: {problem}; mend it, or `git checkout {path.name}` brings the committed one.")
