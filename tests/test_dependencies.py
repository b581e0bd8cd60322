"""Every module that a stage runs is a dependency of it in dvc.yaml, or left out by a stated rule."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thaw.choices import PACKAGES, names
from thaw.params import read_yaml
from thaw.pipeline.scratch import scratch_copy
from thaw.results.layout import Artifacts

ROOT = Path(__file__).parents[1]
STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]
ASKED = read_yaml(ROOT / "params.yaml")["studies"]
STUDIES = {
    stage: {block["name"] for block in ASKED[kind].values()}
    for stage, kind in (("study", "trained"), ("untrained_study", "untrained"))
}
MOST = 10
"""Dependencies of a stage; a study, or a demo of several models, may sample in any of several ways, each a file."""

ASKING = {
    "thaw.choices": "finds a choice by its name",
    "thaw.cli": "parses the command line",
    "thaw.errors": "defines an exception",
    "thaw.files": "writes a file whole or not at all",
    "thaw.loading": "finds the weights of a variant",
    "thaw.metrics": "says how a metric is written, and what it can be",
    "thaw.params": "says which values a result is asked for with; the values themselves are `params` of the stage",
    "thaw.progress": "draws a progress bar",
    "thaw.results.layout": "says where a file lies",
    "thaw.results.runs": "records times, which are no result",
}
"""What decides how a result is asked for, found or shown, and never what it is, with the reason for each."""
STANDS_FOR = {
    "models/": {"thaw.variant"},
    "samples/": {"thaw.model"},
    "metrics.json": {"thaw.core", "thaw.model", "thaw.variant"},
}
"""What an input stands for: the stage that made it depends on these modules, and runs again when they change."""


def path_of(module: str) -> Path | None:
    """The file of a module of thaw, or None where the name is no module."""
    base = ROOT / "src" / Path(*module.split("."))
    if base.with_suffix(".py").exists():
        return base.with_suffix(".py")
    return base / "__init__.py" if (base / "__init__.py").exists() else None


def parsed(module: str) -> ast.Module:
    path = path_of(module)
    assert path is not None, module
    return ast.parse(path.read_text())


def imports(module: str) -> set[str]:
    """The modules of thaw that a module imports, at its top or within its functions."""
    found = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("thaw")}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("thaw"):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in inner if path_of(name)} or {node.module}
            found.add(node.module)
    return {name for name in found if path_of(name)} - {"thaw"}


def closure(modules: set[str], without: set[str]) -> set[str]:
    """The modules, and all that they import of thaw, directly or not; not those left out, nor empty packages."""
    seen: set[str] = set()
    todo = set(modules)
    while todo:
        module = todo.pop()
        if module not in without:
            seen.add(module)
            todo |= imports(module) - seen
    return {module for module in seen if not all(isinstance(node, ast.Expr) for node in parsed(module).body)}


def expanded(stage: str) -> tuple[str, list[str]]:
    """A stage's command and dependencies."""
    content = STAGES[stage].get("do", STAGES[stage])
    return content["cmd"], content["deps"]


def covered(module: str, deps: list[str]) -> bool:
    """Whether a dependency is the module's file or a folder above it, or stands for it."""
    path = path_of(module)
    assert path is not None
    name = path.relative_to(ROOT).as_posix()
    stood_for = {part for sign, parts in STANDS_FOR.items() if any(sign in dep for dep in deps) for part in parts}
    return any(name == dep or name.startswith(f"{dep}/") for dep in deps) or any(
        module == part or module.startswith(f"{part}.") for part in stood_for
    )


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "report"])
def test_a_stage_depends_on_every_module_it_runs(stage: str) -> None:
    command, deps = expanded(stage)
    shown = {"thaw.metrics"} if stage == "figures" else set()
    needed = closure({f"thaw.stages.{command.split()[1]}"}, set(ASKING) - shown)
    for kind, package in PACKAGES.items():
        folder = "src/" + package.replace(".", "/")
        own = {f"{package}.{name}" for name in (STUDIES.get(stage, ()) if kind == "study" else names(kind))}
        if any(dep.startswith(f"{folder}/${{item.") for dep in deps):
            needed |= closure(own, set(ASKING)) - own
    missing = sorted(module for module in needed if not covered(module, deps))
    assert not missing, f"{stage} in dvc.yaml lacks the modules {missing}"


def test_what_stands_for_code_is_made_by_a_stage_that_depends_on_it() -> None:
    made_by = {"models/": "train", "samples/": "sample", "metrics.json": "evaluate"}
    for sign, modules in STANDS_FOR.items():
        for module in modules:
            path = path_of(module)
            assert path is not None
            _, deps = expanded(made_by[sign])
            assert covered(f"{module}.hardware" if path.name == "__init__.py" else module, deps), (sign, module)


@pytest.mark.parametrize("stage", ["forward", "train", "sample"])
def test_a_variant_depends_on_the_files_of_its_own_choices_only(stage: str) -> None:
    _, deps = expanded(stage)
    assert "src/thaw/degradations/${item.train.degradation.name}.py" in deps
    assert not {"src/thaw/degradations", "src/thaw/networks", "src/thaw/samplers", "src/thaw/studies"} & set(deps)
    own = "samplers/${item.sample.sampler.name}.py" if stage == "sample" else "networks/${item.train.network.name}.py"
    assert f"src/thaw/{own}" in deps


def test_a_stage_has_few_dependencies_which_exist_and_none_of_them_is_a_lock_file() -> None:
    for stage in STAGES:
        _, deps = expanded(stage)
        assert len(deps) <= MOST or stage in ("demo", "study", "untrained_study"), stage
        assert not [dep for dep in deps if dep.endswith(".lock")], "a bumped tool outdates no training"
        for dep in deps:
            if dep.startswith("src/") and "${" not in dep:
                assert (ROOT / dep).exists(), f"{stage} depends on {dep}, which does not exist"


def test_only_the_summary_and_the_figures_depend_on_all_variants() -> None:
    whole = {"variants", "studies"}
    found = {name for name in STAGES if whole & set(STAGES[name].get("do", STAGES[name]).get("params", []))}
    assert found == {"summarize", "figures"}


def test_every_sampler_that_a_study_asks_for_is_a_dependency_of_studies() -> None:
    _, deps = expanded("study")
    asked = {
        node.value
        for name in names("study")
        for node in ast.walk(parsed(f"thaw.studies.{name}"))
        if isinstance(node, ast.Constant) and node.value in names("sampler")
    }
    assert {f"src/thaw/samplers/{name}.py" for name in asked} <= set(deps)


def test_the_report_imports_no_torch() -> None:
    modules = {"thaw.stages.figures", "thaw.stages.summarize", "thaw.pages.show", "thaw.pages.quarto"}
    for module in closure(modules | {"thaw.pipeline.repro", "thaw.pipeline.status"}, {"thaw.results.runs"}):
        path = path_of(module)
        assert path is not None
        text = path.read_text()
        assert "import torch" not in text, f"{module} imports torch"
        assert "from torch" not in text, f"{module} imports torch"


def test_packages_import_one_another_in_one_direction() -> None:
    above: dict[str, set[str]] = {}
    for path in (ROOT / "src" / "thaw").rglob("*/*.py"):
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        above.setdefault(module.split(".")[1], set()).update(name.split(".")[1] for name in imports(module))
    assert not [(a, b) for a in above for b in above[a] if a < b and a in above.get(b, set())]


# What plain DVC says of an edit


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scratch_copy(Artifacts(ROOT), tmp_path_factory.mktemp("edited") / "thaw").root


def found_by_dvc(project: Path) -> set[tuple[str, str]]:
    """What `dvc status` finds, each with the stage that it is about."""
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    said = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout
    return {(stage, json.dumps(change)) for stage, changes in json.loads(said).items() for change in changes}


@pytest.fixture(scope="module")
def unedited(project: Path) -> set[tuple[str, str]]:
    return found_by_dvc(project)


@pytest.fixture
def outdated_by(project: Path, unedited: set[tuple[str, str]]) -> Iterator[Callable[[dict[str, str]], set[str]]]:
    """The stages in which DVC finds something else once files have a given content; they get their own back."""
    kept: dict[Path, bytes | None] = {}

    def edit(files: dict[str, str]) -> set[str]:
        for name, text in files.items():
            path = project / name
            kept[path] = path.read_bytes() if path.exists() else None
            path.write_text(text)
        return {stage for stage, _ in found_by_dvc(project) - unedited} - {"report"}

    yield edit
    for path, content in kept.items():
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)


def test_adding_a_file_of_each_kind_of_choice_outdates_nothing(
    outdated_by: Callable[[dict[str, str]], set[str]],
) -> None:
    added = {f"src/{package.replace('.', '/')}/new_{kind}.py": '"""New."""\n' for kind, package in PACKAGES.items()}
    assert len(added) == 4
    assert outdated_by(added) == set()


def test_editing_a_choice_outdates_what_uses_it(outdated_by: Callable[[dict[str, str]], set[str]]) -> None:
    name = "src/thaw/degradations/zoom.py"
    content = read_yaml(ROOT / "params.yaml")
    zooming = [key for key, block in content["variants"].items() if block["train"]["degradation"]["name"] == "zoom"]
    assert len(zooming) > 1
    edited = outdated_by({name: (ROOT / name).read_text() + "\n# A comment.\n"})
    demos = {f"demo@{key}" for key, demo in content["demos"].items() if demo["zoom"] in zooming}
    assert edited == demos | {f"{stage}@{variant}" for variant in zooming for stage in ("forward", "train", "sample")}


def test_another_size_of_images_outdates_every_stage_that_reads_images(
    outdated_by: Callable[[dict[str, str]], set[str]],
) -> None:
    text = (ROOT / "params.yaml").read_text()
    assert "  pixels: 28\n" in text
    found = {
        stage.partition("@")[0]
        for stage in outdated_by({"params.yaml": text.replace("  pixels: 28\n", "  pixels: 32\n")})
    }
    assert found == set(STAGES) - {"summarize", "report"}
