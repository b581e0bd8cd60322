"""What each metric is called, what it can be, which way is better, what it is measured on, and how it is written.

Evaluation, tables, sentences, figures, comparisons and reviews all read METRICS. To add a metric, compute it, give it
an entry here, and name it on the page that shows it.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

TOTALS = ("metric", "value", "low", "high", "n", "trainings", "method", "floor")
"""The columns of a table of intervals."""
LARGEST_PSNR = 10 * math.log10(12 * 255**2)
"""The PSNR of rounding to 256 grey levels, whose mean squared error is (1/255)^2 / 12."""


@dataclass(frozen=True)
class Metric:
    """A metric of results/variants/NAME/metrics.json.

    `name` and `unit` make its title, with `at` for the condition it is taken at. `digits` are those after the point.
    `meaning` explains it to a reader, and `phrase` replaces the title in sentences that the title does not fit.
    """

    key: str
    name: str
    better: Literal["lower", "higher"] | None
    digits: int
    meaning: str
    applies_to: Literal["samples", "restorations", "denoisers", "gaussian noise"]
    unit: str = ""
    at: str = ""
    phrase: str = ""
    bounds: tuple[float, float] = (-math.inf, math.inf)
    """What it can be; an interval that reaches further is cut off there."""
    biased: bool = False
    """Whether its expected value depends on the number of images that it is measured on."""
    of_classifier: bool = False
    """Whether the classifier computes it, so that another classifier makes another metric."""
    share: bool = False
    """Whether it is a share of images that each are right or wrong."""
    features: int | None = None
    """The width of the features of a Fréchet distance, of which fewer than ten images for each are too few."""

    @property
    def title(self) -> str:
        """Its name with its unit and the condition."""
        return self.name + (f" ({self.unit})" if self.unit else "") + (f", {self.at}" if self.at else "")

    @property
    def short(self) -> str:
        """Its name without what stands in brackets."""
        return self.name.partition(" (")[0]

    def show(self, value: float) -> str:
        """The value as the report prints it."""
        return f"{value:z.{self.digits}f}"


POSITIVE, SHARE = (0.0, math.inf), (0.0, 1.0)
OF_SAMPLES = (
    Metric("fid_infinite", "FID∞ (classifier)", "lower", 1,
           "Fréchet distance of unconditional samples to the test set, in the features of the digit classifier, "
           "extrapolated to infinitely many samples by a line in 1/n; real images have about 0", "samples",
           of_classifier=True, features=128),
    Metric("fid_classifier", "FID (classifier)", "lower", 1,
           "the same of as many samples as there are, whose number raises it; its interval is for infinitely many",
           "samples", bounds=POSITIVE, biased=True, of_classifier=True, features=128),
    Metric("fid_inception", "FID (Inception)", "lower", 1,
           "the same in the features of InceptionV3, the field's convention for photographs", "samples",
           bounds=POSITIVE, biased=True, features=2048),
    Metric("kid_classifier", "KID (classifier)", "lower", 2,
           "kernel distance of the same features (squared, cubic kernel), which few samples do not bias", "samples",
           of_classifier=True),
    Metric("legible", "legible", "higher", 3,
           "share of samples that all of several classifiers, trained on distorted digits and on nonsense, take for "
           "the same digit, each with at least the probability `evaluation.readers.sure`", "samples", bounds=SHARE,
           of_classifier=True),
    Metric("precision", "precision", "higher", 3,
           "share of samples within the third-neighbour distance of a real image, in the same features", "samples",
           bounds=SHARE, biased=True, of_classifier=True),
    Metric("recall", "recall", "higher", 3, "share of real images within that distance of a sample", "samples",
           bounds=SHARE, biased=True, of_classifier=True),
    Metric("density", "density", "higher", 3,
           "how many real images have a sample nearer than their fifth real neighbour, a fifth of the mean over "
           "samples: about 1 for real images, more where samples crowd among many of them", "samples",
           bounds=POSITIVE, biased=True, of_classifier=True),
    Metric("coverage", "coverage", "higher", 3,
           "share of real images that have a sample nearer than their fifth real neighbour", "samples",
           bounds=SHARE, biased=True, of_classifier=True),
    Metric("class_entropy", "class entropy", None, 2,
           "entropy of the classes that the classifier sees; that of the real images is right", "samples",
           unit="bits", bounds=POSITIVE, of_classifier=True),
    Metric("unique_fraction", "unique", "higher", 3,
           "share of samples further from their nearest neighbour than the closest 1 % of as many real images "
           "are from theirs; real images have about 0.99", "samples", bounds=SHARE, biased=True),
    Metric("memorized_fraction", "memorised", None, 3,
           "share of samples nearer to a training image than 99 % of 1000 test images are; new images have about "
           "0.01, blurred and thin ones more", "samples", bounds=SHARE),
    Metric("background_level", "background", None, 4,
           "mean grey, from 0 to 1, of the pixels outside the dilated strokes, of images that have any; that of "
           "the real images is right", "samples", bounds=SHARE),
)  # fmt: skip
OF_RESTORATIONS = (
    Metric("class_preservation", "class kept", "higher", 3,
           "share of test images, restored from t = T, in which the classifier still sees the right digit",
           "restorations", phrase="share of restorations from t = T that keep the digit", bounds=SHARE,
           of_classifier=True, share=True),
    Metric("rmse", "RMSE", "lower", 3, "root mean squared error of test images restored from t = T", "restorations",
           bounds=POSITIVE),
    Metric("ssim", "SSIM", "higher", 3, "structural similarity of test images restored from t = T", "restorations",
           bounds=(-1, 1)),
    Metric("psnr", "PSNR", "higher", 2, "peak signal-to-noise ratio of test images restored from t = T",
           "restorations", unit="dB", bounds=(0, LARGEST_PSNR)),
)  # fmt: skip
OF_ANSWERS = (
    Metric("test_loss", "test loss", None, 4,
           "mean squared error of the network's answer on test images; never comparable between targets or "
           "schedules", "denoisers", bounds=POSITIVE),
    Metric("bits_per_dim", "bits per dimension", "lower", 2,
           "variational bound on the negative log-likelihood of test images; of Gaussian noise alone",
           "gaussian noise", phrase="bound on the bits per dimension", bounds=POSITIVE),
    Metric("matched_t", "matched t", None, 0,
           "the t of matched severity, from which restorations compare: where ᾱ is nearest to 1/4 for mixtures, and "
           "for the others the last t at which a classifier of degraded images reads half of them", "denoisers",
           bounds=POSITIVE),
    Metric("ks_first_t", "KS first t", None, 0,
           "first t from which the median p of the Kolmogorov–Smirnov test against N(0, 1) stays above "
           "`normality.significance`", "gaussian noise", bounds=POSITIVE),
    Metric("ks_accepted_at_T", "KS kept at T", None, 3,
           "share of the tests that do not reject N(0, 1) at t = T", "gaussian noise", bounds=SHARE),
)  # fmt: skip


def _matched(metric: Metric) -> Metric:
    """The same metric of images that are restored from the t of matched severity."""
    return replace(
        metric, key=f"{metric.key}_matched", at="matched", meaning="the same from the t of matched severity",
        phrase=metric.phrase.replace("t = T", "the matched t"),
    )  # fmt: skip


METRICS = {
    metric.key: metric
    for metric in (*OF_SAMPLES, *(m for full in OF_RESTORATIONS for m in (full, _matched(full))), *OF_ANSWERS)
}
"""Every metric by its key, in the order of the report."""
