"""Where every artifact lives. Nothing else in thaw spells a path of the project."""

from dataclasses import dataclass
from pathlib import Path

from thaw.errors import ThawError
from thaw.params import PARAMS_FILE


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
    """The paths of one project. Methods take the name of a variant."""

    root: Path

    @property
    def params(self) -> Path:
        """The parameters."""
        return self.root / PARAMS_FILE

    @property
    def stages(self) -> Path:
        """The stages, as DVC reads them."""
        return self.root / "dvc.yaml"

    @property
    def lock(self) -> Path:
        """The hashes of what each stage read and wrote."""
        return self.root / "dvc.lock"

    def profile(self, name: str) -> Path:
        """The budget called `name`."""
        return self.root / "profiles" / f"{name}.yaml"

    @property
    def classifier(self) -> Path:
        """The feature network's weights, with its accuracy in the header."""
        return self.root / "reference" / "classifier.safetensors"

    @property
    def classifier_metrics(self) -> Path:
        """The feature network's accuracy and checksum."""
        return self.root / "reference" / "classifier.json"

    @property
    def statistics(self) -> Path:
        """Mean and covariance of the test images' features."""
        return self.root / "reference" / "statistics.safetensors"

    @property
    def floor(self) -> Path:
        """Frechet distance of real images to real images, by the number of images."""
        return self.root / "reference" / "floor.csv"

    @property
    def real(self) -> Path:
        """What real images score by the measures of generated ones."""
        return self.root / "reference" / "real.csv"

    def models(self, variant: str) -> Path:
        """The folder of a variant's weights."""
        return self.root / "models" / variant

    def description(self, variant: str) -> Path:
        """What the weights of a variant are."""
        return self.models(variant) / "model.json"

    def weights(self, variant: str, seed: int, point: str = "best") -> Path:
        """Weights of one training at one point: `best`, or a milestone such as `0.5`."""
        return self.models(variant) / f"seed-{seed}" / f"{point}.safetensors"

    def checkpoint(self, variant: str, seed: int) -> Path:
        """Where an interrupted training goes on from; outside DVC, which deletes outputs before a rerun."""
        return self.root / ".thaw" / "checkpoints" / variant / f"seed-{seed}"

    def samples(self, variant: str) -> Path:
        """The images drawn from a variant, and its restorations."""
        return self.root / "samples" / variant / "samples.safetensors"

    def metrics(self, variant: str) -> Path:
        """Headline values."""
        return self.root / "metrics" / f"{variant}.json"

    def intervals(self, variant: str) -> Path:
        """Every metric with its interval and n."""
        return self.root / "plots" / "intervals" / f"{variant}.csv"

    def loss(self, variant: str) -> Path:
        """Loss curves of every training."""
        return self.root / "plots" / "loss" / f"{variant}.csv"

    def fid(self, variant: str) -> Path:
        """fid_classifier by milestone."""
        return self.root / "plots" / "fid" / f"{variant}.csv"

    def normality(self, variant: str) -> Path:
        """The schedule, and the distance of z_t from N(0, 1), by t."""
        return self.root / "plots" / "normality" / f"{variant}.csv"

    def first_accepted(self, variant: str) -> Path:
        """The first accepted step of the normality test, for every image and draw on its own."""
        return self.root / "plots" / "first_accepted" / f"{variant}.csv"

    def schedule(self, variant: str) -> Path:
        """The normality of a Gaussian variant's schedule in numbers, with their intervals."""
        return self.root / "plots" / "schedule" / f"{variant}.csv"

    def objective(self, variant: str) -> Path:
        """The test loss and the bits per dimension, with their intervals."""
        return self.root / "plots" / "objective" / f"{variant}.csv"

    def test_loss(self, variant: str) -> Path:
        """The test loss by t."""
        return self.root / "plots" / "test_loss" / f"{variant}.csv"

    def likelihood(self, variant: str) -> Path:
        """The bound on the likelihood by term."""
        return self.root / "plots" / "likelihood" / f"{variant}.csv"

    def severity(self, variant: str) -> Path:
        """Scores of direct and of iterative restorations by the step they start from."""
        return self.root / "plots" / "severity" / f"{variant}.csv"

    def classes(self, variant: str) -> Path:
        """The share of each class among the samples."""
        return self.root / "plots" / "classes" / f"{variant}.csv"

    def extrapolation(self, variant: str) -> Path:
        """Frechet distances by the number of samples, and the line through them."""
        return self.root / "plots" / "extrapolation" / f"{variant}.csv"

    def restorations(self, variant: str) -> Path:
        """The scores of every restored image, by which two variants are compared in pairs."""
        return self.root / "plots" / "restorations" / f"{variant}.csv"

    def audit(self, variant: str) -> Path:
        """Scores under the faulty protocols of earlier evaluations."""
        return self.root / "plots" / "audit" / f"{variant}.csv"

    def uniqueness(self, variant: str) -> Path:
        """How unique z_T is for its image."""
        return self.root / "plots" / "uniqueness" / f"{variant}.csv"

    @property
    def networks(self) -> Path:
        """The folder of what the networks consist of."""
        return self.root / "plots" / "networks"

    @property
    def levels(self) -> Path:
        """How often each grey level occurs in the training images, and at their centres."""
        return self.root / "plots" / "levels.csv"

    @property
    def published(self) -> Path:
        """The numbers of the earlier reports."""
        return self.root / "data" / "published.csv"

    @property
    def inception(self) -> Path:
        """The folder of the weights of InceptionV3."""
        return self.root / "reference" / "inception"

    @property
    def summary(self) -> Path:
        """Every metric of every variant."""
        return self.root / "plots" / "summary.csv"

    def sheet(self, variant: str, name: str) -> Path:
        """A sheet of image tiles without labels."""
        return self.root / "sheets" / variant / f"{name}.png"

    @property
    def figures(self) -> Path:
        """The folder of drawn figures, each with its caption beside it."""
        return self.root / "figures"

    def study(self, key: str) -> Path:
        """The folder of what a study found."""
        return self.root / "studies" / key

    def study_run(self, key: str) -> Path:
        """How long a study took, and where; not an output of DVC."""
        return self.root / "runs" / "studies" / f"{key}.json"

    def run(self, variant: str) -> Path:
        """How long each stage of a variant took, and where; not an output of DVC."""
        return self.root / "runs" / f"{variant}.json"

    def kept(self, name: str) -> Path:
        """What thaw computed and keeps only to save time."""
        return self.root / ".thaw" / f"{name}.json"

    def log(self, job: str) -> Path:
        """What the stages of a variant or of a study said when they last ran."""
        return self.root / ".thaw" / "logs" / f"{job.replace(' ', '-')}.log"

    def scratch(self, profile: str) -> Path:
        """Where a copy of the project tries another profile."""
        return self.root / ".thaw" / profile

    @property
    def comparisons(self) -> Path:
        """The folder of the pictures that `thaw compare` draws."""
        return self.root / ".thaw" / "compare"

    @property
    def report(self) -> Path:
        """The report's source."""
        return self.root / "report"

    @property
    def book(self) -> Path:
        """The rendered report."""
        return self.report / "_book"

    @property
    def coursework(self) -> Path:
        """The rendered report of a student."""
        return self.report / "_coursework"
