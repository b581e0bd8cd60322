"""Progress of long work: a bar with the time left in a terminal, and a plain line now and then elsewhere."""

import os
import re
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_SECONDS = 15.0
"""Between two plain lines."""
EVERY = "THAW_PROGRESS_SECONDS"
"""The environment variable that says otherwise."""
LINE = re.compile(r"(?P<label>.+): (?P<done>\d+)/(?P<total>\d+) (?P<unit>\S+), (?P<minutes>\d+\.\d) min left(?: .*)?")


@dataclass(frozen=True)
class Reached:
    """How far some work is."""

    label: str
    done: int
    total: int
    unit: str
    minutes: float
    """Left, at the rate so far."""

    @classmethod
    def parse(cls, line: str) -> "Reached | None":
        """What a plain line of `Meter` says; None where it is no such line."""
        found = LINE.fullmatch(line.strip())
        if found is None:
            return None
        return cls(found["label"], int(found["done"]), int(found["total"]), found["unit"], float(found["minutes"]))


class Meter:
    """A context manager that is told how far the work is.

    `total` counts whatever `unit` names; work that is resumed starts at `start`.
    """

    def __init__(self, label: str, total: int, unit: str, start: int = 0) -> None:
        self.label, self.total, self.unit, self.start = label, total, unit, start
        self.every = float(os.environ.get(EVERY, PLAIN_SECONDS))
        self.began = self.spoke = time.monotonic()
        self.bar: Progress | None = None
        if sys.stderr.isatty():
            self.bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
                TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=Console(stderr=True),
            )  # fmt: skip

    def __enter__(self) -> Self:
        if self.bar:
            self.bar.start()
            self.task = self.bar.add_task(self.label, total=self.total, completed=self.start, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()
        elif kind is None:
            print(f"{self.label}: done in {time.monotonic() - self.began:.0f} s", file=sys.stderr, flush=True)

    def update(self, done: int, note: str = "") -> None:
        """Say that `done` of `total` is done."""
        if self.bar:
            self.bar.update(self.task, completed=done, note=note)
            return
        now = time.monotonic()
        if now - self.spoke >= self.every and done > self.start:
            self.spoke = now
            left = (now - self.began) / (done - self.start) * (self.total - done)
            line = f"{self.label}: {done}/{self.total} {self.unit}, {left / 60:.1f} min left {note}".rstrip()
            print(line, file=sys.stderr, flush=True)
