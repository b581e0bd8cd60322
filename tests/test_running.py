"""Jobs side by side: their order, their failures, what is shown of them, and stopping them."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pipeline_fixtures import ROOT, STUDY, A, B, Project
from rich.console import Console

from thaw.errors import ThawError
from thaw.params import read_params
from thaw.pipeline.live import Display, outcome, time_left, view
from thaw.pipeline.machine import jobs_for
from thaw.pipeline.repro import report, repro
from thaw.pipeline.running import DVC, Job, Process, environment, reason, run_all
from thaw.pipeline.status import Status
from thaw.progress import EVERY, Meter, Reached
from thaw.results.layout import Artifacts

TRAIN = "train@ddpm"


def job(name: str, code: str = "true", needs: Sequence[str] = (), follows: Sequence[str] = ()) -> Job:
    """A job that runs a line of shell."""
    return Job(name, [f"train@{name}"], ["sh", "-c", code], {}, set(needs), set(follows))


class Remembering(Display):
    """A display that remembers which jobs ended, and how many ran at once."""

    def __init__(self) -> None:
        super().__init__(2, Console(file=io.StringIO()))
        self.order: list[str] = []
        self.most = 0

    def ended(self, job: Job, jobs: Sequence[Job]) -> None:
        self.order.append(job.name)

    def refresh(self, jobs: Sequence[Job]) -> None:
        self.most = max(self.most, sum(job.state == "running" for job in jobs))


def test_a_failure_stops_only_what_needs_it(tmp_path: Path) -> None:
    jobs = [
        job("first"),
        job("broken", "echo thaw: it is broken. >&2; exit 2", ["first"]),
        job("sound", needs=["first"]),
        job("study of broken", needs=["first", "broken"]),
        job("study of the study", needs=["study of broken"]),
        job("last", needs=["first"], follows=["broken", "sound", "study of broken", "study of the study"]),
    ]
    display = Remembering()
    run_all(jobs, 2, Artifacts(tmp_path), display)
    assert {each.name: each.state for each in jobs} == {
        "first": "done", "broken": "failed", "sound": "done", "study of broken": "skipped",
        "study of the study": "skipped", "last": "done",
    }  # fmt: skip
    assert display.order[0] == "first"
    assert display.order[-1] == "last"
    assert jobs[1].reason == "it is broken."
    assert "it is broken." in (Artifacts(tmp_path).kept("logs") / "broken.log").read_text()
    assert outcome(jobs[3]) == "study of broken: skipped, as it needs what failed"


def test_no_more_run_at_once_than_asked_for(tmp_path: Path) -> None:
    display = Remembering()
    run_all([job(str(number), "sleep 0.3") for number in range(5)], 2, Artifacts(tmp_path), display)
    assert display.most == 2


def test_the_longest_job_starts_first(tmp_path: Path) -> None:
    jobs = [job("first"), *(job(name, needs=["first"]) for name in ("short", "long", "middle")), job("unknown")]
    for each, seconds in zip(jobs, (1, 2, 9, 5, 0), strict=True):
        each.expected = {each.stages[0]: seconds}
    display = Remembering()
    run_all(jobs, 1, Artifacts(tmp_path), display)
    assert display.order == ["first", "long", "middle", "short", "unknown"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["thaw: params.yaml: x is wrong.", "ERROR: failed to reproduce"], "params.yaml: x is wrong."),
        (["Traceback (most recent call last):", "ValueError: no", "ERROR: failed"], "ValueError: no"),
        (["torch.OutOfMemoryError: out of memory.", "ERROR: failed"], "torch.OutOfMemoryError: out of memory."),
        (["\x1b[31mERROR\x1b[39m: no space left"], "no space left"),
        (["ERROR: failed to reproduce 'a': failed to run: x, exited with -9"], "SIGKILL ended it"),
        (["thaw: no.", "ERROR: failed to reproduce 'a': failed to run: x, exited with -15"], "no."),
        (["Killed", "train ddpm, seed 0: 3/24 images, 17.1 min left"], "Killed"),
        ([], "it said nothing"),
    ],
)  # fmt: skip
def test_the_reason_is_the_most_telling_sentence(lines: list[str], expected: str) -> None:
    assert reason(lines) == expected


def test_a_job_tells_its_stage_and_how_far_that_is() -> None:
    running = job("ddpm")
    running.state, running.expected = "running", {TRAIN: 600.0, "sample@ddpm": 60.0}
    running.stages = list(running.expected)
    assert running.seconds_left == 660
    running.hear(f"Running stage '{TRAIN}':")
    running.hear("train ddpm, seed 0: 3488/240000 images, 17.1 min left loss 0.1")
    assert running.stage == TRAIN
    assert running.reached == Reached("train ddpm, seed 0", 3488, 240000, "images", 17.1)
    assert running.seconds_left == pytest.approx(17.1 * 60 + 60)
    running.hear("Stage 'sample@ddpm' didn't change, skipping")
    assert running.seconds_left == pytest.approx(17.1 * 60)


def test_the_time_left_is_shared_by_the_jobs_and_no_less_than_the_longest() -> None:
    jobs = [job(name) for name in ("a", "b", "c")]
    assert time_left(jobs, 2) is None
    for each, seconds in zip(jobs, (300.0, 100.0, 50.0), strict=True):
        each.expected = {each.stages[0]: seconds}
    assert time_left(jobs, 1) == 450
    assert time_left(jobs, 2) == 300
    jobs[2].expected = {}  # a new variant is taken for an average one
    assert time_left(jobs, 1) == 600


def test_what_a_meter_prints_is_what_a_job_reads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EVERY, "0")
    with Meter("train ddpm, seed 1", 640, "images") as meter:
        meter.update(64, "loss 0.12")
    line, last = capsys.readouterr().err.splitlines()
    reached = Reached.parse(line)
    assert reached is not None
    assert (reached.label, reached.done, reached.total, reached.unit) == ("train ddpm, seed 1", 64, 640, "images")
    assert Reached.parse(last) is None


def test_the_live_view_has_a_row_for_each_running_job() -> None:
    jobs = [job("ddpm"), job("cold"), job("gan")]
    for each in jobs[:2]:
        each.state, each.began = "running", time.monotonic()
    jobs[0].hear(f"Running stage '{TRAIN}':")
    jobs[0].hear("train ddpm, seed 0: 120/240 images, 2.0 min left")
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(view(jobs, 2))
    text = console.export_text()
    assert "train, seed 0: 120/240 images" in text
    assert "2 min left" in text
    assert "cold" in text
    assert "gan" not in text
    assert "0 of 3" in text


def test_plain_lines_name_what_ended_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [job("ddpm"), job("cold")]
    jobs[0].state, jobs[0].began, jobs[0].ended = "done", 0.0, 240.0
    jobs[1].expected = {jobs[1].stages[0]: 600.0}
    Display(1).ended(jobs[0], jobs)
    assert capsys.readouterr().err == "ddpm: done in 4 min (1 of 2, about 10 min left)\n"


STOPPED = """
from pathlib import Path
from thaw.pipeline.live import Display
from thaw.pipeline.running import Job, run_all
from thaw.results.layout import Artifacts

# As with DVC, a parent that outlives the signal, and a child that does the work.
code = "trap : INT; sh work.sh $0; exit 1"
Path("work.sh").write_text("trap 'touch $1.saved; exit 1' INT; touch $1.started; while :; do sleep 0.1; done")
jobs = [Job(name, [name], ["sh", "-c", code, name]) for name in ("a", "b")]
try:
    run_all(jobs, 2, Artifacts(Path.cwd()), Display(2))
except KeyboardInterrupt:
    assert all(job.work.poll() is not None for job in jobs)
    print("stopped")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_reaches_what_the_jobs_started(number: signal.Signals, tmp_path: Path) -> None:
    """The signal goes to the one process, as from an editor or a batch system; a terminal would signal the group."""
    process = subprocess.Popen([sys.executable, "-c", STOPPED], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
                               env=environment(ROOT))  # fmt: skip
    _until(lambda: all((tmp_path / f"{name}.started").exists() for name in "ab") or process.poll() is not None)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert said == "stopped\n"
    assert all((tmp_path / f"{name}.saved").exists() for name in "ab")


def test_dvc_outlives_a_sigterm_that_ends_its_stage(project: Project) -> None:
    project.edit("dvc.yaml", "mkdir -p models", "touch at-work && sleep 60 && mkdir -p models")
    project.edit("src/train.py", "1", "2")
    log = project.root / "log"
    process = Process([*DVC, "repro", "-s", f"train@{A}"], project.root, log, environment(ROOT))
    _until((project.root / "at-work").exists)
    os.killpg(process.process.pid, signal.SIGTERM)  # as a batch system does, also to DVC itself
    assert process.process.wait(60) > 0
    assert reason(log.read_text().splitlines()) == "SIGTERM ended it"
    assert not any(json.loads((project.root / ".dvc" / "tmp" / "rwlock").read_text()).values())


@pytest.mark.parametrize("left", ["", '{"write": {"'])
def test_locks_that_a_killed_dvc_left_half_written_stop_nothing(left: str, project: Project) -> None:
    project.edit("src/train.py", "1", "2")
    (project.root / ".dvc" / "tmp" / "rwlock").write_text(left)
    repro(project, 2)
    assert not Status.read(project).outdated


def _until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("free", "visible", "expected"),
    [
        ("7000", "0", 4),
        ("900", "0", 1),
        ("100000", "0", 16),
        ("7000", "3,4", 4),
        ("7000", "", 16),
        ("7000", "-1", 16),
        ("No devices were found", "0", 16),
        ("[N/A]", "0", 16),
    ],
)
def test_as_many_jobs_as_cores_and_the_first_gpu_have_room_for(
    free: str, visible: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\n[ "$1" = "--id={visible[:1]}" ] && echo "{free}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert jobs_for(read_params(ROOT / "params.yaml")) == expected


def test_repro_brings_what_changed_up_to_date(project: Project) -> None:
    project.edit("src/layers/a.py", "1", "2")
    project.change("variants", A, "train", "target", "clean")
    shutil.rmtree(project.root / "models")
    repro(project, 2, targets=[A])
    assert set(Status.read(project).outdated) == {f"sample@{B}", "summarize"}
    assert "Running stage 'train@ddpm-linear'" in (project.kept("logs") / f"{A}.log").read_text()
    repro(project, 2)
    found = Status.read(project)
    assert not found.outdated
    assert (project.models(B) / "w").exists()


def test_a_second_call_says_who_is_at_work(project: Project) -> None:
    holds = "import fcntl, os, sys, time; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); "
    holds += "print(os.getpid(), file=file, end='', flush=True); print(flush=True); time.sleep(60)"
    project.kept("").mkdir(exist_ok=True)
    command = [sys.executable, "-c", holds, str(project.kept("working"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout
            assert other.stdout.readline()
            for call in (lambda: repro(project), lambda: report(project, lambda _: True)):
                with pytest.raises(ThawError, match=f"process {other.pid} is already bringing results up to date"):
                    call()
        finally:
            other.kill()
    report(project, lambda _: True)


def test_repro_finishes_what_does_not_need_what_failed(project: Project) -> None:
    project.edit("dvc.yaml", "mkdir -p models", f"test ${{key}} != {A} && mkdir -p models")
    project.edit("src/train.py", "1", "2")
    with pytest.raises(ThawError) as failed:
        repro(project, 2)
    first, second, third = str(failed.value).splitlines()
    assert first == f"{A} failed; everything else that was asked for is up to date."
    assert second.startswith(f"  train@{A}: failed to reproduce 'train@{A}'")
    assert "logs" in third
    assert set(Status.read(project).outdated) == {f"train@{A}"}
    assert "x = 2" in (project.study(STUDY) / "table.csv").read_text()


def test_a_report_asks_before_it_repeats_what_is_absent(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.lack()
    project.edit("results/reference/real.csv", "1", "2")
    asked: list[str] = []
    with pytest.raises(ThawError, match="`dvc pull` or `thaw report --yes` goes on"):
        report(project, lambda question: bool(asked.append(question)), targets=[A])
    assert asked == [
        f"What has to run reads what train@{A} and sample@{A} made, which this machine lacks: repeating it takes about "
        "11 min, and `dvc pull` may save it."
    ]
    assert not project.models(A).exists()
    report(project, lambda _: True, targets=[A])
    assert f"{A}: train, sample, evaluate (about 12 min)\n" in capsys.readouterr().out
    assert not Status.read(project).outdated
    assert not project.models(B).exists()


def test_a_report_takes_from_the_cache_what_it_has(project: Project) -> None:
    for folder in ("models", "samples"):
        shutil.rmtree(project.root / folder)
    project.edit("src/layers/a.py", "1", "2")
    report(project, lambda _: pytest.fail("there is nothing to ask"))
    assert not Status.read(project).outdated
