"""Bringing results up to date: what `thaw repro` and `thaw report` do."""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from thaw.errors import ThawError
from thaw.params import read_params
from thaw.pipeline.cluster import Cluster
from thaw.pipeline.live import Display
from thaw.pipeline.machine import jobs_for
from thaw.pipeline.plan import Plan, seconds, spoken, total_seconds
from thaw.pipeline.running import DVC, Job, dvc, run_all
from thaw.pipeline.status import Status, opened
from thaw.results.layout import Artifacts
from thaw.results.wording import join


def repro(artifacts: Artifacts, jobs: int | None = None, *, targets: Sequence[str] = (),
          force: bool = False, cluster: Cluster | None = None) -> None:  # fmt: skip
    """Bring targets (all by default) and all that they need up to date, whole, `jobs` variants or studies at a time.

    They run on this machine, or on a cluster, whose own queue decides how many run at a time where `jobs` does not.
    With `force` every stage runs, and DVC's run cache answers for none. Every stage has its own seed and its own number
    of threads, so `jobs` does not change a byte of any result. Raises ThawError that names every variant and study that
    failed, with its reason; the others are finished nevertheless.
    """
    with _alone(artifacts):
        plan = Plan.of(Status.read(artifacts), targets, whole=True, force=force)
        _carry_out(artifacts, plan, jobs, ["--force", "--no-run-cache"] if force else [], cluster)


def report(artifacts: Artifacts, confirm: Callable[[str], bool], jobs: int | None = None,
           targets: Sequence[str] = ()) -> None:  # fmt: skip
    """Bring figures and tables up to date, training only what changed.

    `confirm` is asked before work that only brings back what this machine lacks. Raises ThawError where it declines.
    """
    with _alone(artifacts):
        _report(artifacts, confirm, jobs, targets)


@contextlib.contextmanager
def _alone(artifacts: Artifacts) -> Iterator[None]:
    """Work on the project while nobody else does; raise ThawError, naming the other process, where another one is."""
    path = artifacts.kept("working")
    path.parent.mkdir(exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ThawError(
                f"process {file.read() or 'of another call'} is already bringing results up to date here; call again "
                "when it has ended, or watch its logs in .thaw/logs/."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        _mend_locks(artifacts)
        yield


def _mend_locks(artifacts: Artifacts) -> None:
    """Remove DVC's list of locks where a DVC that was killed has left it half-written: every other would fail on it."""
    from dvc.lock import make_lock
    from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK

    with opened(artifacts.root) as repo:
        path = Path(str(repo.tmp_dir), RWLOCK_FILE)
        guard = str(path.with_name(RWLOCK_LOCK))
        with make_lock(guard, tmp_dir=repo.tmp_dir, hardlink_lock=repo.config["core"].get("hardlink_lock", False)):
            try:
                json.loads(path.read_bytes())
            except FileNotFoundError:
                pass
            except ValueError:
                path.unlink()


def _report(artifacts: Artifacts, confirm: Callable[[str], bool], jobs: int | None, targets: Sequence[str]) -> None:
    plan = Plan.of(Status.read(artifacts), targets, pages=True)
    for subject, stages in plan.by_subject.items():
        again = [stage for stage in stages if stage.name in plan.repeated]
        if again and not confirm(
            f"What has to run reads what {join([stage.name for stage in again])} made, which this machine lacks: "
            f"repeating it takes about {spoken(total_seconds(artifacts, again))}, and `dvc pull` may save it."
        ):
            raise ThawError(f"{subject} was left as it was; `dvc pull` or `thaw report --yes` goes on.")
    for subject, stages in plan.by_subject.items():
        if stages[0].key:
            about = f" (about {spoken(cost)})" if (cost := total_seconds(artifacts, stages)) else ""
            print(f"{subject}: {', '.join(stage.kind for stage in stages)}{about}", flush=True)
    _carry_out(artifacts, plan, jobs)


def _carry_out(
    artifacts: Artifacts, plan: Plan, jobs: int | None, options: Sequence[str] = (), cluster: Cluster | None = None
) -> None:
    if plan.checked_out:
        dvc(artifacts.root, "checkout", "-q", *plan.checked_out)
    crew, params = _crew(artifacts, plan, options), read_params(artifacts.params)
    if not crew:
        return
    count = jobs or (len(crew) if cluster and cluster.queues else jobs_for(params))
    display = Display(count)
    try:
        start = cluster.starter(artifacts, params.threads, display.every) if cluster else None
        run_all(crew, count, artifacts, display, start)
    except KeyboardInterrupt:
        raise ThawError(f"stopped; {_again(artifacts)} goes on from the last checkpoints.") from None
    if failed := [job for job in crew if job.state == "failed"]:
        raise ThawError(_failure(artifacts, failed, [job.name for job in crew if job.state == "skipped"]))


def _crew(artifacts: Artifacts, plan: Plan, options: Sequence[str]) -> list[Job]:
    """A job for each variant and study, and for each of the other stages.

    What brings variants together runs even where one of them failed; everything else needs whatever it reads.
    """
    crew = []
    for subject, stages in plan.by_subject.items():
        names = [stage.name for stage in stages]
        makers = {maker for stage in stages for maker in stage.reads.values() if maker not in names}
        others = [plan.stages[maker] for maker in makers if maker in plan.stages]
        follows = {maker.subject for maker in others if maker.key and not stages[0].key}
        expected = {stage.name: found for stage in stages if (found := seconds(artifacts, stage)) is not None}
        needs, command = {maker.subject for maker in others} - follows, [*DVC, "repro", "-s", *options, *names]
        crew.append(Job(subject, names, command, expected, needs, follows))
    return crew


def _failure(artifacts: Artifacts, failed: Sequence[Job], skipped: Sequence[str]) -> str:
    names, folder = join([job.name for job in failed]), os.path.relpath(artifacts.kept("logs"))
    left_out = f", so {join(skipped)} was left out" if skipped else "; everything else that was asked for is up to date"
    lines = [f"{names} failed{left_out}.", *(f"  {job.stage or job.name}: {job.reason}" for job in failed)]
    return "\n".join([*lines, f"All that they said is in {folder}{os.sep}; {_again(artifacts)} tries again."])


def _again(artifacts: Artifacts) -> str:
    """What goes on with a repetition: in a copy of the project, only a command that is given there."""
    folder = os.path.relpath(artifacts.root)
    return "`thaw repro`" if folder == os.curdir else f"`thaw repro` in {folder}"
