"""The stages of dvc.yaml as they stand for the present parameters, each `foreach` written out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from thaw.artifacts import Artifacts
from thaw.errors import ThawError
from thaw.params import PARAMS_FILE
from thaw.pipeline.fast_yaml import read_fast

PER_VARIANT = "${variants}"
RENDERED = "report"
REFERENCE = re.compile(r"\$\{([^}]+)\}")


@dataclass(frozen=True)
class Stage:
    """One stage as DVC would run it. `outs` says of each path whether DVC's cache holds it, and git does not."""

    name: str
    cmd: str
    deps: list[str]
    params: list[str]
    outs: dict[str, bool]

    @property
    def kind(self) -> str:
        """The stage's name in dvc.yaml."""
        return self.name.partition("@")[0]

    @property
    def key(self) -> str:
        """The variant or the study that the stage belongs to; nothing where it belongs to none."""
        return self.name.partition("@")[2]


@dataclass(frozen=True)
class Pipeline:
    """All stages but the one that renders the report, by when they run.

    First what stands `before` the variants, then for each variant its `chain`, then each of the `studies` (a study's
    key to the name of its stage), at the end what comes `after`. `patterns` has the outputs of each stage that is
    written once for all variants or studies, with `${key}` for their names.
    """

    stages: dict[str, Stage]
    before: list[str]
    chain: list[str]
    studies: dict[str, str]
    after: list[str]
    patterns: dict[str, list[str]]

    @classmethod
    def read(cls, artifacts: Artifacts) -> "Pipeline":
        """The order in dvc.yaml, for the variants and studies of params.yaml."""
        content: dict[str, Any] = read_fast(artifacts.stages)["stages"]
        params = read_fast(artifacts.params)
        stages: dict[str, Stage] = {}
        for kind, block in content.items():
            if "foreach" in block:
                items = _value(block["foreach"].removeprefix("${").removesuffix("}"), params, kind)
                for key, item in items.items():
                    stages[f"{kind}@{key}"] = _stage(f"{kind}@{key}", block["do"], params | {"key": key, "item": item})
            elif kind != RENDERED:
                stages[kind] = _stage(kind, block, params)
        chain = [kind for kind, block in content.items() if block.get("foreach") == PER_VARIANT]
        patterns = {kind: list(_outs(block["do"])) for kind, block in content.items() if "foreach" in block}
        studies = {stage.key: name for name, stage in stages.items() if stage.key and stage.kind not in chain}
        names = list(content)
        single = [name for name in stages if "@" not in name]
        first = names.index(chain[0])
        before, after = ([n for n in single if (names.index(n) < first) == early] for early in (True, False))
        return cls(stages, before, chain, studies, after, patterns)

    def of(self, variant: str) -> list[str]:
        """The stages of one variant, as DVC names them."""
        return [f"{kind}@{variant}" for kind in self.chain]

    @cached_property
    def makers(self) -> dict[str, str]:
        """The stage that makes each artifact."""
        return {path: name for name, stage in self.stages.items() for path in stage.outs}

    def inputs(self, name: str) -> dict[str, str]:
        """The artifacts that a stage reads and another one makes, each with the stage that makes it."""
        return {dep: self.makers[dep] for dep in self.stages[name].deps if dep in self.makers}


def _stage(name: str, block: Mapping[str, Any], scope: Mapping[str, Any]) -> Stage:
    """A block of dvc.yaml with every reference replaced."""

    def text(template: str) -> str:
        return REFERENCE.sub(lambda found: str(_value(found[1], scope, name)), template)

    return Stage(
        name,
        text(block["cmd"]),
        [text(dep) for dep in block.get("deps", [])],
        [text(param) for param in block.get("params", [])],
        {text(path): cached for path, cached in _outs(block).items()},
    )


def _outs(block: Mapping[str, Any]) -> dict[str, bool]:
    """The paths that a block of dvc.yaml writes, and whether DVC's cache holds each."""
    found = {}
    for kind in ("outs", "metrics", "plots"):
        for out in block.get(kind, []):
            path, options = (out, {}) if isinstance(out, str) else next(iter(out.items()))
            found[path] = options.get("cache", True)
    return found


def _value(reference: str, scope: Mapping[str, Any], name: str) -> Any:
    """What `a.b.c` refers to. Raises ThawError where params.yaml does not have it."""
    try:
        return lookup(scope, reference)
    except KeyError:
        missing = re.sub("^item", f"{name.partition('@')[2]}", reference)
        raise ThawError(f"{PARAMS_FILE}: {missing} is missing, which stage {name} of dvc.yaml needs; add it.") from None


def lookup(content: Any, reference: str) -> Any:
    """The value at `a.b.c` in nested mappings. Raises KeyError where there is none."""
    for part in reference.split("."):
        if not isinstance(content, Mapping):
            raise KeyError(reference)
        content = content[part]
    return content
