"""Which stages have to run, in which order, and for how long."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from thaw.artifacts import Artifacts
from thaw.params import Params
from thaw.pipeline.dvcfile import Pipeline
from thaw.pipeline.status import Status


@dataclass(frozen=True)
class Plan:
    """The stages that params.yaml, the code or the data have outdated, and those that what these make outdates.

    A result that is merely absent outdates nothing, but a stage that has to run needs its inputs. Of these,
    `checked_out` are in DVC's cache, and the stages in `repeated` have to make the others again.
    """

    pipeline: Pipeline
    stages: list[str]
    repeated: list[str]
    checked_out: list[str]

    @classmethod
    def of(cls, status: Status, artifacts: Artifacts) -> "Plan":
        """What brings everything up to date."""
        pipeline, outdated = status.pipeline, set(status.outdated)
        needed, repeated, checked_out = set[str](), set[str](), list[str]()
        early = [name for name in pipeline.stages if name not in pipeline.after]
        for name in early:  # in an order in which every input stands before its reader
            if name in outdated or needed & set(pipeline.inputs(name).values()):
                needed.add(name)
        for name in reversed(early):
            for path, maker in pipeline.inputs(name).items() if name in needed | repeated else ():
                if maker in needed | repeated:
                    continue
                if path in status.missing:
                    repeated.add(maker)
                elif not (artifacts.root / path).exists() and path not in checked_out:
                    checked_out.append(path)
        late = pipeline.after if needed or outdated & set(pipeline.after) else []
        return cls(
            pipeline,
            [name for name in early if name in needed | repeated] + late,
            [name for name in early if name in repeated],
            checked_out,
        )

    @cached_property
    def by_key(self) -> dict[str, list[str]]:
        """The stages of each variant that has any, in their order."""
        found: dict[str, list[str]] = {}
        for name in self.stages:
            stage = self.pipeline.stages[name]
            if stage.kind in self.pipeline.chain:
                found.setdefault(stage.key, []).append(name)
        return found


GPU_MEMORY = 1536
"""MiB of a GPU for each job; with the standard budget a stage took up to 964, of which most is CUDA's own."""


def jobs_for(params: Params) -> int:
    """As many jobs as the machine has room for, at `threads` threads each, and in the memory of its GPU if it has one.

    Of several GPUs every stage takes the first.
    """
    jobs = (os.cpu_count() or 1) // params.threads
    free = _free_gpu_memory()
    return max(1, jobs if free is None else min(jobs, free // GPU_MEMORY))


def _free_gpu_memory() -> int | None:
    """MiB, by NVIDIA's own program, since CUDA is slow to ask; None where there is no such GPU, or none to be used."""
    program, visible = shutil.which("nvidia-smi"), os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if program is None or visible in ("", "-1"):
        return None
    query = [program, f"--id={visible}", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    said = subprocess.run(query, capture_output=True, text=True).stdout.strip()
    return int(said) if said.isdecimal() else None


def minutes(artifacts: Artifacts, stages: Iterable[str]) -> float:
    """How long stages took when they last ran, as far as runs/ knows."""
    return sum(seconds(artifacts, stage) or 0 for stage in stages) / 60


def seconds(artifacts: Artifacts, stage: str) -> float | None:
    """How long a stage took when it last ran; None where runs/ does not know."""
    kind, _, key = stage.partition("@")
    for path, entry in ((artifacts.run(key), kind), (artifacts.study_run(key), "study")):
        if kind.endswith("study") == (entry == "study") and path.exists():
            found: float | None = json.loads(path.read_text()).get(entry, {}).get("seconds")
            return found
    return None
