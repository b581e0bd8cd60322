"""Running the stages of dvc.yaml: upstream ones first, then the variants side by side, then what joins them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thaw.artifacts import Artifacts
from thaw.errors import ThawError
from thaw.params import Params, read_params, read_yaml, write_profile

ABSENT = ("deleted", "not in cache")
"""What `dvc status` calls an output that is not on this machine."""
PER_VARIANT = "${variants}"
PER_STUDY = ("${studies.trained}", "${studies.untrained}")
RENDERED = "report"


@dataclass(frozen=True)
class Pipeline:
    """The stages by when they run: before the variants, for each variant in this order, for each study, and at the end.

    `studies` maps a study to its stage as DVC names it. `inputs` maps a stage to the artifacts it reads that another
    stage makes, each with the stage that makes it; paths hold `${key}` for the name of the variant.
    """

    before: list[str]
    chain: list[str]
    studies: dict[str, str]
    after: list[str]
    inputs: dict[str, dict[str, str]]

    @classmethod
    def read(cls, artifacts: Artifacts) -> "Pipeline":
        """The order in dvc.yaml; the stage that renders the report is not part of it."""
        stages: dict[str, Any] = read_yaml(artifacts.root / "dvc.yaml")["stages"]
        names = [name for name in stages if name != RENDERED]
        chain = [name for name in names if stages[name].get("foreach") == PER_VARIANT]
        of_studies = {stages[name]["foreach"]: name for name in names if stages[name].get("foreach") in PER_STUDY}
        asked = read_params(artifacts.params).studies
        groups = dict(zip(PER_STUDY, (list(asked.trained), list(asked.untrained)), strict=True))
        studies = {key: f"{of_studies[group]}@{key}" for group, keys in groups.items() for key in keys}
        contents = {name: stages[name].get("do", stages[name]) for name in names}
        makers = {
            out if isinstance(out, str) else next(iter(out)): name
            for name, content in contents.items()
            for kind in ("outs", "metrics", "plots")
            for out in content.get(kind, [])
        }
        inputs = {
            name: {
                dep: makers[dep]
                for dep in (dep.replace("${item.variant}", "${key}") for dep in content["deps"])
                if dep in makers
            }
            for name, content in contents.items()
        }
        first = names.index(chain[0])
        rest = [name for name in names if name not in chain and name not in of_studies.values()]
        before, after = ([n for n in rest if (names.index(n) < first) == early] for early in (True, False))
        return cls(before, chain, studies, after, inputs)

    def of(self, variant: str) -> list[str]:
        """The stages of one variant, as DVC names them."""
        return [f"{name}@{variant}" for name in self.chain]


def environment(root: Path) -> dict[str, str]:
    """The environment in which stages run: this Python's programs first, and the project's own code."""
    programs = Path(sys.executable).parent
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(root / "src"),
    }


def dvc(root: Path, *arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a DVC command in the project, waiting for any other that holds its lock."""
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment(root), capture_output=capture, text=True
    )


def jobs_for(params: Params) -> int:
    """As many jobs as the machine has room for, at `threads` threads each."""
    return max(1, (os.cpu_count() or 1) // params.threads)


def repro(artifacts: Artifacts, jobs: int | None = None, *, options: Sequence[str] = (),
          work: dict[str, list[str]] | None = None, studies: Sequence[str] | None = None) -> None:  # fmt: skip
    """Bring every artifact up to date, `jobs` variants at a time, then as many studies.

    `work` restricts the stages of each variant and `studies` the studies (all of them by default), `options` go to
    `dvc repro`. Every stage has its own seed and its own number of threads, so `jobs` does not change a byte of any
    result. Raises ThawError that names every variant and study that failed; the others are finished nevertheless.
    """
    params = read_params(artifacts.params)
    pipeline = Pipeline.read(artifacts)
    work = {variant: pipeline.of(variant) for variant in params.variants} if work is None else work
    asked = {key: [stage] for key, stage in pipeline.studies.items() if studies is None or key in studies}

    def run(stages: Sequence[str]) -> bool:
        return dvc(artifacts.root, "--wait-for-lock", "repro", "-q", "-s", *options, *stages).returncode == 0

    if not run(pipeline.before):
        raise ThawError(f"{' or '.join(pipeline.before)} failed, as said above; nothing after it was run.")
    pool = ThreadPoolExecutor(jobs or jobs_for(params))
    try:
        done = dict(zip(work, pool.map(run, work.values()), strict=True))
        done |= dict(zip(asked, pool.map(run, asked.values()), strict=True))
    except KeyboardInterrupt:
        pool.shutdown(cancel_futures=True)
        raise ThawError("stopped; `thaw repro` goes on from the last checkpoints.") from None
    pool.shutdown()
    after = run(pipeline.after)
    if failed := [name for name, succeeded in done.items() if not succeeded]:
        raise ThawError(f"{', '.join(failed)} failed, as said above; everything else is up to date.")
    if not after:
        raise ThawError(f"{' or '.join(pipeline.after)} failed, as said above.")


def outdated(artifacts: Artifacts) -> list[str]:
    """The stages whose parameters, code, inputs or small outputs are not those of dvc.lock.

    Models and samples that are merely absent, as in a fresh clone, outdate nothing. Raises ThawError where DVC cannot
    tell.
    """
    answer = dvc(artifacts.root, "--wait-for-lock", "status", "--json", capture=True)
    if answer.returncode:
        raise ThawError(f"dvc status failed: {answer.stderr.strip().splitlines()[-1]}")
    status: dict[str, list[Any]] = json.loads(answer.stdout[answer.stdout.index("{") :])
    return [stage for stage, entries in status.items() if stage != RENDERED and _changed(entries)]


@dataclass(frozen=True)
class Stale:
    """What has to run for a variant: its stages, and of these the ones that only bring back what is not here."""

    stages: list[str]
    brought_back: list[str]


def stale(artifacts: Artifacts) -> tuple[dict[str, Stale], list[str]]:
    """What `params.yaml`, the code and the data have outdated, by variant, and the studies that have to run again.

    An output that is merely absent outdates nothing, but a stage that has to run needs its inputs, and whatever makes
    those has to run as well where they are not in DVC's cache.
    """
    root, pipeline, changed = artifacts.root, Pipeline.read(artifacts), outdated(artifacts)
    params = read_params(artifacts.params)
    first = {name for name in pipeline.before if name in changed}
    found, studies = {}, list[str]()

    def reads_what_runs(stage: str, running: set[str]) -> bool:
        return bool(running & set(pipeline.inputs[stage].values()))

    for variant in params.variants:
        needed = set(first)
        for name in pipeline.chain:  # in an order in which every input stands before its reader
            if f"{name}@{variant}" in changed or reads_what_runs(name, needed):
                needed.add(name)
        readers = []
        for key, study in params.studies.trained.items():
            name = pipeline.studies[key].split("@")[0]
            if study.variant == variant and (pipeline.studies[key] in changed or reads_what_runs(name, needed)):
                studies.append(key)
                readers.append(name)
        needed &= set(pipeline.chain)
        brought_back: set[str] = set()
        for name in (*readers, *reversed(pipeline.chain)):
            for path, maker in pipeline.inputs[name].items() if name in needed | brought_back | set(readers) else ():
                if maker not in needed and not _present(root, path.replace("${key}", variant)):
                    brought_back.add(maker)
        if needed | brought_back:
            order = [name for name in pipeline.chain if name in needed | brought_back]
            found[variant] = Stale(
                [f"{name}@{variant}" for name in order],
                [f"{name}@{variant}" for name in order if name in brought_back],
            )
    for key in params.studies.untrained:
        if pipeline.studies[key] in changed or reads_what_runs(pipeline.studies[key].split("@")[0], first):
            studies.append(key)
    return found, studies


def _present(root: Path, path: str) -> bool:
    """Whether an artifact is on this machine, taken out of DVC's cache if it is there."""
    return (root / path).exists() or dvc(root, "checkout", "-q", path, capture=True).returncode == 0


def _changed(entries: list[Any]) -> bool:
    """Whether a stage's status says more than that large outputs, or what was made of them, are not on this machine."""
    for entry in entries:
        if not isinstance(entry, dict):
            return True  # "changed command"
        for changes in entry.values():
            for path, change in changes.items():
                if change not in ABSENT or not path.startswith(("models", "samples")):
                    return True
    return False


def minutes(artifacts: Artifacts, stages: Sequence[str]) -> float:
    """How long the stages took when they last ran, in minutes, as far as runs/ knows."""
    total = 0.0
    for stage in stages:
        name, variant = stage.split("@")
        if artifacts.run(variant).exists():
            total += json.loads(artifacts.run(variant).read_text()).get(name, {}).get("seconds", 0)
    return total / 60


def report(artifacts: Artifacts, confirm: Callable[[str], bool], jobs: int | None = None) -> None:
    """Bring figures and tables up to date, training only what changed.

    `confirm` is asked before work that only brings back what this machine lacks. Raises ThawError where it declines.
    """
    work, studies = stale(artifacts)
    for variant, what in work.items():
        if what.brought_back and not confirm(
            f"{variant} has to be evaluated or studied again, and {' and '.join(what.brought_back)} made what that "
            f"needs: repeating it takes about {minutes(artifacts, what.brought_back):.0f} minutes, and `dvc pull` may "
            "save it."
        ):
            raise ThawError(f"{variant} was left as it was; `dvc pull` or `thaw report --yes` goes on.")
    for variant, what in work.items():
        print(f"{variant}: {', '.join(what.stages)} (about {minutes(artifacts, what.stages):.0f} min)", flush=True)
    if studies:
        print(f"studies: {', '.join(studies)}", flush=True)
    repro(artifacts, jobs, work={variant: what.stages for variant, what in work.items()}, studies=studies)


def scratch_copy(artifacts: Artifacts, folder: Path) -> Artifacts:
    """A copy of the project's files, those that git tracks or would, as a repository of its own."""
    if folder.exists():
        shutil.rmtree(folder)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=artifacts.root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        source, target = artifacts.root / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return Artifacts(folder)


def in_scratch(artifacts: Artifacts, folder: Path, profile: str, jobs: int | None) -> None:
    """Run the whole chain at another profile in a scratch copy, and render its report there."""
    copy = scratch_copy(artifacts, folder)
    write_profile(copy.params, copy.profile(profile))
    repro(copy, jobs)
    command = [sys.executable, "-m", "thaw", "render"]
    if subprocess.run(command, cwd=copy.root, env=environment(copy.root)).returncode:
        raise ThawError(f"the report in {folder} could not be rendered, for the reason above.")


def committed_metrics(artifacts: Artifacts) -> dict[str, dict[str, float]]:
    """The metrics of the last commit, by variant; those of the working tree where git has none."""
    metrics = {}
    for variant in read_params(artifacts.params).variants:
        path = artifacts.metrics(variant)
        name = path.relative_to(artifacts.root).as_posix()
        done = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=artifacts.root, capture_output=True, text=True)
        if done.returncode == 0:
            metrics[variant] = json.loads(done.stdout)
        elif path.exists():
            metrics[variant] = json.loads(path.read_text())
    return metrics
