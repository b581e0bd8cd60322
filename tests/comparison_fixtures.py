"""Small projects whose results are written by the tests."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from thaw.files import write_csv
from thaw.metrics import METRICS
from thaw.params import read_params
from thaw.results.layout import Artifacts
from thaw.results.measurements import Measurement

ROOT = Path(__file__).parents[1]
FIRST, SECOND = list(read_params(ROOT / "params.yaml").variants)[:2]


def measured(value: float, half: float = 1, key: str = "fid_classifier", *, variant: str = FIRST, n: int = 1000,
             trainings: int = 3, floor: float | None = None) -> Measurement:  # fmt: skip
    """A measurement with an interval of so much on each side."""
    return Measurement(variant, METRICS[key], value, value - half, value + half, n, trainings, floor)


def rows(found: Iterable[Measurement]) -> list[dict[str, Any]]:
    """Rows of intervals.csv, real.csv or summary.csv."""
    return [{"variant": m.variant, "metric": m.metric.key, **m.numbers, "method": "", "floor": m.floor} for m in found]


class Project:
    """The parameters of this repository under git, and results of its first two variants."""

    def __init__(self, root: Path) -> None:
        self.artifacts = Artifacts(root)
        shutil.copy(ROOT / "params.yaml", root / "params.yaml")
        (root / "dvc.yaml").write_text("stages: {}\n")
        (root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
        (root / ".gitignore").write_text("/.thaw/\n")
        for variant in (FIRST, SECOND):
            self.measure(measured(20, variant=variant, trainings=1))
        self.artifacts.reference("classifier.json").parent.mkdir()
        self.artifacts.reference("classifier.json").write_text(json.dumps({"sha256": "a"}))
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

    def measure(self, *found: Measurement) -> None:
        """Write what was measured of a variant."""
        write_csv(self.artifacts.table(found[0].variant, "intervals"), rows(found))

    def restore(self, variant: str, scores: np.ndarray, metric: str = "rmse") -> None:
        """Write the scores of restored images, (trainings, images)."""
        table = [
            {"training": training, "image": 100 + image, metric: float(score)}
            for (training, image), score in np.ndenumerate(scores)
        ]
        write_csv(self.artifacts.table(variant, "restorations"), table)

    def draw(self, variant: str) -> None:
        """Write curves and a sheet of samples."""
        loss = [{"seed": 0, "images": k * 100, "validation_loss": 1 / k} for k in range(1, 5)]
        write_csv(self.artifacts.table(variant, "loss"), loss)
        size = read_params(self.artifacts.params).data.pixels
        path = self.artifacts.sheet(variant, "samples")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8 * size, 8 * size), np.uint8)).save(path)

    def on_both_branches(self, write: Any) -> None:
        """Commit `write("main")` to main and `write("mine")` to mine, which is checked out before and after."""
        for branch in ("main", "mine"):
            self.git("checkout", "-q", branch)
            write(branch)
            self.commit(branch)
        self.git("merge", "-q", "-X", "ours", "--no-edit", "main")
