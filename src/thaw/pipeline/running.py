"""Running jobs side by side: each is one command of DVC, whose lines tell how far it is and why it failed."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from thaw.errors import ThawError
from thaw.pipeline.live import Display
from thaw.progress import EVERY, Reached
from thaw.results.layout import Artifacts

DVC = (sys.executable, "-m", "thaw.pipeline.dvc", "--wait-for-lock")
RUNNING = re.compile(r"Running stage '(?P<stage>[^']+)':?")
PASSED = re.compile(r"Stage '(?P<stage>[^']+)' (?:didn't change|is cached)\b.*")
REASONS = (
    re.compile(r"thaw: (.+)"),
    re.compile(r"((?:\w+\.)*\w*(?:Error|Exception)(?:: .+)?)"),
    re.compile(r"(?:\x1b\[\d+m)*ERROR(?:\x1b\[\d+m)*: (.+)"),
)
"""What a job says of why it fails: a stage's own sentence before its exception, and that before DVC's."""
KILLED = re.compile(r".*, exited with -(?P<number>\d+)")
"""DVC's sentence on a stage that a signal has ended."""
PATIENCE_SECONDS = 60.0
"""How long an interrupted job may take to end before it is killed."""
POLL_SECONDS = 0.2


def environment(root: Path) -> dict[str, str]:
    """The environment in which stages run: this Python's programs first, and the project's own code."""
    programs = Path(sys.executable).parent
    path = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(root / "src")}


def telling(root: Path, every: float) -> dict[str, str]:
    """The environment of jobs, whose stages say at once, and every so many seconds, how far they are."""
    return environment(root) | {"PYTHONUNBUFFERED": "1", EVERY: str(every)}


def dvc(root: Path, *arguments: str) -> None:
    """Run a DVC command in the project, when no other holds its lock. Raises ThawError where the command fails."""
    done = subprocess.run([*DVC, *arguments], cwd=root, env=environment(root), capture_output=True, text=True)
    if done.returncode:
        raise ThawError(f"`dvc {' '.join(arguments)}` failed: {reason(done.stderr.splitlines())}")


def reason(lines: Sequence[str]) -> str:
    """The most telling sentence of what a failed command said."""
    found = [match[1] for pattern in REASONS for line in reversed(lines) if (match := pattern.fullmatch(line))]
    if found and (killed := KILLED.fullmatch(found[0])):
        return _ended_by(int(killed["number"]))
    other = [line for line in lines if line and not Reached.parse(line)]
    return str([*found, *other[-1:], "it said nothing"][0])


def _ended_by(number: int) -> str:
    return f"{signal.Signals(number).name} ended it"


class Work(Protocol):
    """A job's command once it was started, wherever it runs."""

    @property
    def queued(self) -> str:
        """Why it still waits for a machine; nothing once it runs."""

    @property
    def why(self) -> str:
        """Why it ended, where what it said cannot tell; otherwise nothing."""

    def poll(self) -> int | None:
        """Its exit status; None until it has ended."""

    def stop(self) -> None:
        """Ask it, and all that it started, to end."""

    def kill(self) -> None:
        """End it at once."""


class Process:
    """A command that runs on this machine."""

    queued = why = ""

    def __init__(self, command: Sequence[str], root: Path, log: Path, settings: dict[str, str]) -> None:
        """Start it, in a group of its own so that what stops it reaches all that it started."""
        with log.open("a") as output:
            self.process = subprocess.Popen(
                command, cwd=root, env=settings, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def poll(self) -> int | None:
        """Its exit status; None until it has ended."""
        return self.process.poll()

    def stop(self) -> None:
        """Interrupt it and all that it started."""
        self._send(signal.SIGINT)

    def kill(self) -> None:
        """Kill it and all that it started."""
        self._send(signal.SIGKILL)
        self.process.wait()

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@dataclass
class Job:
    """A command that runs stages one after the other.

    It starts when the jobs in `needs` have succeeded and those in `follows` have ended, and is skipped where one that
    it needs has failed. Of several that can start, the longest does. `expected` says how many seconds a stage takes,
    where that is known.
    """

    name: str
    stages: Sequence[str]
    command: Sequence[str]
    expected: dict[str, float] = field(default_factory=dict)
    needs: set[str] = field(default_factory=set)
    follows: set[str] = field(default_factory=set)
    state: str = "waiting"
    """waiting, running, done, failed or skipped."""
    queued: str = ""
    """Why, though started, it still waits for a machine."""
    stage: str = ""
    reached: Reached | None = None
    reason: str = ""
    """Why it failed."""
    began: float = 0.0
    ended: float = 0.0
    stage_began: float = 0.0

    @property
    def seconds_left(self) -> float:
        """What is expected of the stages to come, and of the present one by its own account where it gives one."""
        if self.state not in ("waiting", "running"):
            return 0.0
        if not self.stage:
            return sum(self.expected.values())
        now = list(self.stages).index(self.stage)
        later = sum(self.expected.get(stage, 0.0) for stage in self.stages[now + 1 :])
        expected = self.expected.get(self.stage, 0.0) - (time.monotonic() - self.stage_began)
        return later + (self.reached.minutes * 60 if self.reached else max(0.0, expected))

    def start(self, log: Path, start: "Start") -> None:
        """Start the command, all that it says going to a file."""
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        self.work = start(self, log)
        self.said, self.rest = log.open(errors="replace"), ""
        self.state, self.began = "running", time.monotonic()

    def hear(self, line: str) -> None:
        """Take in one line of what the process says."""
        if found := RUNNING.fullmatch(line):
            self.stage, self.reached, self.stage_began = found["stage"], None, time.monotonic()
        elif found := PASSED.fullmatch(line):
            self.expected.pop(found["stage"], None)
        else:
            self.reached = Reached.parse(line) or self.reached

    def poll(self) -> bool:
        """Take in what the process has said since the last time; gives whether it has ended."""
        if self.state != "running":
            return True
        status, self.queued = self.work.poll(), self.work.queued
        *lines, self.rest = (self.rest + self.said.read()).split("\n")
        for line in lines:
            self.hear(line)
        if status is not None:
            self.state, self.ended = ("failed" if status else "done"), time.monotonic()
            self.said.seek(0)
            by = _ended_by(-status) if status < 0 else ""
            self.reason = self.work.why or by or reason(self.said.read().splitlines())
            self.said.close()
        return status is not None


Start = Callable[[Job, Path], Work]
"""Starts a job whose command writes to a file."""


def run_all(
    jobs: Sequence[Job], count: int, artifacts: Artifacts, display: Display, start: Start | None = None
) -> None:
    """Run jobs, `count` at a time, until each is done, failed or skipped; what each says is in .thaw/logs/.

    They are processes of this machine, unless `start` runs them elsewhere. On an interruption (Ctrl-C, SIGTERM or
    SIGHUP), as on any error, every one is told to stop before it is raised.
    """
    settings = telling(artifacts.root, display.every)
    start = start or (lambda job, log: Process(job.command, artifacts.root, log, settings))
    by_name = {job.name: job for job in jobs}
    # None of the longest is to run alone at the end.
    longest_first = sorted(jobs, key=lambda job: -sum(job.expected.values()))
    with _interruptible(), display:
        try:
            while any(job.state in ("waiting", "running") for job in jobs):
                for job in jobs:
                    if job.state == "running" and job.poll():
                        display.ended(job, jobs)
                for job in longest_first:
                    if job.state != "waiting":
                        continue
                    needed, before = ([by_name[n] for n in names if n in by_name] for names in (job.needs, job.follows))
                    if any(other.state in ("failed", "skipped") for other in needed):
                        job.state = "skipped"
                        display.ended(job, jobs)
                    elif all(other.state not in ("waiting", "running") for other in (*needed, *before)) and (
                        sum(other.state == "running" for other in jobs) < count
                    ):
                        job.start(artifacts.kept("logs") / f"{job.name}.log", start)
                display.refresh(jobs)
                time.sleep(POLL_SECONDS)
        finally:
            _stop([job for job in jobs if job.state == "running"])


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Make SIGTERM and SIGHUP what Ctrl-C is, also where the shell has told this process to ignore that."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _stop(jobs: Sequence[Job]) -> None:
    """Interrupt jobs, and kill what has not ended after a while or when the user interrupts again."""
    for job in jobs:
        job.work.stop()
    deadline = time.monotonic() + PATIENCE_SECONDS
    with contextlib.suppress(KeyboardInterrupt):
        while not all([job.poll() for job in jobs]) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    for job in jobs:
        if not job.poll():
            job.work.kill()
