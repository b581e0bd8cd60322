"""`thaw status` in words: what has to run, because of what, and how long it takes."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

from thaw.params import Params, read_params
from thaw.pipeline.machine import jobs_for, machine_notes
from thaw.pipeline.plan import Plan, seconds, spoken, total_seconds
from thaw.pipeline.status import Stage, Status
from thaw.pipeline.why import in_words
from thaw.results.history import git
from thaw.results.layout import Artifacts
from thaw.results.wording import join, many, some

REASONS_SHOWN = 12


def explain(artifacts: Artifacts, targets: Sequence[str] = ()) -> tuple[str, bool]:
    """What is not up to date, for a person to read, and whether anything has to run.

    Raises ThawError where a target is no variant, study or stage.
    """
    params, status = read_params(artifacts.params), Status.read(artifacts)
    plan = Plan.of(status, targets)
    lines = list(_blocks(artifacts, params, plan))
    if lines:
        lines += _costs(artifacts, params, plan, " ".join(["thaw report", *targets]))
    else:
        of = f"Everything about {join(targets)}" if targets else "Everything"
        lines.append(f"{of} is up to date with params.yaml, the code and the data.")
    if missing := [path for stage in status.stages.values() for path in stage.missing if stage.name not in plan.stages]:
        folders = sorted({path.split("/")[0] for path in missing})
        variants = many(len({path.split("/")[1] for path in missing}), "variant")
        lines.append(f"The {join(folders)} of {variants} are not on this machine; nothing needs them now, and "
                     "`dvc pull` or `thaw repro` brings them.")  # fmt: skip
    return "\n".join([*lines, *machine_notes(artifacts, params.variants)]), bool(plan.stages)


def _blocks(artifacts: Artifacts, params: Params, plan: Plan) -> Iterator[str]:
    """What has to run and why, once for all the variants or studies that share it."""
    groups: dict[tuple[str, ...], list[str]] = {}
    late, files = [], functools.cache(functools.partial(_files, artifacts))
    for subject, stages in plan.by_subject.items():
        reasons = _reasons(files, plan, stages)
        if stages[0].key or any(stage.changes for stage in stages):
            kinds = ", ".join(_kind(plan, stage) for stage in stages if stage.key)
            groups.setdefault((kinds, *reasons), []).append(subject)
        else:
            late.append(subject)
    for (kinds, *reasons), subjects in groups.items():
        stages = [stage for subject in subjects for stage in plan.by_subject[subject]]
        known = any(seconds(artifacts, stage) is not None for stage in stages)
        cost = f" (about {spoken(total_seconds(artifacts, stages))})" if known else ""
        yield f"{_named(params, subjects)}{': ' if kinds else ''}{kinds}{cost}"
        yield from (f"    {reason}" for reason in reasons[:REASONS_SHOWN])
        if len(reasons) > REASONS_SHOWN:
            yield f"    and {len(reasons) - REASONS_SHOWN} more"
    if late:
        yield f"then {join(late)}"


def _named(params: Params, subjects: Sequence[str]) -> str:
    """Variants or studies as a person lists them."""
    studies = {*params.studies.trained, *params.studies.untrained}
    for name, whole in (("all variants", {*params.variants}), ("all studies", studies)):
        if len(subjects) > 1 and {*subjects} == whole:
            return name
    return ", ".join(subjects)


def _kind(plan: Plan, stage: Stage) -> str:
    return f"{stage.kind} (its result is not on this machine)" if stage.name in plan.repeated else stage.kind


def _reasons(files: Callable[[str], str], plan: Plan, stages: Sequence[Stage]) -> list[str]:
    """Why stages run, without repetitions; what follows from an earlier one of them needs no reason."""
    found: dict[str, None] = {}
    for stage in stages:
        for change in stage.changes:
            found[in_words(change) + (files(change.name) if change.how == "modified" else "")] = None
    if not found:
        makers = (maker for stage in stages for maker in stage.reads.values() if maker in plan.stages)
        found = {f"follows from {maker}": None for maker in makers}
    return list(found)


def _files(artifacts: Artifacts, path: str) -> str:
    """Which files of a folder differ from the commit that wrote dvc.lock, where git knows."""
    if not (artifacts.root / path).is_dir():
        return ""
    commit = _lines(artifacts, "log", "-1", "--format=%H", "--", "dvc.lock")
    names = _lines(artifacts, "diff", "--name-only", "--relative", *commit, "--", path) if commit else []
    names += _lines(artifacts, "ls-files", "--others", "--exclude-standard", "--", path) if commit else []
    return f" ({some([name.removeprefix(f'{path}/') for name in names])})" if names else ""


def _lines(artifacts: Artifacts, *arguments: str) -> list[str]:
    done = git(artifacts.root, *arguments)
    return done.stdout.decode().splitlines() if done.returncode == 0 else []


def _costs(artifacts: Artifacts, params: Params, plan: Plan, command: str) -> Iterable[str]:
    """How the plan is carried out, and how long that takes."""
    if plan.checked_out:
        yield f"DVC's cache has {some(plan.checked_out)}, which these need."
    total = total_seconds(artifacts, plan.stages.values())
    jobs = min(jobs_for(params), len({stage.key for stage in plan.stages.values()} - {""}) or 1)
    side_by_side = f", {spoken(total / jobs)} with {jobs} at a time" if jobs > 1 else ""
    took = f" in about {spoken(total)}{side_by_side}, by the times in run.json" if total else ""
    yield f"`{command}` brings this up to date{took}."
