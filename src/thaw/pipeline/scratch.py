"""Copies of the project, and the metrics of its last commit."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from thaw.errors import ThawError
from thaw.files import read_json, reading
from thaw.params import read_params, write_profile
from thaw.pipeline.repro import repro
from thaw.pipeline.running import environment
from thaw.results.layout import Artifacts


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
    for path in copy.results.glob("*/*/run.json"):
        path.unlink()  # with another budget, nothing takes as long
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
        with reading(path):
            found = json.loads(done.stdout) if done.returncode == 0 else read_json(path)
            if found:
                metrics[variant] = {key: float(value) for key, value in found.items()}
    return metrics
