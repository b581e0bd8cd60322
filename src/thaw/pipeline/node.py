"""What runs on a node of a cluster: one job's command, as this machine would run it."""

import fcntl
import time
from pathlib import Path

from submitit.core.utils import UncompletedJobError
from submitit.helpers import Checkpointable

from thaw.pipeline.running import Process, telling

POLL_SECONDS = 0.2
STOP_SECONDS = 0.5
"""How long a command has to end by itself; submitit kills what runs it after a second."""


class Command(Checkpointable):
    """A command that writes what it says to a log; called again after a preemption, it goes on from its checkpoint.

    `watched` is a file that `thaw repro` has locked.
    """

    def __init__(self, command: list[str], root: Path, log: Path, every: float, watched: Path | None) -> None:
        self.command, self.root, self.log, self.every, self.watched = command, root, log, every, watched

    def __call__(self) -> int:
        """Run the command, and give its exit status."""
        if self.watched and not _is_locked(self.watched):
            self._say(
                "thaw: this node does not see the locks of the machine that submitted the job, so DVC's would not hold "
                "either; call `dvc config --local core.hardlink_lock true`, and then again."
            )
            return 2
        process = Process(self.command, self.root, self.log, telling(self.root, self.every))
        try:
            while (status := process.poll()) is None:
                time.sleep(POLL_SECONDS)
            return status
        except UncompletedJobError as error:
            self._say(f"thaw: {error}")
            return 1
        finally:
            if process.poll() is None:
                _end(process)

    def _say(self, sentence: str) -> None:
        with self.log.open("a") as log:
            log.write(f"{sentence}\n")


def _end(process: Process) -> None:
    """Let nothing go on that the command has started."""
    try:
        process.stop()
        deadline = time.monotonic() + STOP_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(STOP_SECONDS / 10)
    finally:
        process.kill()


def _is_locked(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
