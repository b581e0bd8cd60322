"""Where every file of a project lies. Nothing else in thaw spells a path of it."""

from dataclasses import dataclass
from pathlib import Path

from thaw.errors import ThawError
from thaw.params import PARAMS_FILE

OF_VARIANT = {
    "forward": ("normality", "first_accepted", "schedule", "uniqueness", "levels", "matched", "network"),
    "train": ("loss",),
    "evaluate": (
        "intervals", "fid", "extrapolation", "classes", "severity", "restorations", "objective", "test_loss",
        "likelihood", "audit",
    ),
}  # fmt: skip
"""The tables of a variant by the stage that writes them."""
SHEETS = {
    "forward": ("forward",),
    "sample": ("samples", "milestones", "milestone_restorations", "reconstructions", "chain"),
    "evaluate": ("confidence", "neighbours"),
}
"""The sheets of image tiles of a variant by the stage that writes them."""


def find_root(start: Path | None = None) -> Path:
    """The project that `start` (the current folder by default) stands in: the nearest folder with params.yaml.

    Raises ThawError where there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / PARAMS_FILE).is_file() and (folder / "dvc.yaml").is_file():
            return folder
    raise ThawError(f"{here} is not in a thaw project; change to a folder that has params.yaml and dvc.yaml above it.")


@dataclass(frozen=True)
class Artifacts:
    """The paths of one project.

    A variant has one folder, `variant(name)`, with a folder of each of its stages in it; a study has one, `study(key)`.
    Large outputs are in `models` and `samples`, which DVC's cache holds.
    """

    root: Path

    @property
    def params(self) -> Path:
        """The parameters."""
        return self.root / PARAMS_FILE

    def profile(self, name: str) -> Path:
        """The budget called `name`."""
        return self.root / "profiles" / f"{name}.yaml"

    @property
    def published(self) -> Path:
        """The numbers of the earlier reports."""
        return self.root / "data" / "published.csv"

    @property
    def results(self) -> Path:
        """The folder of everything measured."""
        return self.root / "results"

    def reference(self, name: str) -> Path:
        """A file of the real images' side, such as classifier.safetensors, statistics.safetensors or floor.csv."""
        return self.results / "reference" / name

    @property
    def summary(self) -> Path:
        """Every metric of every variant."""
        return self.results / "summary.csv"

    @property
    def figures(self) -> Path:
        """The folder of drawn figures, with captions.json for what stands beside them."""
        return self.results / "figures"

    def variant(self, name: str) -> Path:
        """The folder of what was measured of a variant."""
        return self.results / "variants" / name

    def metrics(self, variant: str) -> Path:
        """Headline values."""
        return self.variant(variant) / "metrics.json"

    def table(self, variant: str, name: str) -> Path:
        """A table of a variant, by a name of OF_VARIANT. Raises KeyError where there is none of that name."""
        return self.variant(variant) / _stage_of(OF_VARIANT, name) / f"{name}.csv"

    def sheet(self, variant: str, name: str) -> Path:
        """A sheet of image tiles without labels, by a name of SHEETS. Raises KeyError where there is none."""
        return self.variant(variant) / _stage_of(SHEETS, name) / f"{name}.png"

    def study(self, key: str) -> Path:
        """The folder of what a study found."""
        return self.results / "studies" / key

    def demo(self, key: str) -> tuple[Path, Path]:
        """A page on which a reader tries models, and the golden vectors of its JavaScript."""
        return self.results / "demo" / f"{key}.html", self.results / "demo" / f"{key}.json"

    def run(self, variant: str) -> Path:
        """How long each stage of a variant took, and where; no output of DVC."""
        return self.variant(variant) / "run.json"

    def study_run(self, key: str) -> Path:
        """How long a study took, and where; no output of DVC."""
        return self.study(key) / "run.json"

    def models(self, variant: str) -> Path:
        """The folder of a variant's weights, with model.json, which says what they are."""
        return self.root / "models" / variant

    def weights(self, variant: str, seed: int, point: str = "best") -> Path:
        """Weights of one training at one point: `best`, or a milestone such as `0.5`."""
        return self.models(variant) / f"seed-{seed}" / f"{point}.safetensors"

    def samples(self, variant: str) -> Path:
        """The images drawn from a variant, and its restorations."""
        return self.root / "samples" / variant / "samples.safetensors"

    def checkpoint(self, variant: str, seed: int) -> Path:
        """Where an interrupted training goes on from; outside DVC, which deletes outputs before a rerun."""
        return self.kept("checkpoints") / variant / f"seed-{seed}"

    def kept(self, name: str) -> Path:
        """What thaw keeps for itself and can do without: checkpoints, logs, scratch copies, pictures of comparisons."""
        return self.root / ".thaw" / name

    @property
    def report(self) -> Path:
        """The report's source."""
        return self.root / "report"

    @property
    def book(self) -> Path:
        """The rendered report."""
        return self.report / "_book"


def _stage_of(names: dict[str, tuple[str, ...]], name: str) -> str:
    for stage, known in names.items():
        if name in known:
            return stage
    raise KeyError(name)
