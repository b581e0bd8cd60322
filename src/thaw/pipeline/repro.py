"""Bringing results up to date: what `thaw repro` and `thaw report` do."""

import os
from collections.abc import Callable, Collection, Iterable, Sequence

from thaw.artifacts import Artifacts
from thaw.errors import ThawError
from thaw.params import read_params
from thaw.pipeline.dvcfile import Pipeline
from thaw.pipeline.live import display_for
from thaw.pipeline.plan import Plan, jobs_for, minutes, seconds
from thaw.pipeline.running import DVC, Job, dvc, run_all
from thaw.pipeline.status import Status

FIRST, LAST = "what comes first", "summary and figures"


def repro(artifacts: Artifacts, jobs: int | None = None, *, options: Sequence[str] = (),
          only: Collection[str] | None = None, same_budget: bool = True) -> None:  # fmt: skip
    """Bring every artifact up to date, `jobs` variants or studies at a time.

    `only` restricts the stages, `options` go to `dvc repro`. With another budget than that of the last runs, their
    times say which jobs are the longest, and not how long those take. Every stage has its own seed and its own number
    of threads, so `jobs` does not change a byte of any result. Raises ThawError that names every variant and study
    that failed, with its reason; the others are finished nevertheless.
    """
    count = jobs or jobs_for(read_params(artifacts.params))
    crew = _crew(artifacts, options, only)
    if not same_budget:
        for job in crew:
            job.expected.clear()
    try:
        run_all(crew, count, artifacts, display_for(count))
    except KeyboardInterrupt:
        raise ThawError(f"stopped; {_again(artifacts)} goes on from the last checkpoints.") from None
    failed = [job for job in crew if job.state == "failed"]
    if failed:
        raise ThawError(_failure(artifacts, failed, [job.name for job in crew if job.state == "skipped"]))


def _crew(artifacts: Artifacts, options: Sequence[str], only: Collection[str] | None) -> list[Job]:
    """A job for each variant and each study, one before and one after them all, where they have stages to run."""
    pipeline = Pipeline.read(artifacts)

    def job(name: str, stages: Iterable[str], needs: Iterable[str] = (), follows: Iterable[str] = ()) -> Job:
        wanted = [stage for stage in stages if only is None or stage in only]
        known = {stage: found for stage in wanted if (found := seconds(artifacts, stage)) is not None}
        command = [*DVC, "--wait-for-lock", "repro", "-s", *options, *wanted]
        return Job(name, wanted, command, known, set(needs), set(follows), sum(known.values()))

    variants = dict.fromkeys(stage.key for stage in pipeline.stages.values() if stage.kind in pipeline.chain)
    crew = [job(FIRST, pipeline.before), *(job(variant, pipeline.of(variant), [FIRST]) for variant in variants)]
    for key, stage in pipeline.studies.items():
        of = {pipeline.stages[maker].key for maker in pipeline.inputs(stage).values()} - {""}
        crew.append(job(f"study {key}", [stage], [FIRST, *of]))
    crew.append(job(LAST, pipeline.after, [FIRST], [each.name for each in crew]))
    return [each for each in crew if each.stages]


def _failure(artifacts: Artifacts, failed: Sequence[Job], skipped: Sequence[str]) -> str:
    folder = os.path.relpath(artifacts.log("x").parent)
    lines = [f"{', '.join(job.name for job in failed)} failed; everything else that was asked for is up to date."]
    if skipped:
        lines = [f"{', '.join(job.name for job in failed)} failed, so {', '.join(skipped)} was left out."]
    lines += [f"  {job.stage or job.name}: {job.reason}" for job in failed]
    return "\n".join([*lines, f"All that they said is in {folder}{os.sep}; {_again(artifacts)} tries again."])


def _again(artifacts: Artifacts) -> str:
    """What goes on with a repetition: in a copy of the project, only a command that is given there."""
    folder = os.path.relpath(artifacts.root)
    return "`thaw repro`" if folder == os.curdir else f"`thaw repro` in {folder}"


def report(artifacts: Artifacts, confirm: Callable[[str], bool], jobs: int | None = None) -> None:
    """Bring figures and tables up to date, training only what changed.

    `confirm` is asked before work that only brings back what this machine lacks. Raises ThawError where it declines.
    """
    plan = Plan.of(Status.read(artifacts), artifacts)
    for variant, stages in plan.by_key.items():
        again = [stage for stage in stages if stage in plan.repeated]
        if again and not confirm(
            f"{variant} has to be evaluated or studied again, and {' and '.join(again)} made what that needs: "
            f"repeating it takes about {minutes(artifacts, again):.0f} minutes, and `dvc pull` may save it."
        ):
            raise ThawError(f"{variant} was left as it was; `dvc pull` or `thaw report --yes` goes on.")
    for variant, stages in plan.by_key.items():
        print(f"{variant}: {', '.join(stages)} (about {minutes(artifacts, stages):.0f} min)", flush=True)
    if studies := [key for key, stage in plan.pipeline.studies.items() if stage in plan.stages]:
        print(f"studies: {', '.join(studies)}", flush=True)
    if plan.checked_out:
        dvc(artifacts.root, "--wait-for-lock", "checkout", "-q", *plan.checked_out)
    repro(artifacts, jobs, only=plan.stages)
