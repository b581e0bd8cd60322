"""What each metric is called, which way is better, and how it is written."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric of metrics/VARIANT.json: its key, its title, its name in a sentence, and how to take it."""

    key: str
    title: str
    better: Literal["lower", "higher"] | None
    digits: int
    meaning: str
    phrase: str = ""
    features: int | None = None
    """The width of the features of a Fréchet distance, of which fewer than ten images for each are too few."""

    def show(self, value: float) -> str:
        """The value as the report prints it."""
        return f"{value:z.{self.digits}f}"


METRICS = {
    metric.key: metric
    for metric in (
        Metric("fid_classifier", "FID (classifier)", "lower", 1,
               "Fréchet distance of unconditional samples to the test set, in the features of the digit classifier; "
               "its interval is for infinitely many samples", features=128),
        Metric("fid_infinite", "FID, n → ∞", "lower", 1,
               "the same, extrapolated to infinitely many samples by a line in 1/n", features=128),
        Metric("fid_inception", "FID (Inception)", "lower", 1,
               "the same in the features of InceptionV3, the field's convention for photographs", features=2048),
        Metric("kid_classifier", "KID (classifier)", "lower", 2,
               "kernel distance of the same features (squared, cubic kernel), which few samples do not bias"),
        Metric("precision", "precision", "higher", 3,
               "share of samples within the third-neighbour distance of a real image, in the same features"),
        Metric("recall", "recall", "higher", 3, "share of real images within that distance of a sample"),
        Metric("class_entropy", "class entropy (bits)", None, 2,
               "entropy of the classes that the classifier sees; that of the real images is right"),
        Metric("unique_fraction", "unique", "higher", 3,
               "share of samples further from their nearest neighbour than the closest 1 % of as many real images "
               "are from theirs; real images have about 0.99"),
        Metric("memorized_fraction", "memorised", None, 3,
               "share of samples nearer to a training image than 99 % of 1000 test images are; new images have about "
               "0.01, blurred and thin ones more"),
        Metric("background_level", "background", None, 4,
               "mean grey, from 0 to 1, of the pixels outside the dilated strokes, of images that have any; that of "
               "the real images is right"),
        Metric("class_preservation", "class kept", "higher", 3,
               "share of test images, restored from t = T, in which the classifier still sees the right digit",
               phrase="share of restorations from t = T that keep the digit"),
        Metric("class_preservation_half", "class kept, T/2", "higher", 3, "the same from t = T/2",
               phrase="share of restorations from t = T/2 that keep the digit"),
        Metric("rmse", "RMSE", "lower", 3, "root mean squared error of test images restored from t = T"),
        Metric("rmse_half", "RMSE, T/2", "lower", 3, "the same from t = T/2"),
        Metric("ssim", "SSIM", "higher", 3, "structural similarity of test images restored from t = T"),
        Metric("ssim_half", "SSIM, T/2", "higher", 3, "the same from t = T/2"),
        Metric("psnr", "PSNR (dB)", "higher", 2, "peak signal-to-noise ratio of test images restored from t = T"),
        Metric("psnr_half", "PSNR (dB), T/2", "higher", 2, "the same from t = T/2"),
        Metric("test_loss", "test loss", None, 4,
               "mean squared error of the network's answer on test images; never comparable between targets or "
               "schedules"),
        Metric("bits_per_dim", "bits per dimension", "lower", 2,
               "variational bound on the negative log-likelihood of test images; of Gaussian noise alone",
               phrase="bound on the bits per dimension"),
        Metric("ks_first_t", "KS first t", None, 0,
               "first t from which the median p of the Kolmogorov–Smirnov test against N(0, 1) stays above "
               "`normality.significance`"),
        Metric("ks_accepted_at_T", "KS kept at T", None, 3, "share of the tests that do not reject N(0, 1) at t = T"),
    )
}  # fmt: skip

SHARES = ("class_preservation", "class_preservation_half")
"""Metrics of a single image that are yes or no."""
