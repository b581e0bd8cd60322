"""A small project of DVC: two variants and a study, whose stages are a line of shell each."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from thaw.params import read_yaml
from thaw.pipeline.running import dvc
from thaw.results.layout import Artifacts

ROOT = Path(__file__).parents[1]
A, B, STUDY = "ddpm-linear", "cold-zoom-cnn", "zoom-evolution"
STAGES = """
stages:
  reference:
    cmd: mkdir -p results/reference && cp data/raw.txt results/reference/real.csv
    deps: [data/raw.txt]
    outs: [{results/reference/real.csv: {cache: false}}]
  train:
    foreach: ${variants}
    do:
      cmd: mkdir -p models/${key} && cat src/train.py data/raw.txt > models/${key}/w
      deps: [data/raw.txt, src/train.py]
      params: ["variants.${key}.train"]
      outs: ["models/${key}"]
  sample:
    foreach: ${variants}
    do:
      cmd: mkdir -p samples/${key} && cp models/${key}/w samples/${key}/s
      deps: ["models/${key}", src/layers]
      outs: ["samples/${key}"]
  evaluate:
    foreach: ${variants}
    do:
      cmd: mkdir -p results/variants/${key} && cp samples/${key}/s results/variants/${key}/metrics.json
      deps: [results/reference, "samples/${key}"]
      outs: [{"results/variants/${key}/metrics.json": {cache: false}}]
  study:
    foreach: ${studies.trained}
    do:
      cmd: mkdir -p results/studies/${key} && cp models/${item.variant}/w results/studies/${key}/table.csv
      deps: ["models/${item.variant}"]
      outs: [{"results/studies/${key}/table.csv": {cache: false}}]
  summarize:
    cmd: cat results/variants/*/metrics.json > results/summary.csv
    deps: [results/variants]
    params: [variants]
    outs: [{results/summary.csv: {cache: false}}]
  report:
    cmd: "true"
    always_changed: true
    deps: [results/summary.csv]
"""


class Project(Artifacts):
    """The small project, and what tests do to it."""

    def edit(self, name: str, old: str, new: str) -> None:
        """Change every occurrence of some text in a file."""
        text = (self.root / name).read_text()
        assert old in text
        (self.root / name).write_text(text.replace(old, new))

    def change(self, *path: Any) -> None:
        """Change params.yaml: the keys down to a value, then the value."""
        content = block = read_yaml(self.params)
        *keys, last, value = path
        for key in keys:
            block = block[key]
        block[last] = value
        self.params.write_text(json.dumps(content))

    def lack(self, *folders: str) -> None:
        """Remove large results, from DVC's cache too, as in a fresh clone."""
        shutil.rmtree(self.root / ".dvc" / "cache")
        for folder in folders or ("models", "samples"):
            shutil.rmtree(self.root / folder)

    def commit(self) -> None:
        """Commit everything that git does not ignore."""
        for command in (["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x"]):
            subprocess.run(["git", *command], cwd=self.root, check=True)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project when everything has run once; not to be changed."""
    project = Project(tmp_path_factory.mktemp("made") / "project")
    for folder in (".dvc", "data", "src/layers"):
        (project.root / folder).mkdir(parents=True)
    content = read_yaml(ROOT / "params.yaml")
    content["variants"] = {name: content["variants"][name] for name in (A, B)}
    trained = {STUDY: {"name": "zoom_evolution", "variant": B}}
    content["studies"] = {"trained": trained, "untrained": {}, "compared": {}}
    content["demos"] = {}
    project.params.write_text(json.dumps(content))
    for name, text in {
        "dvc.yaml": STAGES, ".dvc/config": "[core]\n    analytics = false\n", ".dvcignore": "run.json\n",
        ".gitignore": "/.thaw/\n/.dvc/cache/\n/.dvc/tmp/\n/models/\n/samples/\n", "data/raw.txt": "1\n",
        "src/train.py": "x = 1\n", "src/layers/a.py": "a = 1\n", "src/layers/b.py": "b = 1\n",
    }.items():  # fmt: skip
        (project.root / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=project.root, check=True)
    dvc(project.root, "repro")
    for variant in (A, B):
        entries = {kind: {"seconds": number} for kind, number in (("train", 600), ("sample", 60), ("evaluate", 30))}
        project.run(variant).write_text(json.dumps(entries))
    project.commit()
    return project


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Project:
    """A copy of the project, which a test may change."""
    shutil.copytree(made.root, tmp_path / "project")
    return Project(tmp_path / "project")
