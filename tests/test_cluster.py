"""Jobs that submitit starts: on this machine, and on a real SLURM where it is installed."""

import contextlib
import fcntl
import importlib.util
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pipeline_fixtures import ROOT, A, B, Project
from rich.console import Console
from typer.testing import CliRunner

from thaw.cli import app
from thaw.errors import ThawError
from thaw.pipeline.cluster import Cluster, Queue, Resources
from thaw.pipeline.live import Display, doing
from thaw.pipeline.node import Command
from thaw.pipeline.repro import repro
from thaw.pipeline.running import Job, environment, run_all
from thaw.pipeline.status import Status

LOCAL, SLURM = Cluster("local", Resources(time=5)), Cluster("slurm", Resources(time=5))


def until(true: Callable[[], Any], seconds: float = 90) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """A file that another part of the program has locked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def outdate(project: Project) -> None:
    """Make both variants run again."""
    project.edit("src/train.py", "1", "2")


# What jobs ask for


def test_a_table_of_the_project_says_what_jobs_ask_for_and_options_say_else(tmp_path: Path) -> None:
    assert Resources.read(tmp_path, {"gpus": None}) == Resources()
    (tmp_path / "pyproject.toml").write_text('[tool.thaw.cluster]\npartition = "long"\ntime = 600\nmem = "8G"\n')
    expected = Resources(partition="short", time=600, mem="8G", gpus=1)
    assert Resources.read(tmp_path, {"partition": "short", "gpus": 1, "mem": None}) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.thaw.cluster]\nparttion = 'a'", r"\[tool\.thaw\.cluster\] has parttion \(did you mean partition\?\)"),
        ("[tool.thaw.cluster]\ntime = '2h'", "time: Input should be a valid integer"),
        ("[tool.thaw.cluster]\ngpus = -1", "gpus: Input should be greater than or equal to 0"),
        ("[tool.thaw]\ncluster = 3", r"tool\.thaw\.cluster is no table; write its keys"),
        ("[tool.thaw", r"pyproject\.toml is not valid TOML"),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ThawError, match=said):
        Resources.read(tmp_path, {})


def test_an_option_of_a_cluster_needs_one() -> None:
    result = CliRunner().invoke(app, ["repro", "--mem", "8G"])
    assert isinstance(result.exception, ThawError)
    assert str(result.exception) == "--mem is of a cluster; add `--on slurm`."


def test_what_is_missing_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    outdate(project)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ThawError, match="there is no SLURM here"):
        repro(project, cluster=SLURM)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ThawError, match=r"`--on` needs submitit: uv pip install 'thaw\[cluster\]'"):
        repro(project, cluster=LOCAL)


# On a node


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a job writes what it says."""
    return tmp_path / "job.log"


def test_a_command_runs_where_the_locks_of_the_first_machine_are_seen(tmp_path: Path, log: Path) -> None:
    command = Command(["sh", "-c", "echo $PYTHONUNBUFFERED $PWD; exit 3"], tmp_path, log, 1.0, tmp_path / "working")
    assert command() == 2
    assert "call `dvc config --local core.hardlink_lock true`" in log.read_text()
    log.unlink()
    with locked(tmp_path / "working"):
        assert command() == 3
    assert log.read_text() == f"1 {tmp_path}\n"
    command.watched = None
    assert command() == 3


def test_a_command_that_is_interrupted_leaves_nothing_running(tmp_path: Path, log: Path) -> None:
    code = (
        "import signal; from pathlib import Path; from thaw.pipeline.node import Command; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell's background job ignores it
        "endless = 'trap : INT; while :; do sleep 0.1; echo on; done'; "
        "Command(['sh', '-c', endless], Path.cwd(), Path('job.log'), 1.0, None)()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(ROOT), stderr=subprocess.DEVNULL
    )
    until(lambda: log.exists() and log.stat().st_size)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    size = log.stat().st_size
    time.sleep(1)
    assert log.stat().st_size == size


# Here, by submitit


def test_results_are_the_same_wherever_they_are_made(project: Project, made: Project, tmp_path: Path) -> None:
    other = Project(shutil.copytree(made.root, tmp_path / "other"))
    for one, cluster in ((project, LOCAL), (other, None)):
        outdate(one)
        repro(one, 2, cluster=cluster)
        assert not Status.read(one).outdated
    assert content(project) == content(other) != content(made)


def content(project: Project) -> dict[str, bytes]:
    """Every result, and what DVC recorded of it."""
    folders = ("models", "samples", "results")
    found = [project.root / "dvc.lock", *(p for f in folders for p in project.root.glob(f"{f}/**/*"))]
    return {str(path.relative_to(project.root)): path.read_bytes() for path in found if path.is_file()}


def test_a_failure_is_told_in_the_stage_s_own_words(project: Project) -> None:
    (project.root / "broken.sh").write_text(f"test $1 != {A} || {{ echo thaw: it is broken.; exit 2; }}")
    project.edit("dvc.yaml", "mkdir -p models", "sh broken.sh ${key} && mkdir -p models")
    with pytest.raises(ThawError, match=rf"{A} failed; everything else .* up to date\.\n.*train@{A}: it is broken\."):
        repro(project, 2, cluster=LOCAL)
    assert set(Status.read(project).outdated) >= {f"train@{A}"}
    assert not [name for name in Status.read(project).outdated if B in name]


STOPPED = """
import sys
from pathlib import Path
from thaw.pipeline.cluster import Cluster, Resources
from thaw.pipeline.repro import repro
from thaw.results.layout import Artifacts

repro(Artifacts(Path.cwd()), 2, cluster=Cluster(sys.argv[1], Resources(time=5)))
"""


def stopped(project: Project, name: str) -> str:
    """What a call says that is interrupted while both variants train, with nothing left running."""
    endless = "while :; do date > ticks-${key}; sleep 0.1; done && "
    project.edit("dvc.yaml", "mkdir -p models/${key} &&", f"{endless}mkdir -p models/${{key}} &&")
    call = subprocess.Popen([sys.executable, "-c", STOPPED, name], cwd=project.root, stderr=subprocess.PIPE, text=True,
                            env=environment(ROOT), start_new_session=True)  # fmt: skip
    ticks = [project.root / f"ticks-{key}" for key in (A, B)]
    until(lambda: all(path.exists() for path in ticks) or call.poll() is not None)
    call.send_signal(signal.SIGINT)
    _, said = call.communicate(timeout=90)
    before = [path.read_text() for path in ticks]
    time.sleep(2)
    assert [path.read_text() for path in ticks] == before
    return said


def test_an_interruption_ends_what_submitit_has_started(project: Project) -> None:
    assert "stopped; `thaw repro` goes on from the last checkpoints." in stopped(project, "local")


# On SLURM


@pytest.mark.usefixtures("slurm")
class TestSlurm:
    """On a cluster of one node."""

    def test_every_job_runs_there_and_results_are_the_same(
        self, project: Project, made: Project, tmp_path: Path
    ) -> None:
        other = Project(shutil.copytree(made.root, tmp_path / "other"))
        outdate(project)
        repro(project, cluster=SLURM)
        assert not Status.read(project).outdated
        assert "thaw-summarize" in _squeue(project, "%j")
        outdate(other)
        repro(other, 2)
        assert content(project) == content(other)

    def test_an_interruption_cancels_every_job(self, project: Project) -> None:
        assert "stopped; `thaw repro` goes on from the last checkpoints." in stopped(project, "slurm")
        assert set(_squeue(project, "%T")) == {"CANCELLED"}

    def test_a_cancelled_job_is_told_and_goes_on_with_the_next_call(self, project: Project) -> None:
        slow = project.root / "slow"
        project.edit("dvc.yaml", "mkdir -p models/${key} &&",
                     "echo at work && while test -e slow; do sleep 0.1; done; mkdir -p models/${key} &&")  # fmt: skip
        slow.touch()
        log = project.kept("logs") / f"{A}.log"

        def cancel() -> None:
            until(lambda: log.exists() and "at work" in log.read_text())
            subprocess.run(["scancel", f"--name=thaw-{A}"], check=True)
            until(lambda: "CANCELLED" in _squeue(project, "%T"))
            slow.unlink()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        with pytest.raises(ThawError, match=rf"{A} failed.*\n  train@{A}: SIGTERM ended it"):
            repro(project, cluster=SLURM)
        canceller.join()
        repro(project, cluster=SLURM)
        assert not Status.read(project).outdated

    def test_what_waits_for_a_machine_says_so(self, project: Project) -> None:
        seen = set[str]()

        class Watching(Display):
            def refresh(self, jobs: Sequence[Job]) -> None:
                seen.update(doing(job) for job in jobs if job.state == "running")

        start = SLURM.starter(project, threads=os.cpu_count() or 1, every=1.0)
        jobs = [Job(name, [name], ["sleep", "8"]) for name in ("a", "b")]
        with locked(project.kept("working")):
            run_all(jobs, 2, project, Watching(2, Console(file=io.StringIO())), start)
        assert [job.state for job in jobs] == ["done", "done"]
        assert "in the queue (Resources)" in seen

    def test_jobs_of_an_earlier_call_are_named(self, project: Project) -> None:
        outdate(project)
        command = ["sbatch", "--parsable", f"--comment={project.root}", "--output=/dev/null", "--wrap=sleep 60"]
        number = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        with pytest.raises(ThawError, match=f"still in SLURM's queue; `scancel {number}` ends them"):
            repro(project, cluster=SLURM)
        subprocess.run(["scancel", number], check=True)
        until(lambda: not Queue(str(project.root)).active())
        repro(project, cluster=SLURM)

    def test_what_slurm_refuses_is_told_in_its_own_words(self, project: Project) -> None:
        outdate(project)
        with pytest.raises(ThawError, match=r"SLURM refuses .*: sbatch: error: .*[Ii]nvalid partition"):
            repro(project, cluster=Cluster("slurm", Resources(partition="none")))


def _squeue(project: Project, what: str) -> list[str]:
    query = ["squeue", "--states=all", "--noheader", f"--format={what}|%k"]
    rows = subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()
    return [row.partition("|")[0] for row in rows if row.endswith(f"|{project.root}")]
