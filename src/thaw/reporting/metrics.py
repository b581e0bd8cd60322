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

    def show(self, value: float) -> str:
        """The value as the report prints it."""
        return f"{value:.{self.digits}f}"


METRICS = {
    metric.key: metric
    for metric in (
        Metric("fid_classifier", "FID (classifier)", "lower", 1,
               "Fréchet distance of unconditional samples to the test set, in the features of the digit classifier"),
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
               "the training objective on test images; never comparable between targets or schedules"),
        Metric("ks_first_t", "KS first t", None, 0,
               "first t from which the median p of the Kolmogorov–Smirnov test against N(0, 1) stays above 0.05"),
        Metric("ks_accepted_at_T", "KS kept at T", None, 3, "share of the tests that do not reject N(0, 1) at t = T"),
    )
}  # fmt: skip
