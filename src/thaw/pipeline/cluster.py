"""Jobs on a cluster: submitit starts each on a node that shares the project's folder with this machine."""

import importlib.util
import shutil
import subprocess
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from thaw.errors import ThawError
from thaw.params import Strict, suggest
from thaw.pipeline.running import Job, Start, Work
from thaw.pipeline.status import opened
from thaw.results.layout import Artifacts

if TYPE_CHECKING:
    from submitit import Job as Submission

QUEUE_SECONDS = 5.0
"""How often SLURM is asked, once for all jobs."""
PATIENCE_SECONDS = 30.0
"""How long a file that a node has written may take to be seen here."""
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
         "REVOKED", "TIMEOUT"}  # fmt: skip
"""SLURM's states of a job that does not go on."""


class Resources(Strict):
    """What each job asks for: [tool.thaw.cluster] in pyproject.toml, and then options."""

    partition: str | None = None
    time: int = Field(default=240, gt=0)
    """Minutes."""
    gpus: int = Field(default=0, ge=0)
    mem: str | None = None
    """As SLURM takes it, for instance 8G."""
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    setup: list[str] = Field(default_factory=list)
    """Lines of shell before the job, for instance `module load cuda`."""

    @classmethod
    def read(cls, root: Path, options: dict[str, Any]) -> "Resources":
        """The table of a project and what options say else. Raises ThawError where a key or a value is none."""
        path = root / "pyproject.toml"
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ThawError(f"pyproject.toml is not valid TOML ({error}); mend it.") from None
        table = content.get("tool", {}).get("thaw", {}).get("cluster", {})
        if not isinstance(table, dict):
            raise ThawError("pyproject.toml: tool.thaw.cluster is no table; write its keys below [tool.thaw.cluster].")
        for key in set(table) - set(cls.model_fields):
            raise ThawError(f"pyproject.toml: [tool.thaw.cluster] has {key}{suggest(key, cls.model_fields)}; "
                            f"it may have {', '.join(cls.model_fields)}.")  # fmt: skip
        try:
            return cls.model_validate(table | {key: value for key, value in options.items() if value is not None})
        except ValidationError as error:
            wrong = error.errors()[0]
            raise ThawError(f"[tool.thaw.cluster] of pyproject.toml, or an option: {wrong['loc'][0]}: "
                            f"{wrong['msg']}; write another value.") from None  # fmt: skip


@dataclass(frozen=True)
class Cluster:
    """Where jobs run, slurm or local, as submitit names it, and what each asks for."""

    name: Literal["slurm", "local"]
    resources: Resources

    @property
    def queues(self) -> bool:
        """Whether it decides itself how many jobs run at a time."""
        return self.name == "slurm"

    def starter(self, artifacts: Artifacts, threads: int, every: float) -> Start:
        """What submits a job, which has so many threads and says every so many seconds how far it is.

        Raises ThawError where submitit or SLURM is missing, or jobs of an earlier call are still there.
        """
        if importlib.util.find_spec("submitit") is None:
            raise ThawError("`--on` needs submitit: uv pip install 'thaw[cluster]', or -e '.[cluster]' in a clone.")
        if self.queues and shutil.which("srun") is None:
            raise ThawError("there is no SLURM here (no `srun`); call from a machine that submits jobs to it.")
        from submitit import AutoExecutor
        from submitit.core.utils import FailedJobError

        from thaw.pipeline.node import Command

        queue, folder = Queue(str(artifacts.root)), artifacts.kept("cluster")
        if self.queues and (earlier := queue.active()):
            raise ThawError(f"jobs of an earlier call are still in SLURM's queue; `scancel {' '.join(earlier)}` ends "
                            "them, and the next call goes on from their last checkpoints.")  # fmt: skip
        shutil.rmtree(folder, ignore_errors=True)
        with opened(artifacts.root) as repo:
            watched = None if repo.config["core"].get("hardlink_lock") else artifacts.kept("working")
        executor, asked = AutoExecutor(folder, cluster=self.name), self.resources
        executor.update_parameters(
            timeout_min=asked.time, cpus_per_task=threads, gpus_per_node=asked.gpus or None, stderr_to_stdout=True,
            slurm_partition=asked.partition, slurm_mem=asked.mem, slurm_account=asked.account, slurm_qos=asked.qos,
            slurm_constraint=asked.constraint, slurm_setup=asked.setup or None, slurm_comment=str(artifacts.root),
            slurm_srun_args=[f"--cpus-per-task={threads}"],
        )  # fmt: skip

        def start(job: Job, log: Path) -> Work:
            executor.update_parameters(name=f"thaw-{job.name}")
            try:
                submission = executor.submit(Command(list(job.command), artifacts.root, log, every, watched))
            except FailedJobError as error:
                raise ThawError(f"SLURM refuses {job.name}: {str(error).strip().splitlines()[-1]}") from None
            return Submitted(submission, queue if self.queues else None)

        return start


class Queue:
    """What SLURM says of the jobs of one project, asked now and then."""

    def __init__(self, comment: str) -> None:
        self.comment, self.states, self.asked = comment, dict[str, tuple[str, str]](), float("-inf")

    def state(self, number: str) -> tuple[str, str]:
        """SLURM's word on a job, and on why it is so; nothing where it knows none."""
        if time.monotonic() - self.asked > QUEUE_SECONDS:
            self._ask()
        return self.states.get(number, ("", ""))

    def active(self) -> list[str]:
        """The numbers of the jobs that wait or run."""
        self._ask()
        return [number for number, (state, _) in self.states.items() if state not in ENDED]

    def _ask(self) -> None:
        # `sacct`, which submitit asks, needs a database of accounts that small clusters do not have.
        query = ["squeue", "--me", "--states=all", "--noheader", "--format=%i|%T|%r|%k"]
        done = subprocess.run(query, capture_output=True, text=True)
        self.asked = time.monotonic()
        if done.returncode == 0:  # otherwise it is too busy, and asked again
            rows = [line.split("|", 3) for line in done.stdout.splitlines()]
            self.states = {number: (state, why) for number, state, why, comment in rows if comment == self.comment}


class Submitted:
    """A job that submitit has started, in SLURM's queue if there is one."""

    def __init__(self, submission: "Submission[int]", queue: Queue | None) -> None:
        self.submission, self.queue, self.why = submission, queue, ""
        self.seen = time.monotonic()

    @property
    def queued(self) -> str:
        """Why it still waits for a machine, in SLURM's word; nothing once it runs."""
        state, reason = self.queue.state(self.submission.job_id) if self.queue else ("", "")
        return reason if state == "PENDING" else ""

    def poll(self) -> int | None:
        """Its exit status; None until it has ended."""
        if self.submission.paths.result_pickle.exists():
            if error := self.submission.exception():
                self.why = _last(str(error).rpartition("-" * 22)[0])
                return 1
            return self.submission.result()
        if self.queue is None:
            return 1 if self.submission.done() else None
        state, _ = self.queue.state(self.submission.job_id)
        if state and state not in ENDED:
            self.seen = time.monotonic()
        # What SLURM has forgotten, or calls completed, has written what it found, which may not be seen here yet.
        elif state not in ("", "COMPLETED") or time.monotonic() - self.seen > PATIENCE_SECONDS:
            said = _last(self.submission.stdout() or "")
            self.why = f"SLURM ended it ({state.lower() or 'lost'}){f': {said}' if said else ''}"
            return 1
        return None

    def stop(self) -> None:
        """Cancel it."""
        self.submission.cancel(check=False)

    kill = stop


def _last(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip(" -")), "")
