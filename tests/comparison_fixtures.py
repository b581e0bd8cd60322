"""A small project under git, whose results are written by the tests."""

import csv
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from thaw.artifacts import Artifacts
from thaw.params import read_params
from thaw.reporting.snapshots import Estimate

ROOT = Path(__file__).parents[1]
FIRST, SECOND = list(read_params(ROOT / "params.yaml").variants)[:2]


class Project:
    """The parameters of this repository, and results of its first two variants."""

    def __init__(self, root: Path) -> None:
        self.artifacts = Artifacts(root)
        shutil.copy(ROOT / "params.yaml", root / "params.yaml")
        (root / "dvc.yaml").write_text("stages: {}\n")
        (root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
        (root / ".gitignore").write_text("/.thaw/\n")
        self.artifacts.classifier_metrics.parent.mkdir()
        self.artifacts.classifier_metrics.write_text(json.dumps({"sha256": "a"}))
        for variant in (FIRST, SECOND):
            self.measure(variant, {"fid_classifier": Estimate(20, 19, 21, 1000, 1)})
        self.git("init", "-q", "-b", "main")
        self.commit("results")

    def git(self, *arguments: str) -> str:
        """Run git as somebody."""
        someone = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = subprocess.run(
            ["git", *someone, *arguments], cwd=self.artifacts.root, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        """Commit everything; the commit."""
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def edit(self, old: str, new: str) -> None:
        """Change params.yaml at one place."""
        text = self.artifacts.params.read_text()
        assert old in text
        self.artifacts.params.write_text(text.replace(old, new, 1))

    def measure(self, variant: str, estimates: Mapping[str, Estimate]) -> None:
        """Write what was measured of a variant."""
        rows = [{"metric": key, **estimate._asdict(), "method": "", "floor": ""} for key, estimate in estimates.items()]
        write_rows(self.artifacts.intervals(variant), rows)

    def restore(self, variant: str, scores: np.ndarray, metric: str = "rmse") -> None:
        """Write the scores of restored images, (trainings, images)."""
        rows = [
            {"training": training, "image": 100 + image, metric: scores[training, image]}
            for training in range(scores.shape[0])
            for image in range(scores.shape[1])
        ]
        write_rows(self.artifacts.restorations(variant), rows)

    def draw(self, variant: str) -> None:
        """Write curves and a sheet of samples."""
        write_rows(self.artifacts.loss(variant), [{"seed": 0, "images": k * 100, "validation_loss": 1 / k}
                                                  for k in range(1, 5)])  # fmt: skip
        size = read_params(self.artifacts.params).data.size
        path = self.artifacts.sheet(variant, "samples")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8 * size, 8 * size), np.uint8)).save(path)


def write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    """Write a CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
