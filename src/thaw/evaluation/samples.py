"""What is measured of images that a model made of nothing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from thaw.core.hardware import device
from thaw.core.randomness import generator
from thaw.core.tensors import read_tensors
from thaw.data import Dataset
from thaw.data.images import LEVELS
from thaw.errors import ThawError
from thaw.evaluation.background import background_levels
from thaw.evaluation.bootstrap import mean_interval, subsampling_error
from thaw.evaluation.classifier import INFERENCE_BATCH, FeatureNetwork, legible
from thaw.evaluation.diversity import class_entropy_interval, class_shares, unique_fraction
from thaw.evaluation.frechet import (
    Moments,
    extrapolate,
    fid_classifier,
    frechet_distance,
    frechet_interval,
    moments,
    read_moments,
)
from thaw.evaluation.inception import inception_features, load_inception, weights
from thaw.evaluation.intervals import hull, proportion_interval, student_interval, with_trainings
from thaw.evaluation.kernel import kernel_distance
from thaw.evaluation.neighbours import DRAWS, Likeness, likeness, memorized, nearest
from thaw.evaluation.rows import BOOTSTRAP, REVERSE, SUBSAMPLES, Row, averaged_row, row, seed_of, share_row

MEMORIZED = 0.01
"""The share of test images that counts as copies of training images, to set the limit for generated ones."""
COMPARED = 1000
"""Test images whose distance to the training images sets that limit, at most."""


@dataclass(frozen=True)
class Reference:
    """The real images' side of every comparison: the data, its feature network, features of the test images.

    `readers` say which images are legible, each where it is as sure as `sure`; there are none for images without
    labels. `moments` are those of the test images, `within` is the mean kernel of two of them, `floors` are the Frechet
    distances of as many real images by their number, and `limit` is that of infinitely many.
    """

    dataset: Dataset
    network: FeatureNetwork
    readers: list[FeatureNetwork]
    sure: float
    moments: Moments
    features: Tensor
    within: float
    floors: dict[int, float]
    limit: float
    confidence: float
    resamples: int


def frechet_rows(reference: Reference, feats: list[Tensor]) -> list[Row]:
    """fid_infinite, fid_classifier and kid_classifier of features (n, d), by training."""
    count = len(feats[0])
    limits = []
    for index, fake in enumerate(feats):
        limit = extrapolate(reference.moments, fake, generator("fid_infinite", index)).limit
        error = subsampling_error(
            lambda i, fake=fake: extrapolate(reference.moments, fake[i], generator("fid_infinite")).limit,  # type: ignore[misc]
            count, DRAWS, generator("fid_infinite subsamples", index),
        )  # fmt: skip
        limits.append(student_interval(limit, float(error), DRAWS - 1, reference.confidence))
    rows = [averaged_row("fid_infinite", limits, count, reference.confidence, SUBSAMPLES, reference.limit)]

    by_training = np.array([fid_classifier(reference.moments, fake) for fake in feats])
    interval = frechet_interval(
        reference.moments, feats, reference.confidence, reference.resamples, generator("fid_classifier")
    )._replace(value=float(by_training.mean()))
    interval = with_trainings(interval, by_training, reference.confidence)
    rows.append(row("fid_classifier", interval, count, len(feats), REVERSE, reference.floors.get(count)))

    distances = [kernel_distance(reference.features, fake, reference.confidence, reference.within) for fake in feats]
    rows.append(averaged_row("kid_classifier", distances, count, reference.confidence, "jackknife"))
    return rows


def legible_row(reference: Reference, pixels: list[Tensor]) -> Row | None:
    """The share of legible uint8 images (n, C, H, W) by training; None where there are no readers."""
    if not reference.readers:
        return None
    read = [legible(reference.readers, images, reference.sure).numpy() for images in pixels]
    return share_row("legible", np.stack(read), reference.confidence)


def diversity_rows(reference: Reference, pixels: list[Tensor], feats: list[Tensor]) -> list[Row]:
    """precision, recall, density, coverage, class_entropy, unique_fraction and memorized_fraction, by training."""
    confidence, dataset, count = reference.confidence, reference.dataset, len(pixels[0])
    compared = torch.randperm(len(dataset.test), generator=generator("as many real images"))
    as_many = min(count, len(compared))
    real = reference.features[compared[:as_many]]
    found = [likeness(real, fake[:as_many], confidence, generator("coverage", i)) for i, fake in enumerate(feats)]
    rows = [
        averaged_row(metric, [getattr(f, metric) for f in found], as_many, confidence, SUBSAMPLES)
        for metric in Likeness._fields
    ]
    if dataset.train.labels is not None:
        entropies = [
            class_entropy_interval(
                class_shares(reference.network, images), count, confidence, reference.resamples,
                seed_of("class_entropy", i),
            )
            for i, images in enumerate(pixels)
        ]  # fmt: skip
        rows.append(averaged_row("class_entropy", entropies, count, confidence, REVERSE))
    real_images = dataset.to_range(dataset.test.pixels[compared[:as_many]])
    quantised = [dataset.to_range(images) for images in pixels]  # grey levels like those of the real images
    unique = []
    for i, images in enumerate(quantised):
        shown = images[:as_many]
        error = subsampling_error(
            lambda index, shown=shown: unique_fraction(shown[index], real_images[index]),  # type: ignore[misc]
            as_many, DRAWS, generator("unique_fraction", i),
        )  # fmt: skip
        value = unique_fraction(shown, real_images)
        unique.append(
            hull(
                student_interval(value, float(error), DRAWS - 1, confidence),
                proportion_interval(value, as_many, confidence),
            )
        )
    rows.append(averaged_row("unique_fraction", unique, as_many, confidence, SUBSAMPLES))

    train = dataset.to_range(dataset.train.pixels)
    of_test = nearest(dataset.to_range(dataset.test.pixels[compared[:COMPARED]]), train).distance
    copies = [memorized(nearest(images, train).distance, of_test, MEMORIZED).numpy() for images in quantised]
    rows.append(share_row("memorized_fraction", np.stack(copies), confidence))
    return rows


def background_row(reference: Reference, pixels: list[Tensor]) -> Row | None:
    """background_level of uint8 images (n, 1, H, W) by training, over those that have a background.

    None for colours, and where most images have none: a mean over the few that do would praise a model of mere noise.
    """
    if pixels[0].shape[1] != 1:
        return None
    intervals = []
    for index, images in enumerate(pixels):
        levels = background_levels(images.double() / LEVELS)
        levels = levels[~np.isnan(levels)]
        if 2 * len(levels) < len(images):
            return None
        stream = generator("background_level", index)
        intervals.append(mean_interval(levels[None], reference.confidence, reference.resamples, stream))
    return averaged_row("background_level", intervals, len(pixels[0]), reference.confidence, BOOTSTRAP)


def class_table(reference: Reference, pixels: list[Tensor]) -> list[Row]:
    """The share of each class among uint8 images, the mean over trainings, and among the labels of the test images."""
    labels = reference.dataset.test.labels
    if labels is None:
        return []
    real = (torch.bincount(labels, minlength=reference.network.output.out_features).double() / len(labels)).tolist()
    by_training = np.array([class_shares(reference.network, images) for images in pixels])
    rows = []
    for index, shares in enumerate(by_training.T):
        interval = proportion_interval(float(shares.mean()), len(pixels[0]), reference.confidence)
        interval = with_trainings(interval, shares, reference.confidence)
        rows.append({"class": index, "share": interval.value, "low": max(0.0, interval.low), "high": interval.high,
                     "n": len(pixels[0]), "test_images": real[index]})  # fmt: skip
    return rows


def extrapolation_table(reference: Reference, feats: Tensor) -> list[Row]:
    """Frechet distances of subsets of one training's features by their size, with the line through them."""
    found = extrapolate(reference.moments, feats, generator("fid_infinite", 0))
    return [
        {"n": size, "fid_classifier": distance, "fit": found.limit + found.slope / size, "limit": found.limit}
        for size, distance in zip(found.sizes, found.distances, strict=True)
    ]


def confidence_order(network: FeatureNetwork, pixels: Tensor) -> Tensor:
    """Indices of uint8 images (n, C, H, W), those first of whose class the classifier is surest."""
    with torch.inference_mode():
        sure = torch.cat([network.logits(part).softmax(1).amax(1) for part in pixels.split(INFERENCE_BATCH)])
    return sure.argsort(descending=True, stable=True)


def inception_row(reference: Reference, pixels: list[Tensor], folder: Path, statistics: Path) -> Row:
    """fid_inception of uint8 images by training; `folder` has the weights, `statistics` the real images' moments.

    Raises ThawError where the weights are neither there nor to be had, or the moments were made without them.
    """
    stored, header = read_tensors(statistics)
    if "inception_mean" not in stored:
        raise ThawError(
            "reference/statistics.safetensors has nothing of InceptionV3; `dvc repro reference` adds it, now that "
            "evaluation.inception in params.yaml is true."
        )
    real = read_moments(statistics, "inception_")
    network = load_inception(weights(folder)).to(device())
    feats = [inception_features(network, images) for images in pixels]
    interval = frechet_interval(real, feats, reference.confidence, reference.resamples, generator("fid_inception"))
    by_training = np.array([frechet_distance(real, moments(fake)) for fake in feats])
    interval = with_trainings(interval, by_training, reference.confidence)
    count = len(pixels[0])
    return row("fid_inception", interval, count, len(pixels), REVERSE, header["inception_floor"].get(str(count)))
