"""What `thaw repro` shows of its jobs: one live view in a terminal, and a line now and then elsewhere."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from thaw.pipeline.plan import spoken

if TYPE_CHECKING:
    from thaw.pipeline.running import Job

PLAIN_SECONDS = 30.0
BAR_WIDTH = 24
STYLES = {"done": "green", "failed": "red", "skipped": "yellow"}


class Display:
    """What has ended, as lines that stay, and what runs: below them in a terminal, and in a line each elsewhere.

    `count` jobs run at a time.
    """

    def __init__(self, count: int, console: Console | None = None) -> None:
        self.count, self.console = count, console or Console(stderr=True, highlight=False)
        self.every = 1.0 if self.console.is_terminal else PLAIN_SECONDS / 2
        """Seconds between two reports of a job's progress."""
        self.live = Live(console=self.console, auto_refresh=False, transient=True)
        self.spoke = time.monotonic()

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def ended(self, job: "Job", jobs: "Sequence[Job]") -> None:
        """Say what became of a job, and in a log also what is left."""
        left = "" if self.console.is_terminal else f" ({overall(jobs, self.count)})"
        self._say(f"{outcome(job)}{left}", STYLES[job.state])

    def refresh(self, jobs: "Sequence[Job]") -> None:
        """Draw the running jobs, or name them every half minute."""
        if self.console.is_terminal:
            self.live.update(view(jobs, self.count), refresh=True)
        elif time.monotonic() - self.spoke >= PLAIN_SECONDS:
            for job in jobs:
                if job.state == "running":
                    self._say(f"{job.name}: {doing(job)}{', ' if job.reached else ''}{left(job)}")

    def _say(self, line: str, style: str = "") -> None:
        self.spoke = time.monotonic()
        self.console.print(Text(line, style=style), soft_wrap=True)


def view(jobs: "Sequence[Job]", count: int) -> RenderableType:
    """A row for each running job, and one line for all."""
    table = Table.grid(padding=(0, 2))
    for job in jobs:
        if job.state == "running":
            bar = ProgressBar(job.reached.total, job.reached.done, width=BAR_WIDTH) if job.reached else Text("")
            table.add_row(Text(job.name, style="bold"), Text(doing(job)), bar, Text(left(job)))
    return Group(table, Text(overall(jobs, count), style="dim"))


def time_left(jobs: "Sequence[Job]", count: int) -> float | None:
    """Seconds until all is done, `count` jobs at a time: no less than the longest. None where nothing is known.

    A job of which nothing is known is taken for an average one.
    """
    known = [job.seconds_left for job in jobs if job.state in ("waiting", "running") and (job.expected or job.reached)]
    if not known:
        return None
    unknown = sum(job.state == "waiting" and not job.expected for job in jobs)
    return max(max(known), (sum(known) + unknown * sum(known) / len(known)) / count)


def overall(jobs: "Sequence[Job]", count: int) -> str:
    """How many of the jobs have ended, and how long the rest takes."""
    ended = sum(job.state in STYLES for job in jobs)
    left = time_left(jobs, count)
    return f"{ended} of {len(jobs)}" + ("" if left is None else f", about {spoken(left)} left")


def outcome(job: "Job") -> str:
    """What became of a job, in one line."""
    if job.state == "skipped":
        return f"{job.name}: skipped, as it needs what failed"
    if job.state == "failed":
        return f"{job.name}: failed at {job.stage or 'the start'}: {job.reason}"
    return f"{job.name}: done in {spoken(job.ended - job.began)}"


def doing(job: "Job") -> str:
    """What a running job is at, as a stage and how far that is."""
    if job.queued:
        return f"in the queue ({job.queued})"
    kind = job.stage.partition("@")[0] or "starting"
    if job.reached is None:
        return f"{kind}, {spoken(time.monotonic() - (job.stage_began or job.began))} so far"
    detail = job.reached.label.partition(", ")[2]
    return f"{kind}{f', {detail}' if detail else ''}: {job.reached.done}/{job.reached.total} {job.reached.unit}"


def left(job: "Job") -> str:
    """How long the present stage of a job takes by its own account; nothing where it gives none."""
    return f"{spoken(job.reached.minutes * 60)} left" if job.reached else ""
