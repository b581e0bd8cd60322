"""Stages as forks of one process: what they say and how they end is what a process of their own says and how it ends.

That they write the same bytes is held by tests/test_pipeline.py, which runs a chain both ways.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thaw.params import write_profile
from thaw.pipeline import stage_server
from thaw.pipeline.running import environment
from thaw.pipeline.serving import ADDRESS, STARTED, run_stage, serving
from thaw.progress import EVERY

ROOT = Path(__file__).parents[1]
ASKING = """
import os, sys
from thaw.pipeline.serving import run_stage
sys.exit(run_stage(sys.argv[1], os.getcwd(), dict(os.environ)))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process with torch is not forked")


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, str]]:
    """The environment in which there is a server."""
    # A shell lets what it starts in the background ignore interruptions, and what that starts does too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with serving(environment(ROOT) | {"PYTHONUNBUFFERED": "1", EVERY: "0.1"}) as settings:
        yield settings
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder in which stages run, at the paper's budget: none of its trainings ends by itself."""
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    write_profile(tmp_path / "params.yaml", ROOT / "profiles" / "paper.yaml")
    (tmp_path / "data").symlink_to(ROOT / "data")
    return tmp_path


def asking(command: str, folder: Path, settings: dict[str, str]) -> "subprocess.Popen[str]":
    """A process that asks the server for a stage, as DVC does."""
    return subprocess.Popen(
        [sys.executable, "-c", ASKING, command], cwd=folder, env=settings, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("words", [["train", "ddpm-cosin"], ["normality", "gan-dcgan"]])
def test_a_fork_says_and_returns_what_a_process_does(words: list[str], project: Path, served: dict[str, str]) -> None:
    command = [sys.executable, "-m", "thaw", *words]
    expected = subprocess.run(command, cwd=project, env=environment(ROOT), capture_output=True, text=True)
    written = sorted(path.relative_to(project) for path in project.glob("plots/**/*"))
    process = asking(" ".join(["thaw", *words]), project, served)
    assert process.communicate() == (expected.stdout, expected.stderr)
    assert process.returncode == expected.returncode == (2 if "ddpm-cosin" in words else 0)
    assert sorted(path.relative_to(project) for path in project.glob("plots/**/*")) == written


def test_an_interruption_of_who_asked_reaches_the_stage(project: Path, served: dict[str, str]) -> None:
    process = asking("thaw train ddpm-cosine", project, served)
    _until_it_trains(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)  # which waits for the stage, as DVC does
    assert process.returncode not in (0, -signal.SIGKILL)
    _until(lambda: _stages() == [])  # it answers before it ends


def test_a_stage_ends_with_who_asked_for_it(project: Path, served: dict[str, str]) -> None:
    process = asking("thaw train ddpm-cosine", project, served)
    _until_it_trains(process)
    assert len(_stages()) == 1
    process.kill()
    process.communicate(timeout=60)
    _until(lambda: _stages() == [])


def test_a_stage_that_is_killed_has_failed(project: Path, served: dict[str, str]) -> None:
    process = asking("thaw train ddpm-cosine", project, served)
    _until_it_trains(process)
    os.kill(_stages()[0], signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 256 - signal.SIGKILL  # what exit makes of a negative status


def _until_it_trains(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    deadline = time.monotonic() + 120
    for line in process.stderr:
        assert time.monotonic() < deadline
        if re.match(r"train ddpm-cosine, seed 0: \d+/\d+ images", line):
            return
    raise AssertionError("it did not train")


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for path in listed for child in path.read_text().split()]


def _stages() -> list[int]:
    """The server's forks that are running."""
    servers = [
        child for child in _children(os.getpid())
        if b"thaw.pipeline.stage_server" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
    ]  # fmt: skip
    return [
        fork for server in servers for fork in _children(server)
        if Path(f"/proc/{fork}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    ]  # fmt: skip


@pytest.mark.parametrize("command", ["thaw train a && thaw train b", "python -m thaw train a", "thaw", "thaw train $A"])
def test_only_a_thaw_command_alone_is_a_fork(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(ADDRESS, str(tmp_path / "nobody"))
    assert run_stage(command, str(tmp_path), {}) is None


def test_without_a_server_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    assert run_stage("thaw train a", str(tmp_path), {}) is None
    monkeypatch.setenv(ADDRESS, str(tmp_path / "nobody"))
    assert run_stage("thaw train a", str(tmp_path), {}) is None


def test_a_server_that_cannot_start_leaves_stages_to_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(environment(ROOT) | {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path)}) as settings:
        monkeypatch.setenv(ADDRESS, settings[ADDRESS])
        assert run_stage("thaw train a", str(tmp_path), {}) is None


def test_a_deep_folder_for_temporary_files_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with serving({"A": "b"}) as settings:
        assert settings == {"A": "b"}


def test_a_stage_that_ends_with_orders_unread_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = tmp_path / "stages"
    monkeypatch.setenv(ADDRESS, str(address))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen()

        def die_without_listening() -> None:
            asked, _ = listening.accept()
            asked.recv(1)  # what the outputs came with
            while not asked.recv(2**16, socket.MSG_PEEK).endswith(b"}\n"):
                time.sleep(0.01)
            asked.sendall(STARTED)
            asked.close()  # the request is unread, so whoever asked is told of a reset connection

        server = threading.Thread(target=die_without_listening)
        server.start()
        assert run_stage("thaw train a", str(tmp_path), {}) == -signal.SIGKILL
        server.join()


def test_what_the_server_imports_asks_for_no_gpu() -> None:
    """A process that has looked for one would leave its forks with a CUDA that they cannot start."""
    code = """if True:
        import socket, sys, torch
        def asked(*_): raise AssertionError("asked for a GPU")
        torch.cuda.is_available = torch.cuda.device_count = torch.cuda.init = asked
        from thaw.pipeline.stage_server import Server
        Server(socket.socket(socket.AF_UNIX).detach())
        print("thaw.stages.train" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(ROOT))
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_changed_code_is_run_by_a_new_process(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    imported = stage_server.last_changes()
    assert stage_server.run(["train", "ddpm-cosin"], imported | {ROOT / "src" / "thaw" / "cli.py": 0}) == 2
    by_a_process = capfd.readouterr()
    monkeypatch.setattr(subprocess, "call", None)
    assert stage_server.run(["train", "ddpm-cosin"], imported) == 2
    assert capfd.readouterr() == by_a_process
