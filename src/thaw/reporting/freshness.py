"""Whether results were made with the parameters that params.yaml has now, by what dvc.lock recorded of their stages."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thaw.artifacts import Artifacts
from thaw.params import PARAMS_FILE
from thaw.pipeline.dvcfile import lookup
from thaw.pipeline.fast_yaml import read_fast
from thaw.pipeline.lock import read_lock
from thaw.pipeline.parameters import Parameter, parameters_that_differ

VARIANT_STAGES = ("normality", "train", "objective", "sample", "evaluate", "audit")
"""The stages of dvc.yaml that a variant has to itself, in their order."""
STUDY_STAGES = ("study", "untrained_study")


def outdated(artifacts: Artifacts, stages: Sequence[str], name: str) -> list[Parameter]:
    """The parameters that decided the results of `name` in these stages and have changed since.

    Empty where dvc.lock knows nothing of the stages: what no pipeline made, nobody can call out of date.
    """
    recorded, params = _known(artifacts.root)
    found: dict[str, Parameter] = {}
    for stage in stages:
        for key, before in recorded.get(f"{stage}@{name}", {}).get("params", {}).get(PARAMS_FILE, {}).items():
            try:
                now = lookup(params, key)
            except KeyError:
                now = None
            for change in parameters_that_differ(before, now, key):
                found.setdefault(change.key, change)
    return list(found.values())


@functools.cache
def _known(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What dvc.lock has by stage, and params.yaml: read once, since every table of the report asks."""
    artifacts = Artifacts(root)
    return read_lock(artifacts), read_fast(artifacts.params)


def in_words(change: Parameter) -> str:
    """A changed parameter as the report prints it."""
    before, after = ("absent" if value is None else f"`{value}`" for value in (change.before, change.after))
    return f"`{change.key}` was {before} and is {after}"
