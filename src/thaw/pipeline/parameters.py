"""The parameters that differ between two states of params.yaml, or of what dvc.lock recorded of it."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple


class Parameter(NamedTuple):
    """A parameter that differs: its dotted key and both values, None where a side has no such key."""

    key: str
    before: Any
    after: Any


def parameters_that_differ(before: Any, after: Any, prefix: str = "") -> list[Parameter]:
    """The dotted keys whose values differ, in the order of the files; a list or a new block counts as one value."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return [] if before == after else [Parameter(prefix, before, after)]
    return [
        parameter
        for key in dict.fromkeys((*before, *after))
        for parameter in parameters_that_differ(
            before.get(key), after.get(key), f"{prefix}.{key}" if prefix else str(key)
        )
    ]


def changed_since(recorded: Mapping[str, Any], params: Any) -> list[Parameter]:
    """The parameters that differ between what dvc.lock recorded by dotted keys and the content of params.yaml."""

    def inner(block: Any, part: str) -> Any:
        return block.get(part) if isinstance(block, Mapping) else None

    return [
        found
        for key, before in recorded.items()
        for found in parameters_that_differ(before, functools.reduce(inner, key.split("."), params), key)
    ]
