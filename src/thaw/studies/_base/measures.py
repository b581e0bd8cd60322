"""What several studies measure of images, in grey values from 0 to 1."""

import torch
from torch import Tensor

from thaw.core.randomness import generator
from thaw.data import to_uint8
from thaw.evaluation.bootstrap import mean_interval
from thaw.evaluation.classifier import predict
from thaw.evaluation.reconstruction import reconstruction_errors
from thaw.studies._base.study import Row, Study

SHOWN = 8
"""Images in a strip."""


def grey(images: Tensor, half_range: float) -> Tensor:
    """Images in the data's range as grey values clamped to [0, 1], float64 of the same shape."""
    return ((images.double() / half_range + 1) / 2).clamp(0, 1)


def rms_distance(a: Tensor, b: Tensor, half_range: float) -> Tensor:
    """The root mean square difference of each image of `a` from its partner in `b`, float64 of shape (n,).

    Both are (n, C, H, W) in the data's range.
    """
    return (grey(a, half_range) - grey(b, half_range)).square().flatten(1).mean(1).sqrt()


def sharpness(images: Tensor, half_range: float) -> float:
    """The mean over pixels of the length of the gradient, in grey values a pixel, by differences of neighbours."""
    x = grey(images, half_range)
    down, right = x.diff(dim=2)[..., :, :-1], x.diff(dim=3)[..., :-1, :]
    return torch.hypot(down, right).mean().item()


def restoration_scores(study: Study, restored: Tensor) -> Row:
    """How near restorations of the study's first test images, (n, C, H, W), are to these images.

    rmse with its interval, ssim and n, and class_preservation where the data has classes.
    """
    count = len(restored)
    errors = reconstruction_errors(study.test_images(count), restored, study.half_range)
    interval = mean_interval(
        errors["rmse"][None], study.params.evaluation.confidence, study.params.budget.evaluate.resamples,
        generator("study"),
    )  # fmt: skip
    row: Row = {
        "rmse": interval.value, "low": interval.low, "high": interval.high, "ssim": float(errors["ssim"].mean()),
        "n": count,
    }  # fmt: skip
    labels = study.test_labels(count)
    if labels is not None:
        kept = predict(study.classifier, to_uint8(restored, study.half_range)) == labels
        row["class_preservation"] = kept.double().mean().item()
    return row
