"""Every module that a stage runs is a dependency of it in dvc.yaml, or exempt for a stated reason."""

import ast
from pathlib import Path

import pytest

from thaw.choices import PACKAGES, names
from thaw.params import read_yaml

ROOT = Path(__file__).parents[1]
STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]

EXEMPT = {
    "thaw.params": "says which values a result is asked for with; the values themselves are `params` of the stage",
    "thaw.artifacts": "says where a file lies",
    "thaw.cli": "parses the command line",
    "thaw.errors": "defines an exception",
    "thaw.files": "writes a file whole or not at all",
    "thaw.progress": "draws a progress bar",
    "thaw.runs": "records times, which are no result",
}


def path_of(module: str) -> Path | None:
    """The file of a module of thaw, or None where the name is no module."""
    base = ROOT / "src" / Path(*module.split("."))
    if base.with_suffix(".py").exists():
        return base.with_suffix(".py")
    return base / "__init__.py" if (base / "__init__.py").exists() else None


def imports(module: str) -> set[str]:
    """The modules of thaw that a module imports, at its top or within its functions."""
    path = path_of(module)
    assert path is not None, module
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("thaw")}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("thaw"):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in inner if path_of(name)} or {node.module}
            found.add(node.module)
    return {name for name in found if path_of(name)} - {"thaw"}


def closure(modules: set[str]) -> set[str]:
    """The modules, and all that they import of thaw, directly or not; without the exempt and without docstrings."""
    seen: set[str] = set()
    todo = set(modules)
    while todo:
        module = todo.pop()
        if module in EXEMPT:
            continue
        seen.add(module)
        todo |= imports(module) - seen
    return {module for module in seen if not only_a_docstring(module)}


def only_a_docstring(module: str) -> bool:
    """Whether a package's __init__ holds nothing that runs."""
    path = path_of(module)
    assert path is not None
    body = ast.parse(path.read_text()).body
    return path.name == "__init__.py" and all(isinstance(n, ast.Expr) for n in body)


def expanded(stage: str) -> tuple[str, list[str]]:
    """A stage's command and dependencies."""
    content = STAGES[stage].get("do", STAGES[stage])
    return content["cmd"], content["deps"]


def covered(module: str, deps: list[str]) -> bool:
    """Whether a dependency is the module's file or a folder above it."""
    path = path_of(module)
    assert path is not None
    name = path.relative_to(ROOT).as_posix()
    return any(name == dep or name.startswith(f"{dep}/") for dep in deps)


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "report"])
def test_a_stage_depends_on_every_module_it_runs(stage: str) -> None:
    command, deps = expanded(stage)
    needed = closure({f"thaw.stages.{command.split()[1]}"})
    for kind, package in PACKAGES.items():
        folder = "src/" + package.replace(".", "/")
        chosen = [dep for dep in deps if dep.startswith(f"{folder}/${{item.")]
        if chosen:
            needed |= closure({f"{package}.{name}" for name in names(kind)})
            needed -= {f"{package}.{name}" for name in names(kind)}
    missing = sorted(module for module in needed if not covered(module, deps))
    assert not missing, f"{stage} in dvc.yaml lacks the modules {missing}"


@pytest.mark.parametrize("stage", ["normality", "train", "objective", "sample"])
def test_a_variant_depends_on_the_files_of_its_own_choices_only(stage: str) -> None:
    _, deps = expanded(stage)
    assert "src/thaw/diffusion/degradations/${item.train.degradation.name}.py" in deps
    assert not {"src/thaw/diffusion", "src/thaw/diffusion/degradations", "src/thaw/networks"} & set(deps)
    if stage != "normality":
        assert "src/thaw/networks/${item.train.network.name}.py" in deps
    if stage == "sample":
        assert "src/thaw/diffusion/samplers/${item.sample.sampler.name}.py" in deps


def test_every_dependency_of_code_exists() -> None:
    for stage in STAGES:
        for dep in expanded(stage)[1]:
            if dep.startswith("src/") and "${" not in dep:
                assert (ROOT / dep).exists(), f"{stage} depends on {dep}, which does not exist"


def test_training_depends_on_the_runtime_lock_and_not_on_the_linters() -> None:
    _, deps = expanded("train")
    assert "requirements.lock" in deps
    assert all("requirements-dev.lock" not in expanded(stage)[1] for stage in STAGES)


def test_the_report_imports_no_torch() -> None:
    for module in closure({"thaw.stages.figures", "thaw.stages.summarize", "thaw.reporting.show",
                           "thaw.reporting.evidence", "thaw.reporting.publish", "thaw.pipeline.repro",
                           "thaw.pipeline.explain"}):  # fmt: skip
        path = path_of(module)
        assert path is not None
        text = path.read_text()
        assert "import torch" not in text, f"{module} imports torch"
        assert "from torch" not in text, f"{module} imports torch"
