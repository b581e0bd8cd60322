"""What `thaw repro` shows of its jobs: one live view in a terminal, and a line now and then elsewhere."""

import sys
import time
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from thaw.pipeline.running import Display, Job

PLAIN_SECONDS = 30.0
BAR_WIDTH = 24


def display_for(count: int) -> Display:
    """The display that suits standard error, for `count` jobs at a time."""
    console = Console(stderr=True, highlight=False)
    return Terminal(console, count) if sys.stderr.isatty() else Plain(console, count)


def time_left(jobs: Sequence[Job], count: int) -> float | None:
    """Seconds until all is done, `count` jobs at a time: no less than the longest. None where nothing is known.

    A job of which nothing is known is taken for an average one.
    """
    known = [job.seconds_left for job in jobs if job.state in ("waiting", "running") and (job.expected or job.reached)]
    if not known:
        return None
    unknown = sum(job.state == "waiting" and not job.expected for job in jobs)
    return max(max(known), (sum(known) + unknown * sum(known) / len(known)) / count)


def spoken(seconds: float) -> str:
    """A duration as a person says it."""
    minutes = seconds / 60
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes // 60:.0f} h {minutes % 60:.0f} min"


def overall(jobs: Sequence[Job], count: int) -> str:
    """How many of the jobs have ended, and how long the rest takes."""
    ended = sum(job.state in ("done", "failed", "skipped") for job in jobs)
    left = time_left(jobs, count)
    return f"{ended} of {len(jobs)}" + ("" if left is None else f", about {spoken(left)} left")


def outcome(job: Job) -> str:
    """What became of a job, in one line."""
    if job.state == "skipped":
        return f"{job.name}: skipped, as it needs what failed"
    if job.state == "failed":
        return f"{job.name}: failed at {job.stage or 'the start'}: {job.reason}"
    return f"{job.name}: done in {spoken(job.ended - job.began)}"


def doing(job: Job) -> str:
    """What a running job is at, as a stage and how far that is."""
    kind = job.stage.partition("@")[0] or "starting"
    if job.reached is None:
        return f"{kind}, {spoken(time.monotonic() - (job.stage_began or job.began))} so far"
    detail = job.reached.label.partition(", ")[2]
    return f"{kind}{f', {detail}' if detail else ''}: {job.reached.done}/{job.reached.total} {job.reached.unit}"


class Plain(Display):
    """Lines for a log: one when a job ends, and one now and then on each that runs."""

    def __init__(self, console: Console, count: int) -> None:
        self.console, self.count, self.spoke = console, count, time.monotonic()

    def ended(self, job: Job, jobs: Sequence[Job]) -> None:
        """One line on the job, and on what is left."""
        self._say(f"{outcome(job)} ({overall(jobs, self.count)})")

    def refresh(self, jobs: Sequence[Job]) -> None:
        """Every half minute, one line on each running job."""
        if time.monotonic() - self.spoke >= PLAIN_SECONDS:
            for job in jobs:
                if job.state == "running":
                    left = f", {spoken(job.reached.minutes * 60)} left" if job.reached else ""
                    self._say(f"{job.name}: {doing(job)}{left}")

    def _say(self, line: str) -> None:
        self.spoke = time.monotonic()
        self.console.print(Text(line), soft_wrap=True)


class Terminal(Display):
    """A view that is drawn anew: what has ended above, below it a row for each running job and the time left."""

    every = 1.0

    def __init__(self, console: Console, count: int) -> None:
        self.console, self.count = console, count
        self.live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> "Terminal":
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def ended(self, job: Job, jobs: Sequence[Job]) -> None:
        """A line that stays."""
        style = {"failed": "red", "skipped": "yellow"}.get(job.state, "green")
        self.live.console.print(Text(outcome(job), style=style))

    def refresh(self, jobs: Sequence[Job]) -> None:
        """Draw the running jobs."""
        self.live.update(view(jobs, self.count), refresh=True)


def view(jobs: Sequence[Job], count: int) -> RenderableType:
    """A row for each running job, and one line for all."""
    table = Table.grid(padding=(0, 2))
    for job in jobs:
        if job.state == "running":
            reached = job.reached
            bar = ProgressBar(reached.total, reached.done, width=BAR_WIDTH) if reached else Text("")
            left = f"{spoken(reached.minutes * 60)} left" if reached else ""
            table.add_row(Text(job.name, style="bold"), Text(doing(job)), bar, Text(left))
    return Group(table, Text(overall(jobs, count), style="dim"))
