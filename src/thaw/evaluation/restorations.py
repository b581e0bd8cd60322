"""What is measured of restored test images: headline rows, the values of every image, and their fall with severity."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thaw.core.randomness import generator
from thaw.data import Images, to_range, to_uint8
from thaw.evaluation.bootstrap import mean_interval
from thaw.evaluation.classifier import FeatureNetwork, predict
from thaw.evaluation.intervals import proportion_interval
from thaw.evaluation.reconstruction import reconstruction_errors
from thaw.evaluation.rows import Row, mean_row, share_row

Array = npt.NDArray[np.float64]
KEPT = "class_preservation"


def restoration_scores(
    network: FeatureNetwork, originals: Images, restored: Tensor, half_range: float
) -> dict[str, Array]:
    """rmse, ssim, psnr and, where there are labels, class_preservation (0 or 1) of each restored image, each (N,)."""
    scores = reconstruction_errors(to_range(originals.pixels, half_range), restored, half_range)
    if originals.labels is not None:
        kept = predict(network, to_uint8(restored, half_range)) == originals.labels
        scores[KEPT] = kept.double().numpy()
    return scores


def restoration_rows(by_training: list[dict[str, Array]], suffix: str, confidence: float, resamples: int) -> list[Row]:
    """Every score as a row, its name with the suffix."""
    rows = []
    for metric in by_training[0]:
        values = np.stack([scores[metric] for scores in by_training])
        if metric == KEPT:
            rows.append(share_row(metric + suffix, values.astype(bool), confidence))
        else:
            rows.append(mean_row(metric + suffix, values, confidence, resamples))
    return rows


def image_table(indices: Tensor, by_suffix: Mapping[str, list[dict[str, Array]]]) -> list[Row]:
    """The scores of every image and training, with the image's number in the test set: what pairs two variants."""
    rows = []
    trainings = len(next(iter(by_suffix.values())))
    for training in range(trainings):
        for position, index in enumerate(indices.tolist()):
            values: Row = {"training": training, "image": index}
            for suffix, by_training in by_suffix.items():
                values |= {f"{name}{suffix}": float(v[position]) for name, v in by_training[training].items()}
            rows.append(values)
    return rows


def severity_table(
    network: FeatureNetwork, originals: Images, drawn: Mapping[str, Tensor], steps: int, half_range: float,
    confidence: float, resamples: int,
) -> list[Row]:  # fmt: skip
    """Every score against the step t that images were degraded to, restored directly and by the sampler.

    `drawn` has the restorations as `direct.T` and `iterative.T`, in the range of the data; T the step. They are of the
    first images of `originals`.
    """
    rows = []
    for method in ("direct", "iterative"):
        found = {int(name.split(".")[1]): images for name, images in drawn.items() if name.startswith(f"{method}.")}
        for t, images in sorted(found.items()):
            first = originals.subset(torch.arange(len(images)))
            for metric, values in restoration_scores(network, first, images, half_range).items():
                if metric == KEPT:
                    interval = proportion_interval(float(values.mean()), len(values), confidence)
                else:
                    stream = generator("severity", method, t, metric)
                    interval = mean_interval(values[None], confidence, resamples, stream)
                rows.append({"t": t, "tau": t / steps, "restoration": method, "metric": metric,
                             **interval._asdict(), "n": len(values)})  # fmt: skip
    return rows
