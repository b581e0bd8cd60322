"""Running jobs side by side: each is one process of DVC, whose lines tell how far it is and why it failed."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from thaw.artifacts import Artifacts
from thaw.files import replacing
from thaw.pipeline.serving import serving
from thaw.progress import EVERY, Reached

RUNNING = re.compile(r"Running stage '(?P<stage>[^']+)':?")
PASSED = re.compile(r"Stage '(?P<stage>[^']+)' (?:didn't change|is cached)\b.*")
SAID = re.compile(r"thaw: (?P<sentence>.+)")
EXCEPTION = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)(?:: .+)?")
DVC_ERROR = re.compile(r"(?:\x1b\[\d+m)*ERROR(?:\x1b\[\d+m)*: (?P<sentence>.+)")
DVC = (sys.executable, "-m", "thaw.pipeline.dvc_program")
WORDS_KEPT = 2000
PATIENCE_SECONDS = 60.0
"""How long an interrupted job may take to end before it is killed."""
POLL_SECONDS = 0.2
READ_SECONDS = 5.0
"""How long an ended job may have words left to read: something that it left running could hold its output open."""


def environment(root: Path) -> dict[str, str]:
    """The environment in which stages run: this Python's programs first, and the project's own code."""
    programs = Path(sys.executable).parent
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(root / "src"),
    }


def dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a DVC command in the project, waiting for any other that holds its lock; what it says is kept."""
    command = [*DVC, *arguments]
    return subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True)


@dataclass
class Job:
    """A command that runs stages one after the other.

    It starts when the jobs in `needs` have succeeded and those in `follows` have ended, and is skipped where one that
    it needs has failed. Of several that can start, the one of the greatest `size` does. `expected` says how many
    seconds a stage takes, where that is known.
    """

    name: str
    stages: Sequence[str]
    command: Sequence[str]
    expected: dict[str, float] = field(default_factory=dict)
    needs: set[str] = field(default_factory=set)
    follows: set[str] = field(default_factory=set)
    size: float = 0.0
    state: str = "waiting"
    """waiting, running, done, failed or skipped."""
    stage: str = ""
    reached: Reached | None = None
    began: float = 0.0
    ended: float = 0.0
    stage_began: float = 0.0
    words: deque[str] = field(default_factory=lambda: deque(maxlen=WORDS_KEPT))
    process: subprocess.Popen[str] | None = None
    reader: threading.Thread | None = None

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

    @property
    def reason(self) -> str:
        """The sentence with which the job failed: the stage's own, else its exception, else DVC's."""
        for pattern, group in ((SAID, "sentence"), (EXCEPTION, 0), (DVC_ERROR, "sentence")):
            for line in reversed(self.words):
                if found := pattern.fullmatch(line):
                    return str(found[group])
        return self.words[-1] if self.words else "it said nothing"

    def start(self, root: Path, settings: dict[str, str]) -> None:
        """Start the process, in a group of its own so that what stops it reaches all that it started."""
        self.process = subprocess.Popen(
            self.command, cwd=root, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        self.state, self.began = "running", time.monotonic()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.hear(line.rstrip())

    def hear(self, line: str) -> None:
        """Take in one line of what the process says."""
        if found := RUNNING.fullmatch(line):
            self.stage, self.reached, self.stage_began = found["stage"], None, time.monotonic()
        elif found := PASSED.fullmatch(line):
            self.expected.pop(found["stage"], None)
        elif reached := Reached.parse(line):
            self.reached = reached
            return
        if line:
            self.words.append(line)

    def poll(self) -> bool:
        """Whether the job has ended by now."""
        assert self.process is not None
        assert self.reader is not None
        if self.process.poll() is None:
            return False
        self.reader.join(READ_SECONDS)
        self.state, self.ended = ("failed" if self.process.returncode else "done"), time.monotonic()
        return True

    def send(self, number: int) -> None:
        """Send a signal to the process and all that it started."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Display:
    """What a crew tells of itself; this one tells nothing."""

    every = 15.0
    """Seconds between two reports of a job's progress."""

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ended(self, job: Job, jobs: Sequence[Job]) -> None:
        """A job has just ended."""

    def refresh(self, jobs: Sequence[Job]) -> None:
        """Some time has passed."""


def run_all(jobs: Sequence[Job], count: int, artifacts: Artifacts, display: Display) -> None:
    """Run jobs, `count` at a time, until each is done, failed or skipped; what each said is in .thaw/logs/.

    On an interruption (Ctrl-C, SIGTERM or SIGHUP), as on any error, every process is told to stop before it is raised.
    """
    by_name = {job.name: job for job in jobs}
    longest_first = sorted(jobs, key=lambda job: -job.size)  # so that none of them runs alone at the end
    settings = environment(artifacts.root) | {"PYTHONUNBUFFERED": "1", EVERY: str(display.every)}
    with _interruptible(), serving(settings) as asking, display:
        try:
            while any(job.state in ("waiting", "running") for job in jobs):
                for job in jobs:
                    if job.state == "running" and job.poll():
                        _write_log(artifacts, job)
                        display.ended(job, jobs)
                for job in longest_first:
                    if job.state == "waiting":
                        _start_or_skip(job, by_name, count, artifacts.root, asking, display)
                display.refresh(jobs)
                time.sleep(POLL_SECONDS)
        finally:
            _stop([job for job in jobs if job.state == "running"])


def _start_or_skip(job: Job, jobs: dict[str, Job], count: int, root: Path, settings: dict[str, str],
                   display: Display) -> None:  # fmt: skip
    needed = [jobs[name] for name in job.needs if name in jobs]
    if any(other.state in ("failed", "skipped") for other in needed):
        job.state = "skipped"
        display.ended(job, list(jobs.values()))
        return
    ready = all(other.state == "done" for other in needed)
    ready &= all(jobs[name].state not in ("waiting", "running") for name in job.follows if name in jobs)
    if ready and sum(other.state == "running" for other in jobs.values()) < count:
        job.start(root, settings)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Make SIGTERM and SIGHUP what Ctrl-C is, also where the shell has told this process to ignore that."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _stop(jobs: Sequence[Job]) -> None:
    """Interrupt jobs, and kill what has not ended after a while or when the user interrupts again."""
    for job in jobs:
        job.send(signal.SIGINT)
    deadline = time.monotonic() + PATIENCE_SECONDS
    with contextlib.suppress(KeyboardInterrupt):
        while not all([job.poll() for job in jobs]) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    for job in jobs:
        if not job.poll():
            job.send(signal.SIGKILL)
            assert job.process is not None
            job.process.wait()


def _write_log(artifacts: Artifacts, job: Job) -> None:
    with replacing(artifacts.log(job.name)) as temporary:
        temporary.write_text("\n".join(job.words) + "\n")
