"""The lock files, the Makefile with its script, and what is said of the machine that the project was made on."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")
SCRIPT = "scripts/environment.sh"
GOALS = {
    "help": [],
    "report": ["quarto"],
    "quick": ["quarto"],
    "reproduce": ["quarto"],
    "test": ["quarto", "dev"],
    "bench": ["dev"],
    "docs": ["dev"],
    "env": ["quarto"],
    "hooks": ["dev"],
    "lock": ["uv"],
    "runtime": ["uv"],
    "clean": [],
}
"""What each target of the Makefile asks of the script before anything else."""

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


# Stands for Python, and as .venv/bin/python for the environment: notes what is asked of it and installs nothing.
STAND_IN = f"""case "$*" in
*"-c "*) exec {sys.executable} "$@" ;;
"--version") exit ;;
*"-m venv"*) rm -f .venv/.made; eval "$VENV"; rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*"-m pip install"*)
    printf '#!/bin/sh\\necho "uv $*" >>log; sleep 0.1; eval "$UV"\\n' >.venv/bin/uv
    chmod +x .venv/bin/uv ;;
esac
echo "python $*" >>log"""


def start(*command: str, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    # Under `make test` this is no sub-make of it.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    environment |= {"PYTHON": str(cwd / "stand-in"), "THAW_QUARTO": "0"} | variables
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=pipe, stderr=pipe, text=True)


def make(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    process = start("make", *arguments, cwd=cwd, **variables)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def reach(cwd: Path, *goals: str, times: int = 1, **variables: str) -> list[str]:
    """What the script has Python and uv do to reach the goals; empty where they were reached already."""
    (cwd / "log").write_text("")
    for process in [start("sh", SCRIPT, *goals, cwd=cwd, **variables) for _ in range(times)]:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    return (cwd / "log").read_text().splitlines()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A copy of what the set-up reads, with no environment yet, and a stand-in for what it starts."""
    (tmp_path / "scripts").mkdir()
    for name in ("Makefile", SCRIPT, "pyproject.toml", *LOCKS):
        shutil.copy(ROOT / name, tmp_path / name)
    stand_in(tmp_path, STAND_IN)
    return tmp_path


def stand_in(folder: Path, script: str) -> None:
    path = folder / "stand-in"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def programs(folder: Path, *names: str) -> str:
    """A PATH with these programs alone."""
    path = folder / "bin"
    path.mkdir()
    for name in names:
        (path / name).symlink_to(str(shutil.which(name)))
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
    script = (ROOT / SCRIPT).read_text()
    assert re.search(r"^QUARTO_VERSION=\d+\.\d+\.\d+$", script, re.MULTILINE)
    assert re.search(r"^QUARTO_SHA256=[0-9a-f]{64}$", script, re.MULTILINE)


def test_help_lists_every_target() -> None:
    answer = make(cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
    assert re.findall(r"^make ([a-z]+) ", answer.stdout, re.MULTILINE) == list(GOALS)
    phony = re.search(r"^\.PHONY: (help .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert phony[1].split() == list(GOALS)


@pytest.mark.parametrize("target", GOALS)
def test_target_parses_and_builds_the_environment_first(target: str, bare: Path) -> None:
    answer = make("--dry-run", target, cwd=bare)
    assert answer.returncode == 0, answer.stderr
    assert not (bare / ".venv").exists()
    recipe = [line for line in answer.stdout.splitlines() if line != "rm -f .venv/.quarto"]
    if GOALS[target]:
        assert recipe[0].split() == ["sh", SCRIPT, *GOALS[target]]
    assert answer.stdout.count(SCRIPT) == bool(GOALS[target])


@pytest.mark.parametrize(("goal", "locks"), [("uv", []), ("project", LOCKS[:1]), ("quarto", LOCKS[:1]), ("dev", LOCKS)])
def test_goal_installs_only_the_locks_that_it_needs_and_only_once(goal: str, locks: list[str], bare: Path) -> None:
    asked = reach(bare, goal)
    assert asked[0] == "python -m venv --clear --without-pip .venv"
    assert asked[2].endswith("--require-hashes --no-deps -r .venv/uv.txt")
    installed = [line for line in asked if line.startswith("uv pip install")]
    assert [line.split()[-1] for line in installed if "-r" in line.split()] == [*locks]
    assert all("--require-hashes" in line or "--no-deps -e ." in line for line in installed)
    assert sum(line.endswith("--no-build-isolation --no-deps -e .") for line in installed) == (goal != "uv")
    assert reach(bare, goal) == []


def test_what_rests_on_a_changed_lock_is_installed_again(bare: Path) -> None:
    whole = reach(bare, "dev")
    for name, again in ((LOCKS[1], 1), ("pyproject.toml", 2), (LOCKS[0], 3)):
        with (bare / name).open("a") as file:
            file.write("# changed\n")
        assert reach(bare, "dev") == whole[-again:]
        assert reach(bare, "dev") == []


def test_uv_is_cut_out_of_the_lock_with_its_hashes(bare: Path) -> None:
    reach(bare, "uv")
    locked = read_lock((ROOT / LOCKS[0]).read_text())
    expected = {requirement: hashes for requirement, hashes in locked.items() if requirement.startswith("uv==")}
    assert len(expected) == 1
    assert read_lock((bare / ".venv" / "uv.txt").read_text()) == expected


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
    stand_in(bare, script)
    answer = make("env", cwd=bare)
    assert answer.returncode != 0
    complaint, closing = answer.stderr.splitlines()
    assert complaint.startswith(sentence)
    assert closing.startswith("make: ***")
    assert not (bare / ".venv").exists()


def test_missing_git_is_one_sentence(bare: Path) -> None:
    answer = make("report", PATH=programs(bare, "make", "sh"), cwd=bare)
    assert answer.returncode != 0
    assert answer.stderr.splitlines()[0] == "thaw needs git: install it, then run make again."


def test_environment_that_lost_its_python_was_cut_short_or_moved_is_made_anew(bare: Path) -> None:
    whole = reach(bare, "project")
    (bare / ".venv" / "bin" / "python").unlink()
    assert reach(bare, "project") == whole

    (bare / ".venv" / ".made").write_text("elsewhere")
    assert make("env", cwd=bare, VENV="exit 1").returncode != 0
    assert reach(bare, "project") == whole

    (bare / ".venv" / ".runtime").unlink()
    assert make("env", cwd=bare, UV="exit 1").returncode != 0
    assert reach(bare, "project") == whole

    moved = bare / "moved"
    moved.mkdir()
    for path in set(bare.iterdir()) - {moved}:
        path.rename(moved / path.name)
    assert reach(moved, "project") == whole
    assert reach(moved, "project") == []


def test_python_of_the_environment_does_not_make_it_anew(bare: Path) -> None:
    whole = reach(bare, "project")
    stand_in(bare / ".venv" / "bin", "exit 0")
    (bare / ".venv" / ".made").write_text("elsewhere")
    own = f"{bare}/.venv/bin"
    assert reach(bare, "project", PYTHON="stand-in", PATH=f"{own}:{own}:{bare}:{os.environ['PATH']}") == whole


def test_environment_that_was_made_by_hand_is_kept(bare: Path) -> None:
    (bare / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(bare / "stand-in", bare / ".venv" / "bin" / "python")
    assert "-m pip install" in reach(bare, "project")[0]


def test_two_at_once_install_everything_once(bare: Path) -> None:
    alone = reach(bare, "dev")
    shutil.rmtree(bare / ".venv")
    assert reach(bare, "dev", times=2) == alone


def test_quarto_is_tried_once_and_again_by_make_env(bare: Path) -> None:
    path = programs(bare, "awk", "cat", "chmod", "cmp", "cp", "git", "make", "mkdir", "rm", "sh", "sleep")
    slow = 'case "$*" in *quarto.txt) sleep 60 ;; esac'
    wanted = {"THAW_QUARTO": "", "QUARTO_SECONDS": "0.5", "UV": slow, "PATH": path}
    reach(bare, "project", PATH=path)
    tries = reach(bare, "quarto", **wanted)
    assert ["--require-hashes -r .venv/quarto.txt" in line for line in tries] == [True, False]
    assert "uninstall" in tries[1]
    assert reach(bare, "quarto", **wanted) == []
    assert "Going on without Quarto" in make("env", cwd=bare, **wanted).stdout
    assert (bare / "log").read_text().splitlines() == tries


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
