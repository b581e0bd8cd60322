"""The lock files, the Makefile and what is said of the machine that the project was made on."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")
TARGETS = ("help", "report", "quick", "reproduce", "test", "bench", "docs", "env", "hooks", "lock", "clean")

# Written so that this file does not match itself.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("crates", "io"),
        ("anaconda", "org"),
        ("deb", "debian", "org"),
        ("download", "pytorch", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
    )
)
MACHINE_PATH = re.compile(r"(?<![\w.:})/-])/(?:work|root|home|Users)/\w")


def read_lock(text: str) -> dict[str, list[str]]:
    """Requirement lines ("name==version ; marker") with their hashes."""
    pins: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        pins[requirement.strip()] = hashes
    return pins


def make(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    # Under `make test` this is no sub-make of it.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=cwd, env=environment | variables, capture_output=True, text=True, check=False
    )


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A copy of what the set-up reads, with no environment yet."""
    for name in ("Makefile", "pyproject.toml", *LOCKS):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def fake_python(folder: Path, script: str) -> str:
    path = folder / "fake-python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_is_exact_and_has_hashes(name: str) -> None:
    pins = read_lock((ROOT / name).read_text())
    assert len(pins) > 50
    for requirement, hashes in pins.items():
        assert re.fullmatch(r"[\w.-]+==[\w.!+-]+(?: ; .+)?", requirement), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes), requirement


@pytest.mark.parametrize("name", LOCKS)
def test_lock_says_nothing_of_where_packages_come_from(name: str) -> None:
    options = [line for line in (ROOT / name).read_text().splitlines() if line.startswith("-") or "://" in line]
    assert options == []


@pytest.mark.parametrize(("name", "groups"), [(LOCKS[0], ["build"]), (LOCKS[1], ["build", "dev"])])
def test_lock_holds_what_pyproject_asks_for(name: str, groups: list[str]) -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = list(pyproject["project"]["dependencies"])
    for group in groups:
        asked += pyproject["dependency-groups"][group]

    pinned: dict[str, list[str]] = {}
    for line in read_lock((ROOT / name).read_text()):
        pin = Requirement(line)
        pinned.setdefault(canonicalize_name(pin.name), []).append(next(iter(pin.specifier)).version)
    for requirement in map(Requirement, asked):
        versions = pinned.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement.name} is not in {name}: run make lock"
        assert all(version in requirement.specifier for version in versions), f"{requirement}: run make lock"


def test_development_lock_repeats_the_runtime_lock() -> None:
    runtime, development = (read_lock((ROOT / name).read_text()) for name in LOCKS)
    assert runtime.items() <= development.items()
    assert len(runtime) < len(development)


def test_quarto_is_pinned_with_a_hash() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^QUARTO_VERSION := \d+\.\d+\.\d+$", makefile, re.MULTILINE)
    assert re.search(r"^QUARTO_SHA256 := [0-9a-f]{64}$", makefile, re.MULTILINE)


def test_help_lists_every_target() -> None:
    answer = make()
    assert answer.returncode == 0, answer.stderr
    assert tuple(re.findall(r"^make ([a-z]+) ", answer.stdout, re.MULTILINE)) == TARGETS
    phony = re.search(r"^\.PHONY: (help .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert tuple(phony[1].split()) == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_target_parses_and_builds_the_environment_first(target: str, bare: Path) -> None:
    answer = make("--dry-run", target, cwd=bare)
    assert answer.returncode == 0, answer.stderr
    assert not (bare / ".venv").exists()
    if target not in ("help", "clean"):
        assert answer.stdout.startswith("git --version")
        assert "--require-hashes --no-deps -r .venv/uv.txt" in answer.stdout


@pytest.mark.parametrize(("target", "development"), [("report", False), ("quick", False), ("test", True)])
def test_target_installs_only_the_lock_that_it_needs(target: str, development: bool, bare: Path) -> None:
    recipe = make("--dry-run", target, cwd=bare).stdout
    assert "--require-hashes -r requirements.lock" in recipe
    assert ("--require-hashes -r requirements-dev.lock" in recipe) == development


def test_uv_is_cut_out_of_the_lock_with_its_hashes(bare: Path) -> None:
    (bare / "show.mk").write_text("include Makefile\nshow: ; @$(uv_requirement)\n")
    block = read_lock(make("-s", "-f", "show.mk", "show", cwd=bare).stdout)
    locked = read_lock((ROOT / LOCKS[0]).read_text())
    expected = {requirement: hashes for requirement, hashes in locked.items() if requirement.startswith("uv==")}
    assert len(expected) == 1
    assert block == expected


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 1", "No Python 3.11 or newer found as"),
        (
            "case $2 in *ensurepip*) exit 1;; *print*) echo python3.12;; esac",
            "python3.12 has no venv module: install it",
        ),
    ],
)
def test_unusable_python_is_one_sentence(script: str, sentence: str, bare: Path) -> None:
    answer = make(f"PYTHON={fake_python(bare, script)}", "env", cwd=bare)
    assert answer.returncode != 0
    complaint, closing = answer.stderr.splitlines()
    assert complaint.startswith(sentence)
    assert closing.startswith("make: ***")
    assert not (bare / ".venv").exists()


def test_missing_git_is_one_sentence(bare: Path) -> None:
    programs = bare / "bin"
    programs.mkdir()
    for name in ("make", "sh"):
        (programs / name).symlink_to(str(shutil.which(name)))
    answer = make("env", cwd=bare, PATH=str(programs))
    assert answer.returncode != 0
    assert answer.stderr.splitlines()[0] == "thaw needs git: install it, then run make again."


def test_environment_that_was_moved_or_cut_short_is_made_anew(bare: Path) -> None:
    stand_in = bare / ".venv" / "bin"
    stand_in.mkdir(parents=True)
    (stand_in / "python").symlink_to(str(shutil.which("python3")))
    (stand_in / "uv").symlink_to(str(shutil.which("true")))
    made = bare / ".venv" / ".made"
    for place, marker, anew in ((bare, False, False), (bare / "elsewhere", False, True), (bare, True, True)):
        made.write_text(f"{place}\n")
        if marker:
            (bare / ".venv" / ".unfinished").touch()
        recipe = make("--dry-run", ".venv/.made", cwd=bare).stdout
        assert ("-m venv --clear" in recipe) == anew, (place, marker)


def test_continuous_integration_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "make test" in script.read_text()


def test_no_file_names_a_registry_or_this_machine() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert ROOT / "Makefile" in paths
    found = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture, weights or a data file
        found += [f"{path.relative_to(ROOT)}: {host}" for host in REGISTRIES if host in text]
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in MACHINE_PATH.finditer(text)]
    assert found == []
